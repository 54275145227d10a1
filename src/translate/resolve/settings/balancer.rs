//! How a policy's `loadBalancer` chooses endpoints, and what it hashes.

use std::time::Duration;

use super::{Refusals, is_token, positive, refuse};
use crate::model::{Balancer, ChainSettings, HashInput, OutOfBand, Utilization};
use crate::resource::traffic_policy::{
    BackendUtilization, BalancerType, ConsistentHash, ConsistentHashType, LoadBalancer,
};

/// Sets the balancer; returns what a consistent hash looks at.
pub(super) fn apply(
    balancer: &LoadBalancer,
    chain: &mut ChainSettings,
    refusals: &mut Refusals,
) -> Vec<HashInput> {
    if balancer.zone_aware.is_some() {
        let why =
            "is not supported: zones would take the place of the members' weights within a tier";
        refuse(refusals, "loadBalancer.zoneAware", why);
    }
    chain.endpoint_headers = endpoint_headers(balancer, refusals);
    let slow_start = balancer.slow_start.map(|slow_start| slow_start.window.0);
    if let Some(window) = slow_start {
        positive(window, "loadBalancer.slowStart.window", refusals);
    }
    let mut hash = Vec::new();
    chain.balancer = match balancer.r#type {
        BalancerType::LeastRequest => Balancer::LeastRequest { slow_start },
        BalancerType::RoundRobin => Balancer::RoundRobin { slow_start },
        BalancerType::Random => Balancer::Random,
        BalancerType::ConsistentHash => {
            let spec = balancer.consistent_hash.as_ref();
            hash = spec.map(inputs).unwrap_or_default();
            if !hash.iter().all(is_named) {
                let why = "hashes something by a name, or sets a value, that HTTP has not";
                refuse(refusals, "loadBalancer.consistentHash", why);
            }
            let table_size = spec.map_or(0, |spec| spec.table_size);
            if !is_prime(table_size) {
                refuse(
                    refusals,
                    "loadBalancer.consistentHash.tableSize",
                    "must be a prime number",
                );
            }
            Balancer::ConsistentHash { table_size }
        }
        BalancerType::BackendUtilization => {
            let spec = balancer.backend_utilization.clone().unwrap_or_default();
            Balancer::Utilization(utilization(&spec, slow_start, refusals))
        }
        BalancerType::DynamicModule => {
            let why = "DynamicModule is not supported: nothing loads a module";
            refuse(refusals, "loadBalancer.type", why);
            return hash;
        }
    };
    hash
}

/// Where requests name their endpoint.
fn endpoint_headers(balancer: &LoadBalancer, refusals: &mut Refusals) -> Vec<String> {
    let sources = balancer.endpoint_override.iter();
    let sources = sources.flat_map(|spec| spec.extract_from.iter().enumerate());
    let mut headers = Vec::new();
    for (index, source) in sources {
        match source.header.as_ref().filter(|name| is_token(name)) {
            Some(name) => headers.push(name.to_ascii_lowercase()),
            None => {
                let field = format!("loadBalancer.endpointOverride.extractFrom[{index}].header");
                refuse(refusals, &field, "must be the name of a header");
            }
        }
    }
    headers
}

fn utilization(
    spec: &BackendUtilization,
    slow_start: Option<Duration>,
    refusals: &mut Refusals,
) -> Utilization {
    let out_of_band = spec.out_of_band.as_ref();
    let field = |name: &str| format!("loadBalancer.backendUtilization.{name}");
    let times = [
        (spec.weight_expiration_period, "weightExpirationPeriod"),
        (spec.weight_update_period, "weightUpdatePeriod"),
        (
            out_of_band.and_then(|reports| reports.reporting_period),
            "outOfBand.reportingPeriod",
        ),
    ];
    for (time, name) in times {
        if let Some(time) = time {
            positive(time.0, &field(name), refusals);
        }
    }
    Utilization {
        blackout: spec.blackout_period.map(Into::into),
        expiration: spec.weight_expiration_period.map(Into::into),
        update: spec.weight_update_period.map(Into::into),
        error_penalty: spec.error_utilization_penalty_percent.map(|percent| {
            #[allow(clippy::cast_precision_loss, reason = "Envoy wants no more")]
            let percent = percent as f32;
            percent / 100.0
        }),
        metrics: spec.metric_names_for_computing_utilization.clone(),
        slow_start,
        out_of_band: out_of_band.map(|reports| OutOfBand {
            period: reports.reporting_period.map(Into::into),
            port: reports.port,
            authority: reports.authority.clone(),
        }),
    }
}

/// Whether what endpoints report stays inside.
pub(super) fn hides_load_reports(balancer: Option<&LoadBalancer>) -> bool {
    let spec = balancer.and_then(|balancer| balancer.backend_utilization.as_ref());
    spec.is_some_and(|spec| !spec.keep_response_headers)
}

fn inputs(spec: &ConsistentHash) -> Vec<HashInput> {
    match spec.r#type {
        ConsistentHashType::SourceIp => vec![HashInput::SourceIp],
        ConsistentHashType::Header => spec
            .header
            .iter()
            .map(|header| HashInput::Header(header.name.clone()))
            .collect(),
        ConsistentHashType::Headers => spec
            .headers
            .iter()
            .flatten()
            .map(|header| HashInput::Header(header.name.clone()))
            .collect(),
        ConsistentHashType::QueryParams => spec
            .query_params
            .iter()
            .flatten()
            .map(|parameter| HashInput::QueryParameter(parameter.name.clone()))
            .collect(),
        ConsistentHashType::Cookie => spec
            .cookie
            .iter()
            .map(|cookie| HashInput::Cookie {
                name: cookie.name.clone(),
                ttl: cookie.ttl.map(Into::into),
                attributes: cookie.attributes.clone().into_iter().collect(),
            })
            .collect(),
    }
}

/// Whether Envoy takes the names in what is hashed, and the values. It would refuse all routes of the port for one
/// that it does not.
fn is_named(input: &HashInput) -> bool {
    match input {
        HashInput::SourceIp => true,
        HashInput::Header(name) => is_token(name),
        HashInput::Cookie {
            name, attributes, ..
        } => {
            let mut attributes = attributes.iter();
            let is_sound = |value: &str| !value.chars().any(char::is_control);
            is_token(name) && attributes.all(|(name, value)| is_token(name) && is_sound(value))
        }
        HashInput::QueryParameter(name) => !name.is_empty(),
    }
}

/// Whether Maglev takes a table of this size.
fn is_prime(number: u64) -> bool {
    number >= 2
        && (2..)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
}

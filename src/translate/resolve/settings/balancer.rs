//! How a policy's `loadBalancer` chooses endpoints, and what it hashes.

use super::{Refusals, positive, refuse};
use crate::model::{Balancer, ChainSettings, HashInput};
use crate::resource::traffic_policy::{
    BalancerType, ConsistentHash, ConsistentHashType, LoadBalancer,
};

/// Sets the balancer; returns what a consistent hash looks at.
pub(super) fn apply(
    balancer: &LoadBalancer,
    chain: &mut ChainSettings,
    refusals: &mut Refusals,
) -> Vec<HashInput> {
    if balancer.zone_aware.is_some() {
        refuse(refusals, "loadBalancer.zoneAware", "is not supported yet");
    }
    if balancer.endpoint_override.is_some() {
        refuse(
            refusals,
            "loadBalancer.endpointOverride",
            "is not supported yet",
        );
    }
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
                let why = "hashes something without a name that HTTP has for it";
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
        BalancerType::BackendUtilization | BalancerType::DynamicModule => {
            let why = format!("{:?} is not supported yet", balancer.r#type);
            refuse(refusals, "loadBalancer.type", &why);
            return hash;
        }
    };
    hash
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

/// Whether Envoy takes the name of what is hashed. It would refuse all routes of the port for one
/// that it does not.
fn is_named(input: &HashInput) -> bool {
    let token = |name: &String| {
        let part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !name.is_empty() && name.bytes().all(part)
    };
    match input {
        HashInput::SourceIp => true,
        HashInput::Header(name) => token(name),
        HashInput::Cookie {
            name, attributes, ..
        } => token(name) && attributes.iter().all(|(name, _)| token(name)),
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

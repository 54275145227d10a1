//! Load balancing within a tier: always by the members' weights first, then among a member's
//! endpoints.

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::LoadBalancingPolicy;
use envoy_types::pb::envoy::config::cluster::v3::load_balancing_policy::Policy;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::extensions::load_balancing_policies::client_side_weighted_round_robin::v3::ClientSideWeightedRoundRobin;
use envoy_types::pb::envoy::extensions::load_balancing_policies::common::v3::locality_lb_config::{
    LocalityConfigSpecifier, LocalityWeightedLbConfig,
};
use envoy_types::pb::envoy::extensions::load_balancing_policies::common::v3::{
    LocalityLbConfig, OrcaOobReportingConfig, SlowStartConfig,
};
use envoy_types::pb::envoy::extensions::load_balancing_policies::least_request::v3::LeastRequest;
use envoy_types::pb::envoy::extensions::load_balancing_policies::maglev::v3::Maglev;
use envoy_types::pb::envoy::extensions::load_balancing_policies::override_host::v3::{
    OverrideHost, override_host::OverrideHostSource,
};
use envoy_types::pb::envoy::extensions::load_balancing_policies::random::v3::Random;
use envoy_types::pb::envoy::extensions::load_balancing_policies::round_robin::v3::RoundRobin;
use envoy_types::pb::envoy::extensions::load_balancing_policies::wrr_locality::v3::WrrLocality;
use envoy_types::pb::google::protobuf::{FloatValue, UInt64Value};

use crate::model::{Balancer, ChainSettings, Utilization};
use crate::xds::wire::{boolean, duration, extension};

/// The extension that chooses endpoints, after the request itself where it may.
pub(super) fn policy(settings: &ChainSettings) -> Policy {
    let balanced = Policy {
        typed_extension_config: Some(balanced(&settings.balancer)),
    };
    if settings.endpoint_headers.is_empty() {
        return balanced;
    }
    let source = |header: &String| OverrideHostSource {
        header: header.clone(),
        ..OverrideHostSource::default()
    };
    let named = extension(
        "envoy.load_balancing_policies.override_host",
        OverrideHost {
            override_host_sources: settings.endpoint_headers.iter().map(source).collect(),
            fallback_policy: Some(LoadBalancingPolicy {
                policies: vec![balanced],
            }),
            ..OverrideHost::default()
        },
    );
    Policy {
        typed_extension_config: Some(named),
    }
}

fn balanced(balancer: &Balancer) -> TypedExtensionConfig {
    match *balancer {
        Balancer::LeastRequest { slow_start } => extension(
            "envoy.load_balancing_policies.least_request",
            LeastRequest {
                slow_start_config: slow_start.map(warming),
                locality_lb_config: Some(by_weight()),
                ..LeastRequest::default()
            },
        ),
        Balancer::RoundRobin { slow_start } => extension(
            "envoy.load_balancing_policies.round_robin",
            RoundRobin {
                slow_start_config: slow_start.map(warming),
                locality_lb_config: Some(by_weight()),
            },
        ),
        Balancer::Random => extension(
            "envoy.load_balancing_policies.random",
            Random {
                locality_lb_config: Some(by_weight()),
            },
        ),
        Balancer::ConsistentHash { table_size } => extension(
            "envoy.load_balancing_policies.maglev",
            Maglev {
                table_size: Some(UInt64Value { value: table_size }),
                locality_weighted_lb_config: Some(LocalityWeightedLbConfig {}),
                ..Maglev::default()
            },
        ),
        Balancer::Utilization(ref utilization) => by_utilization(utilization),
    }
}

/// By the members' weights first, which this balancer by itself knows nothing of.
fn by_utilization(utilization: &Utilization) -> TypedExtensionConfig {
    let reports = utilization.out_of_band.as_ref();
    let weighted = ClientSideWeightedRoundRobin {
        enable_oob_load_report: reports.map(|_| boolean(true)),
        oob_reporting_period: reports.and_then(|reports| reports.period).map(duration),
        oob_reporting_config: reports
            .filter(|reports| reports.port.is_some() || reports.authority.is_some())
            .map(|reports| OrcaOobReportingConfig {
                port_value: reports.port.map_or(0, u32::from),
                authority: reports.authority.clone().unwrap_or_default(),
                ..OrcaOobReportingConfig::default()
            }),
        blackout_period: utilization.blackout.map(duration),
        weight_expiration_period: utilization.expiration.map(duration),
        weight_update_period: utilization.update.map(duration),
        error_utilization_penalty: utilization.error_penalty.map(|value| FloatValue { value }),
        metric_names_for_computing_utilization: utilization.metrics.clone(),
        slow_start_config: utilization.slow_start.map(warming),
    };
    let weighted = extension(
        "envoy.load_balancing_policies.client_side_weighted_round_robin",
        weighted,
    );
    let picking = LoadBalancingPolicy {
        policies: vec![Policy {
            typed_extension_config: Some(weighted),
        }],
    };
    extension(
        "envoy.load_balancing_policies.wrr_locality",
        WrrLocality {
            endpoint_picking_policy: Some(picking),
        },
    )
}

fn by_weight() -> LocalityLbConfig {
    LocalityLbConfig {
        locality_config_specifier: Some(LocalityConfigSpecifier::LocalityWeightedLbConfig(
            LocalityWeightedLbConfig {},
        )),
    }
}

fn warming(window: Duration) -> SlowStartConfig {
    SlowStartConfig {
        slow_start_window: Some(duration(window)),
        ..SlowStartConfig::default()
    }
}

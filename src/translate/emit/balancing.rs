//! Load balancing within a tier: always by the members' weights first, then among a member's
//! endpoints.

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::load_balancing_policy::Policy;
use envoy_types::pb::envoy::extensions::load_balancing_policies::common::v3::locality_lb_config::{
    LocalityConfigSpecifier, LocalityWeightedLbConfig,
};
use envoy_types::pb::envoy::extensions::load_balancing_policies::common::v3::{
    LocalityLbConfig, SlowStartConfig,
};
use envoy_types::pb::envoy::extensions::load_balancing_policies::least_request::v3::LeastRequest;
use envoy_types::pb::envoy::extensions::load_balancing_policies::maglev::v3::Maglev;
use envoy_types::pb::envoy::extensions::load_balancing_policies::random::v3::Random;
use envoy_types::pb::envoy::extensions::load_balancing_policies::round_robin::v3::RoundRobin;
use envoy_types::pb::google::protobuf::UInt64Value;

use crate::model::Balancer;
use crate::xds::wire::{duration, extension};

/// The extension that chooses endpoints.
pub(super) fn policy(balancer: &Balancer) -> Policy {
    let extension = match *balancer {
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
    };
    Policy {
        typed_extension_config: Some(extension),
    }
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

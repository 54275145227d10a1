//! Limits that a rate limit service counts for all proxies: its cluster, and the filter that asks it.
//!
//! The limit itself goes along with each question, so the service needs none of its own, only to know
//! the domain.

use std::net::IpAddr;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster};
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use envoy_types::pb::envoy::config::ratelimit::v3::RateLimitServiceConfig;
use envoy_types::pb::envoy::config::route::v3::RateLimit as Actions;
use envoy_types::pb::envoy::config::route::v3::rate_limit::action::{ActionSpecifier, GenericKey};
use envoy_types::pb::envoy::config::route::v3::rate_limit::{
    Action, HitsAddend, Override, r#override::{OverrideSpecifier, RateLimitOverride},
};
use envoy_types::pb::envoy::extensions::filters::http::ratelimit::v3::rate_limit::XRateLimitHeadersRfcVersion;
use envoy_types::pb::envoy::extensions::filters::http::ratelimit::v3::{RateLimit, RateLimitPerRoute};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::r#type::v3::RateLimitUnit;
use envoy_types::pb::google::protobuf::UInt64Value;

use super::rate_limit;
use crate::model::{GlobalLimit, Route};
use crate::translate::{RateLimitService, names};
use crate::xds::resource::Readiness;
use crate::xds::wire::{boolean, duration, packed, socket_address, spoken, uint32};

/// What the limits of all Gateways are in for the service.
const DOMAIN: &str = "locum";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection to a service that vanished without a word must not cost each request the timeout.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Questions under way at once, of which each request with a limit has one. Above it they would go
/// unanswered.
const QUESTIONS: u32 = 100_000;

/// What entries are called that say whose requests are counted together.
const ROUTE: &str = "route";
const POLICY: &str = "policy";
const RULE: &str = "rule";

/// The filter where no route asks for it.
pub(super) fn switched_off(service: &RateLimitService) -> RateLimit {
    RateLimit {
        domain: DOMAIN.into(),
        timeout: Some(duration(service.timeout)),
        failure_mode_deny: service.fail_closed,
        rate_limit_service: Some(RateLimitServiceConfig {
            grpc_service: Some(core::GrpcService {
                timeout: Some(duration(service.timeout)),
                target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
                    cluster_name: names::RATE_LIMIT_SERVICE.into(),
                    ..EnvoyGrpc::default()
                })),
                ..core::GrpcService::default()
            }),
            transport_api_version: core::ApiVersion::V3.into(),
        }),
        enable_x_ratelimit_headers: XRateLimitHeadersRfcVersion::DraftVersion03.into(),
        ..RateLimit::default()
    }
}

/// The limits of a rule, which all its matches share.
pub(super) fn of_route(route: &Route, limits: &[GlobalLimit]) -> RateLimitPerRoute {
    let rule = &format!("{}/rule/{}", route.owner.object, route.rule);
    let limits = limits.iter().enumerate();
    RateLimitPerRoute {
        rate_limits: limits.flat_map(|limit| questions(rule, limit)).collect(),
        ..RateLimitPerRoute::default()
    }
}

/// What is asked for one limit: before the request, and when its answer has ended.
fn questions(rule: &str, (number, limit): (usize, &GlobalLimit)) -> impl Iterator<Item = Actions> {
    let whose = match &limit.shared_by {
        Some(policy) => generic(POLICY, policy.to_string()),
        None => generic(ROUTE, rule.to_owned()),
    };
    let mut before = rate_limit::actions((number, &limit.rule));
    let own = [whose, generic(RULE, number.to_string())];
    before.actions.splice(0..0, own);
    before.limit = Some(Override {
        override_specifier: Some(OverrideSpecifier::RateLimit(RateLimitOverride {
            requests_per_unit: limit.rule.limit.requests,
            unit: unit(limit.rule.limit.per).into(),
        })),
    });
    let after = limit.answer_cost.map(|cost| Actions {
        hits_addend: Some(HitsAddend {
            number: Some(UInt64Value { value: cost }),
            ..HitsAddend::default()
        }),
        apply_on_stream_done: true,
        ..before.clone()
    });
    [before].into_iter().chain(after)
}

fn generic(key: &str, value: String) -> Action {
    Action {
        action_specifier: Some(ActionSpecifier::GenericKey(GenericKey {
            descriptor_key: key.into(),
            descriptor_value: value,
            ..GenericKey::default()
        })),
    }
}

/// The service's word for a time.
fn unit(time: Duration) -> RateLimitUnit {
    const DAY: u64 = 24 * 60 * 60;
    match time.as_secs() {
        0..60 => RateLimitUnit::Second,
        60..3600 => RateLimitUnit::Minute,
        3600..DAY => RateLimitUnit::Hour,
        seconds if seconds < 30 * DAY => RateLimitUnit::Day,
        seconds if seconds < 365 * DAY => RateLimitUnit::Month,
        _ => RateLimitUnit::Year,
    }
}

/// A name is looked up in DNS.
pub(super) fn readiness(service: &RateLimitService) -> Readiness {
    if is_address(service) {
        Readiness::Immediate
    } else {
        Readiness::Dns
    }
}

fn is_address(service: &RateLimitService) -> bool {
    service.host.parse::<IpAddr>().is_ok()
}

/// The service's cluster.
pub(super) fn cluster(service: &RateLimitService) -> Cluster {
    let found = if is_address(service) {
        DiscoveryType::Static
    } else {
        DiscoveryType::StrictDns
    };
    let http2 = core::Http2ProtocolOptions {
        connection_keepalive: Some(core::KeepaliveSettings {
            interval: Some(duration(PING_INTERVAL)),
            timeout: Some(duration(PING_TIMEOUT)),
            ..core::KeepaliveSettings::default()
        }),
        ..core::Http2ProtocolOptions::default()
    };
    let endpoint = Endpoint {
        address: Some(socket_address(&service.host, service.port, false)),
        ..Endpoint::default()
    };
    Cluster {
        name: names::RATE_LIMIT_SERVICE.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(found.into())),
        connect_timeout: Some(duration(CONNECT_TIMEOUT)),
        // A proxy that starts does not wait for a name that DNS is late with: most routes have no limit.
        wait_for_warm_on_init: Some(boolean(false)),
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![Thresholds {
                max_pending_requests: Some(uint32(QUESTIONS)),
                max_requests: Some(uint32(QUESTIONS)),
                ..Thresholds::default()
            }],
            ..CircuitBreakers::default()
        }),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: names::RATE_LIMIT_SERVICE.into(),
            endpoints: vec![LocalityLbEndpoints {
                lb_endpoints: vec![LbEndpoint {
                    host_identifier: Some(HostIdentifier::Endpoint(endpoint)),
                    ..LbEndpoint::default()
                }],
                ..LocalityLbEndpoints::default()
            }],
            ..ClusterLoadAssignment::default()
        }),
        typed_extension_protocol_options: packed(spoken(
            ProtocolConfig::Http2ProtocolOptions(http2),
            None,
        )),
        ..Cluster::default()
    }
}

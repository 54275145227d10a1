//! Endpoints: the tiers of a cluster as localities with priorities, and the forms of addresses.

use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3::cluster_load_assignment::Policy;
use envoy_types::pb::envoy::config::endpoint::v3::endpoint::HealthCheckConfig;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as PbEndpoint, LbEndpoint, LocalityLbEndpoints,
};

use super::{health, tls};
use crate::model::{
    Address, Chain, ChainSettings, Endpoint, Health, HealthCheck, Member, Probe, Probing, Switch,
    Tier,
};
use crate::xds::wire::{pipe, socket_address, uint32};

/// Makes the switch between tiers hard. Envoy takes a tier's healthy share times this, in percent,
/// as its health, and the next tier gets what is missing to 100. With one healthy endpoint in a
/// thousand a tier still has 100; with Envoy's 140 traffic begins to spill when more than two in
/// seven are down.
const OVERPROVISIONING_FACTOR: u32 = 100_000;

/// The endpoints of `tiers` of a chain, the first at priority 0. No priority is left out: a tier
/// with nothing to serve from, or that is not to serve, is an empty locality.
pub(super) fn load_assignment(
    cluster: &str,
    tiers: &[Option<&Tier>],
    chain: &Chain,
) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: (0..)
            .zip(tiers)
            .flat_map(|(priority, tier)| localities(*tier, priority, &chain.settings))
            .collect(),
        policy: Some(Policy {
            overprovisioning_factor: Some(uint32(overprovisioning_factor(chain.switch))),
            ..Policy::default()
        }),
        ..ClusterLoadAssignment::default()
    }
}

/// What a tier's share of healthy endpoints is multiplied by, in percent.
///
/// With a threshold a tier has 100 as long as that share of its endpoints is healthy. Rounded up:
/// at the threshold itself nothing spills yet.
pub fn overprovisioning_factor(switch: Switch) -> u32 {
    match switch {
        Switch::Whole => OVERPROVISIONING_FACTOR,
        Switch::Spill { threshold } => 10_000_u32.div_ceil(threshold.max(1)),
    }
}

/// The members of a tier that Envoy hears of, each with its weight there. One of weight 0 gets nothing
/// and so is left out; one that is named twice has its weights together, because Envoy knows a locality
/// by its name.
pub fn members(tier: &Tier) -> Vec<(&Member, u32)> {
    let mut members: Vec<(&Member, u32)> = Vec::new();
    for member in tier.members.iter().filter(|member| member.weight > 0) {
        match members
            .iter_mut()
            .find(|(known, _)| known.name == member.name)
        {
            Some((_, weight)) => *weight = weight.saturating_add(member.weight),
            None => members.push((member, member.weight)),
        }
    }
    members
}

/// A locality for each member, named for it; nothing of a tier that is not to serve.
fn localities(
    tier: Option<&Tier>,
    priority: u32,
    settings: &ChainSettings,
) -> Vec<LocalityLbEndpoints> {
    let members = tier.map(members).unwrap_or_default();
    let Some(tier) = tier.filter(|_| !members.is_empty()) else {
        return vec![LocalityLbEndpoints {
            priority,
            ..LocalityLbEndpoints::default()
        }];
    };
    members
        .into_iter()
        .map(|(member, weight)| LocalityLbEndpoints {
            locality: Some(core::Locality {
                region: member.name.clone(),
                ..core::Locality::default()
            }),
            lb_endpoints: member
                .endpoints
                .iter()
                .filter_map(|endpoint| lb_endpoint(endpoint, member, tier, settings))
                .collect(),
            load_balancing_weight: Some(uint32(weight)),
            priority,
            ..LocalityLbEndpoints::default()
        })
        .collect()
}

fn lb_endpoint(
    endpoint: &Endpoint,
    member: &Member,
    tier: &Tier,
    settings: &ChainSettings,
) -> Option<LbEndpoint> {
    let status = match endpoint.health {
        Health::Unknown => core::HealthStatus::Unknown,
        Health::Unhealthy => core::HealthStatus::Unhealthy,
        Health::Draining => core::HealthStatus::Draining,
    };
    Some(LbEndpoint {
        health_status: status.into(),
        metadata: tls::metadata(member),
        host_identifier: Some(HostIdentifier::Endpoint(PbEndpoint {
            address: Some(address(&endpoint.address)?),
            hostname: endpoint.hostname.clone().unwrap_or_default(),
            health_check_config: health::check_of(tier, settings).map(|check| match tier.probing {
                Probing::Off => not_probed(),
                _ => probe_target(endpoint, check),
            }),
            ..PbEndpoint::default()
        })),
        ..LbEndpoint::default()
    })
}

/// Where a probe goes and for which host it asks: the endpoint's own name, unless the policy says
/// one for all. Left out, Envoy would ask for the cluster's name.
fn probe_target(endpoint: &Endpoint, check: &HealthCheck) -> HealthCheckConfig {
    let for_all = match &check.probe {
        Probe::Http { hostname, .. } => hostname.as_ref(),
        Probe::Tcp { .. } | Probe::Grpc { .. } => None,
    };
    let own = || match &endpoint.address {
        Address::Name(name, _) => name.clone(),
        Address::Ip(address) => match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        },
        Address::Unix(_) | Address::OfRequest => "localhost".to_owned(),
    };
    let is_socket = matches!(endpoint.address, Address::Unix(_));
    HealthCheckConfig {
        hostname: for_all
            .or(endpoint.hostname.as_ref())
            .cloned()
            .unwrap_or_else(own),
        // A Unix socket has no port to be probed at.
        port_value: check.port.filter(|_| !is_socket).map_or(0, u32::from),
        ..HealthCheckConfig::default()
    }
}

fn not_probed() -> HealthCheckConfig {
    HealthCheckConfig {
        disable_active_health_check: true,
        ..HealthCheckConfig::default()
    }
}

/// The form of an address, if it is one that is known before there is a request.
fn address(address: &Address) -> Option<core::Address> {
    let address = match address {
        Address::Ip(address) => socket_address(&address.ip().to_string(), address.port(), false),
        Address::Name(name, port) => socket_address(name, *port, false),
        Address::Unix(path) => pipe(path, 0),
        Address::OfRequest => return None,
    };
    Some(address)
}

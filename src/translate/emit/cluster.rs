//! Clusters: one that finds its endpoints over EDS or in DNS, or one over other clusters.

use std::time::Duration;

use envoy_types::pb::envoy::config;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, CustomClusterType, DiscoveryType, EdsClusterConfig,
    LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{Cluster, LoadBalancingPolicy};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::extensions::clusters::aggregate::v3::ClusterConfig;
use envoy_types::pb::envoy::extensions::clusters::common::dns::v3::DnsLookupFamily;
use envoy_types::pb::envoy::extensions::clusters::dns::v3::{DnsCluster, dns_cluster::RefreshRate};
use envoy_types::pb::envoy::extensions::clusters::dynamic_forward_proxy::v3 as dynamic;
use envoy_types::pb::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::util::pack_any;

use super::tls::Sockets;
use super::{balancing, connection, health};
use crate::model::{ChainSettings, Dns, LookupFamily, Protocol};
use crate::xds::wire::{ads, duration, percent, uint32};

/// How long a cluster waits for its endpoints before it goes on without any. The stream brings them
/// right after the cluster; the bound only keeps a proxy from waiting for ever where the stream
/// breaks in between.
const ENDPOINTS_TIMEOUT: Duration = Duration::from_secs(15);

/// How a cluster finds its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// They are known, and come over the stream.
    Eds,
    /// Some are names, which Envoy asks DNS for.
    Dns,
    /// They are where the host of each request leads, which Envoy asks DNS for.
    OfRequest,
}

/// What goes over a cluster's connections.
pub(super) struct Spoken {
    pub protocol: Protocol,
    pub sockets: Sockets,
    /// What is done with each attempt of a request.
    pub filters: Vec<HttpFilter>,
}

/// A cluster with everything but, for [`Discovery::Dns`], its load assignment. One that finds its
/// endpoints by requests has none to choose from, and none to probe.
pub(super) fn cluster(
    name: &str,
    settings: &ChainSettings,
    discovery: Discovery,
    spoken: Spoken,
) -> Cluster {
    let Spoken {
        protocol,
        sockets,
        filters,
    } = spoken;
    let in_tls = !sockets.matches.is_empty();
    let by_request = discovery == Discovery::OfRequest;
    let mut cluster = Cluster {
        name: name.to_owned(),
        connect_timeout: Some(duration(settings.connect_timeout)),
        per_connection_buffer_limit_bytes: Some(uint32(settings.buffer_limit)),
        load_balancing_policy: (!by_request).then(|| LoadBalancingPolicy {
            policies: vec![balancing::policy(settings)],
        }),
        common_lb_config: Some(common_lb_config(settings)),
        health_checks: settings
            .health_check
            .iter()
            .filter(|_| !by_request)
            .filter_map(|check| health::health_check(check, protocol, in_tls))
            .collect(),
        outlier_detection: Some(health::outlier_detection(&settings.outlier_detection)),
        circuit_breakers: Some(connection::circuit_breakers(&settings.circuit_breaker)),
        upstream_connection_options: settings.tcp_keepalive.map(connection::options),
        upstream_bind_config: Some(connection::bind_config(settings)),
        preconnect_policy: connection::preconnect_policy(settings.preconnect),
        transport_socket: sockets.default,
        transport_socket_matches: sockets.matches,
        typed_extension_protocol_options: connection::protocol_options(
            settings, protocol, by_request, filters,
        ),
        // An endpoint that is gone gets no request any more, whatever its health checks say.
        ignore_health_on_host_removal: true,
        ..Cluster::default()
    };
    match discovery {
        Discovery::Eds => {
            cluster.cluster_discovery_type =
                Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into()));
            cluster.eds_cluster_config = Some(EdsClusterConfig {
                eds_config: Some(ads(ENDPOINTS_TIMEOUT)),
                service_name: name.to_owned(),
            });
        }
        Discovery::Dns => {
            cluster.cluster_discovery_type = Some(custom("envoy.cluster.dns", &dns(&settings.dns)));
        }
        Discovery::OfRequest => {
            cluster.lb_policy = LbPolicy::ClusterProvided.into();
            let config = by_requests_host(name, &settings.dns);
            cluster.cluster_discovery_type =
                Some(custom("envoy.clusters.dynamic_forward_proxy", &config));
        }
    }
    cluster
}

/// `cluster` with its endpoints written into it.
pub(super) fn with_load_assignment(
    mut cluster: Cluster,
    assignment: ClusterLoadAssignment,
) -> Cluster {
    cluster.load_assignment = Some(assignment);
    cluster
}

/// A cluster whose tiers are `clusters`, the first served first. Hosts, health and connections are
/// theirs; the limit of retries and the panic threshold are looked up here.
pub(super) fn aggregate(
    name: &str,
    settings: &ChainSettings,
    clusters: &[String],
    filters: Vec<HttpFilter>,
) -> Cluster {
    // What is spoken is for the tiers' clusters to say; Envoy wants a word beside filters.
    let options = (!filters.is_empty())
        .then(|| connection::protocol_options(settings, Protocol::Http1, false, filters));
    let config = ClusterConfig {
        clusters: clusters.to_vec(),
    };
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(custom("envoy.clusters.aggregate", &config)),
        lb_policy: LbPolicy::ClusterProvided.into(),
        connect_timeout: Some(duration(settings.connect_timeout)),
        common_lb_config: Some(common_lb_config(settings)),
        circuit_breakers: Some(connection::circuit_breakers(&settings.circuit_breaker)),
        typed_extension_protocol_options: options.unwrap_or_default(),
        ..Cluster::default()
    }
}

fn common_lb_config(settings: &ChainSettings) -> CommonLbConfig {
    CommonLbConfig {
        healthy_panic_threshold: Some(percent(settings.panic_percent.into())),
        // Envoy would gather health changes for a second, and lose what is sent to a dead host
        // meanwhile.
        update_merge_window: Some(duration(Duration::ZERO)),
        ..CommonLbConfig::default()
    }
}

fn custom<M: prost::Message + prost::Name + Clone>(name: &str, config: &M) -> ClusterDiscoveryType {
    ClusterDiscoveryType::ClusterType(CustomClusterType {
        name: name.to_owned(),
        typed_config: Some(pack_any(config.clone())),
    })
}

/// A cluster that asks for the host of each request. It does so by itself, without an HTTP filter, in
/// the versions of Envoy that are supported.
fn by_requests_host(name: &str, settings: &Dns) -> dynamic::ClusterConfig {
    use config::cluster::v3::cluster::DnsLookupFamily;
    let family = DnsLookupFamily::from_str_name(family(settings));
    let (first, longest) = settings.failure_refresh_rate;
    let cache = DnsCacheConfig {
        name: name.to_owned(),
        dns_lookup_family: family.expect(IN_BOTH).into(),
        dns_refresh_rate: Some(duration(settings.refresh_rate)),
        dns_failure_refresh_rate: Some(config::cluster::v3::cluster::RefreshRate {
            base_interval: Some(duration(first)),
            max_interval: Some(duration(longest)),
        }),
        ..DnsCacheConfig::default()
    };
    dynamic::ClusterConfig {
        cluster_implementation_specifier: Some(
            dynamic::cluster_config::ClusterImplementationSpecifier::DnsCacheConfig(cache),
        ),
        ..dynamic::ClusterConfig::default()
    }
}

const IN_BOTH: &str = "both of Envoy's enums have the family's name";

/// The name of a lookup family, in both of Envoy's enums of them.
fn family(settings: &Dns) -> &'static str {
    match settings.lookup_family {
        LookupFamily::Ipv4 => "V4_ONLY",
        LookupFamily::Ipv6 => "V6_ONLY",
        LookupFamily::Ipv4Preferred => "V4_PREFERRED",
        LookupFamily::Ipv6Preferred => "AUTO",
        LookupFamily::All => "ALL",
    }
}

fn dns(settings: &Dns) -> DnsCluster {
    let family = DnsLookupFamily::from_str_name(family(settings));
    let (first, longest) = settings.failure_refresh_rate;
    DnsCluster {
        dns_refresh_rate: Some(duration(settings.refresh_rate)),
        dns_failure_refresh_rate: Some(RefreshRate {
            base_interval: Some(duration(first)),
            max_interval: Some(duration(longest)),
        }),
        respect_dns_ttl: settings.respect_ttl,
        dns_lookup_family: family.expect(IN_BOTH).into(),
        ..DnsCluster::default()
    }
}

//! What the simulated proxies are served: clusters with endpoints of their own, a listener and its
//! routes, and one change after the other to the endpoints of the first cluster.

use envoy_types::pb::envoy::config::core::v3::address::Address as Place;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{Address, SocketAddress};
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use locum::xds::json;
use locum::xds::resource::Resource;
use locum::xds::snapshot::Snapshot;
use serde_json::{Value, json};

/// What the route configuration and the listener are called.
pub(crate) const ROUTES: &str = "edge";

/// The name of a cluster and of its endpoints.
pub(crate) fn name(cluster: usize) -> String {
    format!("httproute/ns-7/route-{cluster}/rule/0")
}

/// So many clusters with endpoints, a listener and its routes.
pub(crate) fn snapshot(clusters: usize) -> anyhow::Result<Snapshot> {
    let mut resources = vec![json::read(&listener())?, json::read(&routes())?];
    for cluster in 0..clusters {
        resources.push(json::read(&eds_cluster(&name(cluster)))?);
        resources.push(endpoints(&name(cluster), 1, 0));
    }
    Ok(Snapshot::new(resources, None))
}

/// Endpoints of a cluster, of which the first changes with each revision.
pub(crate) fn endpoints(cluster: &str, count: u32, revision: u32) -> Resource {
    Resource::of(&assignment(cluster, count, revision))
}

/// The same as a message.
pub(crate) fn assignment(cluster: &str, count: u32, revision: u32) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: cluster.into(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: (0..count).map(|host| endpoint(host, revision)).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn endpoint(host: u32, revision: u32) -> LbEndpoint {
    let port = 10_000 + if host == 0 { revision % 50_000 } else { 0 };
    let address = SocketAddress {
        address: format!("10.1.{:03}.{:03}", 100 + host / 100 % 100, 100 + host % 100),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..Default::default()
    };
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(Address {
                address: Some(Place::SocketAddress(address)),
            }),
            ..Default::default()
        })),
        ..Default::default()
    }
}

pub(crate) fn eds_cluster(name: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "EDS",
        "connect_timeout": "2s",
        "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}},
    })
}

fn listener() -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": ROUTES,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 10080}},
        "filter_chains": [{"filters": [{
            "name": "http",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "http",
                "rds": {
                    "route_config_name": ROUTES,
                    "config_source": {"ads": {}, "resource_api_version": "V3"},
                },
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                    },
                }],
            },
        }]}],
    })
}

fn routes() -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": name(0)}}],
        }],
    })
}

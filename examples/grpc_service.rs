//! A service that gRPC clients find by name, without a proxy: an `api_listener`, its routes, a
//! cluster and its endpoints.
//!
//! `cargo run --example grpc_service -- 127.0.0.1:50051`, where a gRPC server listens; then a gRPC
//! client with the target `xds:///greeter`, whose bootstrap (`GRPC_XDS_BOOTSTRAP`) says:
//!
//! ```json
//! {
//!   "xds_servers": [{"server_uri": "127.0.0.1:18000", "channel_creds": [{"type": "insecure"}]}],
//!   "node": {"id": "me", "cluster": "demo/clients"}
//! }
//! ```

use std::error::Error;
use std::net::SocketAddr;

use locum::xds::json::{self, NoResource};
use locum::xds::resource::Resource;
use locum::xds::server::{Listener, Shared, serve};
use locum::xds::snapshot::Snapshot;
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args()
        .nth(1)
        .ok_or("where does a gRPC server listen?")?;
    let resources = service("greeter", endpoint.parse()?)?;
    let shared = Shared::default();
    shared
        .board
        .publish("demo/clients", Snapshot::new(resources, None));
    let listener = Listener::Tcp(TcpListener::bind("127.0.0.1:18000").await?);
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    Ok(serve(listener, shared, stop).await?)
}

/// What a client needs to find `name` at `endpoint`.
pub(crate) fn service(name: &str, endpoint: SocketAddr) -> Result<Vec<Resource>, NoResource> {
    let envoy = "type.googleapis.com/envoy";
    let stream = json!({"self": {}, "resource_api_version": "V3"});
    let listener = json!({"@type": format!("{envoy}.config.listener.v3.Listener"), "name": name,
    "api_listener": {"api_listener": {
        "@type": format!("{envoy}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "rds": {"route_config_name": name, "config_source": stream},
        "http_filters": [{"name": "router", "typed_config": {
            "@type": format!("{envoy}.extensions.filters.http.router.v3.Router"),
        }}]}}});
    let route = json!({"@type": format!("{envoy}.config.route.v3.RouteConfiguration"), "name": name,
        "virtual_hosts": [{"name": name, "domains": ["*"],
            "routes": [{"match": {"prefix": ""}, "route": {"cluster": name}}]}]});
    let cluster = json!({"@type": format!("{envoy}.config.cluster.v3.Cluster"), "name": name,
        "type": "EDS", "eds_cluster_config": {"eds_config": stream}});
    let (address, port) = (endpoint.ip().to_string(), endpoint.port());
    let socket = json!({"socket_address": {"address": address, "port_value": port}});
    // Without a weight gRPC takes the locality for none.
    let endpoints = json!({"@type": format!("{envoy}.config.endpoint.v3.ClusterLoadAssignment"),
        "cluster_name": name, "endpoints": [{"locality": {}, "load_balancing_weight": 1,
            "lb_endpoints": [{"endpoint": {"address": socket}}]}]});
    [listener, route, cluster, endpoints]
        .iter()
        .map(json::read)
        .collect()
}

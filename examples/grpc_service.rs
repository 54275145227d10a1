//! A service that gRPC clients find by name, without a proxy: `cargo run --example grpc_service`
//! beside a gRPC server on port 50051, and a client of `xds:///greeter` whose `GRPC_XDS_BOOTSTRAP`
//! names the server 127.0.0.1:18000 and has "clients" for its node's cluster.

use std::{future::pending, net::SocketAddr};

use locum::xds::kind::Kind::{Cluster, Endpoint, Listener, Route};
use locum::xds::{json, resource::Resource, server::Shared, snapshot::Snapshot};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let resources = service("greeter", "127.0.0.1:50051".parse()?)?;
    let greeter = Snapshot::new(resources, None);
    let shared = Shared::default();
    shared.board.publish("clients", greeter);
    Ok(shared.serve_at("127.0.0.1:18000", pending()).await?)
}

/// What a client needs to find `name` at `server`.
pub(crate) fn service(name: &str, server: SocketAddr) -> Result<Vec<Resource>, json::NoResource> {
    let stream = json!({"self": {}, "resource_api_version": "V3"});
    let url = |name| format!("type.googleapis.com/envoy.extensions.filters.{name}");
    let router = json!({"name": "router", "typed_config": {"@type": url("http.router.v3.Router")}});
    let manager = json!({"@type": url("network.http_connection_manager.v3.HttpConnectionManager"),
        "rds": {"route_config_name": name, "config_source": stream}, "http_filters": [router]});
    let route = json!({"match": {"prefix": ""}, "route": {"cluster": name}});
    let socket = json!({"address": server.ip(), "port_value": server.port()});
    let host = json!({"endpoint": {"address": {"socket_address": socket}}});
    // Without a weight gRPC takes the locality for none.
    let hosts = json!({"locality": {}, "load_balancing_weight": 1, "lb_endpoints": [host]});
    json::all(&json!([
        {"@type": Listener.type_url(), "name": name, "api_listener": {"api_listener": manager}},
        {"@type": Route.type_url(), "name": name,
            "virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]},
        {"@type": Cluster.type_url(), "name": name, "type": "EDS",
            "eds_cluster_config": {"eds_config": stream}},
        {"@type": Endpoint.type_url(), "cluster_name": name, "endpoints": [hosts]},
    ]))
}

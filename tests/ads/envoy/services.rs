//! A real Envoy that asks each type's own service, over streams of their own.

use std::net::SocketAddr;
use std::time::Duration;

use locum::xds::clients::Detail;
use locum::xds::kind::Kind;
use locum::xds::snapshot::Snapshot;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{DELTA, Edge, Envoy, SOTW, ask, backend, bootstrap, edge, get, resource};
use crate::harness::{BOUND, GATEWAY, Server};

/// Where a type comes from.
pub(super) fn source(api_type: &str) -> Value {
    json!({
        "resource_api_version": "V3",
        "api_config_source": {
            "api_type": api_type,
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "locum"}}],
        },
    })
}

/// The edge, whose routes and endpoints come over streams of their own too.
fn publish(server: &Server, edge: &Edge, api_type: &str) {
    let mut cluster = json!({
        "name": "app",
        "type": "EDS",
        "connect_timeout": edge.connect_timeout,
    });
    cluster["eds_cluster_config"]["eds_config"] = source(api_type);
    let mut listener = edge.listener();
    let rds = "/filter_chains/0/filters/0/typed_config/rds/config_source";
    *listener.pointer_mut(rds).unwrap() = source(api_type);
    let mut snapshot = Snapshot::new(edge.resources(), None);
    snapshot = snapshot.with(resource(Kind::Cluster, "app", &cluster));
    snapshot = snapshot.with(resource(Kind::Listener, "edge", &listener));
    server.shared.board.publish(GATEWAY, snapshot);
}

/// What an address answers as soon as it does: Envoy's workers listen a moment after it says so.
pub(super) async fn first_answer(address: SocketAddr) -> (String, String) {
    loop {
        if let Some(answer) = ask(address, "test", "/").await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn takes_every_change(api_type: &str) {
    let server = Server::start().await;
    let mut edge = edge().await;
    let mut bootstrap = bootstrap(server.address, api_type);
    bootstrap["dynamic_resources"] = json!({
        "cds_config": source(api_type),
        "lds_config": source(api_type),
    });
    let envoy = Envoy::start_with(&bootstrap);
    publish(&server, &edge, api_type);
    envoy
        .awaits("listener_manager.total_listeners_active", 1)
        .await;
    let (head, body) = timeout(BOUND, first_answer(edge.listen)).await.unwrap();
    assert_eq!(body, "ok", "{head}");
    let streams = server.shared.clients.reports(Detail::Counts);
    let kinds: Vec<_> = streams.iter().flat_map(|one| one.types.keys()).collect();
    assert_eq!((streams.len(), kinds.len()), (4, 4), "{kinds:?}");

    // A changed cluster, other endpoints and other routes at once.
    edge.connect_timeout = "2s";
    edge.backend = backend().await;
    edge.prefix = "/only";
    publish(&server, &edge, api_type);
    let revision = server.shared.board.published(GATEWAY).revision;
    let caught_up = server.shared.clients.caught_up(GATEWAY, revision);
    timeout(BOUND, caught_up).await.unwrap();
    envoy.awaits("cluster_manager.warming_clusters", 0).await;
    assert_eq!(get(edge.listen, "/").await, None);
    assert_eq!(get(edge.listen, "/only").await.as_deref(), Some("ok"));
    let text = server.metrics();
    let refusals = text
        .lines()
        .filter(|line| line.starts_with("locum_xds_nacks"));
    assert!(refusals.clone().count() > 0);
    for refusal in refusals {
        assert!(refusal.ends_with(" 0"), "{refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_is_served_by_each_types_own_service() {
    takes_every_change(DELTA).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_is_served_by_each_types_own_service_in_the_state_of_the_world() {
    takes_every_change(SOTW).await;
}

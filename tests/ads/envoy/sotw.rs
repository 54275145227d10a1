//! A real Envoy in the state of the world.

use serde_json::json;

use super::owners::owners_hear_of_a_refusal;
use super::reconnect::{is_sent_nothing_again_after_a_restart, moves_to_another_replica};
use super::refusals::refuses_one_of_many;
use super::{Edge, Envoy, SOTW, assignment, edge, get, resource, takes_every_change};
use crate::harness::Server;
use locum::xds::kind::Kind;
use locum::xds::resource::{Readiness, Resource};

#[tokio::test(flavor = "multi_thread")]
async fn envoy_serves_what_it_is_sent_and_takes_every_change() {
    takes_every_change(SOTW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_is_sent_nothing_again_when_the_server_restarts() {
    is_sent_nothing_again_after_a_restart(SOTW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_moves_to_another_replica_and_is_sent_nothing_again() {
    let took = moves_to_another_replica(SOTW).await;
    println!("the proxy is with the other replica after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_refuses_one_of_a_hundred_and_gets_the_others() {
    // At first four; then all clusters, those but the bad one once more, and all with the mended one.
    assert_eq!(refuses_one_of_many(SOTW).await, (4 + 102 + 101 + 102, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_route_of_many_is_refused_and_its_owners_hear_envoys_words() {
    owners_hear_of_a_refusal(SOTW).await;
}

/// A second cluster like the edge's own, with its endpoints.
pub(super) fn another(edge: &Edge, name: &str) -> Vec<Resource> {
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    let mut cluster = resource(
        Kind::Cluster,
        name,
        &json!({
            "name": name,
            "type": "EDS",
            "connect_timeout": "1s",
            "eds_cluster_config": {"eds_config": ads},
        }),
    );
    cluster.readiness = Readiness::Endpoints;
    cluster.references = [(Kind::Endpoint, name.into())].into();
    let endpoint = resource(Kind::Endpoint, name, &assignment(name, edge.backend));
    vec![cluster, endpoint]
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_lets_go_of_a_cluster_and_is_sent_nothing_again() {
    let server = Server::start().await;
    let edge = edge().await;
    let envoy = Envoy::start(server.address, SOTW);
    let mut resources = edge.resources();
    resources.extend(another(&edge, "other"));
    server.publishes(resources).await;
    // Locum's own, and the two.
    envoy.awaits("cluster_manager.active_clusters", 3).await;
    server.gives(&edge).await;
    envoy.awaits("cluster_manager.active_clusters", 2).await;
    // Two clusters, their endpoints, the listener, its routes; then one cluster, and the version of
    // the endpoints that are left.
    assert_eq!(server.sent(), (2 + 2 + 1 + 1 + 1, 0));
    let name = "control_plane.connected_state";

    let address = server.address;
    server.stop().await;
    envoy.awaits(name, 0).await;
    let server = Server::start_at(address).await;
    server.gives(&edge).await;
    assert_eq!(server.sent(), (0, 0), "{}", envoy.log());
    assert_eq!(get(edge.listen, "/").await.as_deref(), Some("ok"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_envoy_refuses_after_a_restart_keeps_serving() {
    let server = Server::start().await;
    let (good, mut other) = (edge().await, edge().await);
    let both = |bad: bool, other: &Edge| {
        let mut resources = good.resources();
        let listener = resources.last_mut().unwrap();
        if bad {
            // Two filter chains that both match everything.
            let mut message = good.listener();
            let chain = message["filter_chains"][0].clone();
            message["filter_chains"] = json!([chain, chain]);
            *listener = resource(Kind::Listener, "edge", &message);
            listener.references = [(Kind::Route, "web".into())].into();
        }
        let mut message = other.listener();
        message["name"] = "other".into();
        let mut listener = resource(Kind::Listener, "other", &message);
        listener.references = [(Kind::Route, "web".into())].into();
        resources.push(listener);
        resources
    };
    let envoy = Envoy::start(server.address, SOTW);
    server.publishes(both(false, &other)).await;
    let active = "listener_manager.total_listeners_active";
    envoy.awaits(active, 2).await;
    let address = server.address;
    server.stop().await;
    envoy.awaits("control_plane.connected_state", 0).await;

    let server = Server::start_at(address).await;
    server.publishes(both(true, &other)).await;
    let names = || {
        let refused = server.shared.clients.refusals().borrow().clone();
        let names = refused.iter().map(|one| one.resource.name.to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(), ["edge"]);
    other.stat_prefix = "changed";
    server.publishes(both(true, &other)).await;
    assert_eq!(names(), ["edge"]);
    for listen in [good.listen, other.listen] {
        assert_eq!(get(listen, "/").await.as_deref(), Some("ok"));
    }
    let changed = "http.changed.downstream_rq_total";
    envoy.awaits(changed, 1).await;

    server.publishes(both(false, &other)).await;
    assert!(names().is_empty());
    envoy.awaits(active, 2).await;
    assert_eq!(get(good.listen, "/").await.as_deref(), Some("ok"));
}

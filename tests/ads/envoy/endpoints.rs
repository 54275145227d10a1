//! What a real Envoy says that it has of the endpoints that it was sent.

use locum::xds::config_dump;
use locum::xds::kind::Kind;
use locum::xds::snapshot::Snapshot;
use serde_json::{Value, json};

use super::{DELTA, Envoy, address, edge, resource};
use crate::harness::Server;

#[tokio::test(flavor = "multi_thread")]
async fn envoy_keeps_the_first_of_two_endpoints_with_one_address_and_has_what_it_is_told() {
    let server = Server::start().await;
    let edge = edge().await;
    let envoy = Envoy::start(server.address, DELTA);
    let other = "127.0.0.1:9".parse().unwrap();
    let locality = |region: &str, priority: u32, addresses: &[_]| {
        let host = |at: &_| json!({"endpoint": {"address": address(*at)}});
        let hosts: Vec<Value> = addresses.iter().map(host).collect();
        json!({"locality": {"region": region}, "priority": priority, "lb_endpoints": hosts})
    };
    let endpoints = |localities: &[Value]| {
        let message = json!({"cluster_name": "app", "endpoints": localities});
        let mut resources = edge.resources();
        resources.retain(|of_edge| of_edge.kind != Kind::Endpoint);
        resources.push(resource(Kind::Endpoint, "app", &message));
        resources
    };
    let two = locality("two", 0, &[edge.backend, other]);
    let cases = [
        vec![locality("one", 0, &[edge.backend]), two.clone()],
        vec![two.clone(), locality("one", 0, &[edge.backend])],
        vec![two, locality("three", 1, &[other])],
        vec![
            locality("three", 1, &[other]),
            locality("one", 0, &[edge.backend, other]),
        ],
    ];
    for localities in cases {
        let resources = endpoints(&localities);
        let told = config_dump::told(&Snapshot::new(resources.clone(), None));
        server.publishes(resources).await;
        envoy
            .awaits("listener_manager.total_listeners_active", 1)
            .await;
        let differences = envoy.dump().await.differences(&told);
        let mut ours = differences.iter().filter(|it| it.name == "app");
        assert_eq!(ours.next(), None, "{localities:?}");
    }
}

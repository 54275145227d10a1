//! A service for each type: streams that carry one type alone.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest,
};
use envoy_types::pb::envoy::service::endpoint::v3::endpoint_discovery_service_client::EndpointDiscoveryServiceClient;
use envoy_types::pb::envoy::service::route::v3::route_discovery_service_client::RouteDiscoveryServiceClient;
use envoy_types::pb::envoy::service::route::v3::virtual_host_discovery_service_client::VirtualHostDiscoveryServiceClient;
use locum::xds::clients::Detail;
use locum::xds::json;
use locum::xds::kind::Kind;
use locum::xds::snapshot::Snapshot;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::harness::{BOUND, GATEWAY, Server, eventually, resource};

/// Routes to clusters of which a stream that carries routes alone cannot know anything.
const ROUTES: &str = "cluster a:1 eds, endpoint a:1, listener l:1 > r, route r:1 > a";

fn node() -> Option<Node> {
    Some(Node {
        id: "proxy".into(),
        cluster: GATEWAY.into(),
        ..Node::default()
    })
}

async fn next<M>(responses: &mut Streaming<M>) -> M {
    let message = tokio::time::timeout(BOUND, responses.message()).await;
    message
        .expect("a response")
        .unwrap()
        .expect("an open stream")
}

#[tokio::test]
async fn a_stream_of_one_type_implies_it_and_waits_for_no_other() {
    let server = Server::start().await;
    server.serve(GATEWAY, ROUTES).await;
    let address = format!("http://{}", server.address);
    let mut client = RouteDiscoveryServiceClient::connect(address).await.unwrap();
    let (requests, receiver) = mpsc::channel(16);
    let stream = client.delta_routes(ReceiverStream::new(receiver)).await;
    let mut responses = stream.unwrap().into_inner();
    // One that comes back: on an aggregated stream its routes would wait for its clusters.
    let mut first = DeltaDiscoveryRequest {
        node: node(),
        resource_names_subscribe: vec!["r".into()],
        ..Default::default()
    };
    let versions = &mut first.initial_resource_versions;
    versions.insert("r".into(), "old".into());
    requests.send(first).await.unwrap();
    let response = next(&mut responses).await;
    assert_eq!(response.type_url, Kind::Route.type_url());
    assert_eq!(response.resources[0].name, "r");

    requests.send(acknowledged(response)).await.unwrap();
    let revision = server.shared.board.published(GATEWAY).revision;
    let caught_up = server.shared.clients.caught_up(GATEWAY, revision);
    tokio::time::timeout(BOUND, caught_up).await.unwrap();

    // What is gone goes at once.
    server.serve(GATEWAY, "cluster a:1").await;
    assert_eq!(next(&mut responses).await.removed_resources, ["r"]);
}

/// Answers a response.
fn acknowledged(response: DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url,
        response_nonce: response.nonce,
        ..Default::default()
    }
}

#[tokio::test]
async fn streams_of_one_type_are_one_proxy_which_has_what_all_of_them_have() {
    let server = Server::start().await;
    server.serve(GATEWAY, "endpoint a:1, route r:1").await;
    let clients = &server.shared.clients;
    let revision = server.shared.board.published(GATEWAY).revision;
    let has = || {
        clients
            .settled()
            .iter()
            .map(|it| it.revision)
            .collect::<Vec<_>>()
    };
    let ask = |name: &str| DeltaDiscoveryRequest {
        node: node(),
        resource_names_subscribe: vec![name.into()],
        ..Default::default()
    };

    let address = format!("http://{}", server.address);
    let client = RouteDiscoveryServiceClient::connect(address.clone()).await;
    let (routes, receiver) = mpsc::channel(16);
    let stream = client
        .unwrap()
        .delta_routes(ReceiverStream::new(receiver))
        .await;
    let mut of_routes = stream.unwrap().into_inner();
    let client = EndpointDiscoveryServiceClient::connect(address).await;
    let (endpoints, receiver) = mpsc::channel(16);
    let stream = client
        .unwrap()
        .delta_endpoints(ReceiverStream::new(receiver))
        .await;
    let mut of_endpoints = stream.unwrap().into_inner();

    routes.send(ask("r")).await.unwrap();
    endpoints.send(ask("a")).await.unwrap();
    let answer = acknowledged(next(&mut of_routes).await);
    let last = acknowledged(next(&mut of_endpoints).await);
    routes.send(answer).await.unwrap();
    eventually("one of the streams has all", || {
        let reports = clients.reports(Detail::Counts);
        reports.iter().any(|one| one.settled_revision == revision)
    })
    .await;
    assert_eq!((clients.count(GATEWAY), has()), (1, vec![0]));
    assert_eq!(clients.behind(GATEWAY, revision), ["proxy"]);
    endpoints.send(last).await.unwrap();
    let caught_up = clients.caught_up(GATEWAY, revision);
    tokio::time::timeout(BOUND, caught_up).await.unwrap();
    assert_eq!((clients.count(GATEWAY), has()), (1, vec![revision]));
}

#[tokio::test]
async fn a_stream_of_one_type_serves_no_other_and_lives_on() {
    let server = Server::start().await;
    server.serve(GATEWAY, ROUTES).await;
    let address = format!("http://{}", server.address);
    let client = EndpointDiscoveryServiceClient::connect(address).await;
    let (requests, receiver) = mpsc::channel(16);
    let stream = client
        .unwrap()
        .stream_endpoints(ReceiverStream::new(receiver))
        .await;
    let mut responses = stream.unwrap().into_inner();
    let ask = |kind: Kind, name: &str| DiscoveryRequest {
        node: node(),
        type_url: kind.type_url().into(),
        resource_names: vec![name.into()],
        ..Default::default()
    };
    requests.send(ask(Kind::Route, "r")).await.unwrap();
    eventually("the other type is counted", || {
        server.counted("locum_xds_unknown_types_total") == Some(1)
    })
    .await;
    requests.send(ask(Kind::Endpoint, "a")).await.unwrap();
    let response = next(&mut responses).await;
    assert_eq!(response.type_url, Kind::Endpoint.type_url());
    assert_eq!(response.resources.len(), 1);
}

#[tokio::test]
async fn a_stream_of_virtual_hosts_tells_once_which_routes_have_none() {
    let server = Server::start().await;
    let routes = |name: &str| {
        let message = json!({
            "@type": Kind::Route.type_url(),
            "name": name,
            "vhds": {"config_source": {"ads": {}}},
        });
        json::read(&message).unwrap()
    };
    let host = resource(Kind::VirtualHost, "with/a:1");
    let plain = resource(Kind::Route, "plain:1");
    let snapshot = Snapshot::new([routes("with"), routes("none"), host, plain], None);
    server.shared.board.publish(GATEWAY, snapshot.clone());
    let address = format!("http://{}", server.address);
    let client = VirtualHostDiscoveryServiceClient::connect(address).await;
    let (requests, receiver) = mpsc::channel(16);
    let stream = ReceiverStream::new(receiver);
    let stream = client.unwrap().delta_virtual_hosts(stream).await;
    let mut responses = stream.unwrap().into_inner();
    let first = DeltaDiscoveryRequest {
        node: node(),
        ..Default::default()
    };
    requests.send(first).await.unwrap();
    let response = next(&mut responses).await;
    assert_eq!(response.removed_resources, ["none/*"]);
    assert_eq!(response.resources[0].name, "with/a");
    requests.send(acknowledged(response)).await.unwrap();

    let snapshot = snapshot.with(routes("later"));
    server.shared.board.publish(GATEWAY, snapshot);
    let response = next(&mut responses).await;
    assert_eq!(response.removed_resources, ["later/*"]);
    assert!(response.resources.is_empty());
}

#[tokio::test]
async fn what_would_be_old_at_once_is_not_served() {
    let server = Server::start().await;
    let address = format!("http://{}", server.address);
    let mut client = RouteDiscoveryServiceClient::connect(address).await.unwrap();
    let fetched = client.fetch_routes(DiscoveryRequest::default()).await;
    assert_eq!(fetched.unwrap_err().code(), Code::Unimplemented);
}

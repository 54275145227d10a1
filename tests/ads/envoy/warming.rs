//! A real Envoy while a cluster warms: it asks for no clusters and answers none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use locum::xds::json::read;
use locum::xds::kind::Kind;
use locum::xds::resource::Resource;
use locum::xds::snapshot::Snapshot;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::sotw::another;
use super::{DELTA, Edge, Envoy, SOTW, assignment, edge, get, resource};
use crate::harness::{BOUND, GATEWAY, Server};

/// A cluster whose backend takes connections and says nothing, so that it warms until its first
/// health check is over: so long that others are sent and refused meanwhile.
struct Slow {
    silent: TcpListener,
}

impl Slow {
    async fn start() -> Self {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { silent }
    }

    fn resource(&self) -> Resource {
        let message = json!({
            "name": "slow",
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": assignment("slow", self.silent.local_addr().unwrap()),
            "health_checks": [{
                "timeout": "5s",
                "interval": "5s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/"},
            }],
        });
        resource(Kind::Cluster, "slow", &message)
    }
}

fn publish(server: &Server, resources: Vec<Resource>) {
    let snapshot = Snapshot::new(resources, None);
    server.shared.board.publish(GATEWAY, Arc::new(snapshot));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_response_before_blames_no_cluster_that_envoy_accepted() {
    let server = Server::start().await;
    let edge = edge().await;
    let envoy = Envoy::start(server.address, SOTW);
    server.gives(&edge).await;
    let slow = Slow::start().await;
    let slow = || slow.resource();
    let with = |more: &[Resource]| [edge.resources(), more.to_vec()].concat();
    let other = |policy: &str| {
        let message = json!({"name": "other", "type": "STATIC", "lb_policy": policy});
        resource(Kind::Cluster, "other", &message)
    };
    publish(&server, with(&[slow()]));
    envoy.awaits("cluster_manager.warming_clusters", 1).await;
    publish(&server, with(&[slow(), other("CLUSTER_PROVIDED")]));
    envoy.awaits("cluster_manager.cds.update_rejected", 1).await;
    server
        .publishes(with(&[slow(), other("ROUND_ROBIN")]))
        .await;
    let refused = server.shared.clients.refusals().borrow().clone();
    assert!(refused.is_empty(), "{}", refused[0].message);
    // Locum's own, the edge's, and the two.
    envoy.awaits("cluster_manager.active_clusters", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_to_a_new_cluster_waits_for_an_envoy_that_comes_back_while_another_warms() {
    comes_back_while_a_cluster_warms(DELTA).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_to_a_new_cluster_waits_in_the_state_of_the_world_too() {
    comes_back_while_a_cluster_warms(SOTW).await;
}

async fn comes_back_while_a_cluster_warms(api_type: &str) {
    let server = Server::start().await;
    let edge = edge().await;
    let envoy = Envoy::start(server.address, api_type);
    server.gives(&edge).await;
    let slow = Slow::start().await;
    publish(&server, [edge.resources(), vec![slow.resource()]].concat());
    envoy.awaits("cluster_manager.warming_clusters", 1).await;
    let address = server.address;
    server.stop().await;
    envoy.awaits("control_plane.connected_state", 0).await;

    let server = Server::start_at(address).await;
    let resources = [with_another_cluster(&edge), vec![slow.resource()]].concat();
    let edited = server.publishes(resources);
    tokio::pin!(edited);
    loop {
        let answer = tokio::select! {
            _ = &mut edited => break,
            answer = get(edge.listen, "/") => answer,
        };
        assert_eq!(answer.as_deref(), Some("ok"), "{}", envoy.log());
    }
    assert_eq!(get(edge.listen, "/").await.as_deref(), Some("ok"));
}

/// The edge, whose route leads to a cluster that was not there before.
fn with_another_cluster(edge: &Edge) -> Vec<Resource> {
    let mut resources = edge.resources();
    resources.retain(|resource| resource.kind != Kind::Route);
    let mut route = resource(
        Kind::Route,
        "web",
        &json!({
            "name": "web",
            "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "other"}}],
            }],
        }),
    );
    route.references = [(Kind::Cluster, "other".into())].into();
    resources.extend(another(edge, "other"));
    resources.push(route);
    resources
}

/// A backend that takes its time over a health check and answers everything else with `new`.
async fn slow_to_check() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut request).await {
                    if request[..read].starts_with(b"GET /check") {
                        tokio::time::sleep(Duration::from_millis(300)).await;
                    }
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnew";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Envoy acknowledges the endpoints of a new cluster before it has checked them, and answers 503
/// where a route leads to it until then.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_to_a_cluster_whose_endpoints_are_being_checked() {
    for variant in [DELTA, SOTW] {
        let server = Server::start().await;
        let edge = edge().await;
        let _envoy = Envoy::start(server.address, variant);
        server.gives(&edge).await;
        let type_of = |kind: Kind| kind.type_url();
        let cluster = json!({
            "@type": type_of(Kind::Cluster),
            "name": "checked",
            "type": "EDS",
            "connect_timeout": "1s",
            "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}},
            "health_checks": [{
                "timeout": "2s",
                "interval": "5s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "http_health_check": {"path": "/check"},
            }],
        });
        let endpoints = assignment("checked", slow_to_check().await);
        let routes = json!({
            "@type": type_of(Kind::Route),
            "name": "web",
            "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "checked"}}],
            }],
        });
        let new = [cluster, routes].map(|message| read(&message).unwrap());
        let endpoints = resource(Kind::Endpoint, "checked", &endpoints);
        publish(
            &server,
            [edge.resources(), new.to_vec(), vec![endpoints]].concat(),
        );
        let switched = async {
            while get(edge.listen, "/").await.expect("an answer by a backend") != "new" {}
        };
        timeout(BOUND, switched).await.expect("the new route");
    }
}

//! A real Envoy whose virtual hosts come apart from their route configuration (VHDS).

use std::time::Instant;

use locum::xds::config_dump;
use locum::xds::json;
use locum::xds::kind::Kind;
use locum::xds::resource::Resource;
use locum::xds::snapshot::Snapshot;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::services::{first_answer, source};
use super::{DELTA, Edge, Envoy, INITIAL_FETCH_TIMEOUT, SOTW, ask, edge};
use crate::harness::{BOUND, GATEWAY, Server};

/// The edge whose routes are in virtual hosts apart, with a filter that asks for those on demand.
struct Apart {
    edge: Edge,
    /// Changes the route configuration.
    header: &'static str,
    /// Hosts, and what each answers.
    hosts: Vec<(&'static str, &'static str)>,
}

impl Apart {
    fn resources(&self) -> Vec<Resource> {
        let mut listener = self.edge.listener();
        listener["@type"] = Kind::Listener.type_url().into();
        let config = listener.pointer_mut("/filter_chains/0/filters/0/typed_config");
        let config = config.unwrap();
        // Its own answers end connections at once.
        config["delayed_close_timeout"] = "0s".into();
        let filters = config["http_filters"].as_array_mut().unwrap();
        let on_demand = "type.googleapis.com/envoy.extensions.filters.http.on_demand.v3.OnDemand";
        let filter = json!({"name": "on_demand", "typed_config": {"@type": on_demand}});
        filters.insert(0, filter);
        let hosts = self.hosts.iter().map(|(name, answer)| host(name, answer));
        let mut resources = self.edge.resources();
        resources.retain(|resource| matches!(resource.kind, Kind::Cluster | Kind::Endpoint));
        let apart = [listener, self.routes()].into_iter().chain(hosts);
        resources.extend(apart.map(|message| json::read(&message).unwrap()));
        resources
    }

    fn routes(&self) -> Value {
        json!({
            "@type": Kind::Route.type_url(),
            "name": "web",
            "response_headers_to_add": [{"header": {"key": "x-routes", "value": self.header}}],
            "vhds": {"config_source": {"ads": {}, "resource_api_version": "V3"}},
        })
    }
}

/// `name` serves the host of its name and all below it.
fn host(name: &str, answer: &str) -> Value {
    json!({
        "@type": Kind::VirtualHost.type_url(),
        "name": format!("web/{name}"),
        "domains": [name, format!("*.{name}")],
        "routes": [{
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": {"inline_string": answer}},
        }],
    })
}

async fn answer(edge: &Edge, host: &str) -> (String, String) {
    let (head, body) = ask(edge.listen, host, "/").await.expect("an answer");
    let status = head.split(' ').nth(1).unwrap_or_default();
    (status.to_owned(), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_virtual_hosts_apart_and_every_change_of_them() {
    let server = Server::start().await;
    let mut apart = Apart {
        edge: edge().await,
        header: "1",
        hosts: vec![("a.test", "a"), ("b.test", "b")],
    };
    let envoy = Envoy::start(server.address, DELTA);
    let took = server.publishes(apart.resources()).await;
    assert!(took < INITIAL_FETCH_TIMEOUT, "{took:?}");
    let active = "listener_manager.total_listeners_active";
    envoy.awaits(active, 1).await;
    let ok = |body: &str| ("200".to_owned(), body.to_owned());
    assert_eq!(answer(&apart.edge, "a.test").await, ok("a"));
    assert_eq!(answer(&apart.edge, "x.b.test").await, ok("b"));
    assert_eq!(server.sent(), (2 + 2 + 2, 0));

    // One changes, one goes, one comes: the others are not sent.
    apart.hosts = vec![("a.test", "A"), ("c.test", "c")];
    server.publishes(apart.resources()).await;
    assert_eq!(answer(&apart.edge, "a.test").await, ok("A"));
    assert_eq!(answer(&apart.edge, "c.test").await, ok("c"));
    assert_eq!(server.sent(), (6 + 2, 0));

    // Nobody serves it: that is known at once, by the filter that asks on demand.
    let begun = Instant::now();
    assert_eq!(answer(&apart.edge, "b.test").await.0, "404");
    assert!(begun.elapsed() < INITIAL_FETCH_TIMEOUT);

    // The route configuration changes, and its virtual hosts stay.
    apart.header = "2";
    server.publishes(apart.resources()).await;
    assert_eq!(answer(&apart.edge, "c.test").await, ok("c"));
    assert_eq!(server.sent(), (8 + 1, 0));
    let told = config_dump::told(&Snapshot::new(apart.resources(), None));
    let differences = envoy.dump().await.differences(&told);
    let mut ours = differences.iter().filter(|it| it.kind != Kind::Endpoint);
    assert_eq!(ours.next(), None);

    let address = server.address;
    server.stop().await;
    envoy.awaits("control_plane.connected_state", 0).await;
    let server = Server::start_at(address).await;
    server.publishes(apart.resources()).await;
    assert_eq!(server.sent(), (0, 0), "{}", envoy.log());
    apart.hosts.push(("b.test", "b again"));
    server.publishes(apart.resources()).await;
    assert_eq!(answer(&apart.edge, "b.test").await, ok("b again"));
    assert_eq!(server.sent(), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_without_a_single_virtual_host_does_not_wait_for_one() {
    let server = Server::start().await;
    let apart = Apart {
        edge: edge().await,
        header: "1",
        hosts: Vec::new(),
    };
    let _envoy = Envoy::start(server.address, DELTA);
    server.publishes(apart.resources()).await;
    let answered = timeout(INITIAL_FETCH_TIMEOUT / 2, first_answer(apart.edge.listen)).await;
    let (head, _) = answered.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_wait_over_the_stream_of_virtual_hosts_alone() {
    let server = Server::start().await;
    let mut apart = Apart {
        edge: edge().await,
        header: "1",
        hosts: Vec::new(),
    };
    let publish = |apart: &Apart| {
        let mut routes = apart.routes();
        routes["vhds"]["config_source"] = source(DELTA);
        let routes = json::read(&routes).unwrap();
        let snapshot = Snapshot::new(apart.resources(), None).with(routes);
        server.shared.board.publish(GATEWAY, snapshot);
    };
    let _envoy = Envoy::start(server.address, DELTA);
    publish(&apart);
    let answered = timeout(INITIAL_FETCH_TIMEOUT / 2, first_answer(apart.edge.listen)).await;
    let (head, _) = answered.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    apart.hosts.push(("a.test", "a"));
    publish(&apart);
    let served = async { while answer(&apart.edge, "a.test").await.1 != "a" {} };
    timeout(BOUND, served).await.expect("the host is served");
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_in_the_state_of_the_world_gets_plain_routes() {
    let server = Server::start().await;
    let mut apart = Apart {
        edge: edge().await,
        header: "1",
        hosts: vec![("a.test", "a")],
    };
    let envoy = Envoy::start(server.address, SOTW);
    server.publishes(apart.resources()).await;
    let active = "listener_manager.total_listeners_active";
    envoy.awaits(active, 1).await;
    assert_eq!(answer(&apart.edge, "a.test").await.1, "a");
    apart.hosts.push(("b.test", "b"));
    server.publishes(apart.resources()).await;
    assert_eq!(answer(&apart.edge, "b.test").await.1, "b");
    assert_eq!(server.sent(), (4 + 1, 0));
}

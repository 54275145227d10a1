//! A real Envoy whose filter's configuration comes as a resource of its own (ECDS).

use locum::xds::json;
use locum::xds::kind::Kind;
use locum::xds::resource::Resource;
use serde_json::{Value, json};

use super::{DELTA, Edge, Envoy, SOTW, edge, header};
use crate::harness::Server;

const MUTATION: &str =
    "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";

/// The edge with a filter `mark` before its router, whose configuration it has to ask for.
fn resources(edge: &Edge, mark: &Value) -> Vec<Resource> {
    let mut listener = edge.listener();
    listener["@type"] = Kind::Listener.type_url().into();
    let config = listener.pointer_mut("/filter_chains/0/filters/0/typed_config");
    let filters = config.unwrap()["http_filters"].as_array_mut().unwrap();
    let discovered = json!({
        "name": "mark",
        "config_discovery": {
            "config_source": {"ads": {}, "resource_api_version": "V3"},
            "type_urls": [MUTATION],
        },
    });
    filters.insert(0, discovered);
    let listener = json::read(&listener).unwrap();
    assert!(
        listener
            .references
            .contains(&(Kind::Extension, "mark".into()))
    );
    let mut resources = edge.resources();
    resources.retain(|resource| resource.kind != Kind::Listener);
    resources.extend([listener, json::read(mark).unwrap()]);
    resources
}

/// A filter that answers with a header.
fn mark(value: &str) -> Value {
    json!({
        "@type": Kind::Extension.type_url(),
        "name": "mark",
        "typed_config": {
            "@type": MUTATION,
            "mutations": {"response_mutations": [
                {"append": {"header": {"key": "x-mark", "value": value}}},
            ]},
        },
    })
}

async fn takes_every_change(api_type: &str) {
    let server = Server::start().await;
    let edge = edge().await;
    let envoy = Envoy::start(server.address, api_type);
    server.publishes(resources(&edge, &mark("one"))).await;
    envoy
        .awaits("listener_manager.total_listeners_active", 1)
        .await;
    assert_eq!(header(edge.listen, "x-mark").await.as_deref(), Some("one"));

    server.publishes(resources(&edge, &mark("two"))).await;
    assert_eq!(header(edge.listen, "x-mark").await.as_deref(), Some("two"));
    assert_eq!(server.sent(), (5 + 1, 0));

    // A filter of another type than the listener takes.
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let mut wrong = mark("three");
    wrong["typed_config"] = json!({"@type": router});
    server.publishes(resources(&edge, &wrong)).await;
    let refused = server.shared.clients.refusals().borrow().clone();
    let names: Vec<_> = refused
        .iter()
        .map(|refused| &*refused.resource.name)
        .collect();
    assert_eq!(names, ["mark"]);
    assert_eq!(header(edge.listen, "x-mark").await.as_deref(), Some("two"));

    server.publishes(resources(&edge, &mark("four"))).await;
    assert_eq!(header(edge.listen, "x-mark").await.as_deref(), Some("four"));
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_every_change_of_a_filter() {
    takes_every_change(DELTA).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_every_change_of_a_filter_in_the_state_of_the_world() {
    takes_every_change(SOTW).await;
}

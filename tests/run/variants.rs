//! The variants of xDS that an Envoy can be given.

use serde_json::Value;

use crate::harness::{Stage, ask, backend, free_port, gateway, get, until};
use crate::standalone::{Envoy, Serve};

#[test]
fn an_envoy_in_the_state_of_the_world_serves_and_takes_edits() {
    let port = free_port();
    let stage = Stage::with_backend(port);
    let locum = Serve::start(&stage.manifests(), &[]);
    let envoy = Envoy::start("default/eg", &locum.xds, &["--xds-variant", "sotw"]);
    until("Envoy is ready", || envoy.is_ready());
    until("Envoy serves", || {
        ask(port, "/") == Some((200, "hello".into()))
    });
    stage.write("eg.yaml", &gateway("eg", port, backend("other")));
    until("the change is served", || {
        ask(port, "/") == Some((200, "other".into()))
    });
    let (_, clients) = get(locum.admin, "/debug/clients").unwrap();
    let clients: Value = serde_json::from_str(&clients).unwrap();
    assert_eq!(clients[0]["variant"], "sotw", "{clients}");
    assert_eq!(clients[0]["types"]["cluster"]["sent"]["nacks"], 0);
}

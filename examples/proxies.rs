//! Who is connected, what each proxy has acknowledged, and what it refuses and why.
//!
//! `cargo run --example proxies`, then `envoy -c envoy/bootstrap.yaml`: it refuses one cluster.

use locum::xds::clients::{Clients, Detail};
use locum::xds::{json, kind::Kind, server::Shared, snapshot::Snapshot};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shared = Shared::default();
    shared.board.publish("default/eg", good_and_bad()?);
    let watching = watch(&shared.clients, |line| eprintln!("{line}"));
    Ok(shared.serve_at("127.0.0.1:18000", watching).await?)
}

pub(crate) fn good_and_bad() -> Result<Snapshot, json::NoResource> {
    let cluster = Kind::Cluster.type_url();
    let good = json::read(&json!({"@type": cluster, "name": "good"}))?;
    // No cluster of this type brings a balancer of its own.
    let bad = json!({"@type": cluster, "name": "bad", "lb_policy": "CLUSTER_PROVIDED"});
    let bad = json::read(&bad)?.with_owners(["whoever wrote it"]);
    Ok(Snapshot::new([good, bad], None))
}

/// Says how every proxy stands, each time that something of it changes.
pub(crate) async fn watch(clients: &Clients, say: impl Fn(String)) {
    let mut ticks = clients.ticks();
    ticks.mark_changed();
    while ticks.changed().await.is_ok() {
        for proxy in clients.reports(Detail::Names) {
            for (kind, of_kind) in &proxy.types {
                say(format!("{} has {kind}: {:?}", proxy.node, of_kind.versions));
            }
        }
        for refused in clients.refusals().borrow().iter() {
            say(refused.to_string());
        }
    }
}

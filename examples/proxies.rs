//! Who is connected, what each proxy has acknowledged, and what it refuses and why.
//!
//! `cargo run --example proxies`, then `envoy -c envoy/bootstrap.yaml --service-cluster demo/edge`. It
//! takes one cluster and refuses the other.

use std::error::Error;

use locum::xds::clients::{Clients, Detail};
use locum::xds::json::{self, NoResource};
use locum::xds::server::{Listener, Shared, serve};
use locum::xds::snapshot::Snapshot;
use serde_json::json;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let shared = Shared::default();
    shared.board.publish("demo/edge", good_and_bad()?);
    let listener = Listener::Tcp(TcpListener::bind("127.0.0.1:18000").await?);
    let served = serve(listener, shared.clone(), std::future::pending());
    tokio::select! {
        ended = served => Ok(ended?),
        () = watch(&shared.clients, |line| eprintln!("{line}")) => Ok(()),
    }
}

pub(crate) fn good_and_bad() -> Result<Snapshot, NoResource> {
    let cluster = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    let good = json!({"@type": cluster, "name": "good", "type": "STATIC"});
    // No cluster of this type brings a balancer of its own.
    let bad = json!({"@type": cluster, "name": "bad", "lb_policy": "CLUSTER_PROVIDED"});
    let resources = [
        json::read(&good)?,
        json::read(&bad)?.with_owners(["whoever wrote it"]),
    ];
    Ok(Snapshot::new(resources, None))
}

/// Says how every proxy stands, each time that something of it changes.
pub(crate) async fn watch(clients: &Clients, say: impl Fn(String)) {
    let (mut ticks, mut refusals) = (clients.ticks(), clients.refusals());
    loop {
        for proxy in clients.reports(Detail::Names) {
            let (told, has) = (proxy.revision, proxy.settled_revision);
            say(format!(
                "{} of {}: revision {has} of {told}",
                proxy.node, proxy.gateway
            ));
            for (kind, of_kind) in proxy.types {
                let names = of_kind.versions.into_keys().collect::<Vec<_>>();
                say(format!("  has {kind}: {}", names.join(" ")));
            }
        }
        for refused in refusals.borrow_and_update().iter() {
            let (resource, node) = (&refused.resource, &refused.node);
            let whose = resource.owners.join(", ");
            say(format!(
                "{node} refuses {} of {whose}: {}",
                resource.name, refused.message
            ));
        }
        tokio::select! {
            _ = ticks.changed() => {}
            _ = refusals.changed() => {}
        }
    }
}

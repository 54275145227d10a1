//! Two groups of proxies, each with resources of its own that change while proxies are connected.
//!
//! `cargo run --example groups`, then `envoy -c envoy/bootstrap.yaml --service-cluster demo/blue`. The
//! program goes on when the Envoy has acknowledged what came before.

use std::error::Error;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::google::protobuf::Duration;
use locum::xds::kind::Kind;
use locum::xds::resource::Resource;
use locum::xds::server::{Listener, Shared, serve};
use locum::xds::snapshot::Snapshot;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let shared = Shared::default();
    let listener = Listener::Tcp(TcpListener::bind("127.0.0.1:18000").await?);
    let edited_and_stopped = async {
        edits(&shared).await;
        tokio::signal::ctrl_c().await.unwrap_or_default();
    };
    Ok(serve(listener, shared.clone(), edited_and_stopped).await?)
}

/// Sets, adds, changes and removes, each when the proxies of the group have taken the last over.
pub(crate) async fn edits(shared: &Shared) {
    let green = Snapshot::default().with(cluster("search", 1));
    shared.board.publish("demo/green", green);

    let set = Snapshot::new([cluster("orders", 1)], None);
    let added = set.clone().with(cluster("payments", 1));
    let changed = added.clone().with(cluster("orders", 5));
    let removed = changed.clone().without(Kind::Cluster, "payments");
    for snapshot in [set, added, changed, removed] {
        let revision = shared.board.publish("demo/blue", snapshot);
        shared.clients.caught_up("demo/blue", revision).await;
    }
}

fn cluster(name: &str, seconds: i64) -> Resource {
    Resource::of(&Cluster {
        name: name.into(),
        connect_timeout: Some(Duration { seconds, nanos: 0 }),
        ..Default::default()
    })
}

//! Each proxy has resources of its own, by its `node.id`, which change while it is connected.
//!
//! `cargo run --example nodes`, then `envoy -c envoy/bootstrap.yaml --service-node blue`: it is
//! sent each set when it has taken over the one before.

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use locum::xds::proxy::{Admission, Groups};
use locum::xds::server::{ServeError, Shared};
use locum::xds::{kind::Kind, resource::Resource, snapshot::Snapshot};

#[tokio::main]
async fn main() -> Result<(), ServeError> {
    let shared = Shared::with(Admission::by(Groups::Nodes));
    let forever = async { tokio::join!(edits(&shared), std::future::pending()).1 };
    shared.serve_at("127.0.0.1:18000", forever).await
}

/// Sets, adds, changes and removes what `blue` has; what `green` has stays.
pub(crate) async fn edits(shared: &Shared) {
    let green = Snapshot::default().with(cluster("search", "1"));
    shared.board.publish("green", green);
    let set = Snapshot::default().with(cluster("orders", "1"));
    let added = set.clone().with(cluster("payments", "1"));
    let changed = added.clone().with(cluster("orders", "2"));
    let removed = changed.clone().without(Kind::Cluster, "payments");
    for snapshot in [set, added, changed, removed] {
        let revision = shared.board.publish("blue", snapshot);
        shared.clients.caught_up("blue", revision).await;
    }
}

fn cluster(name: &str, stat_name: &str) -> Resource {
    Resource::of(&Cluster {
        name: name.into(),
        alt_stat_name: stat_name.into(),
        ..Cluster::default()
    })
}

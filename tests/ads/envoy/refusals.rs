//! A real Envoy that refuses a resource.

use locum::xds::kind::Kind;
use serde_json::json;

use super::{DELTA, Envoy, edge, resource};
use crate::harness::Server;

#[tokio::test(flavor = "multi_thread")]
async fn envoy_refuses_one_of_a_hundred_and_gets_the_others() {
    // At first four; then a hundred and the bad one, the hundred once more, and the mended one.
    assert_eq!(refuses_one_of_many(DELTA).await, (4 + 101 + 100 + 1, 1));
}

/// Returns how many resources were sent and how many responses refused.
pub(super) async fn refuses_one_of_many(api_type: &str) -> (u64, u64) {
    let server = Server::start().await;
    let good = edge().await;
    let envoy = Envoy::start(server.address, api_type);
    server.gives(&good).await;
    let mut resources = good.resources();
    let cluster = |name: &str, policy: &str| {
        let message = json!({"name": name, "type": "STATIC", "lb_policy": policy});
        resource(Kind::Cluster, name, &message).with_owners(["its owner"])
    };
    resources.extend((0..100).map(|index| cluster(&format!("x{index}"), "ROUND_ROBIN")));
    let mut with_bad = resources.clone();
    // A static cluster provides no balancer of its own.
    with_bad.push(cluster("bad", "CLUSTER_PROVIDED"));
    server.publishes(with_bad).await;
    let refused = server.shared.clients.refusals().borrow().clone();
    let [refused] = &*refused else {
        panic!("{refused:?}");
    };
    assert_eq!(&*refused.resource.name, "bad");
    assert_eq!(*refused.resource.owners, ["its owner"]);
    assert!(refused.message.contains("bad"), "{}", refused.message);
    // Locum's own, the edge's and the hundred.
    envoy.awaits("cluster_manager.active_clusters", 102).await;

    resources.push(cluster("bad", "ROUND_ROBIN"));
    server.publishes(resources).await;
    envoy.awaits("cluster_manager.active_clusters", 103).await;
    assert!(server.shared.clients.refusals().borrow().is_empty());
    server.sent()
}

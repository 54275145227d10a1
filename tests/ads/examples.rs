//! The programs in `examples/` do what they say, on real streams.
//!
//! What they do is run here as it stands there; only their `main`, which takes a port, is not.

use locum::xds::proxy::{Admission, Groups};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::envoy::{DELTA, Envoy, bootstrap};
use crate::harness::{BOUND, GATEWAY, Server, StateOfTheWorld};

#[expect(dead_code, reason = "its main")]
#[path = "../../examples/grpc_service.rs"]
pub(crate) mod grpc_service;
#[expect(dead_code, reason = "its main")]
#[path = "../../examples/nodes.rs"]
mod nodes;
#[expect(dead_code, reason = "its main")]
#[path = "../../examples/proxies.rs"]
mod proxies;

#[tokio::test]
async fn each_node_has_its_own_resources_which_change_under_it() {
    let server = Server::of_library(Admission::by(Groups::Nodes)).await;
    let mut blue = server.open::<StateOfTheWorld>("blue", "").await;
    let mut green = server.open::<StateOfTheWorld>("green", "any").await;
    // Each set comes when the one before has been acknowledged.
    let talk = blue.play(
        "> cluster
         < cluster orders:1
         > cluster ack
         < cluster orders:1 payments:1
         > cluster ack
         < cluster orders:2 payments:1
         > cluster ack
         < cluster orders:2
         > cluster ack",
    );
    tokio::join!(nodes::edits(&server.shared), talk);
    green
        .play(
            "> cluster
             < cluster search:1",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_envoy_has_and_what_it_refuses_is_told() {
    let server = Server::start().await;
    let resources = proxies::good_and_bad().unwrap();
    server.shared.board.publish(GATEWAY, resources);
    let envoy = Envoy::start_with(&bootstrap(server.address, DELTA));
    let (lines, mut told) = mpsc::unbounded_channel();
    let say = move |line| lines.send(line).unwrap_or_default();
    let mut awaited = vec![
        "envoy refuses cluster bad of whoever wrote it: ",
        "envoy has cluster: {\"good\": ",
    ];
    let heard = timeout(BOUND, async {
        while !awaited.is_empty() {
            let line: String = told.recv().await.unwrap();
            awaited.retain(|start| !line.starts_with(start));
        }
    });
    tokio::select! {
        heard = heard => assert!(heard.is_ok(), "{}", envoy.log()),
        () = proxies::watch(&server.shared.clients, say) => {}
    }
}

//! The programs in `examples/` do what they say, on real streams.
//!
//! What they do is run here as it stands there; only their `main`, which takes a port, is not.

use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::envoy::{DELTA, Envoy, bootstrap};
use crate::harness::{BOUND, Server};

#[expect(dead_code, reason = "its main")]
#[path = "../../examples/groups.rs"]
mod groups;
#[expect(dead_code, reason = "its main")]
#[path = "../../examples/grpc_service.rs"]
pub(crate) mod grpc_service;
#[expect(dead_code, reason = "its main")]
#[path = "../../examples/proxies.rs"]
mod proxies;

#[tokio::test]
async fn each_group_has_its_own_resources_which_change_under_its_proxies() {
    let server = Server::start().await;
    let mut blue = server.connect_sotw("demo/blue").await;
    let mut green = server.connect_sotw("demo/green").await;
    // Each set comes when the one before has been acknowledged.
    let talk = blue.play(
        "> cluster
         < cluster orders:?
         > cluster ack
         < cluster orders:? payments:?
         > cluster ack
         < cluster orders:? payments:?
         > cluster ack
         < cluster orders:?
         > cluster ack",
    );
    tokio::join!(groups::edits(&server.shared), talk);
    green
        .play(
            "> cluster
             < cluster search:?",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_envoy_has_and_what_it_refuses_is_told() {
    let server = Server::start().await;
    let resources = proxies::good_and_bad().unwrap();
    server.shared.board.publish("demo/edge", resources);
    let mut bootstrap = bootstrap(server.address, DELTA);
    bootstrap["node"]["cluster"] = "demo/edge".into();
    let envoy = Envoy::start_with(&bootstrap);
    let (lines, mut told) = mpsc::unbounded_channel();
    let say = move |line| lines.send(line).unwrap_or_default();
    let mut awaited = vec![
        "envoy refuses bad of whoever wrote it: ",
        "  has cluster: good",
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

//! Proxies of different Gateways, and who they say they are.

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use locum::xds::clients::Detail;
use locum::xds::proxy::Admission;
use tokio::time::timeout;
use tonic::Code;

use crate::harness::{BOUND, GATEWAY, Log, Server, eventually};

#[tokio::test]
async fn each_gateway_has_its_own_resources() {
    let server = Server::start().await;
    server.serve("default/one", "cluster a:1").await;
    server.serve("default/two", "cluster b:1").await;
    let mut one = server.connect("default/one").await;
    let mut two = server.connect("default/two").await;
    one.play("> cluster\n< cluster a:1\n> cluster ack").await;
    two.play("> cluster\n< cluster b:1\n> cluster ack").await;
    server.serve("default/two", "cluster b:2").await;
    two.play("< cluster b:2").await;
    one.play("< nothing").await;
}

#[tokio::test]
async fn a_stream_stays_the_first_nodes_and_ends_when_another_speaks() {
    let log = Log::start();
    let server = Server::start().await;
    server
        .serve("default/one", "cluster a:1, listener l:1")
        .await;
    server
        .serve("default/two", "cluster b:1, listener m:1")
        .await;
    for (id, cluster) in [("proxy", "default/two"), ("other", "default/one")] {
        let mut proxy = server.connect("default/one").await;
        let own = proxy.node.clone();
        proxy.play("> cluster\n< cluster a:1").await;
        // It may say again who it is, as Envoy does unless it is told otherwise.
        proxy.node = own;
        proxy
            .play("> cluster ack\n> listener\n< listener l:1")
            .await;
        proxy.node = Some(Node {
            id: id.into(),
            cluster: cluster.into(),
            ..Node::default()
        });
        proxy.play("> listener ack").await;
        let status = proxy.end().await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        for name in ["proxy", "default/one", id, cluster] {
            assert!(status.message().contains(name), "{status}");
        }
    }
    assert_eq!(log.lines("a later message says").len(), 2);
}

#[tokio::test]
async fn a_gateway_that_is_withdrawn_takes_its_resources_away() {
    let server = Server::start().await;
    server.serve(GATEWAY, "cluster a:1, listener l:1").await;
    let mut proxy = server.connect(GATEWAY).await;
    proxy
        .play(
            "> cluster
             < cluster a:1
             > cluster ack
             > listener
             < listener l:1
             > listener ack",
        )
        .await;
    server.shared.board.withdraw(GATEWAY);
    proxy.play("< cluster -a\n< listener -l").await;
}

#[tokio::test]
async fn a_proxy_of_a_gateway_that_is_not_there_is_warned_of() {
    let log = Log::start();
    let (starting, server) = (Server::start().await, Server::start().await);
    server.serve(GATEWAY, "cluster a:1").await;
    // In this order, so that there would be a line about the others before the last.
    let mut early = starting.connect("default/early").await;
    let mut late = server.connect("default/late").await;
    let mut withdrawn = server.connect_as("first", GATEWAY).await;
    for proxy in [&mut early, &mut late, &mut withdrawn] {
        proxy.play("> cluster").await;
    }
    let is_connected = |gateway| server.shared.clients.count(gateway) == 1;
    eventually("all are connected", || {
        starting.shared.clients.count("default/early") == 1
            && is_connected("default/late")
            && is_connected(GATEWAY)
    })
    .await;
    server.shared.board.complete();
    server.shared.board.withdraw(GATEWAY);
    server.serve("default/late", "cluster b:1").await;
    let mut never = server.connect("default/never").await;
    let mut again = server.connect_as("second", GATEWAY).await;
    never.play("> cluster").await;
    again.play("> cluster").await;
    eventually("it is said of both", || {
        let about = |gateway: &str| log.lines(&format!("gateway=\"{gateway}\"")).len();
        about("default/never") == 1 && about(GATEWAY) == 2
    })
    .await;
    let lines = log.lines("Locum has no such Gateway");
    assert_eq!(lines.len(), 3, "{lines:?}");
    // The first of its kind comes as late as it likes.
    server.serve("default/never", "cluster c:1").await;
    never.play("< cluster c:1").await;
}

#[tokio::test]
async fn a_proxy_that_does_not_say_its_gateway_is_refused() {
    let server = Server::start().await;
    let mut proxy = server.connect("edge").await;
    proxy.play("> cluster").await;
    let status = proxy.end().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("node.cluster"), "{status}");
}

#[tokio::test]
async fn an_envoy_that_is_not_supported_is_refused() {
    let server = Server::start().await;
    let mut proxy = server.connect(GATEWAY).await;
    let node = proxy.node.as_mut().unwrap();
    node.user_agent_name = "envoy".into();
    node.user_agent_version_type = Some(UserAgentVersionType::UserAgentVersion("1.20.0".into()));
    proxy.play("> cluster").await;
    let status = proxy.end().await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("1.40"), "{status}");
}

#[tokio::test]
async fn a_server_of_the_library_has_groups_of_any_name_and_takes_any_envoy() {
    let log = Log::start();
    let server = Server::of_library(Admission::default()).await;
    server.serve("edge", "cluster a:1").await;
    let mut proxy = server.connect("edge").await;
    let node = proxy.node.as_mut().unwrap();
    node.user_agent_name = "envoy".into();
    node.user_agent_version_type = Some(UserAgentVersionType::UserAgentVersion("1.20.0".into()));
    proxy.play("> cluster\n< cluster a:1\n> cluster ack").await;
    let lines = log.lines("Envoy 1.20.0 is not supported");
    assert_eq!(lines.len(), 1, "{lines:?}");
    let mut nobody = server.connect("").await;
    nobody.play("> cluster").await;
    assert_eq!(nobody.end().await.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn what_a_proxy_has_is_told_while_it_is_connected() {
    let server = Server::start().await;
    server
        .serve(GATEWAY, "cluster a:1, cluster b:1, listener l:1")
        .await;
    let mut proxy = server.connect(GATEWAY).await;
    proxy
        .play(
            "> cluster
             < cluster a:1 b:1
             > cluster ack",
        )
        .await;
    let revision = server.shared.board.published(GATEWAY).revision;
    proxy.play("< nothing").await;
    assert_eq!(server.shared.clients.behind(GATEWAY, revision), ["proxy"]);
    proxy
        .play(
            "> listener
             < listener l:1
             > listener ack",
        )
        .await;
    server.shared.clients.caught_up(GATEWAY, revision).await;
    let report = server.shared.clients.reports(Detail::Names).remove(0);
    let clusters = &report.types["cluster"];
    assert!(clusters.wildcard);
    assert_eq!(clusters.versions.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((clusters.sent.resources, clusters.sent.acks), (2, 1));
    drop(proxy);
    eventually("the proxy is forgotten", || {
        server.shared.clients.count(GATEWAY) == 0
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_comes_back_before_its_old_connection_has_ended_is_one() {
    let server = Server::start().await;
    server.serve(GATEWAY, "cluster a:1").await;
    let clients = &server.shared.clients;
    let revision = server.shared.board.published(GATEWAY).revision;
    let mut old = server.connect(GATEWAY).await;
    old.play("> cluster\n< cluster a:1").await;
    assert_eq!(clients.behind(GATEWAY, revision), ["proxy"]);
    let mut new = server.connect(GATEWAY).await;
    new.play("> cluster\n< cluster a:1\n> cluster ack").await;
    timeout(BOUND, clients.caught_up(GATEWAY, revision))
        .await
        .expect("the new connection's is what counts");
    assert_eq!(clients.count(GATEWAY), 1);
    assert_eq!(clients.settled().len(), 1);
}

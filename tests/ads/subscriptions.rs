//! What a proxy asks for is what it gets: everything, by name, by both, and no longer.

use crate::harness::{GATEWAY, Server, play};

#[tokio::test]
async fn an_empty_first_request_for_clusters_gets_all_of_them() {
    play(
        "serve cluster a:1, cluster b:1
         > cluster
         < cluster a:1 b:1
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_star_gets_all_of_a_type() {
    play(
        "serve listener l:1
         > listener +*
         < listener l:1
         > listener ack
         serve listener l:1, listener m:1
         < listener m:1",
    )
    .await;
}

#[tokio::test]
async fn an_empty_first_request_for_endpoints_gets_nothing() {
    play(
        "serve cluster a:1 eds, endpoint a:1
         > endpoint
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn everything_of_nothing_is_answered_so_that_the_initial_fetch_ends() {
    play(
        "serve endpoint a:1
         > cluster
         < cluster
         > cluster ack
         < nothing
         > listener
         < listener",
    )
    .await;
}

#[tokio::test]
async fn only_what_changed_is_sent() {
    play(
        "serve cluster a:1, cluster b:1, cluster c:1
         > cluster
         < cluster a:1 b:1 c:1
         > cluster ack
         serve cluster a:1, cluster b:2, cluster d:1
         < cluster b:2 d:1 -c
         > cluster ack
         serve cluster a:1, cluster b:2, cluster d:1
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn names_get_only_what_they_name() {
    play(
        "serve endpoint a:1, endpoint b:1, endpoint c:1
         > endpoint +a
         < endpoint a:1
         > endpoint ack +b
         < endpoint b:1
         > endpoint ack
         serve endpoint a:1, endpoint b:1, endpoint c:2
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_removed_at_once_and_sent_when_it_comes() {
    play(
        "serve endpoint a:1
         > endpoint +a +ghost
         < endpoint a:1 -ghost
         > endpoint ack
         serve endpoint a:2
         < endpoint a:2
         > endpoint ack
         serve endpoint a:2, endpoint ghost:1
         < endpoint ghost:1
         > endpoint ack
         serve endpoint a:2
         < endpoint -ghost
         > endpoint ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn what_is_unsubscribed_is_no_longer_sent() {
    play(
        "serve endpoint a:1, endpoint b:1
         > endpoint +a +b
         < endpoint a:1 b:1
         > endpoint ack -b
         serve endpoint a:1, endpoint b:2
         < nothing
         serve endpoint a:1
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn what_is_subscribed_again_is_sent_again() {
    play(
        "serve endpoint a:1
         > endpoint +a
         < endpoint a:1
         > endpoint ack
         > endpoint -a
         > endpoint +a
         < endpoint a:1
         > endpoint ack
         > endpoint +a
         < endpoint a:1",
    )
    .await;
}

#[tokio::test]
async fn a_name_given_up_under_a_star_is_answered_with_what_the_star_holds() {
    play(
        "serve cluster a:1
         > cluster +* +a +b
         < cluster a:1 -b
         > cluster ack
         > cluster -a
         < cluster a:1
         > cluster ack -b
         < cluster -b
         > cluster ack
         serve cluster a:2
         < cluster a:2",
    )
    .await;
}

#[tokio::test]
async fn a_star_given_up_leaves_the_names() {
    play(
        "serve cluster a:1, cluster b:1
         > cluster +* +a
         < cluster a:1 b:1
         > cluster ack -*
         serve cluster a:2, cluster b:2
         < cluster a:2
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn the_newest_snapshot_wins_while_a_response_is_under_way() {
    play(
        "serve cluster a:1
         > cluster
         < cluster a:1
         serve cluster a:2
         serve cluster a:3
         < nothing
         > cluster ack
         < cluster a:3
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_stale_nonce_acknowledges_nothing_but_its_subscriptions_count() {
    play(
        "serve endpoint a:1, endpoint b:1
         > endpoint +a
         < endpoint a:1
         > endpoint stale +b
         < nothing
         > endpoint ack
         < endpoint b:1",
    )
    .await;
}

#[tokio::test]
async fn a_type_that_is_not_served_does_not_end_the_stream() {
    let server = Server::start().await;
    server.serve(GATEWAY, "cluster a:1").await;
    let mut proxy = server.connect(GATEWAY).await;
    let request = envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest {
        node: proxy.node.take(),
        type_url: "type.googleapis.com/envoy.service.runtime.v3.Runtime".into(),
        ..Default::default()
    };
    proxy.requests.send(request).await.unwrap();
    proxy
        .play(
            "> cluster
             < cluster a:1",
        )
        .await;
    let text = server.metrics();
    assert!(text.contains("locum_xds_unknown_types_total 1\n"), "{text}");
}

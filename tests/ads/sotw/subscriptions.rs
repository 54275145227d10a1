//! What a proxy asks for is what it gets: everything, by name, and no longer.

use locum::xds::clients::Detail;
use locum::xds::message::Variant;

use crate::harness::{GATEWAY, Server, play_sotw as play};

#[tokio::test]
async fn clusters_and_listeners_come_as_complete_sets() {
    play(
        "serve cluster a:1, cluster b:1, listener l:1, listener m:1
         > cluster
         < cluster a:1 b:1
         > cluster ack
         > listener
         < listener l:1 m:1
         > listener ack
         serve cluster a:1, cluster b:2, listener l:1, listener m:1, listener n:1
         < cluster a:1 b:2
         < listener l:1 m:1 n:1
         > cluster ack
         > listener ack
         serve cluster b:2, listener l:1, listener n:1
         < cluster b:2
         < listener l:1 n:1
         > cluster ack
         > listener ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn of_endpoints_routes_and_secrets_only_what_changed_comes() {
    play(
        "serve endpoint a:1, endpoint b:1, secret s:1, secret t:1
         > endpoint a b
         < endpoint a:1 b:1
         > endpoint ack
         > secret s t
         < secret s:1 t:1
         > secret ack
         < nothing
         serve endpoint a:1, endpoint b:2, secret s:2, secret t:1
         < secret s:2
         < endpoint b:2
         > secret ack
         > endpoint ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn what_is_gone_by_itself_is_not_told() {
    play(
        "serve endpoint a:1, endpoint b:1
         > endpoint a b
         < endpoint a:1 b:1
         > endpoint ack
         serve endpoint a:1
         < nothing
         serve endpoint a:1, endpoint b:1
         < nothing
         serve endpoint a:1, endpoint b:2
         < endpoint b:2
         > endpoint ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_star_gets_all_of_a_type() {
    play(
        "serve listener l:1
         > listener *
         < listener l:1
         > listener ack
         serve listener l:1, listener m:1
         < listener l:1 m:1",
    )
    .await;
}

#[tokio::test]
async fn an_empty_list_means_everything_until_there_are_names_and_then_nothing() {
    play(
        "serve cluster a:1, cluster b:1
         > cluster
         < cluster a:1 b:1
         > cluster ack
         > cluster a
         < cluster a:1
         > cluster ack
         serve cluster a:2, cluster b:2
         < cluster a:2
         > cluster ack
         > cluster none
         < nothing
         serve cluster a:3, cluster b:3
         < nothing
         > cluster b
         < cluster b:3",
    )
    .await;
}

#[tokio::test]
async fn a_star_given_up_leaves_the_names() {
    play(
        "serve cluster a:1, cluster b:1
         > cluster * a
         < cluster a:1 b:1
         > cluster ack a
         serve cluster a:2, cluster b:2
         < cluster a:2
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn an_empty_first_request_for_endpoints_gets_nothing() {
    play(
        "serve endpoint a:1
         > endpoint
         < nothing
         > endpoint a
         < endpoint a:1",
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
async fn a_new_name_is_sent_though_nothing_changed() {
    play(
        "serve endpoint a:1, endpoint b:1
         > endpoint a
         < endpoint a:1
         > endpoint ack
         > endpoint a b
         < endpoint b:1
         > endpoint ack
         > endpoint a b
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_name_given_up_and_asked_for_again_is_sent_again() {
    play(
        "serve endpoint a:1, endpoint b:1
         > endpoint a b
         < endpoint a:1 b:1
         > endpoint ack
         > endpoint a
         < endpoint
         > endpoint ack
         > endpoint a b
         < endpoint b:1",
    )
    .await;
}

#[tokio::test]
async fn a_proxy_that_lets_go_of_its_last_name_is_heard_though_it_has_not_seen_the_version() {
    play(
        "serve endpoint a:1, endpoint b:1
         > endpoint a b
         < endpoint a:1 b:1
         > endpoint ack
         > endpoint a
         > endpoint none
         < endpoint
         < endpoint
         serve endpoint a:2, endpoint b:2
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_proxy_that_lets_go_of_names_one_by_one_is_told_one_version_at_a_time() {
    play(
        "serve endpoint a:1, endpoint b:1, endpoint c:1
         > endpoint a b c
         < endpoint a:1 b:1 c:1
         > endpoint ack
         > endpoint a b
         > endpoint a
         < endpoint
         < nothing
         > endpoint ack
         < endpoint
         > endpoint ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_sent_when_it_comes() {
    play(
        "serve endpoint a:1
         > endpoint a ghost
         < endpoint a:1
         > endpoint ack
         < nothing
         serve endpoint a:1, endpoint ghost:1
         < endpoint ghost:1
         > endpoint ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_cluster_asked_for_by_name_that_does_not_exist_is_missing_in_a_response() {
    play(
        "serve cluster a:1
         > cluster ghost
         < cluster
         > cluster ack
         < nothing
         serve cluster a:1, cluster ghost:1
         < cluster ghost:1",
    )
    .await;
}

#[tokio::test]
async fn what_is_asked_for_with_a_stale_nonce_is_ignored() {
    play(
        "serve endpoint a:1, endpoint b:1
         > endpoint a
         < endpoint a:1
         > endpoint stale a b
         < nothing
         > endpoint ack a b
         < endpoint b:1
         > endpoint ack
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
async fn a_type_that_is_not_served_is_counted_and_does_not_end_the_stream() {
    let server = Server::start().await;
    server.serve(GATEWAY, "cluster a:1").await;
    let mut proxy = server.connect_sotw(GATEWAY).await;
    // Silence is found out by asking for such a type.
    proxy.play("< nothing\n> cluster\n< cluster a:1").await;
    let text = server.metrics();
    assert!(text.contains("locum_xds_unknown_types_total 1\n"), "{text}");
}

#[tokio::test]
async fn clients_are_told_apart_by_their_variant() {
    let server = Server::start().await;
    server.serve(GATEWAY, "cluster a:1").await;
    let mut delta = server.connect(GATEWAY).await;
    delta.play("> cluster\n< cluster a:1").await;
    let mut sotw = server.connect_sotw(GATEWAY).await;
    sotw.play("> cluster\n< cluster a:1").await;
    let reports = server.shared.clients.reports(Detail::Counts);
    let variants: Vec<_> = reports.iter().map(|report| report.variant).collect();
    assert_eq!(variants, [Variant::Delta, Variant::StateOfTheWorld]);
    let shown = serde_json::to_value(&reports).unwrap();
    assert_eq!(shown[1]["variant"], "sotw");
}

//! Make before break where a set is complete: what waits keeps its old form in it, what goes stays
//! in it as long as something refers to it.

use locum::xds::clients::Detail;

use crate::harness::{GATEWAY, Server, play_sotw as play};

#[tokio::test]
async fn routes_to_a_new_cluster_wait_for_its_endpoints() {
    play(
        "serve cluster a:1 eds, endpoint a:1, listener l:1 > r, route r:1 > a
         > cluster
         < cluster a:1
         > cluster ack
         > endpoint a
         < endpoint a:1
         > endpoint ack
         > listener
         < listener l:1
         > listener ack
         > route r
         < route r:1
         > route ack
         serve cluster a:1 eds, endpoint a:1, cluster b:1 eds, endpoint b:1, listener l:1 > r, route r:2 > a b
         < cluster a:1 b:1
         < nothing
         > cluster ack
         < nothing
         > endpoint a b
         < endpoint b:1
         < nothing
         > endpoint ack
         < route r:2",
    )
    .await;
}

#[tokio::test]
async fn a_cluster_goes_only_when_the_route_has_let_go_of_it() {
    play(
        "serve cluster a:1 eds, endpoint a:1, cluster b:1, listener l:1 > r, route r:1 > a
         > cluster
         < cluster a:1 b:1
         > cluster ack
         > endpoint a
         < endpoint a:1
         > endpoint ack
         > listener
         < listener l:1
         > listener ack
         > route r
         < route r:1
         > route ack
         serve cluster b:1, cluster c:1, listener l:1 > r, route r:2 > b
         < cluster a:1 b:1 c:1
         < route r:2
         > cluster ack
         < nothing
         > route ack
         < cluster b:1 c:1
         > cluster ack
         > endpoint none
         < endpoint
         > endpoint
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_listener_that_waits_takes_none_of_the_others_away() {
    play(
        "serve cluster a:1, listener l:1 > r, listener m:1, route r:1 > a
         > cluster
         < cluster a:1
         > cluster ack
         > listener
         < listener l:1 m:1
         > listener ack
         > route r
         < route r:1
         > route ack
         serve cluster a:1, cluster b:1, listener l:2 > s, listener m:2, listener n:1, route s:1 > b
         < cluster a:1 b:1
         < listener l:1 m:2 n:1
         > listener ack
         < nothing
         > cluster ack
         < listener l:2 m:2 n:1
         > listener ack
         > route s
         < route s:1
         > route ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn endpoints_of_a_changed_cluster_are_sent_again() {
    play(
        "serve cluster a:1 eds, endpoint a:1, cluster b:1 eds, endpoint b:1
         > cluster
         < cluster a:1 b:1
         > cluster ack
         > endpoint a b
         < endpoint a:1 b:1
         > endpoint ack
         serve cluster a:2 eds, endpoint a:1, cluster b:1 eds, endpoint b:1
         < cluster a:2 b:1
         < endpoint a:1
         > endpoint ack
         > endpoint a b
         > cluster ack
         > endpoint a b
         < nothing",
    )
    .await;
}

/// Without endpoints Envoy warms a cluster for 15 s, and acknowledges no other meanwhile.
#[tokio::test]
async fn a_cluster_that_left_the_snapshot_before_its_endpoints_were_sent_gets_none() {
    play(
        "serve cluster a:1 eds, endpoint a:1
         > cluster
         < cluster a:1
         serve cluster b:1
         > endpoint a
         < endpoint a:?
         > endpoint ack
         > cluster ack
         < cluster b:1
         > cluster ack
         > endpoint none
         < endpoint",
    )
    .await;
}

#[tokio::test]
async fn a_changed_cluster_that_left_the_snapshot_gets_the_endpoints_that_it_had() {
    play(
        "serve cluster a:1 eds, endpoint a:1, cluster b:1 eds, endpoint b:1
         > cluster
         < cluster a:1 b:1
         > cluster ack
         > endpoint a b
         < endpoint a:1 b:1
         > endpoint ack
         serve cluster a:1 eds, endpoint a:1, cluster b:1 eds, endpoint b:2
         < endpoint b:2
         serve cluster a:2 eds, endpoint a:1, cluster b:1 eds, endpoint b:2
         < cluster a:2 b:1
         serve cluster b:1 eds, endpoint b:2
         > endpoint ack
         < endpoint a:1
         > endpoint ack
         > cluster ack
         < cluster b:1",
    )
    .await;
}

#[tokio::test]
async fn clusters_that_warm_slowly_hold_up_other_clusters_for_a_moment_only() {
    play(
        "serve cluster slow:1 dns, cluster x:1
         > cluster
         < cluster slow:1 x:1
         serve cluster slow:1 dns, cluster a:1
         < nothing
         < cluster slow:1 a:1
         serve cluster slow:2 dns, cluster a:2
         < cluster slow:2 a:2
         > cluster ack
         > cluster ack
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn an_answer_to_the_last_response_answers_those_before_it() {
    let server = Server::start().await;
    server.serve(GATEWAY, "cluster slow:1 dns").await;
    let mut proxy = server.connect_sotw(GATEWAY).await;
    proxy
        .play(
            "> cluster
             < cluster slow:1
             serve cluster slow:1 dns, cluster a:1
             < cluster a:1 slow:1
             > cluster last
             < nothing",
        )
        .await;
    let report = server.shared.clients.reports(Detail::Names).remove(0);
    let clusters = &report.types["cluster"];
    assert_eq!(clusters.acknowledged, 2, "{clusters:?}");
    assert!(clusters.pending.is_empty(), "{clusters:?}");
}

//! A proxy that comes back is sent what differs and nothing else.

use crate::harness::play;

#[tokio::test]
async fn nothing_is_sent_to_a_proxy_that_has_everything() {
    play(
        "serve cluster a:1 eds, endpoint a:1, listener l:1 > r, route r:1 > a
         > cluster had a:1
         > endpoint had a:1 +a
         > listener had l:1
         > route had r:1 +r
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn differences_and_removals_are_sent() {
    play(
        "serve cluster a:2, cluster b:1
         > listener
         < listener
         > cluster had a:1 b:1 c:1
         < cluster a:2
         > cluster ack
         < cluster -c
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_cluster_that_has_gone_stays_until_routes_that_may_use_it_are_replaced() {
    play(
        "serve cluster a:1, listener l:1 > r, route r:2 > a
         > cluster had a:1 gone:1
         > listener had l:1
         > route had r:1 +r
         < route r:2
         < nothing
         > route ack
         < cluster -gone
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn endpoints_that_are_new_to_the_proxy_are_sent() {
    play(
        "serve cluster a:1 eds, cluster b:1 eds, endpoint a:1, endpoint b:1
         > cluster had a:1
         < cluster b:1
         > endpoint had a:1 +a
         < nothing
         > cluster ack
         > endpoint +b
         < endpoint b:1",
    )
    .await;
}

#[tokio::test]
async fn a_proxy_that_comes_before_its_snapshot_is_served_when_it_is_there() {
    play(
        "> cluster
         > listener
         serve cluster a:1, listener l:1
         < cluster a:1
         < listener l:1",
    )
    .await;
}

#[tokio::test]
async fn a_cluster_that_changed_meanwhile_comes_with_its_endpoints() {
    play(
        "serve cluster a:2 eds, cluster b:1 eds, endpoint a:1, endpoint b:1
         > cluster had a:1 b:1
         < cluster a:2
         > endpoint had a:1 b:1 +a +b
         < endpoint a:1
         > endpoint ack
         > cluster ack
         < nothing",
    )
    .await;
}

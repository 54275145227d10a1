//! A proxy that comes back says the version of the set that it has, and nothing of what is in it.

use std::sync::Arc;

use locum::xds::proxy::Admission;
use locum::xds::server::{Shared, Told};

use crate::harness::{GATEWAY, Server, any_port, play_sotw as play};

#[tokio::test]
async fn nothing_is_sent_to_a_proxy_that_has_everything() {
    play(
        "serve cluster a:1 eds, endpoint a:1, listener l:1 > r, route r:1 > a
         > cluster had a:1
         > endpoint had a:1 a
         > listener had l:1
         > route had r:1 r
         < nothing
         serve cluster a:1 eds, endpoint a:2, listener l:1 > r, route r:1 > a
         < endpoint a:2",
    )
    .await;
}

#[tokio::test]
async fn a_version_that_was_told_is_known_again() {
    let server = Server::start().await;
    let list = "cluster a:1 eds, cluster b:1 > a, endpoint a:2, listener l:1 > r, route r:1 > a b";
    server.serve(GATEWAY, list).await;
    let mut proxy = server.connect_sotw(GATEWAY).await;
    proxy
        .play(
            "> cluster
             < cluster a:1 b:1
             > cluster ack
             > endpoint a
             < endpoint a:2
             > endpoint ack
             > listener
             < listener l:1
             > listener ack
             > route r
             < route r:1
             > route ack",
        )
        .await;
    let wire = proxy.hang_up().await;
    let mut proxy = server.connect_sotw(GATEWAY).await;
    proxy.remember(wire);
    proxy
        .play("> cluster\n> endpoint\n> listener\n> route\n< nothing")
        .await;
}

#[tokio::test]
async fn a_version_tells_what_is_left_when_names_were_given_up() {
    let server = Server::start().await;
    server.serve(GATEWAY, "endpoint a:1, endpoint b:1").await;
    let mut proxy = server.connect_sotw(GATEWAY).await;
    proxy
        .play(
            "> endpoint a b
             < endpoint a:1 b:1
             > endpoint ack a
             < endpoint
             > endpoint ack",
        )
        .await;
    let wire = proxy.hang_up().await;
    let mut proxy = server.connect_sotw(GATEWAY).await;
    proxy.remember(wire);
    proxy
        .play(
            "> endpoint
             < nothing
             > endpoint a b
             < endpoint b:1",
        )
        .await;
}

#[tokio::test]
async fn a_set_that_is_not_the_present_one_is_sent_anew() {
    play(
        "serve cluster a:2, cluster b:1, endpoint e:1, endpoint f:2
         > cluster had a:1 b:1
         < cluster a:2 b:1
         > cluster ack
         > endpoint had e:1 f:1 e f
         < endpoint e:1 f:2
         > endpoint ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_set_of_which_nothing_is_left_is_replaced_by_an_empty_one() {
    play(
        "serve endpoint e:1
         > cluster had a:1
         < cluster
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_set_that_is_not_known_is_replaced_as_a_whole_or_not_at_all() {
    play(
        "serve cluster a:1, listener l:2 > r, listener m:1, route r:2 > a
         > cluster had x:1
         < cluster a:1
         > listener had l:1 m:1
         < nothing
         > cluster ack
         < listener l:2 m:1",
    )
    .await;
}

/// What its routes led to may be gone with the set that it came with.
#[tokio::test]
async fn routes_do_not_wait_for_further_names_when_an_unknown_set_was_replaced() {
    let server = Server::start().await;
    let list = "cluster a:1 dns, listener l:1 > r, route r:2 > a";
    server.serve(GATEWAY, list).await;
    let mut proxy = server.connect_sotw(GATEWAY).await;
    let start = std::time::Instant::now();
    proxy
        .play(
            "> cluster had x:1
             < cluster a:1
             > listener had l:1
             > route had r:1 r
             < nothing
             serve cluster a:1 dns, cluster b:1 dns, listener l:1 > r, route r:3 > a b
             > cluster ack
             < cluster a:1 b:1
             < route r:2",
        )
        .await;
    assert!(start.elapsed() < locum::xds::order::DNS_WARMING);
}

#[tokio::test]
async fn a_proxy_that_comes_before_its_snapshot_is_served_when_it_is_there() {
    play(
        "> cluster had a:1
         > listener
         serve cluster a:1, listener l:1
         < listener l:1",
    )
    .await;
}

#[tokio::test]
async fn a_cluster_that_changed_meanwhile_comes_with_its_endpoints() {
    play(
        "serve cluster a:2 eds, endpoint a:1
         > cluster had a:1
         < cluster a:2
         > endpoint had a:1 a
         < endpoint a:1
         > endpoint ack
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_cluster_stays_until_routes_that_may_use_it_are_replaced() {
    play(
        "serve cluster a:1, cluster gone:1, listener l:1 > r, route r:2 > a
         > cluster had a:1 gone:1
         > listener had l:1
         > route had r:1 r
         < route r:2
         serve cluster a:1, listener l:1 > r, route r:2 > a
         < nothing
         > route ack
         < cluster a:1
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn routes_to_new_clusters_wait_until_a_proxy_that_warms_others_asks_for_clusters() {
    play(
        "serve cluster a:1, cluster y:1, listener l:1 > r, route r:2 > y
         > endpoint
         > listener had l:1
         > route had r:1 r
         < nothing
         > cluster had a:1
         < cluster a:1 y:1
         < nothing
         > cluster ack
         < route r:2",
    )
    .await;
}

#[tokio::test]
async fn a_proxy_that_comes_with_names_and_then_asks_for_everything_gets_it() {
    play(
        "> cluster had a:1 a
         > cluster * a
         < nothing
         serve cluster a:2, cluster b:1
         < cluster a:2 b:1",
    )
    .await;
}

#[tokio::test]
async fn a_name_that_is_new_is_not_part_of_the_set_that_a_proxy_came_with() {
    play(
        "> endpoint had a:1 b:1 a
         > endpoint a b
         < nothing
         serve endpoint a:1, endpoint b:1
         < endpoint a:1 b:1",
    )
    .await;
}

/// A server that was killed, and one in its place with other content.
#[tokio::test]
async fn what_a_server_before_told_goes_when_nothing_refers_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let told = || Shared {
        told: Arc::new(Told::kept_in(&folder.path().join("told")).unwrap()),
        ..Shared::with(Admission::LOCUM)
    };
    let server = Server::start_sharing(any_port(), told()).await;
    let list = "cluster a:1, cluster gone:1, listener l:1 > r, route r:1 > gone";
    server.serve(GATEWAY, list).await;
    let mut proxy = server.connect_sotw(GATEWAY).await;
    proxy
        .play(
            "> cluster
             < cluster a:1 gone:1
             > cluster ack
             > listener
             < listener l:1
             > listener ack
             > route r
             < route r:1
             > route ack",
        )
        .await;
    let wire = proxy.hang_up().await;
    server.stop().await;

    let server = Server::start_sharing(any_port(), told()).await;
    let list = "cluster a:2, listener l:1 > r, route r:2 > a";
    server.serve(GATEWAY, list).await;
    let mut proxy = server.connect_sotw(GATEWAY).await;
    proxy.remember(wire);
    proxy
        .play(
            "> cluster
             < cluster a:2 gone:1
             > listener
             > route r
             < route r:2
             > cluster ack
             < nothing
             > route ack
             < cluster a:2
             > cluster ack
             < nothing",
        )
        .await;
}

//! Filters whose configuration is a resource of its own (ECDS): asked for by name, as listeners name
//! them.

use crate::harness::{play, play_sotw};

#[tokio::test]
async fn a_filters_configuration_is_sent_to_who_asks_for_it() {
    play(
        "serve listener l:1 > extension=f, extension f:1, extension g:1
         > listener
         < listener l:1
         > listener ack
         > extension +f
         < extension f:1
         > extension ack
         serve listener l:1 > extension=f, extension f:2, extension g:2
         < extension f:2
         < nothing",
    )
    .await;
    play_sotw(
        "serve listener l:1 > extension=f, extension f:1, extension g:1
         > listener
         < listener l:1
         > listener ack
         > extension f
         < extension f:1
         > extension ack
         serve listener l:1 > extension=f, extension f:2, extension g:2
         < extension f:2
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn everything_is_nothing_as_for_other_resources_that_have_to_be_named() {
    play(
        "serve extension f:1
         > extension
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_filter_that_speaks_to_a_cluster_waits_for_it_and_keeps_it() {
    play(
        "serve listener l:1 > extension=f, extension f:1
         > cluster
         < cluster
         > cluster ack
         > listener
         < listener l:1
         > listener ack
         > extension +f
         < extension f:1
         > extension ack
         serve listener l:1 > extension=f, extension f:2 > a, cluster a:1
         < cluster a:1
         < nothing
         > cluster ack
         < extension f:2
         > extension ack
         serve listener l:1 > extension=f, extension f:3
         < extension f:3
         < nothing
         > extension ack
         < cluster -a",
    )
    .await;
}

#[tokio::test]
async fn a_listener_waits_for_the_clusters_of_its_filters() {
    play(
        "serve cluster b:1
         > cluster
         < cluster b:1
         > cluster ack
         > listener
         < listener
         > listener ack
         serve cluster b:1, cluster a:1, listener l:1 > extension=f, extension f:1 > a
         < cluster a:1
         < nothing
         > cluster ack
         < listener l:1
         > listener ack
         > extension +f
         < extension f:1",
    )
    .await;
}

#[tokio::test]
async fn a_filter_stays_while_the_listener_that_has_let_go_of_it_drains() {
    play(
        "serve listener l:1 > extension=f, extension f:1
         > listener
         < listener l:1
         > listener ack
         > extension +f
         < extension f:1
         > extension ack
         serve listener l:2
         < listener l:2
         > listener ack
         < nothing",
    )
    .await;
}

//! Virtual hosts apart from their route configuration (VHDS): they follow it, and one that is asked for
//! on demand is answered.

use crate::harness::{play, play_sotw};

/// A proxy that has the route configuration `r` and virtual host `r/a` of it.
const BEGINNING: &str = "serve listener l:1 > r, route r:1 > virtual_host=r/*, virtual_host r/a:1
     > listener
     < listener l:1
     > listener ack
     > route +r
     < route r:1
     > virtual_host
     < nothing
     > route ack
     < virtual_host r/a:1
     > virtual_host ack\n";

#[tokio::test]
async fn virtual_hosts_follow_the_acknowledgement_of_their_routes() {
    play(&format!(
        "{BEGINNING}
         serve listener l:1 > r, route r:1 > virtual_host=r/*, virtual_host r/a:1, virtual_host r/b:1, virtual_host s/c:1
         < virtual_host r/b:1
         > virtual_host ack
         serve listener l:1 > r, route r:1 > virtual_host=r/*, virtual_host r/b:2, virtual_host s/c:1
         < virtual_host r/b:2 -r/a
         > virtual_host ack
         < nothing"
    ))
    .await;
}

#[tokio::test]
async fn routes_that_have_none_are_told_so() {
    play(
        "serve listener l:1 > r, route r:1 > virtual_host=r/*
         > listener
         < listener l:1
         > listener ack
         > route +r
         < route r:1
         > virtual_host
         > route ack
         < virtual_host -r/*
         > virtual_host ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_host_asked_for_on_demand_is_answered_by_its_alias() {
    play(&format!(
        "{BEGINNING}
         > virtual_host +r/x
         < virtual_host r/x:none=r/x
         > virtual_host ack
         > virtual_host +r/a
         < virtual_host r/a:1=r/a
         > virtual_host ack
         serve listener l:1 > r, route r:1 > virtual_host=r/*, virtual_host r/a:1, virtual_host r/x:1
         < virtual_host r/x:1
         > virtual_host ack
         < nothing"
    ))
    .await;
}

#[tokio::test]
async fn a_question_whose_answer_waits_for_a_cluster_is_answered_with_it() {
    play(&format!(
        "> cluster
         serve listener l:1
         < cluster
         > cluster ack
         {BEGINNING}
         serve listener l:1 > r, route r:1 > virtual_host=r/*, virtual_host r/a:1, virtual_host r/b:1 > c, cluster c:1
         < cluster c:1
         > virtual_host +r/b
         < nothing
         > cluster ack
         < virtual_host r/b:1=r/b
         > virtual_host ack
         serve listener l:1 > r, route r:1 > virtual_host=r/*, virtual_host r/a:1
         < virtual_host -r/b
         < nothing
         > virtual_host ack
         < cluster -c"
    ))
    .await;
}

#[tokio::test]
async fn virtual_hosts_of_a_route_wait_for_each_other() {
    play(&format!(
        "> cluster
         serve listener l:1
         < cluster
         > cluster ack
         {BEGINNING}
         serve listener l:1 > r, route r:1 > virtual_host=r/*, virtual_host r/b:1 > c, cluster c:1
         < cluster c:1
         < nothing
         > cluster ack
         < virtual_host r/b:1 -r/a"
    ))
    .await;
}

#[tokio::test]
async fn virtual_hosts_wait_for_the_routes_that_have_them_apart() {
    play(&format!(
        "{BEGINNING}
         serve listener l:2 > r s, route r:1 > virtual_host=r/*, virtual_host r/a:1, route s:1
         < listener l:2
         > listener ack
         > route +s
         < route s:1
         > route ack
         serve listener l:2 > r s, route r:1 > virtual_host=r/*, virtual_host r/a:1, route s:2 > virtual_host=s/*, virtual_host s/c:1
         < route s:2
         < nothing
         > route ack
         < virtual_host s/c:1"
    ))
    .await;
}

#[tokio::test]
async fn an_answer_in_a_response_that_is_refused_is_given_again() {
    play(&format!(
        "{BEGINNING}
         serve listener l:1 > r, route r:1 > virtual_host=r/*, virtual_host r/a:1
         > virtual_host +r/a +r/x
         < virtual_host r/a:1=r/a r/x:none=r/x
         > virtual_host nack r/a: no good
         < virtual_host r/a:none=r/a r/x:none=r/x"
    ))
    .await;
}

#[tokio::test]
async fn virtual_hosts_are_sent_again_with_routes_that_come_again() {
    play(&format!(
        "{BEGINNING}
         > route -r
         > route +r
         < route r:1
         < nothing
         > route ack
         < virtual_host r/a:1"
    ))
    .await;
}

#[tokio::test]
async fn one_that_comes_back_with_all_of_them_is_sent_nothing() {
    play(
        "serve listener l:1 > r, route r:1 > virtual_host=r/*, virtual_host r/a:1, virtual_host r/b:2
         > listener had l:1
         > route +r had r:1
         > virtual_host had r/a:1 r/b:1
         < virtual_host r/b:2
         > virtual_host ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn the_state_of_the_world_knows_none() {
    play_sotw(
        "serve listener l:1 > r, virtual_host r/a:1
         > virtual_host
         < nothing",
    )
    .await;
}

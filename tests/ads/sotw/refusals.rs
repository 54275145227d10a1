//! A resource that a proxy refuses takes nothing else with it, though sets are complete.

use crate::harness::{GATEWAY, Server, play_sotw as play};

#[tokio::test]
async fn a_resource_that_is_named_keeps_its_last_good_form_in_the_set() {
    play(
        "serve cluster a:1, cluster b:1, cluster c:1
         > cluster
         < cluster a:1 b:1 c:1
         > cluster ack
         serve cluster a:2, cluster b:2, cluster c:1
         < cluster a:2 b:2 c:1
         > cluster nack Error adding/updating cluster(s) b: no good
         < cluster a:2 b:1 c:1
         > cluster ack
         < nothing
         serve cluster a:3, cluster b:2, cluster c:1
         < cluster a:3 b:1 c:1
         > cluster ack
         serve cluster a:3, cluster b:3, cluster c:1
         < cluster a:3 b:3 c:1
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_new_resource_that_is_refused_is_kept_out() {
    play(
        "serve listener l:1, listener bad:1
         > listener
         < listener l:1 bad:1
         > listener nack Error adding/updating listener(s) bad: no good
         < listener l:1
         > listener ack
         < nothing
         serve listener l:2, listener bad:1
         < listener l:2
         > listener ack
         serve listener l:2, listener bad:2
         < listener l:2 bad:2",
    )
    .await;
}

#[tokio::test]
async fn a_resource_that_is_not_named_is_found_by_halves() {
    play(
        "serve cluster a:1, cluster b:1, cluster c:1, cluster d:1
         > cluster
         < cluster a:1 b:1 c:1 d:1
         > cluster ack
         serve cluster a:2, cluster b:2, cluster c:2, cluster d:2
         < cluster a:2 b:2 c:2 d:2
         > cluster nack malformed
         < cluster a:2 b:2 c:1 d:1
         > cluster ack
         < cluster a:2 b:2 c:2 d:2
         > cluster nack malformed
         < cluster a:2 b:2 c:2 d:1
         > cluster nack malformed
         < cluster a:2 b:2 c:1 d:2
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn what_names_another_is_looked_at_after_it() {
    play(
        "serve cluster e:1 > f, cluster f:1
         > cluster
         < cluster e:1 f:1
         > cluster nack malformed
         < cluster f:1
         > cluster ack
         < cluster e:1 f:1
         > cluster nack malformed
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn what_names_another_waits_while_that_is_left_out() {
    play(
        "serve cluster a:1, cluster b:1, cluster e:1 > b
         > cluster
         < cluster a:1 b:1 e:1
         > cluster nack malformed
         serve cluster a:1, cluster b:2, cluster e:1 > b
         < cluster a:1
         > cluster ack
         < cluster a:1 b:2 e:1
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn endpoints_that_are_refused_are_found_by_halves_among_what_was_sent() {
    play(
        "serve endpoint a:1, endpoint b:1, endpoint c:1
         > endpoint a b c
         < endpoint a:1 b:1 c:1
         > endpoint ack
         serve endpoint a:2, endpoint b:2, endpoint c:1
         < endpoint a:2 b:2
         > endpoint nack malformed
         < endpoint a:2
         > endpoint ack
         < endpoint b:2
         > endpoint nack malformed
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_removal_that_was_refused_with_others_is_made_again() {
    play(
        "serve cluster a:1, cluster b:1, cluster x:1
         > cluster
         < cluster a:1 b:1 x:1
         > cluster ack
         > listener
         < listener
         > listener ack
         > route
         serve cluster a:2, cluster b:2
         < cluster a:2 b:2
         > cluster nack b: no good
         < cluster a:2 b:1
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_refused_resource_that_goes_back_is_not_sent_again() {
    play(
        "serve cluster a:1
         > cluster
         < cluster a:1
         > cluster ack
         serve cluster a:2
         < cluster a:2
         > cluster nack a: no good
         < nothing
         serve cluster a:1
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn what_a_proxy_refuses_and_has_in_a_form_that_is_not_known_is_not_taken_from_it() {
    play(
        "serve listener l:2, listener m:2
         > listener had l:1 m:1
         < listener l:2 m:2
         > listener nack Error adding/updating listener(s) l: no good
         < listener l:2 m:2
         > listener nack Error adding/updating listener(s) l: no good
         < nothing
         serve listener l:2, listener m:3
         < listener l:2 m:3
         > listener nack Error adding/updating listener(s) l: no good
         < nothing
         serve listener l:3, listener m:3
         < listener l:3 m:3
         > listener ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn what_is_not_named_in_a_refusal_holds_up_no_other() {
    play(
        "serve listener l:2, listener m:2
         > listener had l:1 m:1
         < listener l:2 m:2
         > listener nack l: no good
         < listener l:2 m:2
         > listener nack malformed
         < listener m:2
         > listener ack
         serve listener l:2, listener m:3
         < listener m:3
         > listener ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn words_that_are_left_over_from_a_response_before_blame_nothing_that_was_accepted() {
    play(
        "serve cluster slow:1 dns
         > cluster
         < cluster slow:1
         > cluster ack
         serve cluster slow:2 dns
         < cluster slow:2
         serve cluster slow:2 dns, cluster y:9
         < cluster slow:2 y:9
         serve cluster slow:2 dns, cluster y:1
         < cluster slow:2 y:1
         > cluster took 3 nack Error adding/updating cluster(s) y: no good
         < nothing
         serve cluster slow:2 dns, cluster y:1, cluster z:1
         < cluster slow:2 y:1 z:1",
    )
    .await;
}

#[tokio::test]
async fn words_that_are_left_over_take_no_cluster_from_routes_that_use_it() {
    play(
        "serve cluster slow:1 dns, listener l:1 > r, route r:1 > slow
         > cluster
         < cluster slow:1
         > cluster ack
         > listener
         < listener l:1
         > listener ack
         > route r
         < route r:1
         > route ack
         serve cluster slow:1 dns, cluster new:1, listener l:1 > r, route r:1 > slow
         < cluster slow:1 new:1
         serve cluster slow:1 dns, cluster new:1, cluster y:9, listener l:1 > r, route r:1 > slow
         < cluster slow:1 new:1 y:9
         serve cluster slow:1 dns, cluster new:1, listener l:1 > r, route r:2 > new
         < cluster slow:1 new:1
         > cluster took 3 nack Error adding/updating cluster(s) y: no good
         < route r:2
         > route ack
         < nothing
         serve cluster slow:2 dns, cluster new:1, listener l:1 > r, route r:2 > new
         < cluster slow:2 new:1",
    )
    .await;
}

#[tokio::test]
async fn what_was_accepted_before_a_refusal_is_not_in_doubt() {
    play(
        "serve cluster a:1
         > cluster
         < cluster a:1
         > cluster ack
         serve cluster a:1, cluster n:1
         < cluster a:1 n:1
         serve cluster a:1, cluster b:9, cluster n:1
         < cluster a:1 b:9 n:1
         > cluster took 1 nack malformed
         < cluster a:1 b:9 n:1
         > cluster nack malformed
         < cluster a:1 n:1
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_cluster_that_changed_before_another_was_refused_stays_for_routes_that_use_it() {
    play(
        "serve cluster a:1, listener l:1 > r, route r:1 > a
         > cluster
         < cluster a:1
         > cluster ack
         > listener
         < listener l:1
         > listener ack
         > endpoint
         > route r
         < route r:1
         > route ack
         serve cluster a:1, cluster b:1 eds, cluster c:9, cluster slow:1 dns, endpoint b:1, listener l:1 > r, route r:2 > b
         < cluster a:1 b:1 c:9 slow:1
         > endpoint b
         < endpoint b:1
         > endpoint ack
         < route r:2
         > route ack
         serve cluster a:1, cluster b:2 eds, cluster c:9, cluster slow:1 dns, endpoint b:1, listener l:1 > r, route r:2 > b
         > cluster nack Error adding/updating cluster(s) c: no good
         < cluster a:1 b:1 slow:1",
    )
    .await;
}

#[tokio::test]
async fn a_listener_that_waits_stays_when_another_is_refused() {
    play(
        "serve cluster a:1, listener l:2 > r, listener m:2, route r:1 > a
         > cluster had a:1
         > listener had l:1 m:1
         < listener l:2 m:2
         serve cluster a:1, cluster b:1, listener l:3 > s, listener m:2, listener n:1, route s:1 > b
         < cluster a:1 b:1
         > listener nack Error adding/updating listener(s) m: no good
         < listener l:2 m:2 n:1",
    )
    .await;
}

#[tokio::test]
async fn a_cluster_that_is_to_go_stays_for_its_routes_when_another_is_refused() {
    play(
        "serve cluster a:1, cluster x:1, cluster b:2, listener l:1 > r, route r:1 > x
         > cluster had a:1 b:1 x:1
         < cluster a:1 x:1 b:2
         > listener had l:1
         > route had r:1 r
         < nothing
         serve cluster a:1, cluster b:2, listener l:1 > r, route r:2 > a
         < nothing
         > cluster nack Error adding/updating cluster(s) b: no good
         < cluster a:1 x:1 b:2",
    )
    .await;
}

#[tokio::test]
async fn what_a_proxy_has_in_a_form_that_is_not_known_stays_when_another_is_refused() {
    play(
        "serve listener l:2, listener m:2
         > listener had l:1 m:1
         < listener l:2 m:2
         > listener nack Error adding/updating listener(s) l: no good
         < listener l:2 m:2
         > listener nack Error adding/updating listener(s) l: no good
         < nothing
         serve listener l:2, listener m:9
         < listener l:2 m:9
         > listener nack Error adding/updating listener(s) m: no good
         < nothing
         serve listener l:2, listener m:3
         < listener l:2 m:3",
    )
    .await;
}

/// What it lists went with a set that was refused, and so did it.
#[tokio::test]
async fn an_aggregate_of_before_does_not_come_back_without_what_it_lists() {
    play(
        "serve cluster c:1, cluster d:1, cluster e:1 > c d
         > cluster
         < cluster c:1 d:1 e:1
         > cluster ack
         serve cluster b:9
         < cluster b:9
         serve cluster b:1 eds, endpoint b:1, cluster d:1, cluster e:2 > b d
         > cluster nack malformed
         < cluster b:1 d:1
         > endpoint b
         < endpoint b:1
         > endpoint ack
         > cluster ack
         < cluster b:1 d:1 e:2
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn what_was_lost_and_is_refused_when_it_comes_back_is_refused() {
    let server = Server::start().await;
    let mut proxy = server.connect_sotw(GATEWAY).await;
    proxy
        .play(
            "serve listener l:1
             > listener
             < listener l:1
             > listener ack
             serve listener m:1
             < listener m:1
             serve listener l:1, listener m:1
             > listener nack m: no good
             < listener l:1
             > listener nack l: address in use
             < nothing",
        )
        .await;
    let refusals = server.shared.clients.refusals();
    let refused = refusals.borrow().clone();
    let refused: Vec<_> = refused.iter().map(|one| &*one.resource.name).collect();
    assert_eq!(refused, ["l", "m"]);
}

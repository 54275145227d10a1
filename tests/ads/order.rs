//! Make before break: a proxy never gets a reference to what it cannot use, and loses nothing that
//! it still refers to.

use crate::harness::play;

/// A proxy that has a route to cluster `a`.
const BEGINNING: &str = "serve cluster a:1, listener l:1 > r, route r:1 > a
     > cluster
     < cluster a:1
     > cluster ack
     > listener
     < listener l:1
     > listener ack
     > route +r
     < route r:1
     > route ack\n";

#[tokio::test]
async fn routes_to_a_new_cluster_wait_for_its_endpoints() {
    play(
        "serve cluster a:1 eds, endpoint a:1, listener l:1 > r, route r:1 > a
         > cluster
         < cluster a:1
         > cluster ack
         > endpoint +a
         < endpoint a:1
         > endpoint ack
         > listener
         < listener l:1
         > listener ack
         > route +r
         < route r:1
         > route ack
         serve cluster a:1 eds, endpoint a:1, cluster b:1 eds, endpoint b:1, listener l:1 > r, route r:2 > a b
         < cluster b:1
         < nothing
         > cluster ack
         < nothing
         > endpoint +b
         < endpoint b:1
         < nothing
         > endpoint ack
         < route r:2",
    )
    .await;
}

#[tokio::test]
async fn routes_are_not_held_up_by_what_is_edited_while_they_wait() {
    play(&format!(
        "{BEGINNING}
         serve cluster a:1, cluster b:1, listener l:1 > r, route r:2 > a b
         < cluster b:1
         serve cluster a:1, cluster b:1, cluster c:1, listener l:1 > r, route r:3 > a b c
         < nothing
         > cluster ack
         < cluster c:1
         < route r:2
         > route ack
         < nothing
         > cluster ack
         < route r:3"
    ))
    .await;
}

#[tokio::test]
async fn routes_that_waited_and_were_taken_back_are_not_sent() {
    play(&format!(
        "{BEGINNING}
         serve cluster a:1, cluster b:1, listener l:1 > r, route r:2 > a b
         < cluster b:1
         serve cluster a:1, cluster b:1, listener l:1 > r, route r:1 > a
         serve cluster a:1, cluster b:1, cluster c:1, listener l:1 > r, route r:3 > a c
         < nothing
         > cluster ack
         < cluster c:1
         < nothing
         > cluster ack
         < route r:3"
    ))
    .await;
}

#[tokio::test]
async fn routes_that_waited_are_not_sent_once_what_they_need_is_to_go() {
    play(&format!(
        "{BEGINNING}
         serve cluster a:1, cluster b:1, listener l:1 > r, route r:2 > a b
         < cluster b:1
         serve cluster a:1, cluster c:1, listener l:1 > r, route r:3 > a c
         < nothing
         > cluster ack
         < cluster c:1 -b
         < nothing
         > cluster ack
         < route r:3"
    ))
    .await;
}

#[tokio::test]
async fn a_route_to_usable_clusters_does_not_wait_for_others() {
    play(
        "serve cluster a:1, listener l:1 > r s, route r:1 > a, route s:1 > a
         > cluster
         < cluster a:1
         > cluster ack
         > listener
         < listener l:1
         > listener ack
         > route +r +s
         < route r:1 s:1
         > route ack
         serve cluster a:1, cluster b:1, listener l:1 > r s, route r:2 > b, route s:2 > a
         < cluster b:1
         < route s:2
         > route ack
         < nothing
         > cluster ack
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
         > endpoint +a
         < endpoint a:1
         > endpoint ack
         > listener
         < listener l:1
         > listener ack
         > route +r
         < route r:1
         > route ack
         serve cluster b:1, listener l:1 > r, route r:2 > b
         < route r:2
         < nothing
         > route ack
         < cluster -a
         < nothing
         > cluster ack
         < endpoint -a",
    )
    .await;
}

#[tokio::test]
async fn a_listener_waits_for_the_clusters_of_its_routes() {
    play(
        "serve cluster a:1
         > cluster
         < cluster a:1
         > cluster ack
         > listener
         < listener
         > listener ack
         serve cluster a:1, cluster b:1, listener l:1 > r, route r:1 > b
         < cluster b:1
         < nothing
         > cluster ack
         < listener l:1",
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
         > endpoint +a +b
         < endpoint a:1 b:1
         > endpoint ack
         serve cluster a:2 eds, endpoint a:1, cluster b:1 eds, endpoint b:1
         < cluster a:2
         < endpoint a:1
         > cluster ack
         > endpoint ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn endpoints_alone_go_at_once() {
    play(
        "serve cluster a:1 eds, endpoint a:1
         > cluster
         < cluster a:1
         > cluster ack
         > endpoint +a
         < endpoint a:1
         > endpoint ack
         serve cluster a:1 eds, endpoint a:2, cluster b:1
         < cluster b:1
         < endpoint a:2
         > endpoint ack
         serve cluster a:1 eds, endpoint a:3, cluster b:1
         < endpoint a:3",
    )
    .await;
}

#[tokio::test]
async fn a_route_to_a_new_dns_cluster_waits_for_its_names_and_then_goes() {
    play(&format!(
        "{BEGINNING}
         serve cluster a:1, cluster d:1 dns, cluster e:1 > a d, listener l:1 > r, route r:2 > e
         < cluster d:1 e:1
         > cluster ack
         < nothing
         < route r:2"
    ))
    .await;
}

#[tokio::test]
async fn a_proxy_that_starts_has_warmed_its_clusters_when_it_asks_for_listeners() {
    let start = std::time::Instant::now();
    play(
        "serve cluster d:1 dns, listener l:1 > r, route r:1 > d
         > cluster
         < cluster d:1
         > cluster ack
         > listener
         < listener l:1
         > listener ack
         > route +r
         < route r:1",
    )
    .await;
    assert!(start.elapsed() < locum::xds::order::DNS_WARMING);
}

#[tokio::test]
async fn a_cluster_that_is_never_acknowledged_holds_routes_up_for_a_while_only() {
    play(
        "serve cluster a:1, listener l:1 > r, route r:1 > a
         > cluster
         < cluster a:1
         > listener
         < nothing
         < listener l:1",
    )
    .await;
}

#[tokio::test]
async fn clusters_that_warm_slowly_hold_up_other_clusters_for_a_moment_only() {
    play(
        "serve cluster slow:1 dns
         > cluster
         < cluster slow:1
         serve cluster slow:1 dns, cluster a:1
         < nothing
         < cluster a:1
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
async fn a_cluster_whose_endpoints_are_acknowledged_needs_no_acknowledgement_of_its_own() {
    let start = std::time::Instant::now();
    play(&format!(
        "{BEGINNING}
         > endpoint
         serve cluster a:1, cluster b:1 eds, cluster slow:1 dns, endpoint b:1, listener l:1 > r, route r:2 > b
         < cluster b:1 slow:1
         > endpoint +b
         < endpoint b:1
         < nothing
         > endpoint ack
         < route r:2"
    ))
    .await;
    assert!(start.elapsed() < locum::xds::order::ACK_BOUND);
}

/// Envoy takes an aggregate over at once, whether what it lists is warm or not.
#[tokio::test]
async fn an_aggregate_replaces_a_cluster_only_when_what_it_lists_can_be_used() {
    play(
        "serve cluster x:1 eds, endpoint x:1
         > cluster
         < cluster x:1
         > cluster ack
         > endpoint +x
         < endpoint x:1
         > endpoint ack
         serve cluster x:2 > a b, cluster a:1 eds, endpoint a:1, cluster b:1
         < cluster a:1 b:1
         > endpoint +a
         < endpoint a:1
         < nothing
         > cluster ack
         < nothing
         > endpoint ack
         < cluster x:2
         > cluster ack
         < endpoint -x",
    )
    .await;
}

/// The acknowledgement of its endpoints comes before a first round of checks, its own after it.
#[tokio::test]
async fn routes_to_a_new_cluster_wait_for_the_first_round_of_its_checks() {
    play(&format!(
        "{BEGINNING}
         serve cluster a:1, cluster b:1 checked, endpoint b:1, listener l:1 > r, route r:2 > b
         < cluster b:1
         > endpoint +b
         < endpoint b:1
         > endpoint ack
         < nothing
         > cluster ack
         < route r:2"
    ))
    .await;
}

/// It went with a response that was refused, and its next form has to wait.
#[tokio::test]
async fn routes_wait_for_an_aggregate_that_may_be_gone_and_has_to_wait() {
    play(
        "serve cluster c:1, cluster e:1 > c
         > cluster
         < cluster c:1 e:1
         > cluster ack
         > listener
         < listener
         > listener ack
         serve cluster c:9
         < cluster c:9 -e
         serve cluster b:1 eds, endpoint b:1, cluster c:1, cluster e:2 > b c, listener l:1 > r, route r:1 > e
         > cluster nack malformed
         < cluster b:1
         > endpoint +b
         < endpoint b:1
         > cluster ack
         < nothing
         > endpoint ack
         < cluster e:2
         < nothing
         > cluster ack
         < listener l:1
         > route +r
         < route r:1",
    )
    .await;
}

#[tokio::test]
async fn a_route_that_refers_to_itself_is_sent() {
    play(
        "serve route r:1 > route=r
         > route +r
         < route r:1",
    )
    .await;
}

#[tokio::test]
async fn a_cluster_that_is_asked_for_again_is_waited_for_again() {
    play(
        "serve cluster a:1
         > cluster +a
         < cluster a:1
         > cluster ack
         > route +r
         < route -r
         > route ack
         > cluster -a
         > cluster +a
         < cluster a:1
         serve cluster a:1, route r:1 > a
         < nothing
         > cluster ack
         < route r:1",
    )
    .await;
}

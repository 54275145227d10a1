//! A resource that a proxy refuses takes nothing else with it.

use crate::harness::{GATEWAY, Server, eventually, play};

#[tokio::test]
async fn a_resource_that_is_named_is_kept_out_and_the_rest_is_sent_again() {
    play(
        "serve cluster a:1, cluster b:1, cluster c:1
         > cluster
         < cluster a:1 b:1 c:1
         > cluster nack Error adding/updating cluster(s) b: no good
         < cluster a:1 c:1
         > cluster ack
         < nothing
         serve cluster a:2, cluster b:1, cluster c:1
         < cluster a:2
         > cluster ack
         serve cluster a:2, cluster b:2, cluster c:1
         < cluster b:2
         > cluster ack
         < nothing",
    )
    .await;
}

#[tokio::test]
async fn a_resource_that_is_not_named_is_found_by_halves() {
    play(
        "serve endpoint a:1, endpoint b:1, endpoint c:1, endpoint d:1
         > endpoint +a +b +c +d
         < endpoint a:1 b:1 c:1 d:1
         > endpoint nack malformed
         < endpoint a:1 b:1
         > endpoint ack
         < endpoint c:1 d:1
         > endpoint nack malformed
         < endpoint c:1
         > endpoint nack malformed
         < endpoint d:1
         > endpoint ack
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
async fn what_the_last_good_form_refers_to_stays() {
    play(
        "serve cluster a:1, cluster b:1, listener l:1 > r, route r:1 > a
         > cluster
         < cluster a:1 b:1
         > cluster ack
         > listener
         < listener l:1
         > listener ack
         > route +r
         < route r:1
         > route ack
         serve cluster b:1, listener l:1 > r, route r:2 > b
         < route r:2
         > route nack r: no good
         < nothing
         serve cluster b:1, listener l:1 > r, route r:3 > b
         < route r:3
         > route ack
         < cluster -a",
    )
    .await;
}

#[tokio::test]
async fn routes_do_not_wait_for_a_cluster_that_is_refused() {
    play(
        "serve cluster a:1, cluster b:1, listener l:1 > r, route r:1 > a b
         > cluster
         < cluster a:1 b:1
         > cluster nack b: no good
         < cluster a:1
         > cluster ack
         > listener
         < listener l:1",
    )
    .await;
}

#[tokio::test]
async fn a_refusal_is_told_with_its_owner_and_the_proxys_words_until_it_is_mended() {
    let server = Server::start().await;
    let mut refusals = server.shared.clients.refusals();
    server.serve(GATEWAY, "cluster a:1, cluster b:1").await;
    let mut proxy = server.connect(GATEWAY).await;
    proxy
        .play(
            "> cluster
             < cluster a:1 b:1
             > cluster nack b: no good
             < cluster a:1
             > cluster ack",
        )
        .await;
    eventually("the refusal is told", || {
        !refusals.borrow_and_update().is_empty()
    })
    .await;
    let refused = refusals.borrow()[0].clone();
    assert_eq!(&*refused.resource.name, "b");
    assert_eq!(*refused.resource.owners, ["owner of b".to_owned()]);
    assert_eq!(refused.message, "b: no good");
    assert_eq!(
        (refused.gateway.as_str(), refused.node.as_str()),
        (GATEWAY, "proxy")
    );
    proxy
        .play(
            "serve cluster a:1, cluster b:2
             < cluster b:2
             > cluster ack",
        )
        .await;
    eventually("the refusal is over", || {
        refusals.borrow_and_update().is_empty()
    })
    .await;
}

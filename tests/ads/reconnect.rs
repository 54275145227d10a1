//! A proxy that comes back is sent what differs and nothing else.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use locum::xds::kind::Kind;
use locum::xds::message::{Event, Variant};
use locum::xds::order::{Awaited, RETURN_BOUND};
use locum::xds::snapshot::Snapshot;
use locum::xds::stream::Stream;

use crate::harness::{play, resources_of};

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

#[tokio::test]
async fn routes_to_new_clusters_wait_until_a_proxy_that_warms_others_asks_for_clusters() {
    play(
        "serve cluster a:1, cluster y:1, listener l:1 > r, route r:2 > y
         > endpoint
         > listener had l:1
         > route had r:1 +r
         < nothing
         > cluster had a:1
         < cluster y:1
         < nothing
         > cluster ack
         < route r:2",
    )
    .await;
}

#[tokio::test]
async fn routes_of_a_proxy_that_starts_do_not_wait_for_it_to_ask_for_clusters() {
    play(
        "serve cluster a:1, listener l:1 > r, route r:1 > a
         > listener
         < listener l:1
         > listener ack
         > route +r
         < route r:1",
    )
    .await;
}

#[test]
fn a_proxy_that_comes_back_and_never_asks_for_clusters_gets_its_routes_after_a_while() {
    let mut stream = Stream::new(Variant::Delta);
    let list = "cluster y:1, listener l:1 > r, route r:2 > y";
    let snapshot = Snapshot::new(resources_of(list), None);
    stream.snapshot(Duration::ZERO, Arc::new(snapshot));
    let request = DeltaDiscoveryRequest {
        type_url: Kind::Route.type_url().into(),
        resource_names_subscribe: vec!["r".into()],
        initial_resource_versions: [("r".into(), "an older one".into())].into(),
        ..Default::default()
    };
    let output = stream.request(Duration::ZERO, &request).unwrap();
    assert!(output.responses.is_empty(), "{:?}", output.responses);
    assert_eq!(stream.deadline(), Some(RETURN_BOUND));
    let output = stream.elapsed(RETURN_BOUND);
    assert_eq!(output.responses.len(), 1);
    let [Event::Expired(expired)] = &*output.events else {
        panic!("{:?}", output.events);
    };
    assert_eq!(expired.awaited, Awaited::Subscription);
}

//! A proxy that is slow, or wants too much, costs the others nothing.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::google::rpc;
use locum::xds::clients::Detail;
use locum::xds::kind::Kind;
use locum::xds::message::Variant;
use locum::xds::snapshot::Snapshot;
use locum::xds::stream::{CLUSTER_PATIENCE, MAX_NAME_BYTES, MAX_NAMES, OverLimit, Stream};
use tonic::Code;

use crate::harness::{GATEWAY, Server, eventually, resources_of};

#[tokio::test]
async fn a_proxy_that_does_not_read_is_sent_one_response_and_delays_no_other() {
    let server = Server::start().await;
    server.serve(GATEWAY, "endpoint a:1").await;
    let mut stuck = server.connect(GATEWAY).await;
    stuck.play("> endpoint +a").await;
    eventually("the stuck proxy is sent its endpoints", || {
        sent(&server) == 1
    })
    .await;
    let mut quick = server.connect(GATEWAY).await;
    quick
        .play("> endpoint +a\n< endpoint a:1\n> endpoint ack")
        .await;
    for content in 2..=9 {
        server
            .serve(GATEWAY, &format!("endpoint a:{content}"))
            .await;
        quick
            .play(&format!("< endpoint a:{content}\n> endpoint ack"))
            .await;
    }
    assert_eq!(sent(&server), 1);
    stuck
        .play("< endpoint a:1\n> endpoint ack\n< endpoint a:9")
        .await;
}

/// The responses that the proxy connected longest was sent.
fn sent(server: &Server) -> u64 {
    let reports = server.shared.clients.reports(Detail::Counts);
    let oldest = reports.first();
    oldest
        .and_then(|report| report.types.get("endpoint"))
        .map_or(0, |endpoints| endpoints.sent.responses)
}

#[tokio::test]
async fn a_stream_with_too_many_names_is_ended() {
    let names = (0..=MAX_NAMES).map(|n| n.to_string()).collect();
    is_ended_for(names, MAX_NAMES).await;
}

#[tokio::test]
async fn a_stream_with_names_that_are_too_long_is_ended() {
    let long = "x".repeat(60 << 10);
    let names = (0..=MAX_NAME_BYTES / long.len()).map(|n| format!("{n}{long}"));
    is_ended_for(names.collect(), MAX_NAME_BYTES).await;
}

/// A stream that asks for endpoints of these names is ended, in words that say the limit.
async fn is_ended_for(names: Vec<String>, limit: usize) {
    let server = Server::start().await;
    let mut proxy = server.connect(GATEWAY).await;
    let request = DeltaDiscoveryRequest {
        node: proxy.node.take(),
        type_url: Kind::Endpoint.type_url().into(),
        resource_names_subscribe: names,
        ..Default::default()
    };
    proxy.requests.send(request).await.unwrap();
    let status = proxy.end().await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains(&limit.to_string()), "{status}");
}

#[test]
fn names_that_are_given_up_again_and_again_count() {
    let mut stream = Stream::new(Variant::Delta);
    let snapshot = Snapshot::new(resources_of("cluster a:1"), None);
    stream.snapshot(Duration::ZERO, Arc::new(snapshot));
    let mut say = |subscribe: &[String], unsubscribe: &[String]| {
        let request = DeltaDiscoveryRequest {
            type_url: Kind::Cluster.type_url().into(),
            resource_names_subscribe: subscribe.to_vec(),
            resource_names_unsubscribe: unsubscribe.to_vec(),
            ..Default::default()
        };
        stream.request(Duration::ZERO, &request)
    };
    say(&["*".into()], &[]).unwrap();
    // Each is to be answered, and the proxy takes no answer.
    let ended = (0..8).find_map(|round| {
        let names: Vec<_> = (0..MAX_NAMES / 2).map(|n| format!("{round}-{n}")).collect();
        say(&names, &[]).and_then(|_| say(&[], &names)).err()
    });
    assert!(matches!(ended, Some(OverLimit::Names(_))), "{ended:?}");
}

#[test]
fn names_and_versions_that_are_kept_count_and_those_given_up_do_not() {
    let half = "x".repeat(MAX_NAME_BYTES / 2 - 1000);
    let request = |known: &str, subscribe: &str, unsubscribe: &str| {
        let list = |names: &str| {
            let names = names.split_whitespace();
            names
                .map(|name| format!("{name}{half}"))
                .collect::<Vec<_>>()
        };
        DeltaDiscoveryRequest {
            type_url: Kind::Endpoint.type_url().into(),
            initial_resource_versions: list(known).into_iter().map(|it| (it.clone(), it)).collect(),
            resource_names_subscribe: list(subscribe),
            resource_names_unsubscribe: list(unsubscribe),
            ..Default::default()
        }
    };
    let mut stream = Stream::new(Variant::Delta);
    let mut say = |known, subscribe, unsubscribe| {
        let request = request(known, subscribe, unsubscribe);
        stream.request(Duration::ZERO, &request).map(drop)
    };
    for name in ["a", "b", "c", "d"] {
        assert_eq!(say("", name, ""), Ok(()), "{name}");
        assert_eq!(say("", "", name), Ok(()), "{name}");
    }
    assert_eq!(say("", "a b", ""), Ok(()));
    assert!(matches!(say("", "c", ""), Err(OverLimit::Bytes(_))));

    let brought = request("a", "a", "");
    let ended = Stream::new(Variant::Delta).request(Duration::ZERO, &brought);
    assert!(matches!(ended, Err(OverLimit::Bytes(_))), "{ended:?}");
}

#[test]
fn names_that_are_said_with_each_acknowledgement_count_once() {
    let mut stream = Stream::new(Variant::StateOfTheWorld);
    let long = "x".repeat(MAX_NAME_BYTES / 2);
    let publish = |stream: &mut Stream, content: u32| {
        let snapshot = Snapshot::new(resources_of(&format!("endpoint a:{content}")), None);
        stream.snapshot(Duration::ZERO, Arc::new(snapshot))
    };
    let mut output = publish(&mut stream, 0);
    let mut nonce = String::new();
    for content in 1..=4 {
        let request = DiscoveryRequest {
            type_url: Kind::Endpoint.type_url().into(),
            resource_names: vec!["a".into(), long.clone()],
            response_nonce: nonce,
            ..Default::default()
        };
        let answer = stream.request(Duration::ZERO, &request).unwrap();
        output.responses.extend(answer.responses);
        nonce = output.responses.pop().expect("a response").nonce;
        output = publish(&mut stream, content);
    }
}

#[test]
fn clusters_that_do_not_fit_into_one_response_follow_though_none_is_acknowledged() {
    let mut stream = Stream::new(Variant::Delta);
    let large = "x".repeat(3 << 20);
    let list = ["a", "b", "c"].map(|name| format!("cluster {name}:{large}"));
    let snapshot = Snapshot::new(resources_of(&list.join(", ")), None);
    stream.snapshot(Duration::ZERO, Arc::new(snapshot));
    let request = DeltaDiscoveryRequest {
        type_url: Kind::Cluster.type_url().into(),
        ..Default::default()
    };
    let mut output = stream.request(Duration::ZERO, &request).unwrap();
    let mut now = Duration::ZERO;
    for name in ["a", "b", "c"] {
        let [response] = &*output.responses else {
            panic!("{:?}", output.responses);
        };
        assert_eq!(*response.resources[0].name, *name);
        let next = stream.deadline().expect("there may be more");
        assert!(next >= now + CLUSTER_PATIENCE);
        now = next;
        output = stream.elapsed(now);
    }
    assert!(output.responses.is_empty());
    assert_eq!(stream.deadline(), None);
}

#[test]
fn what_is_in_doubt_is_bounded() {
    let mut stream = Stream::new(Variant::Delta);
    let mut request = DeltaDiscoveryRequest {
        type_url: Kind::Cluster.type_url().into(),
        ..Default::default()
    };
    stream.request(Duration::ZERO, &request).unwrap();
    request.error_detail = Some(rpc::Status {
        message: "no".into(),
        ..Default::default()
    });
    for edit in 0..1000 {
        let clusters = format!("cluster a:{edit}, cluster b:{edit}");
        let snapshot = Snapshot::new(resources_of(&clusters), None);
        let brought = stream.snapshot(Duration::ZERO, Arc::new(snapshot));
        if let Some(response) = brought.responses.last() {
            request.response_nonce.clone_from(&response.nonce);
        }
        let answered = stream.request(Duration::ZERO, &request).unwrap();
        if let Some(response) = answered.responses.last() {
            request.response_nonce.clone_from(&response.nonce);
        }
    }
    let held = stream.subscriptions()[&Kind::Cluster].held();
    let in_doubt = held.values().map(|held| held.doubted.len()).max();
    assert!(
        (1..10).contains(&in_doubt.unwrap_or_default()),
        "{in_doubt:?}"
    );
}

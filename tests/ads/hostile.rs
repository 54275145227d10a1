//! What a proxy should not do, and a server must stand: found by driving the stream's machine in every
//! order, without a transport.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::google::rpc;
use locum::xds::kind::Kind;
use locum::xds::message::{Output, Variant};
use locum::xds::resource::Resource;
use locum::xds::snapshot::Snapshot;
use locum::xds::stream::Stream;

const NOW: Duration = Duration::from_secs(1);

fn cluster(name: &str, content: &str) -> Resource {
    Resource::of(&Cluster {
        name: name.into(),
        alt_stat_name: content.into(),
        ..Default::default()
    })
}

fn route(name: &str) -> Resource {
    Resource::of(&RouteConfiguration {
        name: name.into(),
        ..Default::default()
    })
}

fn listener(name: &str) -> Resource {
    Resource::of(&Listener {
        name: name.into(),
        ..Default::default()
    })
}

fn publish(stream: &mut Stream, resources: impl IntoIterator<Item = Resource>) -> Output {
    stream.snapshot(NOW, Arc::new(Snapshot::new(resources, None)))
}

fn error(words: &str) -> Option<rpc::Status> {
    (!words.is_empty()).then(|| rpc::Status {
        message: words.into(),
        ..Default::default()
    })
}

fn delta(
    stream: &mut Stream,
    kind: Kind,
    names: &[&str],
    gone: &[&str],
    nonce: &str,
    refusal: &str,
) -> Output {
    let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    stream
        .request(
            NOW,
            &DeltaDiscoveryRequest {
                type_url: kind.type_url().into(),
                resource_names_subscribe: text(names),
                resource_names_unsubscribe: text(gone),
                response_nonce: nonce.into(),
                error_detail: error(refusal),
                ..Default::default()
            },
        )
        .unwrap()
}

fn sotw(stream: &mut Stream, nonce: &str, version: &str, refusal: &str) -> Output {
    stream
        .request(
            NOW,
            &DiscoveryRequest {
                type_url: Kind::Listener.type_url().into(),
                response_nonce: nonce.into(),
                version_info: version.into(),
                error_detail: error(refusal),
                ..Default::default()
            },
        )
        .unwrap()
}

#[test]
fn a_route_that_refers_to_itself_is_sent() {
    let mut stream = Stream::new(Variant::Delta);
    publish(&mut stream, [route("r").with_reference(Kind::Route, "r")]);
    let output = delta(&mut stream, Kind::Route, &["r"], &[], "", "");
    assert_eq!(output.responses.len(), 1);
}

#[test]
fn what_is_in_doubt_is_bounded() {
    let mut stream = Stream::new(Variant::Delta);
    delta(&mut stream, Kind::Cluster, &[], &[], "", "");
    let mut nonce = String::new();
    let heard = |output: Output, nonce: &mut String| {
        if let Some(response) = output.responses.last() {
            nonce.clone_from(&response.nonce);
        }
    };
    for edit in 0..1000 {
        let content = edit.to_string();
        let output = publish(
            &mut stream,
            [cluster("a", &content), cluster("b", &content)],
        );
        heard(output, &mut nonce);
        let answered = nonce.clone();
        let output = delta(&mut stream, Kind::Cluster, &[], &[], &answered, "no");
        heard(output, &mut nonce);
    }
    let held = stream.subscriptions()[&Kind::Cluster].held();
    let in_doubt = held.values().any(|held| !held.doubted.is_empty());
    assert!(in_doubt, "nothing is in doubt");
    assert!(
        held.values().all(|held| held.doubted.len() < 10),
        "{}",
        held["a"].doubted.len()
    );
}

#[test]
fn what_was_lost_and_is_refused_when_it_comes_back_is_refused() {
    let mut stream = Stream::new(Variant::StateOfTheWorld);
    publish(&mut stream, [listener("l")]);
    sotw(&mut stream, "", "", "");
    let version = "whatever the first one said";
    sotw(&mut stream, "1", version, "");
    // l goes, m comes; before that is answered l is back.
    publish(&mut stream, [listener("m")]);
    publish(&mut stream, [listener("l"), listener("m")]);
    let output = sotw(&mut stream, "2", version, "m: no good");
    assert_eq!(output.responses.len(), 1);
    sotw(&mut stream, "3", version, "l: address in use");
    let refused: Vec<_> = stream.refusals().map(|one| &*one.resource.name).collect();
    assert_eq!(refused, ["l", "m"]);
}

#[test]
fn a_cluster_that_is_asked_for_again_is_waited_for_again() {
    let mut stream = Stream::new(Variant::Delta);
    publish(&mut stream, [cluster("a", "1")]);
    delta(&mut stream, Kind::Cluster, &["a"], &[], "", "");
    delta(&mut stream, Kind::Cluster, &[], &[], "1", "");
    delta(&mut stream, Kind::Route, &["r"], &[], "", "");
    delta(&mut stream, Kind::Route, &[], &[], "2", "");
    delta(&mut stream, Kind::Cluster, &[], &["a"], "", "");
    delta(&mut stream, Kind::Cluster, &["a"], &[], "", "");
    let route = route("r").with_reference(Kind::Cluster, "a");
    let output = publish(&mut stream, [cluster("a", "1"), route]);
    let kinds: Vec<_> = output.responses.iter().map(|one| one.kind).collect();
    assert_eq!(
        kinds,
        [],
        "the route goes before the cluster is acknowledged"
    );
}

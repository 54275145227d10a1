//! A listener that is taken away is drained: for a while its connections go by the routes of before,
//! so these and their clusters stay, and that is no wait that failed.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use locum::xds::kind::Kind;
use locum::xds::message::{Output, Request, Variant};
use locum::xds::order::DRAIN_BOUND;
use locum::xds::snapshot::Snapshot;
use locum::xds::stream::Stream;

use crate::harness::resources_of;

/// A proxy that takes everything over at once.
struct Proxy<F> {
    stream: Stream,
    /// An answer to the response of this kind, version and nonce; what else it asks for.
    answer: F,
}

/// For each response: when it came, of what kind, what it carries and what goes with it.
type Told = (Duration, Kind, Vec<String>, Vec<String>);

impl<R: Request, F: Fn(Kind, String, String) -> R> Proxy<F> {
    fn starts(answer: F) -> Self {
        let mut stream = Stream::new(R::VARIANT);
        let list = "cluster a:1, listener l:1 > r, route r:1 > a";
        let snapshot = Snapshot::new(resources_of(list), None);
        stream.snapshot(Duration::ZERO, Arc::new(snapshot));
        let mut proxy = Self { stream, answer };
        for kind in [Kind::Cluster, Kind::Listener, Kind::Route] {
            let first = (proxy.answer)(kind, String::new(), String::new());
            let output = proxy.stream.request(Duration::ZERO, &first).unwrap();
            proxy.takes(Duration::ZERO, output);
        }
        proxy
    }

    fn takes(&mut self, now: Duration, output: Output) -> Vec<Told> {
        let names = |of: &[Arc<str>]| of.iter().map(ToString::to_string).collect();
        let expired = |event: &_| matches!(event, locum::xds::message::Event::Expired(_));
        assert!(!output.events.iter().any(expired), "{:?}", output.events);
        let mut told = Vec::new();
        for response in output.responses {
            let carried = response.resources.iter().map(|one| one.name.clone());
            let carried: Vec<_> = carried.collect();
            told.push((
                now,
                response.kind,
                names(&carried),
                names(&response.removed),
            ));
            let version = response
                .version
                .map_or_else(String::new, |it| it.0.to_string());
            let answer = (self.answer)(response.kind, version, response.nonce);
            let output = self.stream.request(now, &answer).unwrap();
            told.extend(self.takes(now, output));
        }
        told
    }

    /// The listener is taken away, with all it leads to.
    fn loses_its_listener(mut self) -> Vec<Told> {
        let start = Duration::from_secs(1);
        let output = self.stream.snapshot(start, Arc::default());
        let mut told = self.takes(start, output);
        assert!(self.stream.is_settled(), "it does as it is told");
        while let Some(deadline) = self.stream.deadline() {
            let output = self.stream.elapsed(deadline);
            told.extend(self.takes(deadline, output));
        }
        told
    }
}

/// The names that a proxy gives: of routes one, of the rest none, which asks for everything.
fn names(kind: Kind) -> Vec<String> {
    let named = (kind == Kind::Route).then(|| "r".to_owned());
    named.into_iter().collect()
}

fn delta(kind: Kind, _: String, nonce: String) -> DeltaDiscoveryRequest {
    let is_first = nonce.is_empty();
    DeltaDiscoveryRequest {
        type_url: kind.type_url().into(),
        response_nonce: nonce,
        resource_names_subscribe: if is_first { names(kind) } else { Vec::new() },
        ..Default::default()
    }
}

fn state_of_the_world(kind: Kind, version: String, nonce: String) -> DiscoveryRequest {
    DiscoveryRequest {
        type_url: kind.type_url().into(),
        version_info: version,
        response_nonce: nonce,
        resource_names: names(kind),
        ..Default::default()
    }
}

#[test]
fn routes_and_clusters_of_a_listener_stay_while_it_drains() {
    let (start, end) = (Duration::from_secs(1), Duration::from_secs(1) + DRAIN_BOUND);
    let gone = |name: &str| vec![name.to_owned()];
    let told = Proxy::starts(delta).loses_its_listener();
    let expected = [
        (start, Kind::Listener, vec![], gone("l")),
        (end, Kind::Route, vec![], gone("r")),
        (end, Kind::Cluster, vec![], gone("a")),
    ];
    assert_eq!(told, expected, "{:?}", Variant::Delta);
    let told = Proxy::starts(state_of_the_world).loses_its_listener();
    let expected = [
        (start, Kind::Listener, vec![], gone("l")),
        (end, Kind::Cluster, vec![], gone("a")),
    ];
    assert_eq!(told, expected, "{:?}", Variant::StateOfTheWorld);
}

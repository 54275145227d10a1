//! A model of a proxy against random edits: it subscribes, acknowledges, refuses and reconnects at
//! random.
//!
//! It stands right at the stream's machine, without a transport, so that each case takes
//! microseconds. At every moment: the proxy holds no reference to what it has not got, nothing
//! equal is sent twice (but for what the protocol and Envoy demand), no wait ends by its bound. At
//! rest: the proxy has what the snapshot holds.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use envoy_types::pb::google::rpc;
use locum::xds::kind::Kind;
use locum::xds::message::{Event, Output, Response, Variant};
use locum::xds::resource::Resource;
use locum::xds::snapshot::Snapshot;
use locum::xds::stream::Stream;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::harness::resources_of;

/// The content that the proxy refuses.
const BAD: u8 = 9;

const CLUSTERS: [&str; 4] = ["a", "b", "c", "d"];
const ROUTES: [&str; 2] = ["r", "s"];
/// So short that all steps together stay below the bounds of waits.
const TICK: Duration = Duration::from_millis(40);

#[derive(Clone, Debug)]
struct ClusterSpec {
    content: u8,
    /// 0 and 1: as it is, 2: EDS, 3: DNS.
    discovery: u8,
    endpoints: u8,
}

/// What is to be served: each cluster or none, each route with the clusters it would like.
#[derive(Clone)]
struct World {
    clusters: Vec<Option<ClusterSpec>>,
    routes: Vec<Option<(u8, u8)>>,
    listener: u8,
}

#[derive(Clone, Debug)]
enum Step {
    Edit(World),
    /// The proxy takes the next response in.
    Deliver,
    Tick,
    Reconnect,
}

fn world(worst: u8) -> impl Strategy<Value = World> {
    let content = move || prop_oneof![8 => 1..5u8, 1 => Just(worst)];
    let spec =
        (content(), 0..4u8, 1..4u8).prop_map(|(content, discovery, endpoints)| ClusterSpec {
            content,
            discovery,
            endpoints,
        });
    let clusters = vec(proptest::option::weighted(0.8, spec), CLUSTERS.len());
    let routes = vec(proptest::option::of((content(), 0..16u8)), ROUTES.len());
    (clusters, routes, content()).prop_map(|(clusters, routes, listener)| World {
        clusters,
        routes,
        listener,
    })
}

fn steps(worst: u8) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => world(worst).prop_map(Step::Edit),
        8 => Just(Step::Deliver),
        2 => Just(Step::Tick),
        1 => Just(Step::Reconnect),
    ];
    vec(step, 1..60)
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.list())
    }
}

impl World {
    /// The closed snapshot of it, as a list that [`resources_of`] reads.
    fn list(&self) -> String {
        let mut list = Vec::new();
        let mut there = Vec::new();
        for (name, spec) in CLUSTERS.iter().zip(&self.clusters) {
            let Some(spec) = spec else { continue };
            let discovery = ["", "", " eds", " dns"][usize::from(spec.discovery)];
            list.push(format!("cluster {name}:{}{discovery}", spec.content));
            if spec.discovery == 2 {
                list.push(format!("endpoint {name}:{}", spec.endpoints));
            }
            there.push((*name).to_owned());
        }
        if there.len() > 1 {
            list.push(format!(
                "cluster e:{} > {}",
                self.listener.min(4),
                there[..2].join(" ")
            ));
            there.push("e".into());
        }
        let mut routes = Vec::new();
        for (name, route) in ROUTES.iter().zip(&self.routes) {
            let Some((content, wanted)) = route else {
                continue;
            };
            let clusters = there.iter().enumerate();
            let clusters = clusters.filter(|(index, _)| wanted >> index & 1 == 1);
            let clusters: Vec<_> = clusters.map(|(_, name)| name.clone()).collect();
            list.push(format!("route {name}:{content} > {}", clusters.join(" ")));
            routes.push(*name);
        }
        list.push(format!(
            "listener l:{} > {}",
            self.listener,
            routes.join(" ")
        ));
        list.join(", ")
    }

    fn snapshot(&self) -> Snapshot {
        let mut resources = resources_of(&self.list());
        for resource in &mut resources {
            // What refers to something else is something else.
            let references = format!("{:?}{:?}", resource.references, resource.readiness);
            let version = format!("{}/{references}", resource.version.0);
            resource.version.0 = version.into();
        }
        let snapshot = Snapshot::new(resources, None);
        assert_eq!(snapshot.check_closed(), Ok(()));
        snapshot
    }
}

/// Whether the proxy refuses a resource.
fn is_bad(resource: &Resource) -> bool {
    let bad = crate::harness::resource(resource.kind, &format!("{}:{BAD}", resource.name));
    resource.body == bad.body
}

struct Model {
    stream: Stream,
    now: Duration,
    snapshot: Option<Arc<Snapshot>>,
    queue: VecDeque<Response>,
    has: BTreeMap<Kind, BTreeMap<Arc<str>, Arc<Resource>>>,
    names: BTreeMap<Kind, BTreeSet<Arc<str>>>,
    /// What may be sent although the proxy has it.
    excused: BTreeSet<(Kind, Arc<str>)>,
    /// What has ever been refused.
    refused: BTreeSet<(Kind, Arc<str>)>,
    /// Whether refusals name the culprit.
    names_culprits: bool,
}

impl Model {
    fn new(names_culprits: bool) -> Self {
        let mut model = Self {
            stream: Stream::new(Variant::Delta),
            now: Duration::ZERO,
            snapshot: None,
            queue: VecDeque::new(),
            has: BTreeMap::new(),
            names: BTreeMap::new(),
            excused: BTreeSet::new(),
            refused: BTreeSet::new(),
            names_culprits,
        };
        model.connect();
        model
    }

    /// Opens a stream and says what it has, as Envoy does: all types at once.
    fn connect(&mut self) {
        self.stream = Stream::new(Variant::Delta);
        self.queue.clear();
        self.excused.clear();
        if let Some(snapshot) = self.snapshot.clone() {
            let output = self.stream.snapshot(self.now, snapshot);
            self.take(output);
        }
        for kind in [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Route] {
            let has = self.has.entry(kind).or_default().values();
            let versions = has.map(|has| (has.name.to_string(), has.version.0.to_string()));
            let initial_resource_versions: HashMap<_, _> = versions.collect();
            let names = self.names.get(&kind).into_iter().flatten();
            self.request(DeltaDiscoveryRequest {
                type_url: kind.type_url().into(),
                resource_names_subscribe: names.map(ToString::to_string).collect(),
                initial_resource_versions,
                ..Default::default()
            });
        }
    }

    fn request(&mut self, request: DeltaDiscoveryRequest) {
        let output = self.stream.request(self.now, &request).unwrap();
        self.take(output);
    }

    fn take(&mut self, output: Output) {
        for event in &output.events {
            let expected = !matches!(event, Event::Expired(_) | Event::Stale { .. });
            assert!(expected, "{event:?}");
        }
        self.queue.extend(output.responses);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Edit(world) => {
                let snapshot = Arc::new(world.snapshot());
                self.snapshot = Some(snapshot.clone());
                let output = self.stream.snapshot(self.now, snapshot);
                self.take(output);
            }
            Step::Deliver => {
                if let Some(response) = self.queue.pop_front() {
                    self.deliver(&response);
                }
            }
            Step::Tick => {
                self.now += TICK;
                let output = self.stream.elapsed(self.now);
                self.take(output);
            }
            Step::Reconnect => self.connect(),
        }
    }

    fn deliver(&mut self, response: &Response) {
        let kind = response.kind;
        let mut bad = Vec::new();
        for resource in &response.resources {
            let key = (kind, resource.name.clone());
            let had = self.has.entry(kind).or_default().get(&resource.name);
            let again = had.is_some_and(|had| had.version == resource.version);
            let excused = !again || self.excused.remove(&key);
            assert!(excused, "{kind} {} is sent again", resource.name);
            if kind == Kind::Cluster && had.is_some() {
                self.excused.insert((Kind::Endpoint, resource.name.clone()));
            }
            if is_bad(resource) {
                bad.push(resource.name.clone());
                self.refused.insert(key);
            } else {
                if kind == Kind::Cluster && had.is_some() {
                    self.excused.insert((Kind::Endpoint, resource.name.clone()));
                }
                let wildcard = matches!(kind, Kind::Cluster | Kind::Listener);
                let names = self.names.get(&kind);
                // What it no longer asks for it passes over.
                if wildcard || names.is_some_and(|names| names.contains(&resource.name)) {
                    let has = self.has.entry(kind).or_default();
                    has.insert(resource.name.clone(), resource.clone());
                }
            }
        }
        for name in &response.removed {
            self.has.entry(kind).or_default().remove(name);
        }
        self.check_references();
        if !bad.is_empty() {
            let sent = response.resources.iter();
            self.excused
                .extend(sent.map(|resource| (kind, resource.name.clone())));
        }
        self.answer(response, &bad);
        self.follow(Kind::Cluster, Kind::Endpoint);
        self.follow(Kind::Listener, Kind::Route);
    }

    fn answer(&mut self, response: &Response, bad: &[Arc<str>]) {
        let message = if self.names_culprits {
            format!(
                "Error adding/updating: {}: no good",
                bad.join(": no good, ")
            )
        } else {
            "no good".into()
        };
        self.request(DeltaDiscoveryRequest {
            type_url: response.kind.type_url().into(),
            response_nonce: response.nonce.clone(),
            error_detail: (!bad.is_empty()).then(|| rpc::Status {
                message,
                ..Default::default()
            }),
            ..Default::default()
        });
    }

    /// Subscribes to what the resources of one kind refer to, and to nothing else.
    fn follow(&mut self, kind: Kind, target: Kind) {
        let has = self.has.entry(kind).or_default().values();
        let references = has.flat_map(|resource| &resource.references);
        let wanted = references.filter(|(of, _)| *of == target);
        let wanted: BTreeSet<_> = wanted.map(|(_, name)| name.clone()).collect();
        let names = self.names.entry(target).or_default();
        let new: Vec<_> = wanted.difference(names).cloned().collect();
        let gone: Vec<_> = names.difference(&wanted).cloned().collect();
        if new.is_empty() && gone.is_empty() {
            return;
        }
        *names = wanted;
        for name in &gone {
            self.has.entry(target).or_default().remove(name);
        }
        self.excused
            .extend(new.iter().map(|name| (target, name.clone())));
        self.request(DeltaDiscoveryRequest {
            type_url: target.type_url().into(),
            resource_names_subscribe: new.iter().map(ToString::to_string).collect(),
            resource_names_unsubscribe: gone.iter().map(ToString::to_string).collect(),
            ..Default::default()
        });
    }

    fn has(&self, kind: Kind, name: &Arc<str>) -> bool {
        let of_kind = self.has.get(&kind);
        of_kind.is_some_and(|of_kind| of_kind.contains_key(name))
            || self.refused.contains(&(kind, name.clone()))
    }

    /// Every cluster that a route or an aggregate names is there.
    fn check_references(&self) {
        for kind in [Kind::Route, Kind::Cluster] {
            for resource in self.has.get(&kind).into_iter().flat_map(BTreeMap::values) {
                let clusters = resource.references.iter();
                for (_, cluster) in clusters.filter(|(of, _)| *of == Kind::Cluster) {
                    assert!(
                        self.has(Kind::Cluster, cluster),
                        "{kind} {} names {cluster}",
                        resource.name
                    );
                }
            }
        }
    }

    /// Lets everything come to rest.
    fn rest(&mut self) {
        for _ in 0..1000 {
            if !self.queue.is_empty() {
                self.step(Step::Deliver);
            } else if let Some(deadline) = self.stream.deadline() {
                self.now = self.now.max(deadline);
                let output = self.stream.elapsed(self.now);
                self.take(output);
            } else {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// The proxy has what the snapshot holds and it asks for; where something is bad, its last good
    /// form.
    fn check_rest(&self) {
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        assert!(self.stream.is_settled(), "{:#?}", self.stream);
        let mut any_bad = false;
        for kind in Kind::ALL {
            for resource in snapshot.of_kind(kind) {
                let held = self.has.get(&kind).and_then(|has| has.get(&resource.name));
                let wildcard = matches!(kind, Kind::Cluster | Kind::Listener);
                let names = self.names.get(&kind);
                let asked = wildcard || names.is_some_and(|names| names.contains(&resource.name));
                any_bad |= is_bad(resource);
                if asked && !is_bad(resource) {
                    let held = held.map(|held| &held.version);
                    assert_eq!(held, Some(&resource.version), "{kind} {}", resource.name);
                }
            }
        }
        // Where a last good form is still in force, what it refers to stays too.
        for (kind, has) in self.has.iter().filter(|_| !any_bad) {
            for name in has.keys() {
                assert!(snapshot.get(*kind, name).is_some(), "{kind} {name} stays");
            }
        }
    }
}

fn run(steps: Vec<Step>, names_culprits: bool) {
    let mut model = Model::new(names_culprits);
    for step in steps {
        model.step(step);
    }
    model.rest();
    model.check_rest();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        // A case worth keeping becomes a conversation.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_proxy_that_takes_everything_ends_with_the_snapshot(steps in steps(4)) {
        run(steps, false);
    }

    #[test]
    fn a_proxy_that_refuses_some_ends_with_all_others(steps in steps(BAD), names in any::<bool>()) {
        run(steps, names);
    }
}

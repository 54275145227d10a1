//! A proxy that speaks either variant of the protocol, and what must be true of it at every moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::google::rpc;
use locum::xds::kind::Kind;
use locum::xds::message::{Event, Output, Request, Response, Variant};
use locum::xds::resource::{Resource, Version};
use locum::xds::snapshot::Snapshot;
use locum::xds::stream::Stream;

use super::world::{Step, is_bad};

/// So short that all steps together stay below the bounds of waits.
const TICK: Duration = Duration::from_millis(40);

/// The kinds that a proxy asks for.
const KINDS: [Kind; 5] = [
    Kind::Cluster,
    Kind::Endpoint,
    Kind::Listener,
    Kind::Extension,
    Kind::Route,
];

/// The versions of all that a proxy has.
pub(super) type Contents = BTreeMap<Kind, BTreeMap<Arc<str>, Version>>;

pub(super) struct Model {
    variant: Variant,
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
    /// In the state of the world: the version accepted last with the names that it stands for, and
    /// the last nonce, by kind.
    accepted: BTreeMap<Kind, (String, BTreeSet<Arc<str>>)>,
    /// By nonce, the names that a version stands for, where it does not come with all of them.
    meant: BTreeMap<String, BTreeSet<Arc<str>>>,
    nonces: BTreeMap<Kind, String>,
    /// Kinds of which the server does not know for certain what the proxy has.
    unsure: BTreeSet<Kind>,
    /// Every complete set that the proxy was told by a server of which the present one knows, by kind
    /// and version.
    told: BTreeMap<(Kind, String), Vec<Arc<Resource>>>,
    /// Whether the proxy may have clusters that the server cannot know of.
    is_strange: bool,
}

/// Whether responses carry the complete set.
fn is_complete(variant: Variant, kind: Kind) -> bool {
    variant == Variant::StateOfTheWorld && is_wildcard(kind)
}

/// Whether the proxy asks for everything.
fn is_wildcard(kind: Kind) -> bool {
    matches!(kind, Kind::Cluster | Kind::Listener)
}

impl Model {
    pub(super) fn new(variant: Variant, names_culprits: bool) -> Self {
        let mut model = Self {
            variant,
            stream: Stream::new(variant),
            now: Duration::ZERO,
            snapshot: None,
            queue: VecDeque::new(),
            has: BTreeMap::new(),
            names: BTreeMap::new(),
            excused: BTreeSet::new(),
            refused: BTreeSet::new(),
            names_culprits,
            accepted: BTreeMap::new(),
            meant: BTreeMap::new(),
            nonces: BTreeMap::new(),
            unsure: BTreeSet::new(),
            told: BTreeMap::new(),
            is_strange: false,
        };
        model.connect();
        model
    }

    /// Opens a stream and says what it has, as Envoy does: all types at once.
    fn connect(&mut self) {
        self.stream = Stream::new(self.variant);
        self.queue.clear();
        self.excused.clear();
        self.nonces.clear();
        self.meant.clear();
        self.unsure.clear();
        if self.variant == Variant::StateOfTheWorld {
            for kind in KINDS {
                if self.is_recognised(kind) {
                    continue;
                }
                self.unsure.insert(kind);
                self.excuse_names(kind);
                if kind == Kind::Cluster {
                    self.excuse_names(Kind::Endpoint);
                    let accepted = self.accepted.get(&kind);
                    let is_known = |(version, _): &(String, _)| {
                        self.told.contains_key(&(kind, version.clone()))
                    };
                    let is_known = accepted.is_none_or(is_known);
                    self.is_strange |= !is_known;
                }
            }
        }
        if let Some(snapshot) = self.snapshot.clone() {
            let output = self.stream.snapshot(self.now, snapshot);
            self.take(output);
        }
        for kind in KINDS {
            let names = self.names.get(&kind).into_iter().flatten();
            let new: Vec<_> = names.map(ToString::to_string).collect();
            match self.variant {
                Variant::StateOfTheWorld => self.say(kind, None),
                Variant::Delta => {
                    let has = self.has.entry(kind).or_default().values();
                    let known = has.map(|has| (has.name.to_string(), has.version.0.to_string()));
                    let known = known.collect();
                    self.request(DeltaDiscoveryRequest {
                        type_url: kind.type_url().into(),
                        resource_names_subscribe: new,
                        initial_resource_versions: known,
                        ..Default::default()
                    });
                }
            }
        }
    }

    /// Whether the version that the proxy brings along is that of what it is to have.
    fn is_recognised(&self, kind: Kind) -> bool {
        let Some(snapshot) = &self.snapshot else {
            return false;
        };
        let wanted = snapshot
            .of_kind(kind)
            .filter(|one| self.wants(kind, &one.name));
        let version = Version::of_set(wanted.map(|one| (&*one.name, &one.version)));
        let accepted = self.accepted.get(&kind);
        accepted.is_some_and(|(accepted, _)| **accepted == *version.0)
    }

    fn wants(&self, kind: Kind, name: &Arc<str>) -> bool {
        let names = self.names.get(&kind);
        is_wildcard(kind) || names.is_some_and(|names| names.contains(name))
    }

    fn excuse_names(&mut self, kind: Kind) {
        let names = self.names.get(&kind).into_iter().flatten();
        self.excused.extend(names.map(|name| (kind, name.clone())));
    }

    /// A request in the state of the world.
    fn say(&mut self, kind: Kind, error: Option<rpc::Status>) {
        let names = self.names.get(&kind).into_iter().flatten();
        let version = self.accepted.get(&kind).map(|(version, _)| version);
        self.request(DiscoveryRequest {
            type_url: kind.type_url().into(),
            resource_names: names.map(ToString::to_string).collect(),
            version_info: version.cloned().unwrap_or_default(),
            response_nonce: self.nonces.get(&kind).cloned().unwrap_or_default(),
            error_detail: error,
            ..Default::default()
        });
    }

    fn request<R: Request>(&mut self, request: R) {
        if let Some((kind, version)) = self.stream.brings_along(&request)
            && let Some(set) = self.told.get(&(kind, version.to_owned()))
        {
            self.stream.recall(kind, set.clone());
        }
        if let Some((kind, version)) = self.stream.leaves(&request) {
            self.told.remove(&(kind, version.to_owned()));
        }
        let output = self.stream.request(self.now, &request).unwrap();
        self.take(output);
    }

    fn take(&mut self, output: Output) {
        for event in &output.events {
            // Requests and responses cross; in the state of the world both have nonces.
            let stale = self.variant == Variant::Delta && matches!(event, Event::Stale { .. });
            let expired = matches!(event, Event::Expired(_));
            assert!(!stale && !expired, "{event:?}");
        }
        for response in output.responses {
            if is_complete(self.variant, response.kind) {
                let mut set = response.resources.clone();
                set.sort_by(|one, other| one.name.cmp(&other.name));
                let version = response.version.as_ref().unwrap().0.to_string();
                self.told.insert((response.kind, version), set);
            }
            if !is_wildcard(response.kind) {
                let subscription = &self.stream.subscriptions()[&response.kind];
                let names = subscription.forms().into_keys().collect();
                self.meant.insert(response.nonce.clone(), names);
            }
            self.queue.push_back(response);
        }
    }

    pub(super) fn step(&mut self, step: Step) {
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
            // One that has let go of something and is not told yet which version that makes would
            // name that of before, as if it had it.
            Step::Reconnect { .. } if self.has_less_than_it_accepted() => {}
            Step::Reconnect { is_known } => {
                if !is_known {
                    self.told.clear();
                }
                self.connect();
            }
        }
    }

    fn has_less_than_it_accepted(&self) -> bool {
        let mut accepted = self.accepted.iter();
        accepted.any(|(kind, (_, names))| names.iter().any(|name| !self.contains(*kind, name)))
    }

    fn contains(&self, kind: Kind, name: &Arc<str>) -> bool {
        let of_kind = self.has.get(&kind);
        of_kind.is_some_and(|of_kind| of_kind.contains_key(name))
    }

    /// Whether a response tells a version and nothing else.
    fn is_notice(&self, response: &Response) -> bool {
        let is_partial = self.variant == Variant::StateOfTheWorld && !is_wildcard(response.kind);
        is_partial && response.resources.is_empty()
    }

    /// What a response brings and takes away.
    fn difference(&self, response: &Response) -> (Vec<Arc<Resource>>, Vec<Arc<str>>) {
        let (kind, all) = (response.kind, &response.resources);
        if !is_complete(self.variant, kind) {
            return match self.variant {
                Variant::Delta => (all.clone(), response.removed.clone()),
                Variant::StateOfTheWorld => (all.clone(), Vec::new()),
            };
        }
        let nothing = BTreeMap::new();
        let has = self.has.get(&kind).unwrap_or(&nothing);
        let is_new = |one: &&Arc<Resource>| {
            let had = has.get(&one.name);
            had.is_none_or(|had| had.version != one.version)
        };
        let carried: BTreeSet<_> = all.iter().map(|one| &one.name).collect();
        let gone = has.keys().filter(|name| !carried.contains(name));
        let (news, gone) = (all.iter().filter(is_new).cloned(), gone.cloned());
        let (news, gone): (Vec<_>, Vec<_>) = (news.collect(), gone.collect());
        let changes = !news.is_empty() || !gone.is_empty();
        assert!(
            changes || self.unsure.contains(&kind),
            "all {kind}s are sent again"
        );
        (news, gone)
    }

    fn deliver(&mut self, response: &Response) {
        let kind = response.kind;
        let mut bad = Vec::new();
        let (news, gone) = self.difference(response);
        for resource in &news {
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
            } else if self.wants(kind, &resource.name) {
                let has = self.has.entry(kind).or_default();
                has.insert(resource.name.clone(), resource.clone());
            }
        }
        for name in &gone {
            self.has.entry(kind).or_default().remove(name);
        }
        if kind == Kind::Cluster && self.unsure.contains(&kind) {
            self.excuse_names(Kind::Endpoint);
        }
        self.check_references();
        if bad.is_empty() {
            self.accept(response);
            self.unsure.remove(&kind);
        } else {
            self.unsure.insert(kind);
            let sent = news.iter();
            self.excused
                .extend(sent.map(|resource| (kind, resource.name.clone())));
        }
        // Envoy says what it wants with what it was sent before it acknowledges that.
        self.follow(Kind::Cluster, Kind::Endpoint);
        self.follow(Kind::Listener, Kind::Extension);
        self.follow(Kind::Listener, Kind::Route);
        self.answer(response, &bad);
    }

    /// Takes over a version. Envoy does not if it asks for none of what comes with it.
    fn accept(&mut self, response: &Response) {
        let kind = response.kind;
        let passes_over = !response.resources.is_empty() && !self.asks(kind);
        let version = response.version.as_ref().filter(|_| !passes_over);
        if let Some(version) = version {
            let names = self.meant.remove(&response.nonce).unwrap_or_default();
            self.accepted.insert(kind, (version.0.to_string(), names));
        }
    }

    fn asks(&self, kind: Kind) -> bool {
        let names = self.names.get(&kind);
        is_wildcard(kind) || names.is_some_and(|names| !names.is_empty())
    }

    fn answer(&mut self, response: &Response, bad: &[Arc<str>]) {
        let kind = response.kind;
        let message = if self.names_culprits {
            format!(
                "Error adding/updating: {}: no good",
                bad.join(": no good, ")
            )
        } else {
            "no good".into()
        };
        let error = (!bad.is_empty()).then(|| rpc::Status {
            message,
            ..Default::default()
        });
        if self.variant == Variant::Delta {
            return self.request(DeltaDiscoveryRequest {
                type_url: kind.type_url().into(),
                response_nonce: response.nonce.clone(),
                error_detail: error,
                ..Default::default()
            });
        }
        self.nonces.insert(kind, response.nonce.clone());
        // Envoy holds the answer back while clusters warm, and then gives the last alone.
        let holds = kind == Kind::Cluster && self.queue.iter().any(|one| one.kind == kind);
        if (self.asks(kind) || !self.is_notice(response)) && !holds {
            self.say(kind, error);
        }
        // A changed cluster asks for its endpoints once more.
        if kind == Kind::Cluster {
            self.say(Kind::Endpoint, None);
        }
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
        if self.variant == Variant::StateOfTheWorld {
            return self.say(target, None);
        }
        self.request(DeltaDiscoveryRequest {
            type_url: target.type_url().into(),
            resource_names_subscribe: new.iter().map(ToString::to_string).collect(),
            resource_names_unsubscribe: gone.iter().map(ToString::to_string).collect(),
            ..Default::default()
        });
    }

    fn has(&self, kind: Kind, name: &Arc<str>) -> bool {
        self.contains(kind, name) || self.refused.contains(&(kind, name.clone()))
    }

    /// Every cluster that a route, a filter or an aggregate names is there.
    fn check_references(&mut self) {
        let mut missing = Vec::new();
        for kind in [Kind::Route, Kind::Extension, Kind::Cluster] {
            for resource in self.has.get(&kind).into_iter().flat_map(BTreeMap::values) {
                let references = resource.references.iter();
                let clusters = references.filter(|(of, _)| *of == Kind::Cluster);
                let absent = clusters.filter(|(_, cluster)| !self.has(Kind::Cluster, cluster));
                let absent =
                    absent.map(|(_, cluster)| format!("{kind} {} names {cluster}", resource.name));
                missing.extend(absent);
            }
        }
        // What cannot be known cannot be kept; that ends when all is known again.
        self.is_strange &= !(missing.is_empty() && self.stream.is_settled());
        assert!(self.is_strange || missing.is_empty(), "{missing:?}");
    }

    /// Lets everything come to rest.
    pub(super) fn rest(&mut self) {
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
    pub(super) fn check_rest(&self) {
        let Some(snapshot) = &self.snapshot else {
            return;
        };
        assert!(self.stream.is_settled(), "{:#?}", self.stream);
        let mut any_bad = false;
        for kind in Kind::ALL {
            for resource in snapshot.of_kind(kind) {
                let held = self.has.get(&kind).and_then(|has| has.get(&resource.name));
                any_bad |= is_bad(resource);
                if self.wants(kind, &resource.name) && !is_bad(resource) {
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

    /// The versions of all that the proxy has.
    pub(super) fn contents(&self) -> Contents {
        let version =
            |(name, has): (&Arc<str>, &Arc<Resource>)| (name.clone(), has.version.clone());
        let of_kind = |kind: Kind| {
            let has = self.has.get(&kind).into_iter().flatten();
            (kind, has.map(version).collect())
        };
        KINDS.into_iter().map(of_kind).collect()
    }

    /// A proxy that has everything, and comes back, is sent nothing.
    pub(super) fn check_return(&mut self) {
        if self.snapshot.is_none() {
            return;
        }
        self.connect();
        for response in &self.queue {
            let is_empty = response.resources.is_empty() && response.removed.is_empty();
            // An Envoy that has no cluster says so as one that has just started does.
            let is_greeting = self.variant == Variant::Delta && is_empty;
            assert!(is_greeting, "{response:?}");
        }
    }
}

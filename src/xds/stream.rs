//! One discovery stream as a state machine: requests and snapshots in, responses and
//! events out.
//!
//! The same for both variants of the protocol: they hold one subscription against one snapshot, in
//! one order, and differ in what a response says of it and how ([`delta`](crate::xds::delta),
//! [`sotw`]).
//!
//! No socket, no clock: time comes in as the [`Duration`] since the stream's start, and
//! [`Stream::deadline`] says when the machine wants to be called again. For each type one response
//! is under way (for clusters, which a proxy acknowledges only when all are warm, a few more), made
//! from the newest snapshot, so a proxy that does not answer costs a bounded amount. Content that a
//! proxy is known to have is not sent again, but for what the protocol or Envoy demands: a name
//! subscribed to anew, a response that was refused, the endpoints of a changed cluster, and in the
//! state of the world what else is in a complete set.

mod answering;
mod sending;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::xds::kind::Kind;
use crate::xds::message::{Event, Output, Request, Variant};
use crate::xds::order::{self, Order, Subscriptions};
use crate::xds::refusal::Refusal;
use crate::xds::resource::Resource;
use crate::xds::snapshot::Snapshot;
use crate::xds::sotw;
use crate::xds::subscription::{Form, Subscription};
use crate::xds::virtual_hosts;

/// The most names that one stream may ask for or bring along, over all types.
pub const MAX_NAMES: usize = 200_000;

/// The most bytes that these names may take, with the versions of those that it brings along: so
/// many names of 160 bytes. Envoy's and Locum's have 50, and nobody's name need be longer because
/// others are few.
pub const MAX_NAME_BYTES: usize = 32 << 20;

/// How long clusters that a proxy has not acknowledged hold up other clusters. Envoy acknowledges
/// none before all are warm, and a name server that says nothing takes it half a minute. The time
/// doubles with each response under way.
pub const CLUSTER_PATIENCE: Duration = Duration::from_millis(500);

/// The most responses with clusters under way; their patience adds up to half a minute.
pub const MAX_CLUSTER_RESPONSES: usize = 6;

/// The most responses under way on a stream.
pub const MAX_RESPONSES: usize = Kind::ALL.len() - 1 + MAX_CLUSTER_RESPONSES;

/// The most notices on their way to a proxy that reads what it is sent: for each type whose
/// responses are not complete sets one that it is yet to see, and one that it need not answer,
/// because it has let go of its last name.
pub const MAX_NOTICES: usize = 2 * (Kind::ALL.len() - 2);

/// A proxy asked for more than the limits allow; its stream is to be ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverLimit {
    /// More than [`MAX_NAMES`].
    #[error("the stream asks for {0} names; the limit is {MAX_NAMES}")]
    Names(usize),
    /// More than [`MAX_NAME_BYTES`].
    #[error("the names that the stream asks for take {0} bytes; the limit is {MAX_NAME_BYTES}")]
    Bytes(usize),
}

/// Whether the proxy had an answer for all that it refers to when its subscriptions were of these
/// epochs.
#[derive(Clone, Debug, Default)]
struct Complete {
    epochs: Vec<u64>,
    is_so: bool,
}

/// One stream's state.
#[derive(Clone, Debug)]
pub struct Stream {
    variant: Variant,
    /// The type of the service that it is a stream of; nothing if all come over it.
    only: Option<Kind>,
    subscriptions: Subscriptions,
    snapshot: Option<Arc<Snapshot>>,
    order: Order,
    nonces: u64,
    /// The most bytes that the names which are kept for the proxy may take.
    bytes: usize,
    deadline: Option<Duration>,
    /// Whether something that the proxy is to be sent has to wait for something else.
    is_held_back: bool,
    complete: Complete,
    /// Whether the proxy took a set of clusters in the place of one of which nothing was known, and
    /// has no new routes since: what its routes lead to may be gone.
    is_adrift: bool,
    /// Sets that the proxy brings along, for the subscriptions that it opens next.
    recalled: BTreeMap<Kind, Vec<Arc<Resource>>>,
}

impl Stream {
    /// An aggregated stream on which nothing has been said.
    pub fn new(variant: Variant) -> Self {
        Self {
            variant,
            only: None,
            subscriptions: Subscriptions::new(),
            snapshot: None,
            order: Order::default(),
            nonces: 0,
            bytes: 0,
            deadline: None,
            is_held_back: false,
            complete: Complete::default(),
            is_adrift: false,
            recalled: BTreeMap::new(),
        }
    }

    /// The same for the stream of one type's own service. What the proxy has of other types cannot
    /// be seen on it, so nothing that is sent on it waits for these.
    pub fn of_one_type(variant: Variant, kind: Kind) -> Self {
        Self {
            only: Some(kind),
            ..Self::new(variant)
        }
    }

    /// The variant that it speaks.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// The type of the service that it is a stream of; nothing if all come over it.
    pub fn only(&self) -> Option<Kind> {
        self.only
    }

    /// Takes in a message of the proxy, of the stream's variant.
    pub fn request<R: Request>(&mut self, now: Duration, request: &R) -> Result<Output, OverLimit> {
        // Before any of them is kept.
        let names = request.names();
        if names > MAX_NAMES {
            return Err(OverLimit::Names(names));
        }
        let mut output = Output::default();
        let Some(kind) = self.kind_of(request) else {
            output.events.push(Event::UnknownType {
                type_url: request.type_url().to_owned(),
            });
            return Ok(output);
        };
        if request.has_locators() {
            output.events.push(Event::Unsupported {
                what: "resource locators",
            });
        }
        if !request.nonce().is_empty() {
            self.answer(now, kind, request, &mut output);
        }
        self.subscribe(kind, request);
        self.check_limits(request)?;
        self.advance(now, &mut output);
        Ok(output)
    }

    /// Whether what is kept for the proxy is not too much, with what a request has added.
    fn check_limits(&mut self, request: &impl Request) -> Result<(), OverLimit> {
        let names = self.subscriptions.values().map(Subscription::size).sum();
        if names > MAX_NAMES {
            return Err(OverLimit::Names(names));
        }
        // Each name is looked at only where all that was said since would be too much.
        self.bytes += request.bytes_of_names();
        if self.bytes > MAX_NAME_BYTES {
            self.bytes = self.subscriptions.values().map(Subscription::bytes).sum();
        }
        if self.bytes > MAX_NAME_BYTES {
            return Err(OverLimit::Bytes(self.bytes));
        }
        Ok(())
    }

    /// What a request is about, if it is served on this stream. The protocol: a stream of one type's
    /// own service implies the type.
    fn kind_of(&self, request: &impl Request) -> Option<Kind> {
        let kind = match (self.only, request.type_url()) {
            (Some(only), "") => Some(only),
            (only, url) => Kind::of_type_url(url).filter(|kind| only.is_none_or(|it| it == *kind)),
        };
        // The state of the world has no virtual hosts apart.
        let is_there = |kind: &Kind| *kind != Kind::VirtualHost || self.variant == Variant::Delta;
        kind.filter(is_there)
    }

    /// The version of the complete set that the proxy says it has, where this request is the first
    /// of its type. Who knows what is in that set says so by [`Stream::recall`], before the request.
    pub fn brings_along<'a, R: Request>(&self, request: &'a R) -> Option<(Kind, &'a str)> {
        let kind = self.kind_of(request)?;
        let is_first = !self.subscriptions.contains_key(&kind);
        let version = request.accepted().filter(|_| is_first)?;
        sotw::is_complete(kind).then_some((kind, version))
    }

    /// Says what is in the set of [`Stream::brings_along`], in the order of names: what was told once, in
    /// this process or an earlier one. So what is to go can wait for what refers to it, as if the proxy
    /// had never been away.
    pub fn recall(&mut self, kind: Kind, set: Vec<Arc<Resource>>) {
        self.recalled.insert(kind, set);
    }

    /// The version of the complete set that the proxy goes on naming while it refuses a newer one. An
    /// Envoy takes over what is good in that, removals too, so that nobody knows any more what a proxy
    /// that names this version has.
    pub fn leaves<'a, R: Request>(&self, request: &'a R) -> Option<(Kind, &'a str)> {
        request.refusal()?;
        let kind = self.kind_of(request)?;
        let version = request.accepted()?;
        sotw::is_complete(kind).then_some((kind, version))
    }

    /// Takes in a new snapshot; what was in an older one alone, and was not sent yet, never is, but
    /// for a form that waits for its clusters while the newer one would wait for more.
    pub fn snapshot(&mut self, now: Duration, snapshot: Arc<Snapshot>) -> Output {
        let snapshot = match self.variant {
            Variant::Delta => snapshot,
            Variant::StateOfTheWorld => snapshot.inlined(),
        };
        let mut output = Output::default();
        self.is_adrift = self.is_adrift && !self.is_settled();
        let changes = self.snapshot.as_ref();
        let changes = changes.map(|before| snapshot.changes_since(before));
        let mut ended = false;
        for (kind, subscription) in &mut self.subscriptions {
            ended |= subscription.observe(*kind, &snapshot);
            let names = changes.as_ref().map(|changes| &*changes[kind]);
            subscription.changed(names);
        }
        if ended {
            output.events.push(Event::RefusalsChanged);
        }
        let before = self.snapshot.replace(snapshot);
        self.tell_of_no_hosts(before.as_deref());
        self.advance(now, &mut output);
        output
    }

    /// Takes in that [`Stream::deadline`] has passed.
    pub fn elapsed(&mut self, now: Duration) -> Output {
        let mut output = Output::default();
        self.advance(now, &mut output);
        output
    }

    /// When [`Stream::elapsed`] is to be called, since the stream's start.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Whether the proxy has acknowledged all it is to have of the newest snapshot, or refused it,
    /// and, on an aggregated stream, has asked for all that follows from it: endpoints of its clusters, listeners, routes of
    /// its listeners.
    pub fn is_settled(&self) -> bool {
        let Some(snapshot) = &self.snapshot else {
            return false;
        };
        let listens = self.subscriptions.contains_key(&Kind::Listener)
            || snapshot.of_kind(Kind::Listener).next().is_none();
        let follows = || listens && self.complete.is_so;
        !self.is_held_back && self.is_quiet() && (self.only.is_some() || follows())
    }

    /// Whether the proxy has answered all it was sent.
    fn is_quiet(&self) -> bool {
        let quiet = |subscription: &Subscription| {
            subscription.outstanding.is_empty() && !subscription.search.is_under_way()
        };
        !self.subscriptions.is_empty() && self.subscriptions.values().all(quiet)
    }

    /// Finds out whether the proxy has an answer for all that it refers to, if that may have changed
    /// and nothing is under way.
    fn look_whether_complete(&mut self) {
        if !self.is_quiet() {
            return;
        }
        let epochs: Vec<_> = self
            .subscriptions
            .values()
            .map(Subscription::epoch)
            .collect();
        if self.complete.epochs != epochs {
            self.complete = Complete {
                epochs,
                is_so: order::is_complete(&self.subscriptions),
            };
        }
        debug_assert_eq!(self.complete.is_so, order::is_complete(&self.subscriptions));
    }

    /// What the proxy asked for and has, by type.
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// What the proxy refuses at present, in the proxy's words.
    pub fn refusals(&self) -> impl Iterator<Item = &Refusal> {
        self.subscriptions
            .values()
            .flat_map(|subscription| subscription.refused.values())
    }

    /// Opens or changes the subscription.
    fn subscribe(&mut self, kind: Kind, request: &impl Request) {
        if let Some(subscription) = self.subscriptions.get_mut(&kind) {
            request.change(subscription);
            // What it lets go of, and asks for once more, is new to it.
            if kind == Kind::Cluster && !subscription.is_wildcard() {
                self.order.keep(|cluster| subscription.wants(cluster));
            }
            return;
        }
        let mut subscription = request.open(kind);
        if let Some(snapshot) = &self.snapshot {
            subscription.observe(kind, snapshot);
        }
        if let Some(set) = self.recalled.remove(&kind) {
            // What the snapshot has too has its owners there.
            let same = |one: &Arc<Resource>| {
                let same = self.snapshot.as_ref()?.get(kind, &one.name)?;
                (same.version == one.version).then(|| same.clone())
            };
            let set = set.into_iter().map(|one| same(&one).unwrap_or(one));
            subscription.recall(set.collect());
        }
        if kind == Kind::Listener && subscription.began_empty() {
            self.trust_cold_start();
        }
        self.subscriptions.insert(kind, subscription);
        if kind == Kind::VirtualHost && self.subscriptions[&kind].began_empty() {
            self.expect_virtual_hosts(&self.held_routes());
            self.tell_of_no_hosts(None);
        }
        // One that comes back is sent the clusters that have changed before it gets to these.
        if kind == Kind::Endpoint && self.subscriptions.contains_key(&Kind::Cluster) {
            self.owe_endpoints(&self.subscriptions[&Kind::Cluster].being_sent());
        }
    }

    /// An Envoy that starts asks for listeners only when its clusters are warm. So if it came with
    /// nothing and asks for the first time, every cluster it has acknowledged can be used, DNS or
    /// not. (One that reconnects sends all its subscriptions at once, before it can have
    /// acknowledged anything.)
    fn trust_cold_start(&mut self) {
        let Some(clusters) = self.subscriptions.get(&Kind::Cluster) else {
            return;
        };
        if clusters.began_empty() {
            for name in clusters.held().keys().filter(|name| clusters.has(name)) {
                self.order.warmed(name);
            }
        }
    }

    fn held_routes(&self) -> Vec<Arc<Resource>> {
        let routes = self.subscriptions.get(&Kind::Route);
        let held = routes.into_iter().flat_map(|routes| routes.held().values());
        let known = held.filter_map(|held| match &held.form {
            Some(Form::Known(route)) => Some(route.clone()),
            _ => None,
        });
        known.collect()
    }

    /// An Envoy that has just taken over these routes has none of their virtual hosts, and warms
    /// until it hears of some, or that there are none.
    fn expect_virtual_hosts(&mut self, routes: &[Arc<Resource>]) {
        let hosts = self.subscriptions.get_mut(&Kind::VirtualHost);
        let (Some(hosts), Some(snapshot)) = (hosts, &self.snapshot) else {
            return;
        };
        for route in routes
            .iter()
            .filter(|route| virtual_hosts::are_apart(route))
        {
            let mut there = virtual_hosts::of(snapshot, &route.name).peekable();
            if there.peek().is_none() {
                hosts.owe(&virtual_hosts::every(&route.name).into());
            }
            there.for_each(|host| hosts.lost(&host.name));
        }
    }

    /// Which routes a proxy has is not known on a stream of virtual hosts alone. It may have those
    /// without any, and warm until it hears so: it is told once of each that has come to be one.
    fn tell_of_no_hosts(&mut self, before: Option<&Snapshot>) {
        let hosts = self.subscriptions.get_mut(&Kind::VirtualHost);
        let (Some(hosts), Some(snapshot)) = (hosts, &self.snapshot) else {
            return;
        };
        if self.only.is_none() || (before.is_none() && !hosts.began_empty()) {
            return;
        }
        let known = |route: &&Arc<str>| {
            before.is_some_and(|before| before.without_hosts().contains(&**route))
        };
        for route in snapshot.without_hosts().iter().filter(|it| !known(it)) {
            hosts.owe(&virtual_hosts::every(route).into());
        }
    }
}

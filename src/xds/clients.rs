//! The proxies that are connected, for readiness, statuses and debug answers.
//!
//! Each stream's task keeps its own entry here; others look at it. Nothing is copied until someone
//! asks.

mod proxies;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::xds::kind::Kind;
use crate::xds::message::{Event, Output, Variant};
use crate::xds::proxy::Proxy;
use crate::xds::resource::Resource;
use crate::xds::stream::Stream;
use crate::xds::subscription::Subscription;

/// How long before a proxy's certificate runs out that is said: in the log, and by who lists proxies.
pub const CERTIFICATE_NOTICE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How far a connected proxy is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The group that the proxy is of: in Locum, its Gateway.
    pub gateway: String,
    /// The proxy's `node.id`.
    pub node: String,
    /// The revision of its Gateway's snapshot that it has acknowledged in full; 0 before the first.
    pub revision: u64,
}

/// A resource that a proxy will not have in its present form.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The group that the proxy is of: in Locum, its Gateway.
    pub gateway: String,
    /// The proxy's `node.id`.
    pub node: String,
    /// What it refuses, in the form that it refuses.
    pub resource: Arc<Resource>,
    /// The proxy's own words.
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            resource,
            message,
            ..
        } = self;
        write!(f, "{node} refuses {} {}", resource.kind, resource.name)?;
        if !resource.owners.is_empty() {
            write!(f, " of {}", resource.owners.join(", "))?;
        }
        write!(f, ": {message}")
    }
}

/// The registry of connected proxies.
#[derive(Debug, Default)]
pub struct Clients {
    connected: Mutex<Connected>,
    refusals: watch::Sender<Arc<[Refused]>>,
    ticks: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Connected {
    next: u64,
    clients: BTreeMap<u64, Arc<Client>>,
}

#[derive(Debug)]
struct Client {
    proxy: Proxy,
    peer: Option<SocketAddr>,
    certificate_expires: Option<Timestamp>,
    since: Timestamp,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stream: Stream,
    /// The revision of the Gateway's snapshot that the stream works with.
    revision: u64,
    /// The revision of which the proxy has acknowledged everything.
    settled: u64,
    counts: BTreeMap<Kind, Counts>,
    last_ack: BTreeMap<Kind, Timestamp>,
    last_nack: BTreeMap<Kind, Nack>,
}

/// What a proxy was sent of one type since it connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Counts {
    /// Responses sent.
    pub responses: u64,
    /// Resources in them.
    pub resources: u64,
    /// Removals in them.
    pub removed: u64,
    /// Responses acknowledged.
    pub acks: u64,
    /// Responses refused.
    pub nacks: u64,
}

/// A refusal in the proxy's words.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Nack {
    /// When.
    pub at: Timestamp,
    /// Why, in the proxy's words.
    pub message: String,
}

/// A connected proxy's entry; the proxy is gone when this is dropped.
#[derive(Debug)]
pub struct Connection {
    clients: Arc<Clients>,
    client: Arc<Client>,
    id: u64,
}

impl Clients {
    /// Enters a proxy that has connected, with until when the certificate holds that it showed, if it
    /// showed one, and the stream that it has opened.
    pub fn connect(
        self: &Arc<Self>,
        proxy: Proxy,
        peer: Option<SocketAddr>,
        certificate_expires: Option<Timestamp>,
        stream: Stream,
    ) -> Connection {
        let client = Arc::new(Client {
            proxy,
            peer,
            certificate_expires,
            since: Timestamp::now(),
            state: Mutex::new(State::new(stream)),
        });
        let mut connected = lock(&self.connected);
        let id = connected.next;
        connected.next += 1;
        connected.clients.insert(id, client.clone());
        drop(connected);
        self.tick();
        Connection {
            clients: self.clone(),
            client,
            id,
        }
    }

    /// What connected proxies refuse, now and whenever it changes.
    pub fn refusals(&self) -> watch::Receiver<Arc<[Refused]>> {
        self.refusals.subscribe()
    }

    /// Ticks when a proxy comes, goes, has acknowledged all it was sent, or refuses something else than
    /// before.
    pub fn ticks(&self) -> watch::Receiver<u64> {
        self.ticks.subscribe()
    }

    /// How far each connected proxy is, one by one however many streams it has.
    pub fn settled(&self) -> Vec<Settled> {
        proxies::settled(&self.all())
    }

    /// How many proxies of a Gateway are connected, by their `node.id`.
    pub fn count(&self, gateway: &str) -> usize {
        let ours: Vec<_> = self.of(gateway).collect();
        let nodes: BTreeSet<_> = ours.iter().map(|client| &client.proxy.id).collect();
        nodes.len()
    }

    /// The ids of a Gateway's connected proxies that have not acknowledged all of this revision of
    /// its snapshot.
    pub fn behind(&self, gateway: &str, revision: u64) -> Vec<String> {
        let mut ours: Vec<_> = self.of(gateway).collect();
        let late = ours.iter();
        let late = late.filter(|client| lock(&client.state).settled < revision);
        let nodes: BTreeSet<_> = late.map(|client| client.proxy.id.clone()).collect();
        // One of its streams may be of before.
        ours.retain(|client| nodes.contains(&client.proxy.id));
        let ours = proxies::settled(&ours).into_iter();
        let late = ours.filter(|proxy| proxy.revision < revision);
        late.map(|proxy| proxy.node).collect()
    }

    /// Waits until at least one proxy of a Gateway is connected and all of them have acknowledged
    /// this revision of its snapshot. Has no bound of its own.
    pub async fn caught_up(&self, gateway: &str, revision: u64) {
        let mut ticks = self.ticks.subscribe();
        while self.count(gateway) == 0 || !self.behind(gateway, revision).is_empty() {
            if ticks.changed().await.is_err() {
                return;
            }
        }
    }

    /// By group, the connected proxy whose certificate runs out first, and when. It is the one that
    /// the proxy showed when it connected: a renewed one is seen when it does so again.
    pub fn certificates(&self) -> BTreeMap<String, (Timestamp, String)> {
        let mut first = BTreeMap::new();
        for client in self.all() {
            let Some(expires) = client.certificate_expires else {
                continue;
            };
            let proxy = &client.proxy;
            let known = first
                .entry(proxy.gateway.clone())
                .or_insert_with(|| (expires, proxy.id.clone()));
            if expires < known.0 {
                *known = (expires, proxy.id.clone());
            }
        }
        first
    }

    /// What there is to say of each connected proxy, longest connected first.
    pub fn reports(&self, detail: Detail) -> Vec<Report> {
        self.all()
            .iter()
            .map(|client| client.report(detail))
            .collect()
    }

    fn all(&self) -> Vec<Arc<Client>> {
        lock(&self.connected).clients.values().cloned().collect()
    }

    fn of(&self, gateway: &str) -> impl Iterator<Item = Arc<Client>> {
        self.all()
            .into_iter()
            .filter(move |client| client.proxy.gateway == gateway)
    }

    fn tick(&self) {
        self.ticks.send_modify(|tick| *tick += 1);
    }

    fn gather_refusals(&self) {
        let mut refusals = Vec::new();
        for client in self.all() {
            let state = lock(&client.state);
            refusals.extend(state.stream.refusals().map(|refusal| Refused {
                gateway: client.proxy.gateway.clone(),
                node: client.proxy.id.clone(),
                resource: refusal.resource.clone(),
                message: refusal.message.clone(),
            }));
        }
        self.refusals.send_replace(refusals.into());
        self.tick();
    }
}

impl Connection {
    /// Gives the stream's machine one input and keeps the books of what comes out. `revision` is
    /// that of the snapshot the machine has.
    pub fn with<E>(
        &self,
        revision: u64,
        input: impl FnOnce(&mut Stream) -> Result<Output, E>,
    ) -> Result<Output, E> {
        let mut state = lock(&self.client.state);
        let output = input(&mut state.stream)?;
        state.revision = revision;
        state.count(&output);
        let settled = state.settled != revision && state.stream.is_settled();
        drop(state);
        let refusals = |event: &Event| matches!(event, Event::RefusalsChanged);
        if output.events.iter().any(refusals) {
            self.clients.gather_refusals();
        }
        if settled {
            // Not before: who finds that a proxy has settled finds what it refuses.
            lock(&self.client.state).settled = revision;
            self.clients.tick();
        }
        Ok(output)
    }

    /// When the stream's machine wants to be called, since the stream's start.
    pub fn deadline(&self) -> Option<Duration> {
        lock(&self.client.state).stream.deadline()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.clients.connected).clients.remove(&self.id);
        self.clients.tick();
        if lock(&self.client.state).stream.refusals().next().is_some() {
            self.clients.gather_refusals();
        }
    }
}

impl State {
    fn new(stream: Stream) -> Self {
        Self {
            stream,
            revision: 0,
            settled: 0,
            counts: BTreeMap::new(),
            last_ack: BTreeMap::new(),
            last_nack: BTreeMap::new(),
        }
    }

    fn count(&mut self, output: &Output) {
        for response in &output.responses {
            let counts = self.counts.entry(response.kind).or_default();
            counts.responses += 1;
            counts.resources += response.resources.len() as u64;
            counts.removed += response.removed.len() as u64;
        }
        for event in &output.events {
            match event {
                Event::Acknowledged { kind, .. } => {
                    self.counts.entry(*kind).or_default().acks += 1;
                    self.last_ack.insert(*kind, Timestamp::now());
                }
                Event::Refused { kind, message, .. } => {
                    self.counts.entry(*kind).or_default().nacks += 1;
                    let nack = Nack {
                        at: Timestamp::now(),
                        message: message.clone(),
                    };
                    self.last_nack.insert(*kind, nack);
                }
                _ => {}
            }
        }
    }
}

/// How much a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Without the names that it asks for and the versions that it has.
    Counts,
    /// With them.
    Names,
}

/// What there is to say of one connected proxy.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Report {
    /// Its group: in Locum, its Gateway.
    pub gateway: String,
    /// Its `node.id`.
    pub node: String,
    /// What it is, such as `envoy 1.40.0`; empty if it does not say.
    pub user_agent: String,
    /// The variant of the protocol that it speaks.
    pub variant: Variant,
    /// Where it connects from; nothing for a Unix socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<SocketAddr>,
    /// When the certificate runs out that it showed when it connected; nothing in plaintext.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<Timestamp>,
    /// Since when its stream is open.
    pub connected_since: Timestamp,
    /// The revision of its Gateway's snapshot that it is being sent.
    pub revision: u64,
    /// The revision that it has acknowledged in full.
    pub settled_revision: u64,
    /// By the kind's name.
    pub types: BTreeMap<String, TypeReport>,
}

/// What there is to say of one type on one stream.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct TypeReport {
    /// Whether it asks for everything.
    pub wildcard: bool,
    /// How many names it asks for one by one.
    pub subscribed: usize,
    /// The names that it asks for one by one; only with [`Detail::Names`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// How many resources it certainly has.
    pub acknowledged: usize,
    /// Versions by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
    /// The names in responses under way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<String>,
    /// Since when the oldest of these responses is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<Timestamp>,
    /// When it last acknowledged a response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ack: Option<Timestamp>,
    /// What it refuses, by name, in its own words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
    /// Its last refusal, ended or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_nack: Option<Nack>,
    /// What it was sent and how it answered.
    pub sent: Counts,
}

impl Client {
    fn report(&self, detail: Detail) -> Report {
        let state = lock(&self.state);
        let types = state.stream.subscriptions().iter();
        Report {
            gateway: self.proxy.gateway.clone(),
            node: self.proxy.id.clone(),
            user_agent: self.proxy.user_agent.clone(),
            variant: state.stream.variant(),
            peer: self.peer,
            certificate_expires: self.certificate_expires,
            connected_since: self.since,
            revision: state.revision,
            settled_revision: state.settled,
            types: types
                .map(|(kind, subscription)| {
                    let report = state.type_report(*kind, subscription, self.since, detail);
                    (kind.name().to_owned(), report)
                })
                .collect(),
        }
    }
}

impl State {
    /// `start` is when the stream began, which its machine counts from.
    fn type_report(
        &self,
        kind: Kind,
        subscription: &Subscription,
        start: Timestamp,
        detail: Detail,
    ) -> TypeReport {
        let mut names = Vec::new();
        let mut versions = BTreeMap::new();
        if detail == Detail::Names {
            names.extend(subscription.names().iter().map(ToString::to_string));
            for (name, held) in subscription.held() {
                if let Some(form) = &held.form {
                    versions.insert(name.to_string(), form.version().0.to_string());
                }
            }
        }
        let pending = subscription.outstanding.iter().flat_map(|outstanding| {
            let sent = outstanding.forms().chain(&outstanding.stand_ins);
            let names = sent.map(|resource| &resource.name);
            names.chain(&outstanding.removed).map(ToString::to_string)
        });
        let oldest = subscription.outstanding.front();
        let refused = subscription.refused.iter();
        let held = subscription.held().values();
        TypeReport {
            wildcard: subscription.is_wildcard(),
            subscribed: subscription.names().len(),
            names,
            acknowledged: held.filter(|held| held.is_certain()).count(),
            versions,
            pending: pending.collect(),
            pending_since: oldest.map(|oldest| start + oldest.at),
            last_ack: self.last_ack.get(&kind).copied(),
            refused: refused
                .map(|(name, refusal)| (name.to_string(), refusal.message.clone()))
                .collect(),
            last_nack: self.last_nack.get(&kind).cloned(),
            sent: self.counts.get(&kind).copied().unwrap_or_default(),
        }
    }
}

/// A mutex is poisoned only by a panic, which is a defect reported where it happens; the books stay
/// readable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Make before break: when a proxy may be sent what refers to a cluster, and when what nothing
//! refers to may go.
//!
//! What tells that a cluster is warm, measured on Envoy 1.40 over delta ADS:
//!
//! - An Envoy that starts acknowledges clusters at once, warms them, and only then asks for
//!   listeners.
//! - Later it holds the acknowledgement back until every cluster is warm: 12 ms with a name that
//!   resolves at once, 1.50 s with one that takes 1.5 s, 27.6 s with a name server that says
//!   nothing, 15 s without endpoints.
//! - A cluster of several names is warm when the first of them is resolved. It never says when the
//!   others are.
//!
//! So a route to a new cluster waits for the acknowledgement of the cluster or, where it comes
//! first, of its endpoints; and with DNS at least [`DNS_WARMING`], for the other names. A removal
//! waits until no form that the proxy has refers to the resource; what the connections of a listener
//! may still go by stays [`DRAIN_BOUND`] longer. An aggregate that replaces a cluster waits for all
//! that it lists, and virtual hosts for their routes. A proxy that comes back while clusters warm asks
//! for all but clusters; its routes wait until it asks for these. Every wait ends by itself. Pure:
//! time comes in as the [`Duration`] since the stream's start.

mod references;
mod removals;
mod together;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use removals::Moments;
pub use removals::{DRAIN_BOUND, REMOVAL_BOUND, Removals};
pub use together::{has_virtual_hosts_apart, is_part_of_what_it_has};

use crate::xds::kind::Kind;
use crate::xds::resource::{Readiness, Reference, Resource};
use crate::xds::snapshot::Snapshot;
use crate::xds::subscription::{Form, Outstanding, Subscription};

/// How long a proxy may take to acknowledge a cluster, and then what that cluster warms with,
/// before routes to it are sent regardless.
pub const ACK_BOUND: Duration = Duration::from_secs(5);

/// How long a DNS cluster is given to resolve all its names: a proxy reports only the first.
/// Counted from when the cluster was sent.
pub const DNS_WARMING: Duration = Duration::from_secs(2);

/// How long a proxy that comes back may take to ask for its clusters, from the stream's start,
/// before routes to clusters are sent regardless. An Envoy asks for none while some warm, 27.6 s
/// with a name server that says nothing, and for all other types at once.
pub const RETURN_BOUND: Duration = Duration::from_secs(30);

/// The subscriptions of one stream.
pub type Subscriptions = BTreeMap<Kind, Subscription>;

/// What was still missing when a wait ended by its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Awaited {
    /// That a proxy which comes back asks for its clusters.
    Subscription,
    /// The acknowledgement of a cluster.
    Cluster,
    /// The acknowledgement of a cluster's endpoints.
    Endpoints,
    /// The acknowledgement of a secret.
    Secrets,
    /// The resolution of a cluster's names. Its end is no failure: a proxy does not report it.
    Names,
    /// That the proxy lets go of what is to be removed.
    Release,
}

/// A wait that ended by its bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// What was held back for want of it, or was to go.
    pub kind: Kind,
    /// Its name.
    pub name: Arc<str>,
    /// What did not happen in time.
    pub awaited: Awaited,
}

/// Something is held back until this moment at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wait {
    until: Duration,
    awaited: Awaited,
}

/// When a cluster was first sent and acknowledged.
#[derive(Clone, Copy, Debug)]
struct Since {
    sent: Duration,
    acknowledged: Duration,
}

/// What order needs to look at.
#[derive(Clone, Copy, Debug)]
pub struct View<'stream> {
    /// Since the stream's start.
    pub now: Duration,
    /// What the proxy is to have.
    pub snapshot: &'stream Snapshot,
    /// What it asked for and has.
    pub subscriptions: &'stream Subscriptions,
}

/// What of a difference a proxy may be told at this moment.
#[derive(Debug, Default)]
pub struct Timely {
    /// What may be sent.
    pub send: Vec<Arc<Resource>>,
    /// What may be taken away.
    pub remove: Vec<Arc<str>>,
    /// Whether something that is to be sent has to wait. Removals that wait do not count: the proxy
    /// does as it is told without them.
    pub is_held_back: bool,
    /// When to look again at what has to wait.
    pub next: Option<Duration>,
    /// The waits that have ended by their bounds.
    pub expired: Vec<Expired>,
}

impl Timely {
    /// All of a difference.
    pub fn all(send: Vec<Arc<Resource>>, remove: Vec<Arc<str>>) -> Self {
        Self {
            send,
            remove,
            ..Self::default()
        }
    }
}

/// What one proxy can use, and what it is to let go of.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Clusters that can be used. A changed one stays: Envoy serves with the old form until the new
    /// one is warm.
    usable: BTreeSet<Arc<str>>,
    /// The other acknowledged clusters.
    acknowledged: BTreeMap<Arc<str>, Since>,
    /// Since when aggregates are held back.
    aggregates: BTreeMap<Arc<str>, Duration>,
    /// What leads to clusters and had to wait: the first form of each since one was sent.
    waiting: BTreeMap<(Kind, Arc<str>), Arc<Resource>>,
    /// Since when a resource is to be removed.
    leaving: Moments,
    /// Since when one is not to be there any more of whose end the proxy cannot be told.
    untold: Moments,
}

impl Order {
    /// Notes that the proxy has acknowledged a cluster that it was sent at a moment.
    pub fn acknowledged(&mut self, cluster: &Arc<str>, sent: Duration, now: Duration) {
        if !self.usable.contains(cluster) {
            let since = Since {
                sent,
                acknowledged: now,
            };
            self.acknowledged.entry(cluster.clone()).or_insert(since);
        }
    }

    /// Notes that the proxy can use a cluster.
    pub fn warmed(&mut self, cluster: &Arc<str>) {
        self.acknowledged.remove(cluster);
        self.usable.insert(cluster.clone());
    }

    /// Notes that a cluster has been taken from the proxy.
    pub fn removed(&mut self, cluster: &Arc<str>) {
        self.acknowledged.remove(cluster);
        self.usable.remove(cluster);
    }

    /// Notes that the proxy has none but these clusters any more.
    pub fn keep(&mut self, has: impl Fn(&str) -> bool) {
        self.usable.retain(|cluster| has(cluster));
        self.acknowledged.retain(|cluster, _| has(cluster));
    }

    /// Looks again at the clusters that could not be used so far.
    pub fn settle(&mut self, view: View<'_>) {
        let ready: Vec<_> = self
            .acknowledged
            .keys()
            .filter(|cluster| self.wait_for(view, cluster, &mut BTreeSet::new()).is_none())
            .cloned()
            .collect();
        ready.iter().for_each(|cluster| self.warmed(cluster));
    }

    /// What of a difference of one kind may be told at this moment.
    pub fn timely(
        &mut self,
        view: View<'_>,
        kind: Kind,
        mut send: Vec<Arc<Resource>>,
        remove: Vec<Arc<str>>,
    ) -> Timely {
        let mut expired = Vec::new();
        let mut waits = Vec::new();
        let mut due = Vec::new();
        if kind == Kind::VirtualHost {
            due.clone_from(&send);
            // Envoy passes over virtual hosts of routes that it has not got.
            send.retain(|host| is_part_of_what_it_has(view.subscriptions, &host.name));
        }
        let clusters = view.subscriptions.get(&Kind::Cluster);
        // Of a set of which nothing is known all has to go at once.
        if kind == Kind::Cluster && clusters.is_some_and(|clusters| !clusters.is_unlisted()) {
            waits.extend(self.hold_aggregates(view, &mut send, &mut expired));
        }
        if may_lead_to_clusters(kind) {
            send = self.ready(view, kind, send, &mut waits, &mut expired);
        }
        let mut removals = self.removals(view, kind, remove);
        expired.extend(removals.expired);
        if kind == Kind::VirtualHost {
            together::keep(view, &due, &mut send, &mut removals.now);
        }
        Timely {
            send,
            remove: removals.now,
            is_held_back: !waits.is_empty(),
            next: waits.into_iter().chain(removals.next).min(),
            expired,
        }
    }

    /// What can be sent of resources of one kind that lead to clusters.
    ///
    /// A port's routes name every cluster of the port, and while edits go on some of these are always
    /// new. So that it does not wait for ever, a form that has to wait is kept, the first such one of
    /// each name; it is sent once its own clusters can be used, even if the newest form still waits.
    fn ready(
        &mut self,
        view: View<'_>,
        kind: Kind,
        due: Vec<Arc<Resource>>,
        waits: &mut Vec<Duration>,
        expired: &mut Vec<Expired>,
    ) -> Vec<Arc<Resource>> {
        // What is not due any more does not wait either.
        let waiting = self.waiting.extract_if(.., |(of, _), _| *of == kind);
        let mut waiting: BTreeMap<_, _> = waiting.collect();
        let mut ready = Vec::new();
        for newest in due {
            let Err(until) = self.may_send(view, &newest, expired) else {
                ready.push(newest);
                continue;
            };
            waits.push(until);
            let key = (kind, newest.name.clone());
            let first = waiting
                .remove(&key)
                .filter(|first| stands(view, first, &newest));
            let first = first.unwrap_or_else(|| newest.clone());
            let is_ready =
                first.version != newest.version && self.may_send(view, &first, expired).is_ok();
            if is_ready {
                ready.push(first);
                self.waiting.insert(key, newest);
            } else {
                self.waiting.insert(key, first);
            }
        }
        ready
    }

    /// Takes out of `clusters`, which are due, the aggregates that are to replace what the proxy has
    /// under their names before it can use all that they list, and says when to look again. Envoy
    /// takes an aggregate over at once, warm or not what it lists, and would answer 503 where the
    /// form before it still serves.
    fn hold_aggregates(
        &mut self,
        view: View<'_>,
        clusters: &mut Vec<Arc<Resource>>,
        expired: &mut Vec<Expired>,
    ) -> Option<Duration> {
        let subscription = &view.subscriptions[&Kind::Cluster];
        let news: BTreeSet<_> = clusters.iter().map(|one| one.name.clone()).collect();
        let mut look = None;
        let before = std::mem::take(&mut self.aggregates);
        clusters.retain(|cluster| {
            let mut listed = cluster.targets(Kind::Cluster).peekable();
            if listed.peek().is_none() || !subscription.may_have(&cluster.name) {
                return true;
            }
            // What goes to the proxy only now is waited for from now on, and no longer: what it is
            // held back for may be held back for this one.
            let since = before.get(&cluster.name).copied().unwrap_or(view.now);
            let until = if listed.any(|it| news.contains(it) && !subscription.has(it)) {
                Some(since + ACK_BOUND)
            } else {
                self.may_send(view, cluster, expired).err()
            };
            if until.is_some_and(|until| until <= view.now) {
                expired.push(Expired {
                    kind: Kind::Cluster,
                    name: cluster.name.clone(),
                    awaited: Awaited::Cluster,
                });
                return true;
            }
            if until.is_some() {
                self.aggregates.insert(cluster.name.clone(), since);
            }
            look = look.into_iter().chain(until).min();
            until.is_none()
        });
        look
    }

    /// Whether `resource` may be sent as far as the clusters go that it refers to, itself or
    /// through its routes and filters; if not, when to look again. Clusters that were waited for long enough
    /// are counted as usable, and told.
    pub fn may_send(
        &mut self,
        view: View<'_>,
        resource: &Resource,
        expired: &mut Vec<Expired>,
    ) -> Result<(), Duration> {
        let mut latest = None;
        for cluster in clusters_of(view.snapshot, resource) {
            let Some(wait) = self.wait_for(view, &cluster, &mut BTreeSet::new()) else {
                continue;
            };
            if view.now < wait.until {
                latest = latest.max(Some(wait.until));
            } else {
                self.warmed(&cluster);
                expired.push(Expired {
                    kind: Kind::Cluster,
                    name: cluster,
                    awaited: wait.awaited,
                });
            }
        }
        latest.map_or(Ok(()), Err)
    }

    /// What a cluster still needs before it can be used; nothing if the proxy does not ask for it
    /// or refuses it, so that one bad cluster holds up no route to others.
    fn wait_for(
        &self,
        view: View<'_>,
        cluster: &Arc<str>,
        seen: &mut BTreeSet<Arc<str>>,
    ) -> Option<Wait> {
        if self.usable.contains(cluster) || !seen.insert(cluster.clone()) {
            return None;
        }
        let Some(clusters) = view.subscriptions.get(&Kind::Cluster) else {
            return came_back(view.subscriptions).then_some(Wait {
                until: RETURN_BOUND,
                awaited: Awaited::Subscription,
            });
        };
        if !clusters.wants(cluster) || clusters.refused.contains_key(cluster) {
            return None;
        }
        let resource = view.snapshot.get(Kind::Cluster, cluster)?;
        let answered = |of: Kind| {
            let mut targets = resource.targets(of);
            targets.all(|name| is_answered(view.subscriptions, of, name))
        };
        if !clusters.has(cluster) {
            let carrier = clusters.carrier(cluster);
            // The proxy asks for endpoints when it has taken the cluster over, and is warm with
            // them; that another cluster is not, and holds the acknowledgement of all up, is no
            // reason to wait.
            let warm = |sent: &Outstanding| {
                let endpoints = view.subscriptions.get(&Kind::Endpoint);
                let has = |name: &Arc<str>| {
                    endpoints.is_some_and(|endpoints| endpoints.has_since(name, sent.number))
                };
                resource.readiness == Readiness::Endpoints
                    && resource.targets(Kind::Endpoint).all(has)
                    && answered(Kind::Secret)
            };
            // It goes with the next response, or has to wait itself.
            let under_way = carrier.or(clusters.outstanding.back());
            let since = under_way.map(|sent| sent.at);
            let since = since.max(self.aggregates.get(cluster).copied())?;
            return (!carrier.is_some_and(warm)).then_some(Wait {
                until: since + ACK_BOUND,
                awaited: Awaited::Cluster,
            });
        }
        let since = *self.acknowledged.get(cluster)?;
        let bound = since.acknowledged + ACK_BOUND;
        let named = since.sent + DNS_WARMING;
        // That the time for names is over is no failure, so such a wait is none any more.
        let names = resource.readiness == Readiness::Dns && view.now < named;
        let own = [
            (names, named, Awaited::Names),
            (!answered(Kind::Endpoint), bound, Awaited::Endpoints),
            (!answered(Kind::Secret), bound, Awaited::Secrets),
        ];
        let own = own.into_iter().filter(|(waits, ..)| *waits);
        let own = own.map(|(_, until, awaited)| Wait { until, awaited });
        let members = resource.targets(Kind::Cluster);
        own.chain(members.filter_map(|member| self.wait_for(view, member, seen)))
            .max()
    }
}

/// Whether a form of something that leads to clusters, older than the newest, may still be sent: a
/// listener's place is with the newest routes, and what is to go must get no new reference.
fn stands(view: View<'_>, older: &Resource, newest: &Resource) -> bool {
    let stays = |reference: &Reference| {
        let (kind, name) = reference;
        newest.references.contains(reference) || view.snapshot.get(*kind, name).is_some()
    };
    older.kind != Kind::Listener && older.references.iter().all(stays)
}

/// The clusters that requests through `resource` may be sent to: its own references, its routes' and
/// its filters'. A cluster's own references are looked at when the cluster is.
fn clusters_of(snapshot: &Snapshot, resource: &Resource) -> BTreeSet<Arc<str>> {
    let mut clusters = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut resources = vec![resource];
    while let Some(resource) = resources.pop() {
        for reference in &resource.references {
            let (kind, name) = reference;
            match kind {
                Kind::Cluster => {
                    clusters.insert(name.clone());
                }
                Kind::Extension | Kind::Route if seen.insert(reference) => {
                    resources.extend(snapshot.get(*kind, name).map(|named| &**named));
                }
                _ => {}
            }
        }
    }
    clusters
}

/// Whether resources of this kind have requests sent to clusters.
fn may_lead_to_clusters(kind: Kind) -> bool {
    match kind {
        Kind::Listener | Kind::Extension | Kind::Route | Kind::VirtualHost => true,
        Kind::Secret | Kind::Cluster | Kind::Endpoint => false,
    }
}

/// Whether the proxy brought along what routes requests to clusters, so that it will ask for those
/// too. Of one that starts this cannot be said: gRPC's clients ask for clusters after routes.
fn came_back(subscriptions: &Subscriptions) -> bool {
    let routing = Kind::ALL
        .into_iter()
        .filter(|kind| may_lead_to_clusters(*kind));
    let mut routing = routing.filter_map(|kind| subscriptions.get(&kind));
    routing.any(|subscription| !subscription.began_empty())
}

/// Whether a proxy has an answer for everything that the forms it has refer to.
pub fn is_complete(subscriptions: &Subscriptions) -> bool {
    let held = subscriptions.values().flat_map(|s| s.held().values());
    let certain = held.filter(|held| held.is_certain());
    let forms = certain.filter_map(|held| held.form.as_ref());
    let known = forms.filter_map(|form| match form {
        Form::Known(resource) => Some(resource),
        Form::Foreign(_) => None,
    });
    known
        .flat_map(|resource| &resource.references)
        .filter(|(kind, _)| *kind != Kind::Cluster)
        .all(|(kind, name)| {
            // All virtual hosts that there are follow by themselves.
            if *kind == Kind::VirtualHost {
                return subscriptions.contains_key(kind);
            }
            let in_doubt = |of: &Subscription| of.may_have(name);
            is_answered(subscriptions, *kind, name) || subscriptions.get(kind).is_some_and(in_doubt)
        })
}

/// Whether the proxy has, has refused or has been told of the absence of `name`.
fn is_answered(subscriptions: &Subscriptions, kind: Kind, name: &str) -> bool {
    subscriptions.get(&kind).is_some_and(|subscription| {
        subscription.has_answer_for(name) || subscription.refused.contains_key(name)
    })
}

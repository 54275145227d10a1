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
//! waits until no form that the proxy has refers to the resource. A proxy that comes back while
//! clusters warm asks for all but clusters; its routes wait until it asks for these. Every wait ends
//! by itself. Pure: time comes in as the [`Duration`] since the stream's start.

mod references;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use references::References;
pub(super) use references::targets;

use crate::xds::kind::Kind;
use crate::xds::resource::{Readiness, Resource};
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

/// How long a resource that is to go may still be referred to before it goes regardless. Longer
/// than the waits of the routes that will let go of it, one after the other.
pub const REMOVAL_BOUND: Duration = Duration::from_secs(30);

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

/// Which removals may go.
#[derive(Debug, Default)]
pub struct Removals {
    /// The names that may go at this moment.
    pub now: Vec<Arc<str>>,
    /// When the first of the others has to be looked at again.
    pub next: Option<Duration>,
    /// Those of `now` that go because their time is over.
    pub expired: Vec<Expired>,
}

/// What one proxy can use, and what it is to let go of.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Clusters that can be used. A changed one stays: Envoy serves with the old form until the new
    /// one is warm.
    usable: BTreeSet<Arc<str>>,
    /// The other acknowledged clusters.
    acknowledged: BTreeMap<Arc<str>, Since>,
    /// Since when a resource is to be removed.
    leaving: BTreeMap<(Kind, Arc<str>), Duration>,
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

    /// Whether `resource` may be sent as far as the clusters go that it refers to, itself or
    /// through its routes; if not, when to look again. Clusters that were waited for long enough
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
        let targets = |of: Kind| targets(resource, of);
        if !clusters.has(cluster) {
            let carrier = clusters.carrier(cluster);
            // The proxy asks for endpoints when it has taken the cluster over, and is warm with
            // them; that another cluster is not, and holds the acknowledgement of all up, is no
            // reason to wait.
            let warm = |sent: &Outstanding| {
                let endpoints = view.subscriptions.get(&Kind::Endpoint);
                let has = |name: Arc<str>| {
                    endpoints.is_some_and(|endpoints| endpoints.has_since(&name, sent.number))
                };
                resource.readiness == Readiness::Endpoints
                    && targets(Kind::Endpoint).all(has)
                    && targets(Kind::Secret)
                        .all(|name| is_answered(view.subscriptions, Kind::Secret, &name))
            };
            let under_way = carrier.or(clusters.outstanding.back())?;
            return (!carrier.is_some_and(warm)).then_some(Wait {
                until: under_way.at + ACK_BOUND,
                awaited: Awaited::Cluster,
            });
        }
        let answered =
            |of: Kind| targets(of).all(|name| is_answered(view.subscriptions, of, &name));
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
        let members = resource.references.iter();
        let members = members.filter(|(kind, _)| *kind == Kind::Cluster);
        own.chain(members.filter_map(|(_, member)| self.wait_for(view, member, seen)))
            .max()
    }

    /// Which of `candidates` may be taken from the proxy: those that nothing it has refers to. What
    /// a refused resource's last good form refers to stays as long as that form does; everything
    /// else goes after [`REMOVAL_BOUND`] at the latest.
    pub fn removals(&mut self, view: View<'_>, kind: Kind, candidates: Vec<Arc<str>>) -> Removals {
        let candidates: BTreeSet<_> = candidates.into_iter().collect();
        self.leaving
            .retain(|(of, name), _| *of != kind || candidates.contains(name));
        let mut until = BTreeMap::new();
        for name in &candidates {
            let leaving = self.leaving.entry((kind, name.clone()));
            until.insert(name.clone(), *leaving.or_insert(view.now) + REMOVAL_BOUND);
        }
        // What goes refers to nothing any more; what turns out to stay does, so others may have to
        // stay for it.
        let mut going = candidates.clone();
        let mut removals = Removals::default();
        while !going.is_empty() {
            let references = References::of(view.subscriptions, kind, &going);
            let over = |name: &Arc<str>| until[name] <= view.now;
            let stays = |name: &&Arc<str>| {
                references.lasts(name) || (references.may_name(name) && !over(name))
            };
            let staying: Vec<_> = going.iter().filter(stays).cloned().collect();
            for name in &staying {
                going.remove(name);
                if !references.lasts(name) {
                    removals.next = removals.next.into_iter().chain([until[name]]).min();
                }
            }
            if staying.is_empty() {
                let expired = going.iter().filter(|name| references.may_name(name));
                removals.expired.extend(expired.map(|name| Expired {
                    kind,
                    name: name.clone(),
                    awaited: Awaited::Release,
                }));
                break;
            }
        }
        removals.now.extend(going);
        removals
    }
}

/// The clusters that requests through `resource` may be sent to: its own references and its
/// routes'. A cluster's own references are looked at when the cluster is.
fn clusters_of(snapshot: &Snapshot, resource: &Resource) -> BTreeSet<Arc<str>> {
    let mut clusters = BTreeSet::new();
    for (kind, name) in &resource.references {
        match kind {
            Kind::Cluster => {
                clusters.insert(name.clone());
            }
            Kind::Route => {
                if let Some(route) = snapshot.get(Kind::Route, name) {
                    clusters.extend(clusters_of(snapshot, route));
                }
            }
            Kind::Secret | Kind::Endpoint | Kind::Listener => {}
        }
    }
    clusters
}

/// Whether the proxy brought along what routes requests to clusters, so that it will ask for those
/// too. Of one that starts this cannot be said: gRPC's clients ask for clusters after routes.
fn came_back(subscriptions: &Subscriptions) -> bool {
    let routing = [Kind::Listener, Kind::Route];
    let mut routing = routing.iter().filter_map(|kind| subscriptions.get(kind));
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

//! When what nothing is to have any more may be taken from a proxy: not before the last reference to it
//! has gone, nor while a listener drains whose connections may go by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::references::References;
use super::{Awaited, Expired, Order, View};
use crate::xds::kind::Kind;
use crate::xds::virtual_hosts;

/// How long a resource that is to go may still be referred to before it goes regardless. Longer
/// than the waits of the routes that will let go of it, one after the other.
pub const REMOVAL_BOUND: Duration = Duration::from_secs(30);

/// How long what only a listener's connections use (routes, filters, and so their clusters) stays
/// when it is not to be there any more. An Envoy drains a listener that is taken away or changed: it
/// closes each of its connections with some answer, over minutes, and until then their requests go
/// by the routes of before. Measured on 1.40: with the clusters gone they are answered 503. Shorter
/// than [`REMOVAL_BOUND`], so that this is no wait that has failed.
pub const DRAIN_BOUND: Duration = Duration::from_secs(20);

/// When something became so, by kind and name.
pub(super) type Moments = BTreeMap<(Kind, Arc<str>), Duration>;

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

impl Order {
    /// Which of `candidates` may be taken from the proxy: those that nothing it has refers to. What
    /// a refused resource's last good form refers to stays as long as that form does; everything
    /// else goes after [`REMOVAL_BOUND`] at the latest.
    pub fn removals(&mut self, view: View<'_>, kind: Kind, candidates: Vec<Arc<str>>) -> Removals {
        note(&mut self.leaving, view.now, kind, &candidates);
        let candidates: BTreeSet<_> = candidates.into_iter().collect();
        let since = |name: &Arc<str>| self.leaving[&(kind, name.clone())];
        let drains =
            |name: &Arc<str>| is_drained(view, kind, name) && view.now < since(name) + DRAIN_BOUND;
        let until = candidates.iter();
        let until: BTreeMap<_, _> = until
            .map(|name| (name.clone(), since(name) + REMOVAL_BOUND))
            .collect();
        let unused = |kind: Kind, name: &Arc<str>| {
            let since = self.untold.get(&(kind, name.clone()));
            since.is_some_and(|since| *since + DRAIN_BOUND <= view.now)
        };
        // What goes refers to nothing any more; what turns out to stay does, so others may have to
        // stay for it.
        let mut going = candidates.clone();
        let mut removals = Removals::default();
        while !going.is_empty() {
            let references = References::of(view.subscriptions, kind, &going, unused);
            let over = |name: &Arc<str>| until[name] <= view.now;
            let stays = |name: &&Arc<str>| {
                drains(name) || references.lasts(name) || (references.may_name(name) && !over(name))
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
        let ends = self.leaving.values().chain(self.untold.values());
        let ends = ends.map(|since| *since + DRAIN_BOUND);
        let ends = ends.filter(|end| view.now < *end && !candidates.is_empty());
        removals.next = removals.next.into_iter().chain(ends).min();
        removals
    }

    /// Notes that these of a kind, and no others, are not to be there any more, where the proxy
    /// cannot be told.
    pub fn leave_untold(&mut self, now: Duration, kind: Kind, names: &[Arc<str>]) {
        note(&mut self.untold, now, kind, names);
    }
}

/// Notes that something is so of these of a kind, and of no others.
fn note(moments: &mut Moments, now: Duration, kind: Kind, names: &[Arc<str>]) {
    let names: BTreeSet<_> = names.iter().cloned().collect();
    moments.retain(|(of, name), _| *of != kind || names.contains(name));
    for name in names {
        moments.entry((kind, name)).or_insert(now);
    }
}

/// Whether connections of a listener that is being drained may still go by this, which is not to be
/// there any more.
fn is_drained(view: View<'_>, kind: Kind, name: &str) -> bool {
    match kind {
        Kind::Extension | Kind::Route => true,
        // One that leaves routes which stay is not served any more, as a route that leaves them.
        Kind::VirtualHost => virtual_hosts::route_of(name)
            .is_some_and(|route| view.snapshot.get(Kind::Route, route).is_none()),
        Kind::Secret | Kind::Cluster | Kind::Endpoint | Kind::Listener => false,
    }
}

//! Snapshots: all resources of one group of proxies (in Locum, of one Gateway) at one moment.
//!
//! A snapshot never changes; a change makes another one, which shares what stayed the same.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, Weak};

use crate::xds::kind::Kind;
use crate::xds::resource::Resource;
use crate::xds::virtual_hosts;

/// All resources of one group of proxies at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    resources: BTreeMap<Kind, BTreeMap<Arc<str>, Arc<Resource>>>,
    /// The same without virtual hosts apart, if there are such; made when it is first asked for.
    inlined: OnceLock<Option<Arc<Snapshot>>>,
    /// The route configurations whose virtual hosts are apart, and that have none.
    without_hosts: OnceLock<BTreeSet<Arc<str>>>,
    /// What differs from the snapshot that was asked about first: in all likelihood the one before,
    /// which is asked about by each stream.
    since: OnceLock<(Weak<Snapshot>, Arc<Changes>)>,
}

/// What differs between two snapshots: the names, by kind. Owners make no difference.
pub type Changes = BTreeMap<Kind, Vec<Arc<str>>>;

/// A name that is referred to and not there, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotClosed {
    /// A proxy would wait for the target, or do without it.
    #[error("{kind} {name} refers to {target_kind} {target}, which is not in the snapshot")]
    Dangling {
        /// What refers to the target.
        kind: Kind,
        /// Its name.
        name: Arc<str>,
        /// What is missing.
        target_kind: Kind,
        /// The missing one's name.
        target: Arc<str>,
    },
    /// No proxy would ask for it.
    #[error("{kind} {name} is in the snapshot and nothing refers to it")]
    Unreferenced {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Arc<str>,
    },
}

impl Snapshot {
    /// A snapshot of `resources`; of two with the same kind and name the last one. Those that
    /// `previous` holds with equal content are taken from there, so that what did not change is
    /// shared.
    pub fn new<R: Into<Arc<Resource>>>(
        resources: impl IntoIterator<Item = R>,
        previous: Option<&Snapshot>,
    ) -> Self {
        let mut snapshot = Self::default();
        for resource in resources.into_iter().map(Into::into) {
            let same = previous
                .and_then(|previous| previous.get(resource.kind, &resource.name))
                .filter(|same| same.version == resource.version && same.owners == resource.owners);
            let resource = same.cloned().unwrap_or(resource);
            snapshot
                .resources
                .entry(resource.kind)
                .or_default()
                .insert(resource.name.clone(), resource);
        }
        snapshot
    }

    /// The same with `resource`, in place of the one of that kind and name.
    pub fn with(mut self, resource: impl Into<Arc<Resource>>) -> Self {
        let resource = resource.into();
        self.forget_what_follows();
        let of_kind = self.resources.entry(resource.kind).or_default();
        of_kind.insert(resource.name.clone(), resource);
        self
    }

    /// The same without the resource of that kind and name.
    pub fn without(mut self, kind: Kind, name: &str) -> Self {
        self.forget_what_follows();
        if let Some(of_kind) = self.resources.get_mut(&kind) {
            of_kind.remove(name);
        }
        self
    }

    fn forget_what_follows(&mut self) {
        self.inlined = OnceLock::new();
        self.without_hosts = OnceLock::new();
        self.since = OnceLock::new();
    }

    /// What is different here from `older`. It is found out once for all who ask about the same.
    pub fn changes_since(&self, older: &Arc<Snapshot>) -> Arc<Changes> {
        let make = || (Arc::downgrade(older), Arc::new(self.changes(older)));
        let (of, changes) = self.since.get_or_init(make);
        if of.upgrade().is_some_and(|of| Arc::ptr_eq(&of, older)) {
            return changes.clone();
        }
        Arc::new(self.changes(older))
    }

    fn changes(&self, older: &Snapshot) -> Changes {
        let changed = |kind: Kind| {
            let mut names = Vec::new();
            let (mut news, mut olds) = (
                self.of_kind(kind).peekable(),
                older.of_kind(kind).peekable(),
            );
            loop {
                let order = match (news.peek(), olds.peek()) {
                    (None, None) => return (kind, names),
                    (Some(_), None) => Ordering::Less,
                    (None, Some(_)) => Ordering::Greater,
                    (Some(new), Some(old)) => new.name.cmp(&old.name),
                };
                let new = news.next_if(|_| order.is_le());
                let old = olds.next_if(|_| order.is_ge());
                let differs = match (new, old) {
                    (Some(new), Some(old)) => !Arc::ptr_eq(new, old) && new.version != old.version,
                    _ => true,
                };
                let either = new.or(old).filter(|_| differs);
                names.extend(either.map(|one| one.name.clone()));
            }
        };
        Kind::ALL.into_iter().map(changed).collect()
    }

    /// The same for a proxy that knows no virtual hosts apart from their route configurations: these
    /// hold them.
    pub fn inlined(self: &Arc<Self>) -> Arc<Self> {
        let make = || virtual_hosts::inlined(self).map(Arc::new);
        let inlined = self.inlined.get_or_init(make);
        inlined.clone().unwrap_or_else(|| self.clone())
    }

    /// The names of the route configurations that get their virtual hosts by VHDS, over whatever
    /// stream, and have none. It is found out once for all who ask.
    pub(super) fn without_hosts(&self) -> &BTreeSet<Arc<str>> {
        self.without_hosts
            .get_or_init(|| virtual_hosts::without_any(self))
    }

    /// One resource.
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Arc<Resource>> {
        self.resources.get(&kind)?.get(name)
    }

    /// The resources of a kind, by name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources
            .get(&kind)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// Whether both hold the same names with the same content and owners.
    pub fn has_content_of(&self, other: &Snapshot) -> bool {
        let same = |a: &Arc<Resource>, b: &Arc<Resource>| {
            Arc::ptr_eq(a, b)
                || (a.name == b.name && a.version == b.version && a.owners == b.owners)
        };
        Kind::ALL.into_iter().all(|kind| {
            let (mut ours, mut theirs) = (self.of_kind(kind), other.of_kind(kind));
            loop {
                match (ours.next(), theirs.next()) {
                    (None, None) => return true,
                    (Some(a), Some(b)) if same(a, b) => {}
                    _ => return false,
                }
            }
        })
    }

    /// Checks that each name referred to is there and that endpoints, extensions, routes, virtual
    /// hosts and secrets are referred to. Nothing asks for it when a snapshot is published: a name may
    /// also be one that the proxy has from its own bootstrap.
    pub fn check_closed(&self) -> Result<(), NotClosed> {
        let mut referred = BTreeSet::new();
        for resource in Kind::ALL.into_iter().flat_map(|kind| self.of_kind(kind)) {
            for (target_kind, target) in &resource.references {
                // Every virtual host of a route configuration, of which there may be none.
                let is_one = *target_kind != Kind::VirtualHost;
                if is_one && self.get(*target_kind, target).is_none() {
                    return Err(NotClosed::Dangling {
                        kind: resource.kind,
                        name: resource.name.clone(),
                        target_kind: *target_kind,
                        target: target.clone(),
                    });
                }
                referred.insert((*target_kind, target.clone()));
            }
        }
        let named = Kind::ALL.into_iter();
        for kind in named.filter(|kind| !matches!(kind, Kind::Cluster | Kind::Listener)) {
            for resource in self.of_kind(kind) {
                let name: Arc<str> = match virtual_hosts::route_of(&resource.name) {
                    Some(route) if kind == Kind::VirtualHost => virtual_hosts::every(route).into(),
                    _ => resource.name.clone(),
                };
                if !referred.contains(&(kind, name)) {
                    return Err(NotClosed::Unreferenced {
                        kind,
                        name: resource.name.clone(),
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;

    use super::*;

    fn cluster(name: &str, stat: &str) -> Resource {
        Resource::of(&Cluster {
            name: name.into(),
            alt_stat_name: stat.into(),
            ..Default::default()
        })
    }

    #[test]
    fn what_changed_is_found_by_name() {
        let all = ["a", "b", "c", "d"].map(|name| cluster(name, "1"));
        let first = Arc::new(Snapshot::new(all, None));
        let second = Snapshot::new(
            [
                cluster("b", "1"),
                cluster("c", "2"),
                cluster("d", "1"),
                cluster("e", "1"),
            ],
            Some(&first),
        );
        let second = Arc::new(second);
        let names = |changes: Arc<Changes>| {
            let names = changes[&Kind::Cluster].iter().map(ToString::to_string);
            names.collect::<Vec<_>>()
        };
        assert_eq!(names(second.changes_since(&first)), ["a", "c", "e"]);
        let third = Arc::new(Snapshot::clone(&second).without(Kind::Cluster, "e"));
        assert_eq!(names(third.changes_since(&first)), ["a", "c"]);
        assert_eq!(names(third.changes_since(&second)), ["e"]);
    }

    #[test]
    fn a_change_makes_another_snapshot_and_leaves_the_first_as_it_was() {
        let first = Snapshot::new([cluster("a", "1"), cluster("b", "1")], None);
        let second = first.clone().with(cluster("a", "2"));
        let third = second.clone().without(Kind::Cluster, "b");
        let version = |of: &Snapshot| of.get(Kind::Cluster, "a").map(|one| one.version.clone());
        assert_ne!(version(&first), version(&second));
        assert_eq!(version(&second), version(&third));
        assert_eq!(second.of_kind(Kind::Cluster).count(), 2);
        assert_eq!(third.of_kind(Kind::Cluster).count(), 1);
    }
}

//! Snapshots: all resources of one Gateway at one moment, immutable and closed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::xds::kind::Kind;
use crate::xds::resource::Resource;

/// All resources of one Gateway at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    resources: BTreeMap<Kind, BTreeMap<Arc<str>, Arc<Resource>>>,
}

/// A name that is referred to and not there, or the other way round.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotClosed {
    #[error("{kind} {name} refers to {target_kind} {target}, which is not in the snapshot")]
    Dangling {
        kind: Kind,
        name: Arc<str>,
        target_kind: Kind,
        target: Arc<str>,
    },
    #[error("{kind} {name} is in the snapshot and nothing refers to it")]
    Unreferenced { kind: Kind, name: Arc<str> },
}

impl Snapshot {
    /// A snapshot of `resources`. Those that `previous` holds with equal content are taken from
    /// there, so that what did not change is shared.
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

    /// Checks that each name referred to is there and that endpoints, routes and secrets are
    /// referred to.
    pub fn check_closed(&self) -> Result<(), NotClosed> {
        let mut referred = std::collections::BTreeSet::new();
        for resource in Kind::ALL.into_iter().flat_map(|kind| self.of_kind(kind)) {
            for (target_kind, target) in &resource.references {
                if self.get(*target_kind, target).is_none() {
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
        for kind in [Kind::Secret, Kind::Endpoint, Kind::Route] {
            for resource in self.of_kind(kind) {
                if !referred.contains(&(kind, resource.name.clone())) {
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

//! The store: parsed resources by kind and name, and who refers to whom.
//!
//! In: [`Change`]s from any source. Out: lookups; translation makes its own through
//! [`crate::translate::read::Reader`]. The store does not know where a resource came from.

mod references;

pub(crate) use references::{GATEWAY_NAME, SERVICE_NAME, of as references_of};

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::resource::{Key, Kind, Object};

/// What happened, as a source says it or a clock.
#[derive(Clone, Debug)]
pub enum Change {
    /// The resource is there, new or changed.
    Applied(Object),
    /// The resource is gone.
    Deleted(Key),
    /// Everything that was there at the start has been said.
    Synced,
    /// This time has come, for what is to last until then.
    Passed(Timestamp),
}

/// All resources known now.
#[derive(Clone, Debug, Default)]
pub struct Store {
    objects: BTreeMap<Key, Object>,
    /// By what is referred to: who refers to it.
    referrers: BTreeMap<Key, BTreeSet<Key>>,
    synced: bool,
    /// The latest time that has come, of those that matter.
    passed: Option<Timestamp>,
}

impl Store {
    /// Takes one change in.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Applied(object) => {
                let key = object.key();
                self.forget_references(&key);
                for target in references::of(&object) {
                    self.referrers
                        .entry(target)
                        .or_default()
                        .insert(key.clone());
                }
                self.objects.insert(key, object);
            }
            Change::Deleted(key) => {
                self.forget_references(&key);
                self.objects.remove(&key);
            }
            Change::Synced => self.synced = true,
            Change::Passed(time) => self.passed = self.passed.max(Some(time)),
        }
    }

    /// Whether the source has said everything that was there at the start.
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// Whether a time has come, as far as the store was told.
    pub fn has_passed(&self, time: Timestamp) -> bool {
        self.passed.is_some_and(|passed| time <= passed)
    }

    /// One resource.
    pub fn get(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    /// The resources of a kind, by namespace and name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.objects
            .range(Key::new(kind, "", "")..)
            .map(|(_, object)| object)
            .take_while(move |object| object.kind() == kind)
    }

    /// The resources that name `target` in a reference, by kind, namespace and name.
    pub fn referrers<'store>(
        &'store self,
        target: &Key,
    ) -> impl Iterator<Item = &'store Object> + use<'store> {
        self.referrers
            .get(target)
            .into_iter()
            .flatten()
            .filter_map(|key| self.objects.get(key))
    }

    /// Every resource, by kind, namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Object)> {
        self.objects.iter()
    }

    fn forget_references(&mut self, key: &Key) {
        let Some(old) = self.objects.get(key) else {
            return;
        };
        for target in references::of(old) {
            if let Some(referrers) = self.referrers.get_mut(&target) {
                referrers.remove(key);
                if referrers.is_empty() {
                    self.referrers.remove(&target);
                }
            }
        }
    }
}

//! The set that a proxy of the state of the world comes with: it says its version, not what is in it.

use std::sync::Arc;

use super::{Form, Held, Subscription};
use crate::xds::kind::Kind;
use crate::xds::resource::{Resource, Version};
use crate::xds::snapshot::Snapshot;

impl Subscription {
    /// Notes that the proxy came with a set of this version, in which may be anything.
    pub fn claim(&mut self, version: Version) {
        self.touch_all();
        self.has_foreign = true;
        self.began_empty = false;
        // The set that is to replace it may be empty.
        self.greeting_due = self.wildcard;
        let names = self.names.iter();
        self.held
            .extend(names.map(|name| (name.clone(), Held::part_of(&version))));
        self.claimed = Some(version);
    }

    /// Whether the proxy came with a set of which nothing is known, and may hold any name.
    pub fn is_unlisted(&self) -> bool {
        self.wildcard && self.claimed.is_some()
    }

    /// Finds out whether the set that the proxy came with is what it is to have anyway.
    pub(super) fn recognise(&mut self, kind: Kind, snapshot: &Snapshot) {
        if self.claimed.is_none() {
            return;
        }
        let wanted = snapshot.of_kind(kind).filter(|one| self.wants(&one.name));
        self.has_all_of(wanted.cloned().collect());
    }

    /// Takes in what may be the set that the proxy came with, in the order of names.
    pub fn recall(&mut self, set: Vec<Arc<Resource>>) {
        if self.claimed.is_some() {
            self.has_all_of(set);
        }
    }

    /// Notes that the proxy has these and nothing else, if they make the version that it came with.
    fn has_all_of(&mut self, set: Vec<Arc<Resource>>) {
        let versions = set.iter().map(|one| (&*one.name, &one.version));
        if self.claimed != Some(Version::of_set(versions)) {
            return;
        }
        self.touch_all();
        self.claimed = None;
        self.greeting_due = false;
        self.owed.clear();
        let held = set.into_iter().map(|resource| {
            let held = Held {
                form: Some(Form::Known(resource.clone())),
                ..Held::default()
            };
            (resource.name.clone(), held)
        });
        self.held = held.collect();
        self.forget_outside();
    }
}

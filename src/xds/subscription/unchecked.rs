//! What a proxy lacks against a snapshot, found out again only where something has happened since.
//!
//! A Gateway has thousands of resources and an edit changes one, so what is looked at on each of
//! thousands of streams must be that one. Whatever changes the books of a subscription, or the
//! snapshot, makes the names that it touches unchecked; a name is checked when nothing of it is due. Debug
//! builds compare every outcome with one that is found from scratch.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Difference, Subscription};
use crate::xds::kind::Kind;
use crate::xds::resource::Resource;
use crate::xds::snapshot::Snapshot;

/// The most bytes that unchecked names take; with more all are unchecked. As long as a proxy answers
/// nothing, nothing is checked, and it may ask for names and give them up again and again.
const MAX_BYTES: usize = 1 << 20;

/// The names of which it is to be found out whether the proxy lacks something.
#[derive(Clone, Debug, Default)]
pub(super) enum Unchecked {
    /// Every name that stands anywhere.
    #[default]
    All,
    /// These, which take so many bytes.
    Names(BTreeSet<Arc<str>>, usize),
}

/// What is due of one name.
enum Due {
    Nothing,
    Send(Arc<Resource>),
    Remove,
    Missing,
}

impl Subscription {
    /// Notes that something has happened that makes a difference to this name, and may make one to
    /// whether the proxy has an answer for all that it refers to.
    pub(super) fn touch(&mut self, name: &Arc<str>) {
        self.epoch += 1;
        self.uncheck(name);
    }

    /// The same of every name.
    pub(super) fn touch_all(&mut self) {
        self.epoch += 1;
        self.unchecked = Unchecked::All;
    }

    /// Notes that something may be due of this name, or not any more.
    pub(super) fn uncheck(&mut self, name: &Arc<str>) {
        let Unchecked::Names(names, bytes) = &mut self.unchecked else {
            return;
        };
        if !names.contains(name) {
            names.insert(name.clone());
            *bytes += name.len();
        }
        if *bytes > MAX_BYTES {
            self.unchecked = Unchecked::All;
        }
    }

    /// Notes which names have changed in the snapshot; all may have, if that is not known.
    pub fn changed(&mut self, names: Option<&[Arc<str>]>) {
        match names {
            Some(names) => names.iter().for_each(|name| self.uncheck(name)),
            None => self.unchecked = Unchecked::All,
        }
    }

    /// Counts what may have made a difference to whether the proxy has an answer for all that it
    /// refers to.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What the proxy lacks, by name, once it has taken in what is under way. What it refused in
    /// this very form is left out. It has to be told what has [`changed`](Self::changed) in the
    /// snapshot since it was asked last.
    pub fn difference(&mut self, kind: Kind, snapshot: &Snapshot) -> Difference {
        let names = match &mut self.unchecked {
            Unchecked::All => self.every_name(kind, snapshot),
            Unchecked::Names(names, _) => std::mem::take(names),
        };
        let (difference, left) = self.difference_of(names, kind, snapshot);
        let bytes = left.iter().map(|name| name.len()).sum();
        self.unchecked = Unchecked::Names(left, bytes);
        #[cfg(debug_assertions)]
        {
            let all = self.every_name(kind, snapshot);
            let (scratch, _) = self.difference_of(all, kind, snapshot);
            assert_eq!(
                difference.names(),
                scratch.names(),
                "something is due of a name that counts as checked"
            );
        }
        difference
    }

    /// Every name of which something may be due.
    fn every_name(&self, kind: Kind, snapshot: &Snapshot) -> BTreeSet<Arc<str>> {
        let there = snapshot.of_kind(kind).filter(|_| self.wildcard);
        let there = there.map(|resource| resource.name.clone());
        let told = self.under_way().into_keys().map(Arc::from);
        let asked = self.names.iter().chain(&self.owed).cloned();
        let held = self.held.keys().cloned();
        there.chain(held).chain(told).chain(asked).collect()
    }

    /// What is due of these names, and of which of them something is.
    fn difference_of(
        &self,
        names: BTreeSet<Arc<str>>,
        kind: Kind,
        snapshot: &Snapshot,
    ) -> (Difference, BTreeSet<Arc<str>>) {
        let mut difference = Difference::default();
        let is_due = |name: &Arc<str>| {
            match self.due(name, snapshot.get(kind, name)) {
                Due::Nothing => return false,
                Due::Send(resource) => difference.send.push(resource),
                Due::Remove => difference.remove.push(name.clone()),
                Due::Missing => difference.missing.push(name.clone()),
            }
            true
        };
        let left = names.into_iter().filter(is_due).collect();
        (difference, left)
    }

    fn due(&self, name: &Arc<str>, current: Option<&Arc<Resource>>) -> Due {
        let under_way = self.newest(name);
        let held = self.held.get(name);
        let is_owed = self.owed.contains(name);
        if let Some(resource) = current {
            let has = match under_way {
                Some(sent) => sent.is_some_and(|sent| sent.version == resource.version),
                None => held.is_some_and(|held| held.is(&resource.version)),
            };
            let lacks = self.wants(name) && (!has || is_owed) && !self.refuses(resource);
            return if lacks {
                Due::Send(resource.clone())
            } else {
                Due::Nothing
            };
        }
        let is_going = matches!(under_way, Some(None));
        let is_coming = matches!(under_way, Some(Some(_)));
        let has = held.is_some() || is_coming;
        if has && !is_going && self.wants(name) {
            return Due::Remove;
        }
        let is_told = !is_owed && (is_going || self.absent.contains(name));
        let is_asked = is_owed || self.names.contains(name);
        if is_asked && !is_told && !has {
            return Due::Missing;
        }
        Due::Nothing
    }
}

#[cfg(debug_assertions)]
impl Difference {
    fn names(&self) -> [Vec<&Arc<str>>; 3] {
        let send = self.send.iter().map(|resource| &resource.name);
        let (remove, missing) = (self.remove.iter(), self.missing.iter());
        [send.collect(), remove.collect(), missing.collect()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_checks_take_a_bounded_amount() {
        let kind = Kind::Endpoint;
        let mut subscription = Subscription::open(kind, &["a".to_owned()], &[].into());
        subscription.difference(kind, &Snapshot::default());
        let long = "x".repeat(MAX_BYTES / 100);
        for round in 0..1000 {
            let name = format!("{round}{long}");
            subscription.subscribe(std::slice::from_ref(&name));
            subscription.unsubscribe(&[name]);
            let kept = match &subscription.unchecked {
                Unchecked::All => 0,
                Unchecked::Names(names, _) => names.iter().map(|name| name.len()).sum(),
            };
            assert!(kept <= MAX_BYTES, "{kept} bytes in round {round}");
        }
        let difference = subscription.difference(kind, &Snapshot::default());
        assert_eq!(difference.missing, ["a".into()]);
    }
}

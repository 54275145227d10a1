//! What proxies of the state of the world were told: complete sets, found again by their version.
//!
//! A proxy that comes back in that variant says the version of its clusters, not what they are. A
//! server that still knows can let what is to go wait for what refers to it; one that does not has
//! to take it away at once ([`sotw`](crate::xds::sotw)). So each set is noted before it is sent: in
//! memory, for streams that are lost, and in a file, for a server that is.

mod journal;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use journal::JournalError;
use journal::{Entry, Journal};

use crate::xds::kind::Kind;
use crate::xds::resource::{Resource, Version};

/// How long a set is kept after it was told last. A proxy accepts a set within half a minute, and
/// then names that: an older one is named by proxies alone that were told no other since.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// How many of a group's sets are kept however old they are: proxies that refuse something, each
/// something else, have each another.
const KEPT_AT_LEAST: usize = 32;

/// The most resources in all sets of a kind that a group has: 8 MB of pointers. The newest set is
/// kept in any case.
const MAX_RESOURCES: usize = 1_000_000;

/// Of how many groups sets of a kind are kept: those that were told something last.
const MAX_GROUPS: usize = 2_000;

/// The sets that proxies were told.
#[derive(Debug, Default)]
pub struct Told {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    sets: BTreeMap<Of, Sets>,
    journal: Option<Journal>,
}

/// Whose sets they are, and of what.
type Of = (String, Kind);

/// A group's sets of one kind, the one that was told last at the end.
#[derive(Debug, Default)]
struct Sets {
    sets: VecDeque<Set>,
    resources: usize,
}

/// All that proxies have of a kind.
#[derive(Clone, Debug)]
struct Set {
    version: Version,
    /// In the order of their names.
    resources: Arc<[Arc<Resource>]>,
    told: Instant,
}

impl Told {
    /// With what an earlier server noted in this file, and noting in it from now on. The file is made
    /// if it is not there; no other server may use it at the same time.
    pub fn kept_in(file: &Path) -> Result<Self, JournalError> {
        let mut inner = Inner::default();
        let journal = Journal::open(file, |entry| match entry {
            Entry::Told(of, set) => inner.keep(of, set),
            Entry::Forgotten(of, version) => {
                if let Some(sets) = inner.sets.get_mut(&of) {
                    sets.forget(&version);
                }
            }
        })?;
        inner.journal = Some(journal);
        inner.compact();
        Ok(Self {
            inner: Mutex::new(inner),
        })
    }

    /// Notes that a proxy of `group` is about to be told this complete set.
    pub(super) fn note(
        &self,
        group: &str,
        kind: Kind,
        version: &Version,
        resources: &[Arc<Resource>],
    ) {
        let of = (group.to_owned(), kind);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = inner.sets.get_mut(&of);
        if !sets.is_some_and(|sets| sets.again(version)) {
            let mut resources = resources.to_vec();
            resources.sort_by(|one, other| one.name.cmp(&other.name));
            let set = Set::now(version.clone(), resources);
            if let Some(journal) = &mut inner.journal {
                journal.append(&of, &set);
            }
            inner.keep(of, set);
        }
        inner.compact_if_due();
    }

    /// Forgets the set of a version: proxies that name it may have another one.
    pub(super) fn forget(&self, group: &str, kind: Kind, version: &str) {
        let of = (group.to_owned(), kind);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sets) = inner.sets.get_mut(&of) else {
            return;
        };
        if !sets.forget(version) {
            return;
        }
        if let Some(journal) = &mut inner.journal {
            journal.append_forgotten(&of, version);
        }
        inner.compact_if_due();
    }

    /// What is in the set of this version, if it is still known.
    pub(super) fn recall(
        &self,
        group: &str,
        kind: Kind,
        version: &str,
    ) -> Option<Vec<Arc<Resource>>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let sets = inner.sets.get(&(group.to_owned(), kind))?;
        let mut newest_first = sets.sets.iter().rev();
        let set = newest_first.find(|set| *set.version.0 == *version)?;
        Some(set.resources.to_vec())
    }
}

impl Inner {
    fn keep(&mut self, of: Of, set: Set) {
        self.sets.entry(of).or_default().push(set);
        while self.sets.len() > MAX_GROUPS {
            let told_last = |(_, sets): &(&Of, &Sets)| sets.sets.back().map(|set| set.told);
            let oldest = self.sets.iter().min_by_key(told_last);
            let Some(oldest) = oldest.map(|(of, _)| of.clone()) else {
                return;
            };
            self.sets.remove(&oldest);
        }
    }

    fn compact_if_due(&mut self) {
        let journal = self.journal.as_ref();
        if journal.is_some_and(Journal::is_to_be_rewritten) {
            self.compact();
        }
    }

    /// Writes the journal anew, with what is kept alone.
    fn compact(&mut self) {
        let Some(journal) = &mut self.journal else {
            return;
        };
        let sets = self.sets.iter();
        let sets = sets.flat_map(|(of, sets)| sets.sets.iter().map(move |set| (of, set)));
        journal.rewrite(sets);
    }
}

impl Sets {
    /// Notes that the set of this version is told once more, if it is known.
    fn again(&mut self, version: &Version) -> bool {
        let mut newest_first = self.sets.iter().enumerate().rev();
        let Some((index, _)) = newest_first.find(|(_, set)| set.version == *version) else {
            return false;
        };
        if let Some(mut set) = self.sets.remove(index) {
            set.told = Instant::now();
            self.sets.push_back(set);
        }
        true
    }

    /// Forgets the set of this version, if it is known.
    fn forget(&mut self, version: &str) -> bool {
        let before = self.sets.len();
        self.sets.retain(|set| *set.version.0 != *version);
        self.resources = self.sets.iter().map(|set| set.resources.len()).sum();
        self.sets.len() < before
    }

    fn push(&mut self, set: Set) {
        self.resources += set.resources.len();
        self.sets.push_back(set);
        let is_past = |set: &Set| set.told.elapsed() > KEPT_FOR;
        while self.sets.len() > 1
            && (self.resources > MAX_RESOURCES
                || (self.sets.len() > KEPT_AT_LEAST && self.sets.front().is_some_and(is_past)))
        {
            let oldest = self.sets.pop_front();
            self.resources -= oldest.map_or(0, |set| set.resources.len());
        }
    }
}

impl Set {
    fn now(version: Version, resources: Vec<Arc<Resource>>) -> Self {
        Self {
            version,
            resources: resources.into(),
            told: Instant::now(),
        }
    }
}

#[cfg(test)]
mod tests;

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

use journal::Journal;
pub use journal::JournalError;

use crate::xds::kind::Kind;
use crate::xds::resource::{Resource, Version};

/// How long a set is kept after it was told last. A proxy accepts one after half a minute at the
/// latest, so that an older one is only what a proxy has if no other followed.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// How many of a group's sets are kept however old they are: proxies that refuse something, each
/// something else, have each another.
const KEPT_AT_LEAST: usize = 32;

/// The most resources in all sets of a kind that a group has: 8 MB of pointers. The newest set is
/// kept in any case.
const MAX_RESOURCES: usize = 1_000_000;

/// The most groups whose sets are kept.
const MAX_GROUPS: usize = 1_000;

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
        let (journal, sets) = Journal::open(file)?;
        for (of, set) in sets {
            inner.keep(of, set);
        }
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
        if inner
            .sets
            .get_mut(&of)
            .is_some_and(|sets| sets.again(version))
        {
            return;
        }
        let mut resources = resources.to_vec();
        resources.sort_by(|one, other| one.name.cmp(&other.name));
        let set = Set::now(version.clone(), resources);
        if let Some(journal) = &mut inner.journal {
            journal.append(&of, &set);
        }
        inner.keep(of, set);
        if inner.journal.as_ref().is_some_and(Journal::is_long) {
            inner.compact();
        }
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
        while self.sets.len() > MAX_GROUPS * Kind::ALL.len() {
            let told_last = |(_, sets): &(&Of, &Sets)| sets.sets.back().map(|set| set.told);
            let oldest = self.sets.iter().min_by_key(told_last);
            let Some(oldest) = oldest.map(|(of, _)| of.clone()) else {
                return;
            };
            self.sets.remove(&oldest);
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

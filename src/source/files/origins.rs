//! Origins: where each resource is written, for naming file and line of what is found wrong with it
//! later.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::path::PathBuf;
use std::sync::Arc;

use super::lines::Lines;
use crate::resource::Key;
use crate::source::Location;

/// A change copies one shard of this many, not everything.
const SHARDS: usize = 64;

/// Where each resource is written. A copy is cheap and stays as it is.
#[derive(Clone, Debug)]
pub struct Origins {
    shards: Vec<Arc<HashMap<Key, Origin>>>,
}

/// Where one resource is written.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) file: Arc<PathBuf>,
    /// The line, counted from 1, from which `lines` count.
    pub(super) line: usize,
    pub(super) lines: Arc<Lines>,
}

impl Default for Origins {
    fn default() -> Self {
        Self {
            shards: vec![Arc::default(); SHARDS],
        }
    }
}

impl Origins {
    /// Where the field at `path` (such as `spec.rules[0]`) of a resource is written, or the nearest
    /// thing around it. `None` if the resource is in no file.
    pub fn locate(&self, key: &Key, path: &str) -> Option<Location> {
        let origin = self.shards[shard(key)].get(key)?;
        Some(origin.locate(path))
    }

    /// Whether nothing changed between the two.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let mut pairs = self.shards.iter().zip(&other.shards);
        pairs.all(|(one, two)| Arc::ptr_eq(one, two))
    }

    pub(super) fn insert(&mut self, key: Key, origin: Origin) {
        let shard = &mut self.shards[shard(&key)];
        if shard.get(&key).is_none_or(|old| !old.is_same(&origin)) {
            Arc::make_mut(shard).insert(key, origin);
        }
    }

    pub(super) fn remove(&mut self, key: &Key) {
        let shard = &mut self.shards[shard(key)];
        if shard.contains_key(key) {
            Arc::make_mut(shard).remove(key);
        }
    }
}

impl Origin {
    pub(super) fn locate(&self, path: &str) -> Location {
        Location {
            file: self.file.clone(),
            line: self.line + self.lines.locate(path) as usize,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.line == other.line
            && Arc::ptr_eq(&self.lines, &other.lines)
            && Arc::ptr_eq(&self.file, &other.file)
    }
}

fn shard(key: &Key) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
    usize::try_from(hash % SHARDS as u64).expect("less than the number of shards")
}

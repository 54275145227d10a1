//! What the API server holds of the objects that carry a status: for whoever writes statuses.
//!
//! In: each object of such a kind as the watches see it. Out: its resource version, its generation
//! and its status as it stands there, and why it is refused if it is. The store has none of this:
//! translation must not depend on what Locum, or another controller, wrote itself.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::Value;
use tokio::sync::watch;

use crate::resource::Key;
use crate::resource::fault::Fault;

/// One object with a status, as the API server holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The `apiVersion` under which it is watched, and under which its status is written.
    pub api_version: Arc<str>,
    /// Another object of the same name has another one.
    pub uid: String,
    pub resource_version: String,
    /// Which version of its spec this is. It may be ahead of what was translated: a status says the
    /// generation of the store's object, not this one.
    pub generation: Option<i64>,
    /// The status as it is written, of all controllers; null if there is none.
    pub status: Value,
    /// Who wrote the status last, as the API server notes it: for naming the other one where two
    /// controllers write the same.
    pub written_by: Option<String>,
    /// Why the object as it is written now is not taken. The store then holds its last good form,
    /// or nothing.
    pub refused: Option<Refused>,
}

/// An object that was not taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// Everything that is wrong with it; at least one of it an error.
    pub faults: Vec<Fault>,
    /// Its spec as it is written: a typed form is not to be had, and whose object it is
    /// (controllerName, gatewayClassName, parentRefs, targetRefs) has to be told from it.
    pub spec: Value,
}

/// A handle to what is seen; all its copies show the same.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    objects: RwLock<BTreeMap<Key, Arc<Observed>>>,
    /// Counts what changed.
    ticks: watch::Sender<u64>,
}

impl Seen {
    /// One object, if it is there.
    pub fn get(&self, key: &Key) -> Option<Arc<Observed>> {
        self.read().get(key).cloned()
    }

    /// Every object, as they are now.
    pub fn all(&self) -> BTreeMap<Key, Arc<Observed>> {
        self.read().clone()
    }

    /// Ticks whenever an object changed, came or went. An update of the source is sent only after
    /// what it holds can be seen here.
    pub fn ticks(&self) -> watch::Receiver<u64> {
        self.shared.ticks.subscribe()
    }

    /// Takes in how an object is now.
    pub fn set(&self, key: Key, observed: Observed) {
        let mut objects = self.write();
        if objects.get(&key).is_some_and(|known| **known == observed) {
            return;
        }
        objects.insert(key, Arc::new(observed));
        drop(objects);
        self.tick();
    }

    /// Takes in that an object is gone.
    pub fn remove(&self, key: &Key) {
        if self.write().remove(key).is_some() {
            self.tick();
        }
    }

    fn tick(&self) {
        self.shared.ticks.send_modify(|count| *count += 1);
    }

    // Each change of the map is one call: a thread that panicked left it whole.
    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Key, Arc<Observed>>> {
        let objects = self.shared.objects.read();
        objects.unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Key, Arc<Observed>>> {
        let objects = self.shared.objects.write();
        objects.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Kind;

    fn observed(resource_version: &str) -> Observed {
        Observed {
            api_version: "gateway.networking.k8s.io/v1".into(),
            uid: "1".into(),
            resource_version: resource_version.into(),
            generation: Some(1),
            status: Value::Null,
            written_by: None,
            refused: None,
        }
    }

    #[test]
    fn copies_show_the_same_and_only_changes_tick() {
        let seen = Seen::default();
        let copy = seen.clone();
        let mut ticks = copy.ticks();
        let key = Key::new(Kind::Gateway, "default", "eg");
        seen.set(key.clone(), observed("7"));
        assert!(ticks.has_changed().unwrap());
        ticks.mark_unchanged();
        assert_eq!(copy.get(&key).unwrap().resource_version, "7");
        seen.set(key.clone(), observed("7"));
        seen.remove(&Key::new(Kind::Gateway, "default", "other"));
        assert!(!ticks.has_changed().unwrap());
        seen.remove(&key);
        assert!(ticks.has_changed().unwrap() && copy.all().is_empty());
    }
}

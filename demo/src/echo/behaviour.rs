//! What a backend is told to do, and what it has counted: shared by all its connections.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::Identity;

/// How a backend answers. The default is well: 200, at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// The status of every answer, where nothing else applies.
    pub status: Option<u16>,
    /// The status of answers to one path, which goes before `status`.
    pub paths: BTreeMap<String, u16>,
    /// So many requests from now on are answered 503 before any other rule applies.
    pub fail_next: u64,
    /// Milliseconds from a request to its answer.
    pub delay_ms: u64,
    /// Whether connections are closed in place of an answer.
    pub drop: bool,
}

/// What a backend has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests carried out, whatever became of their answers.
    pub requests: u64,
    /// The same by the requests' own id.
    #[serde(skip)]
    pub by_id: HashMap<String, u32>,
}

/// The one place of a backend that changes.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) identity: Identity,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    behaviour: Behaviour,
    counts: Counts,
}

/// What one request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) status: u16,
    pub(super) delay_ms: u64,
    pub(super) drop: bool,
}

impl Shared {
    pub(super) fn new(identity: Identity) -> Self {
        Self {
            identity,
            inner: Mutex::default(),
        }
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        self.lock().behaviour = behaviour;
    }

    pub(super) fn behaviour(&self) -> Behaviour {
        self.lock().behaviour.clone()
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// Counts a request and says what becomes of it.
    pub(super) fn take(&self, path: &str, id: Option<&str>) -> Fate {
        let mut inner = self.lock();
        inner.counts.requests += 1;
        if let Some(id) = id {
            *inner.counts.by_id.entry(id.to_owned()).or_default() += 1;
        }
        let behaviour = &mut inner.behaviour;
        let status = if behaviour.fail_next > 0 {
            behaviour.fail_next -= 1;
            503
        } else {
            let by_path = behaviour.paths.get(path).copied();
            by_path.or(behaviour.status).unwrap_or(200)
        };
        Fate {
            status,
            delay_ms: behaviour.delay_ms,
            drop: behaviour.drop,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that holds the lock can leave it half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

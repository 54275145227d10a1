//! The board: where the newest snapshot of each Gateway hangs.
//!
//! The pipeline publishes, streams watch. Only the newest snapshot is kept, so a slow stream skips
//! those between.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::xds::snapshot::Snapshot;

/// What a Gateway's proxies get.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Counts the board's changes; 0 before the Gateway's first snapshot.
    pub revision: u64,
    /// `None` before the first.
    pub snapshot: Option<Arc<Snapshot>>,
}

/// The snapshots that streams serve from, one for each Gateway (`namespace/name`).
#[derive(Debug, Default)]
pub struct Board {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    revision: u64,
    gateways: BTreeMap<String, watch::Sender<Published>>,
}

impl Board {
    /// Makes `snapshot` the one that proxies of `gateway` get. If it holds the same content as the
    /// one before, no stream hears of it.
    pub fn publish(&self, gateway: &str, snapshot: Arc<Snapshot>) {
        let mut inner = self.lock();
        let revision = inner.revision + 1;
        let sender = inner.gateways.entry(gateway.to_owned()).or_default();
        let changed = sender.send_if_modified(|published| {
            let old = published.snapshot.replace(snapshot.clone());
            let changed = !old.is_some_and(|old| old.has_content_of(&snapshot));
            if changed {
                published.revision = revision;
            }
            changed
        });
        inner.revision += u64::from(changed);
    }

    /// Takes a Gateway's snapshot away: connected proxies let go of everything, later ones wait for
    /// a snapshot.
    pub fn withdraw(&self, gateway: &str) {
        let mut inner = self.lock();
        let Some(sender) = inner.gateways.remove(gateway) else {
            return;
        };
        inner.revision += 1;
        if sender.receiver_count() > 0 {
            sender.send_replace(Published {
                revision: inner.revision,
                snapshot: Some(Arc::default()),
            });
            inner.gateways.insert(gateway.to_owned(), sender);
        }
    }

    /// The Gateway's newest snapshot, now and whenever it changes. A Gateway that is not known has
    /// none yet.
    pub fn subscribe(&self, gateway: &str) -> watch::Receiver<Published> {
        let mut inner = self.lock();
        // Names that only proxies know are forgotten with the last of them, so that made-up names
        // cost nothing.
        inner
            .gateways
            .retain(|_, sender| sender.receiver_count() > 0 || sender.borrow().snapshot.is_some());
        let sender = inner.gateways.entry(gateway.to_owned()).or_default();
        sender.subscribe()
    }

    /// What a Gateway's proxies get at present.
    pub fn published(&self, gateway: &str) -> Published {
        let inner = self.lock();
        let sender = inner.gateways.get(gateway);
        sender
            .map(|sender| sender.borrow().clone())
            .unwrap_or_default()
    }

    /// Every Gateway that has a snapshot, with it.
    pub fn all(&self) -> BTreeMap<String, Arc<Snapshot>> {
        let inner = self.lock();
        let gateways = inner.gateways.iter();
        gateways
            .filter_map(|(name, sender)| Some((name.clone(), sender.borrow().snapshot.clone()?)))
            .collect()
    }

    /// A mutex is poisoned only by a panic, a defect that is reported where it happens; the board
    /// stays whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The board: where the newest snapshot of each group of proxies hangs. Locum has a group for each
//! Gateway.
//!
//! The owner of the snapshots (in Locum the pipeline) publishes, streams watch. Only the newest
//! snapshot is kept, so a slow stream skips those between.

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
    /// That there is no such Gateway any more; the snapshot is empty then.
    pub is_gone: bool,
}

impl Published {
    /// Whether there is such a Gateway at present.
    pub fn is_there(&self) -> bool {
        self.snapshot.is_some() && !self.is_gone
    }
}

/// The snapshots that streams serve from, one for each Gateway (`namespace/name`).
#[derive(Debug, Default)]
pub struct Board {
    inner: Mutex<Inner>,
    complete: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    revision: u64,
    gateways: BTreeMap<String, watch::Sender<Published>>,
}

impl Board {
    /// Makes `snapshot` the one that proxies of `gateway` get. If it holds the same content as the
    /// one before, no stream hears of it. Returns its revision, for
    /// [`Clients::caught_up`](crate::xds::clients::Clients::caught_up).
    pub fn publish(&self, gateway: &str, snapshot: impl Into<Arc<Snapshot>>) -> u64 {
        let snapshot = snapshot.into();
        let mut inner = self.lock();
        let revision = inner.revision + 1;
        let sender = inner.gateways.entry(gateway.to_owned()).or_default();
        let changed = sender.send_if_modified(|published| {
            let old = published.snapshot.replace(snapshot.clone());
            published.is_gone = false;
            let changed = !old.is_some_and(|old| old.has_content_of(&snapshot));
            if changed {
                published.revision = revision;
            }
            changed
        });
        let revision = sender.borrow().revision;
        inner.revision += u64::from(changed);
        revision
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
                is_gone: true,
            });
            inner.gateways.insert(gateway.to_owned(), sender);
        }
    }

    /// Says that every Gateway that there is has its snapshot: a server that starts knows of none
    /// at first.
    pub fn complete(&self) {
        self.complete
            .send_if_modified(|complete| !std::mem::replace(complete, true));
    }

    /// Whether there is something to serve, or certainly nothing.
    pub(super) fn has_something(&self) -> bool {
        *self.complete.borrow() || {
            let inner = self.lock();
            let mut gateways = inner.gateways.values();
            gateways.any(|sender| sender.borrow().snapshot.is_some())
        }
    }

    /// Resolves when a Gateway without a snapshot is one that does not exist.
    pub(super) async fn completed(&self) {
        let mut complete = self.complete.subscribe();
        let completed = complete.wait_for(|complete| *complete).await;
        completed.expect("the board outlives those who look at it");
    }

    /// The Gateway's newest snapshot, now and whenever it changes. A Gateway that is not known has
    /// none yet.
    pub fn subscribe(&self, gateway: &str) -> watch::Receiver<Published> {
        let mut inner = self.lock();
        // Names that only proxies know are forgotten with the last of them, so that made-up names
        // cost nothing.
        inner
            .gateways
            .retain(|_, sender| sender.receiver_count() > 0 || sender.borrow().is_there());
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

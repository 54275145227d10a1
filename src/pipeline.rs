//! The pipeline: the one loop that moves data along.
//!
//! Every event it can see: an update of the source (changes, findings), another set of resources
//! that proxies refuse, a time until which something was to last, the source's end. It takes in all updates that are waiting, translates
//! once, publishes the snapshots and then the state that admin, `run` and the status writer look
//! at.

mod ends;
mod located;
mod metrics;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::problem::Problem;
use crate::resource::{Key, Kind, ObjectName};
use crate::serving::{self, Serving};
use crate::source::{Finding, Update, files::Origins};
use crate::store::Store;
use crate::translate::{self, Options, Translation, read};
use crate::xds::clients::Refused;
use crate::xds::server::{Board, Shared};
use crate::xds::snapshot::Snapshot;

pub use located::{Located, LocatedJson};
pub use metrics::Metrics;

/// Since when proxies are sent what follows from a Gateway's newest generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// `metadata.generation` of the Gateway; 0 where it has none (files).
    pub generation: i64,
    /// The first revision of its snapshot that was made from this generation.
    pub revision: u64,
}

/// What the rest of the process may look at: the last translation and what it came from.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Counts translations; 0 before the first.
    pub revision: u64,
    pub store: Arc<Store>,
    pub translation: Arc<Translation>,
    pub snapshots: BTreeMap<ObjectName, Arc<Snapshot>>,
    /// By Gateway; those that have a snapshot.
    pub told: BTreeMap<ObjectName, Told>,
    pub findings: Arc<[Finding]>,
    pub origins: Arc<Origins>,
    /// What connected proxies refuse now.
    pub refusals: Arc<[Refused]>,
}

impl State {
    /// What follows from one update of a source alone, published nowhere.
    pub fn of(update: Update, options: &Options) -> Self {
        State::default().after(vec![update], options, Timestamp::now())
    }

    /// The state after some more updates, at some time.
    fn after(&self, updates: Vec<Update>, options: &Options, now: Timestamp) -> Self {
        let mut state = self.clone();
        let store = Arc::make_mut(&mut state.store);
        let reads = &self.translation.reads;
        let mut touched = self.revision == 0;
        for update in updates {
            for change in update.changes {
                touched = touched || read::touches(reads, store, &change);
                store.apply(change);
            }
            state.findings = update.findings;
            state.origins = update.origins;
        }
        if let Some(come) = ends::come(store, now) {
            touched = touched || read::touches(reads, store, &come);
            store.apply(come);
        }
        if !store.is_synced() || !touched {
            return state;
        }
        let translation = translate::translate(&state.store, options, &self.translation);
        state.snapshots = translation
            .resources
            .iter()
            .map(|(gateway, emitted)| {
                let previous = self.snapshots.get(gateway).map(Arc::as_ref);
                let snapshot = Snapshot::new(emitted.resources(), previous);
                debug_assert_eq!(
                    snapshot.check_closed(),
                    Ok(()),
                    "translation names only what it makes"
                );
                (gateway.clone(), Arc::new(snapshot))
            })
            .collect();
        state.translation = Arc::new(translation);
        state.revision += 1;
        state
    }

    /// What proxies refuse, as a problem of each resource that the refused one was made from.
    fn refusal_problems(&self) -> Vec<Problem> {
        let of_refusal = |refused: &Refused| {
            let resource = refused.resource.clone();
            let message = format!(
                "the proxy {} refuses {} {} and keeps its last good form: {}",
                refused.node, resource.kind, resource.name, refused.message
            );
            let owners = resource
                .owners
                .iter()
                .filter_map(|owner| owner.parse().ok());
            owners
                .map(|owner: Key| Problem::error(&owner, "", "Refused", message.clone()))
                .collect::<Vec<_>>()
        };
        self.refusals.iter().flat_map(of_refusal).collect()
    }
}

/// The loop's own state.
#[derive(Debug)]
pub struct Pipeline {
    options: Options,
    board: Arc<Board>,
    serving: Arc<Serving>,
    refusals: watch::Receiver<Arc<[Refused]>>,
    metrics: Metrics,
    state: watch::Sender<Arc<State>>,
}

impl Pipeline {
    /// A pipeline that has seen nothing, and where its state can be watched. It publishes on the
    /// server's board and hears there what proxies refuse.
    pub fn new(
        options: Options,
        server: &Shared,
        metrics: Metrics,
    ) -> (Self, watch::Receiver<Arc<State>>) {
        let (state, receiver) = watch::channel(Arc::default());
        let pipeline = Self {
            options,
            board: server.board.clone(),
            serving: server.serving.clone(),
            refusals: server.clients.refusals(),
            metrics,
            state,
        };
        (pipeline, receiver)
    }

    /// Runs until the source has gone. The first snapshot comes after the source's first `Synced`.
    pub async fn run(mut self, mut updates: mpsc::Receiver<Update>) {
        loop {
            let wait = ends::wait(&self.state.borrow().store, Timestamp::now());
            tokio::select! {
                update = updates.recv() => {
                    let Some(update) = update else { return };
                    let mut waiting = vec![update];
                    while let Ok(update) = updates.try_recv() {
                        waiting.push(update);
                    }
                    self.publish(waiting);
                }
                Ok(()) = self.refusals.changed() => self.note_refusals(),
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {
                    if ends::come(&self.state.borrow().store, Timestamp::now()).is_some() {
                        self.publish(Vec::new());
                    }
                }
            }
        }
    }

    fn publish(&self, updates: Vec<Update>) {
        let begun = Instant::now();
        let previous = self.state.borrow().clone();
        let mut state = previous.after(updates, &self.options, Timestamp::now());
        if state.revision == previous.revision {
            // The source is still saying what was there at the start, or has found something that
            // changes nothing.
            self.metrics.count_problems(&state);
            self.state.send_replace(Arc::new(state));
            return;
        }
        for (gateway, snapshot) in &state.snapshots {
            self.board.publish(&gateway.to_string(), snapshot.clone());
        }
        self.board.complete();
        state.told = self.told(&state, &previous);
        let state = Arc::new(state);
        let gone = |gateway: &&ObjectName| !state.snapshots.contains_key(*gateway);
        for gateway in previous.snapshots.keys().filter(gone) {
            self.board.withdraw(&gateway.to_string());
        }
        self.serving
            .observe(serving::layout(&state.translation.model));
        self.metrics.translated(&state, begun.elapsed());
        self.state.send_replace(state);
    }

    /// Since when proxies are told, now that `state` is published.
    fn told(&self, state: &State, previous: &State) -> BTreeMap<ObjectName, Told> {
        let told = state.snapshots.keys().map(|gateway| {
            let key = Key::new(Kind::Gateway, &gateway.namespace, &gateway.name);
            let object = state.store.get(&key);
            let generation = object.and_then(|object| object.metadata().generation);
            let generation = generation.unwrap_or_default();
            let before = previous.told.get(gateway);
            let told = before.filter(|told| told.generation == generation);
            let told = told.copied().unwrap_or_else(|| Told {
                generation,
                revision: self.board.published(&gateway.to_string()).revision,
            });
            (gateway.clone(), told)
        });
        told.collect()
    }

    fn note_refusals(&mut self) {
        let refusals = self.refusals.borrow_and_update().clone();
        self.state
            .send_modify(|state| Arc::make_mut(state).refusals = refusals);
        self.metrics.count_problems(&self.state.borrow());
    }
}

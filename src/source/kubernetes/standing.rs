//! How the watches stand: what the first snapshot still waits for, what was said of it, what is
//! counted.
//!
//! In: each watch's state, as it changes. Out: lines for /readyz, metrics, and log lines: once when
//! something begins to fail, once when it is over. A server that does not answer is one matter,
//! whatever number of watches notices it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use super::api::Failure;
use super::target::{Need, Target};

/// A watch that has failed so often in a row says so: a connection that breaks once is no news.
const SAID_AFTER: u32 = 2;

/// The same for failures that come with an answer: a server that starts gives many a strange one.
const ANSWERS_SAID_AFTER: u32 = 5;

/// Names a watch for as long as it runs.
pub(super) type WatchId = u64;

/// What one watch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It asks for everything there is.
    Listing,
    /// It hears of changes.
    Watching,
    /// Its kind is not installed.
    Missing,
    /// It waits to ask again.
    Failing,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    resource: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    resource: String,
    cause: String,
}

/// How all watches stand. Each of them has a part in it.
#[derive(Debug)]
pub(super) struct Standing {
    board: Mutex<Board>,
    /// What the first snapshot waits for, a line each.
    waiting: watch::Sender<Arc<[String]>>,
    /// Ticks when a server answers again that had not.
    returns: watch::Sender<u64>,
    watches: Family<OfState, Gauge>,
    failures: Family<OfCause, Counter>,
}

#[derive(Debug, Default)]
struct Board {
    entries: BTreeMap<WatchId, Entry>,
    /// Since when the server has not answered, if that was said.
    silent_since: Option<Instant>,
    /// Whether nothing is waited for any more; a watch that begins later holds nothing up.
    is_read: bool,
}

#[derive(Debug)]
struct Entry {
    target: Target,
    state: State,
    /// Failures in a row, all of them with an answer or all without.
    failures: u32,
    is_unreachable: bool,
    /// What is wrong.
    why: Option<String>,
    /// What was logged and is not over.
    said: Option<String>,
    /// Whether its first list is there, or needs not to be.
    is_complete: bool,
}

impl Standing {
    /// No watches yet; the metrics are entered into `registry`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let standing = Self {
            board: Mutex::default(),
            waiting: watch::Sender::new(Arc::new([])),
            returns: watch::Sender::new(0),
            watches: Family::default(),
            failures: Family::default(),
        };
        registry.register(
            "locum_kubernetes_watches",
            "Watches over the API server, by kind and by what they do now: listing, watching, \
             missing (the kind is not installed) or failing",
            standing.watches.clone(),
        );
        registry.register(
            "locum_kubernetes_watch_failures",
            "Times that a watch or a list failed, by kind and HTTP status or other cause",
            standing.failures.clone(),
        );
        standing
    }

    /// What the first snapshot waits for; empty once all of it is there.
    pub(super) fn waiting(&self) -> watch::Receiver<Arc<[String]>> {
        self.waiting.subscribe()
    }

    /// Ticks when the server answers again.
    pub(super) fn returns(&self) -> watch::Receiver<u64> {
        self.returns.subscribe()
    }

    /// A watch begins.
    pub(super) fn add(&self, id: WatchId, target: &Target) {
        let entry = Entry {
            target: target.clone(),
            state: State::Listing,
            failures: 0,
            is_unreachable: false,
            why: None,
            said: None,
            is_complete: false,
        };
        self.count(&entry, 1);
        let mut board = self.lock();
        board.entries.insert(id, entry);
        self.show(&board);
    }

    /// A watch has ended.
    pub(super) fn remove(&self, id: WatchId) {
        let mut board = self.lock();
        if let Some(entry) = board.entries.remove(&id) {
            self.count(&entry, -1);
            self.show(&board);
        }
    }

    /// The first list of a watch is there.
    pub(super) fn complete(&self, id: WatchId) {
        let mut board = self.lock();
        if let Some(entry) = board.entries.get_mut(&id) {
            entry.is_complete = true;
            self.show(&board);
        }
    }

    /// All that was waited for is there.
    pub(super) fn all_read(&self) {
        let mut board = self.lock();
        board.is_read = true;
        self.show(&board);
    }

    /// A watch asks for everything there is.
    pub(super) fn listing(&self, id: WatchId) {
        if let Some(entry) = self.lock().entries.get_mut(&id) {
            self.enter(entry, State::Listing);
        }
    }

    /// A watch has everything there is and hears of changes.
    pub(super) fn watching(&self, id: WatchId) {
        let mut board = self.lock();
        self.note_answer(&mut board);
        let Some(entry) = board.entries.get_mut(&id) else {
            return;
        };
        entry.failures = 0;
        entry.why = None;
        if entry.said.take().is_some() {
            tracing::info!(resource = %entry.target, "is read");
        }
        self.enter(entry, State::Watching);
        self.show(&board);
    }

    /// The kind of a watch is not installed.
    pub(super) fn missing(&self, id: WatchId) {
        let mut board = self.lock();
        self.note_answer(&mut board);
        let Some(entry) = board.entries.get_mut(&id) else {
            return;
        };
        let why = absence(&entry.target);
        if entry.said.as_ref() != Some(&why) {
            let watched = entry.target.watched;
            let (resource, remedy) = (watched.resource(), watched.remedy());
            match (watched.need(), remedy) {
                (Need::Required, _) => {
                    tracing::warn!(resource, remedy, "is not installed: waiting for it");
                }
                (_, Some(_)) => {
                    tracing::info!(resource, remedy, "is not installed: serving without");
                }
                (_, None) => tracing::debug!(resource, "is not installed"),
            }
            entry.said = Some(why.clone());
        }
        entry.failures = 0;
        entry.why = Some(why);
        self.enter(entry, State::Missing);
        self.show(&board);
    }

    /// A watch has failed and will be tried again.
    pub(super) fn failing(&self, id: WatchId, failure: &Failure) {
        let mut board = self.lock();
        let board = &mut *board;
        let Some(entry) = board.entries.get_mut(&id) else {
            return;
        };
        if entry.is_unreachable != failure.is_unreachable() {
            entry.failures = 0;
        }
        entry.is_unreachable = failure.is_unreachable();
        entry.failures += 1;
        let why = words(failure);
        let cause = OfCause {
            resource: entry.target.watched.resource(),
            cause: cause(failure),
        };
        self.failures.get_or_create(&cause).inc();
        if failure.is_unreachable() {
            if entry.failures >= SAID_AFTER && board.silent_since.is_none() {
                board.silent_since = Some(Instant::now());
                tracing::warn!("{why}; what was read last stays, and it is asked again and again");
            }
        } else {
            let is_news = entry.said.as_ref() != Some(&why);
            if entry.failures >= ANSWERS_SAID_AFTER && is_news {
                tracing::warn!(resource = %entry.target, "{why}; what was read last stays");
                entry.said = Some(why.clone());
            }
        }
        entry.why = Some(why);
        self.enter(entry, State::Failing);
        if !failure.is_unreachable() {
            self.note_answer(board);
        }
        self.show(board);
    }

    fn note_answer(&self, board: &mut Board) {
        if let Some(since) = board.silent_since.take() {
            tracing::info!(after = ?since.elapsed(), "the API server answers again");
            self.returns.send_modify(|count| *count += 1);
        }
    }

    fn enter(&self, entry: &mut Entry, state: State) {
        self.count(entry, -1);
        entry.state = state;
        self.count(entry, 1);
    }

    fn count(&self, entry: &Entry, change: i64) {
        let state = OfState {
            resource: entry.target.watched.resource(),
            state: match entry.state {
                State::Listing => "listing",
                State::Watching => "watching",
                State::Missing => "missing",
                State::Failing => "failing",
            },
        };
        self.watches.get_or_create(&state).inc_by(change);
    }

    /// Writes down what is waited for, where that changed.
    fn show(&self, board: &Board) {
        let open = board.entries.values();
        let open = open.filter(|entry| !entry.is_complete && !board.is_read);
        let lines: Vec<String> = open.map(Entry::line).collect();
        self.waiting.send_if_modified(|known| {
            let is_news = known[..] != lines[..];
            if is_news {
                *known = lines.into();
            }
            is_news
        });
    }

    // Each change is one call: a thread that panicked left it whole.
    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// What is waited for, and why it takes so long.
    fn line(&self) -> String {
        match &self.why {
            None => format!("{} are being read", self.target),
            Some(why) => format!("{}: {why}", self.target),
        }
    }
}

/// That the kind of a watch is not installed, and what to do about it.
fn absence(target: &Target) -> String {
    let absence = "its CustomResourceDefinition is not installed";
    match target.watched.remedy() {
        Some(remedy) => format!("{absence}; install it: {remedy}"),
        None => absence.to_owned(),
    }
}

/// What is wrong, and what to do about it.
fn words(failure: &Failure) -> String {
    let words = format!("the API server {failure}");
    match failure.code() {
        Some(401) => format!("{words}: the credentials are not valid"),
        Some(403) => format!("{words} (deploy/ has a role with all that Locum needs)"),
        _ => words,
    }
}

fn cause(failure: &Failure) -> String {
    match failure {
        Failure::Unreachable(_) => "unreachable".into(),
        Failure::Silent(_) => "silent".into(),
        Failure::Illegible(_) => "illegible".into(),
        Failure::Brief => "brief".into(),
        Failure::OtherVersions { .. } => "version".into(),
        Failure::Refused { status, .. } => status.code.to_string(),
    }
}

//! The desk: which statuses are to be written, and when. Time comes in, writes go out as values, and
//! what became of them comes back; nothing here reads a clock, waits or talks to an API server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::api::{FIELD_MANAGER, Failure, Write, Written};
use super::entry::{Entry, State};
use super::metrics::Metrics;
use crate::resource::{Key, Kind};
use crate::source::kubernetes::Seen;
use crate::status::merge::{self, Held};
use crate::status::observations::Observed;
use crate::status::overlay::{Invalid, Object, Overlay, Wanted};
use crate::status::{Status, Statuses, stamp};

/// Writes under way at the same time: enough to fill the time that an API server takes for one,
/// few enough to leave it room for others.
const CONCURRENT: usize = 16;
/// The pauses between attempts while the API server is away: at most 1 s, since statuses shall be
/// right soon after it is back, and one that starts still fails once or twice.
const FIRST_AWAY: Duration = Duration::from_millis(250);
const LONGEST_AWAY: Duration = Duration::from_secs(1);
/// The longest that an API server which asks for time is given.
const LONGEST_OVERLOAD: Duration = Duration::from_secs(30);

/// A moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// How long after any fixed one it is: everything is timed by this, which never goes back.
    pub elapsed: Duration,
    /// What the clock says, for people: it goes into conditions.
    pub clock: Timestamp,
}

/// What is to be written, and how that goes. Times are those of [`Moment::elapsed`].
#[derive(Debug)]
pub(super) struct Desk {
    seen: Seen,
    controllers: Arc<[String]>,
    metrics: Metrics,
    entries: BTreeMap<Key, Entry>,
    /// The entries that are due at some time.
    waiting: BTreeSet<(Duration, Key)>,
    /// Those that are due now. In the order of kinds: Gateways come before their many routes.
    due: BTreeSet<Key>,
    under_way: usize,
    away: Away,
    /// What was said of a kind that cannot be written, so that it is said once.
    said: BTreeSet<(Kind, &'static str)>,
}

/// A write that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub write: Write,
    /// The status that it is a part of.
    pub wanted: Option<Status>,
}

/// Whether the API server answers.
#[derive(Debug, Default)]
struct Away {
    /// Until when nothing is sent; none while it answers.
    until: Option<Duration>,
    pause: Duration,
}

impl Desk {
    /// Nothing is known yet. `controllers` are the names of Locum's own.
    pub(super) fn new(seen: Seen, controllers: Arc<[String]>, metrics: Metrics) -> Self {
        Self {
            seen,
            controllers,
            metrics,
            entries: BTreeMap::new(),
            waiting: BTreeSet::new(),
            due: BTreeSet::new(),
            under_way: 0,
            away: Away::default(),
            said: BTreeSet::new(),
        }
    }

    /// When something is to be begun although nothing has come in.
    pub(super) fn wake(&self) -> Option<Duration> {
        let due = self.waiting.first().map(|(due, _)| *due);
        // While one is under way, its end says how to go on.
        let is_waiting = self.under_way == 0 && !self.due.is_empty();
        let again = self.away.until.filter(|_| is_waiting);
        [due, again].into_iter().flatten().min()
    }

    /// Compares what is wanted with what is there, and notes what is to be written.
    pub(super) fn look(&mut self, now: Moment, statuses: &Statuses, observed: &Observed) {
        let seen = self.seen.all();
        let controllers = self.controllers.clone();
        let overlay = Overlay::new(statuses, observed, &controllers);
        for (key, seen) in &seen {
            let invalid = seen.refused.as_ref().map(|refused| Invalid {
                faults: &refused.faults,
                spec: &refused.spec,
            });
            let object = Object {
                generation: seen.generation,
                status: &seen.status,
                invalid,
            };
            let (wanted, is_settling) = match overlay.wanted(key, object) {
                // It may be another controller's, unless Locum was the last to write it.
                Wanted::Status(wanted) | Wanted::Settling(wanted)
                    if wanted.is_of_nobody()
                        && seen.written_by.as_deref() != Some(FIELD_MANAGER) =>
                {
                    (None, false)
                }
                Wanted::Status(wanted) => (Some(wanted), false),
                Wanted::Settling(wanted) => (Some(wanted), true),
                // An object may be seen moments before it is translated.
                Wanted::Nothing => (None, true),
                Wanted::Unknown => {
                    self.forget(key);
                    continue;
                }
            };
            let entry = self.entries.entry(key.clone()).or_insert_with(Entry::new);
            if entry.look(wanted.as_deref(), seen) {
                self.review(key, is_settling, now);
            }
        }
        let gone = self.entries.keys().filter(|key| !seen.contains_key(*key));
        for key in gone.cloned().collect::<Vec<_>>() {
            self.set(&key, State::Idle);
            self.entries.remove(&key);
        }
    }

    /// Notes when an object is to be written, if it is.
    fn review(&mut self, key: &Key, is_settling: bool, now: Moment) {
        let (Some(entry), Some(seen)) = (self.entries.get(key), self.seen.get(key)) else {
            return;
        };
        if entry.state == State::UnderWay {
            return;
        }
        let known = entry.known(&seen);
        let held = Held {
            status: &known.status,
            generation: known.generation,
        };
        let wanted = entry.wanted.as_ref();
        let patch = merge::patch(key, held, wanted, &self.controllers, &stamp(now.clock));
        let state = match patch {
            Some(_) => State::Due(entry.next(now.elapsed, is_settling)),
            None => State::Idle,
        };
        self.set(key, state);
    }

    /// What is to be written now, as far as there is room. Each has to come to [`Desk::finish`].
    pub(super) fn begin(&mut self, now: Moment) -> Vec<Begun> {
        let is_over = |until: Duration| until <= now.elapsed;
        while self.waiting.first().is_some_and(|(due, _)| is_over(*due)) {
            if let Some((_, key)) = self.waiting.pop_first() {
                self.due.insert(key);
            }
        }
        let room = match self.away.until {
            Some(until) if !is_over(until) => 0,
            // One finds out.
            Some(_) => 1,
            None => CONCURRENT,
        };
        let mut begun = Vec::new();
        while self.under_way < room {
            let Some(key) = self.due.pop_first() else {
                break;
            };
            if let Some(write) = self.write(key, now) {
                self.under_way += 1;
                begun.push(write);
            }
        }
        begun
    }

    /// What has to be written of an object now, if it still differs.
    fn write(&mut self, key: Key, now: Moment) -> Option<Begun> {
        let seen = self.seen.get(&key)?;
        let entry = self.entries.get_mut(&key)?;
        let known = entry.known(&seen);
        let held = Held {
            status: &known.status,
            generation: known.generation,
        };
        let wanted = entry.wanted.clone();
        let time = stamp(now.clock);
        let patch = merge::patch(&key, held, wanted.as_ref(), &self.controllers, &time);
        let Some(status) = patch else {
            self.set(&key, State::Idle);
            return None;
        };
        if entry.is_contested(now.elapsed, &known) {
            let rest = entry.next(now.elapsed, false);
            self.metrics.contested(&key);
            let left = rest.saturating_sub(now.elapsed);
            say_contested(&key, seen.written_by.as_deref(), left);
            self.set(&key, State::Due(rest));
            return None;
        }
        self.set(&key, State::UnderWay);
        let write = Write {
            key,
            api_version: seen.api_version.clone(),
            resource_version: known.resource_version,
            status,
        };
        Some(Begun { write, wanted })
    }

    /// Takes in what became of a write.
    pub(super) fn finish(&mut self, now: Moment, begun: Begun, result: Result<Written, Failure>) {
        let Begun { write, wanted } = begun;
        let (key, base) = (write.key, write.resource_version);
        self.under_way -= 1;
        self.answered(&key, &result, now.elapsed);
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        let is_gone = result == Err(Failure::Gone);
        match result {
            Ok(written) => entry.succeeded(now.elapsed, base, wanted, written),
            // The server's trouble, or none: the watch says when there is such an object again.
            Err(Failure::Away { .. } | Failure::Overloaded { .. } | Failure::Gone) => {}
            Err(failure) => entry.failed(now.elapsed, base, &failure),
        }
        self.set(&key, State::Idle);
        if !is_gone {
            self.review(&key, false, now);
        }
    }

    /// Counts and says what became of a write, and whether the API server answers.
    fn answered(&mut self, key: &Key, result: &Result<Written, Failure>, now: Duration) {
        let failure = match result {
            Ok(_) => {
                self.metrics.wrote(key);
                self.said.retain(|(kind, _)| *kind != key.kind);
                self.is_back();
                return;
            }
            Err(failure) => failure,
        };
        self.metrics.failed(key, failure);
        match failure {
            Failure::Away { .. } => self.is_away(now, None, failure),
            Failure::Overloaded { after, .. } => self.is_away(now, *after, failure),
            Failure::Conflict | Failure::Gone => {
                tracing::debug!(%key, %failure, "status not written");
                self.is_back();
            }
            _ => {
                if self.said.insert((key.kind, failure.name())) {
                    tracing::warn!(%key, %failure, "statuses of this kind cannot be written");
                }
                self.is_back();
            }
        }
    }

    fn is_back(&mut self) {
        if self.away.until.take().is_some() {
            tracing::info!("statuses are written again");
        }
        self.away = Away::default();
    }

    fn is_away(&mut self, now: Duration, after: Option<Duration>, failure: &Failure) {
        match self.away.until {
            // One of several that were under way together.
            Some(until) if until > now => return,
            Some(_) => self.away.pause = (self.away.pause * 2).min(LONGEST_AWAY),
            None => {
                tracing::warn!(%failure, "statuses cannot be written now");
                self.away.pause = FIRST_AWAY;
            }
        }
        let asked = after.map(|after| after.min(LONGEST_OVERLOAD));
        self.away.until = Some(now + asked.unwrap_or(self.away.pause));
    }

    /// Moves an object to another state.
    fn set(&mut self, key: &Key, state: State) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if let State::Due(due) = entry.state {
            self.waiting.remove(&(due, key.clone()));
            self.due.remove(key);
        }
        let pending = |state| i64::from(state != State::Idle);
        let change = pending(state) - pending(entry.state);
        if change != 0 {
            self.metrics.pending(key, change);
        }
        entry.state = state;
        if let State::Due(due) = state {
            self.waiting.insert((due, key.clone()));
        }
    }

    /// Lets go of what is known of an object, unless it is being written.
    fn forget(&mut self, key: &Key) {
        let is_under_way = |entry: &Entry| entry.state == State::UnderWay;
        if self
            .entries
            .get(key)
            .is_some_and(|entry| !is_under_way(entry))
        {
            self.set(key, State::Idle);
        }
        if let Some(entry) = self.entries.get_mut(key) {
            entry.forget();
        }
    }

    /// Another replica writes: what this one knows of its own writes holds no more.
    pub(super) fn forget_all(&mut self) {
        for key in self.entries.keys().cloned().collect::<Vec<_>>() {
            self.set(&key, State::Idle);
        }
        self.entries.clear();
    }
}

fn say_contested(key: &Key, by: Option<&str>, rest: Duration) {
    tracing::warn!(
        %key,
        by,
        seconds = rest.as_secs(),
        "another controller keeps writing over the status: it is left alone until it changes or \
         this time has passed"
    );
}

#[cfg(test)]
mod tests;

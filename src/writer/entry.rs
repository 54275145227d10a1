//! One object's part in the writing: what its status shall be, when it may be written next, and
//! what became of it so far. Time comes in, as the [`Duration`] since any fixed moment; nothing here
//! waits.

use std::time::Duration;

use serde_json::Value;

use super::api::{Failure, Written};
use crate::source::kubernetes::Observed;
use crate::status::Status;

/// The pause after the first write of an object; it doubles while the status keeps changing.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause, and so how late a status may be: a thousand routes that come one by one within
/// a minute cost their Gateway 42 writes, and it is right 1.5 s after the last.
const LONGEST_PAUSE: Duration = Duration::from_millis(1500);
/// Without a write for so long, an object's next is its first again.
const CALM: Duration = Duration::from_secs(5);
/// What is about to change is given so long, to be written once instead of twice.
const SETTLING: Duration = Duration::from_millis(200);

/// The first pause after a failure of this object alone; it doubles.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// What a person has to mend (a role, say) is tried again so often.
const MENDED_RETRY: Duration = Duration::from_secs(30);
/// A conflict is over when the watch brings what the other one wrote; this is for when it does not.
const CONFLICT_RETRY: Duration = Duration::from_secs(1);

/// An unchanged status is written anew when another controller wrote over it, so many times.
const OVERWRITES: u32 = 3;
/// Then it is left to the other for so long. Overwrites that are further apart do not add up.
const REST: Duration = Duration::from_mins(10);

/// Where an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing is to be written, as far as is known.
    Idle,
    /// To be written at this time or after.
    Due(Duration),
    UnderWay,
}

/// An object as it is known: by a watch, or by the answer to a write, whichever is newer.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub resource_version: String,
    pub generation: Option<i64>,
    pub status: Value,
}

/// One object.
#[derive(Debug)]
pub(super) struct Entry {
    pub state: State,
    /// What the status shall be; nothing where Locum has nothing to say.
    pub wanted: Option<Status>,
    /// What was looked at last, so that only what is new is compared.
    looked: Option<Looked>,
    last: Option<LastWrite>,
    pace: Pace,
    trouble: Trouble,
    overwrites: Overwrites,
}

/// An object as it was looked at.
#[derive(Clone, Debug, PartialEq)]
struct Looked {
    uid: String,
    resource_version: String,
    generation: Option<i64>,
}

/// The last write that succeeded.
#[derive(Debug)]
struct LastWrite {
    /// The version it was made from.
    base: String,
    wanted: Option<Status>,
    written: Written,
}

/// How quickly an object is written.
#[derive(Debug, Default)]
struct Pace {
    last: Option<Duration>,
    pause: Duration,
}

/// What stands against a write.
#[derive(Debug, Default)]
struct Trouble {
    failures: u32,
    until: Option<Duration>,
    /// The version of the object that was no longer the newest.
    conflict: Option<String>,
    /// The status was not admitted: the same one will not be.
    rejected: bool,
}

/// How often another controller wrote over what Locum wrote.
#[derive(Debug, Default)]
struct Overwrites {
    count: u32,
    last: Option<Duration>,
    /// Until when the object is left to the other.
    rest: Option<Duration>,
}

impl Entry {
    /// Nothing known of it yet.
    pub(super) fn new() -> Self {
        Self {
            state: State::Idle,
            wanted: None,
            looked: None,
            last: None,
            pace: Pace::default(),
            trouble: Trouble::default(),
            overwrites: Overwrites::default(),
        }
    }

    /// Takes in what is wanted and what is there; says whether anything of it is new.
    pub(super) fn look(&mut self, wanted: Option<&Status>, seen: &Observed) -> bool {
        let now = Looked {
            uid: seen.uid.clone(),
            resource_version: seen.resource_version.clone(),
            generation: seen.generation,
        };
        let is_wanted = self.wanted.as_ref() == wanted;
        let before = self.looked.replace(now.clone());
        if is_wanted && before.as_ref() == Some(&now) {
            return false;
        }
        let before = before.map(|before| (before.uid, before.generation));
        if before.as_ref().is_some_and(|(uid, _)| *uid != now.uid) {
            // Another object of the same name: what became of the old one says nothing.
            self.last = None;
        }
        if !is_wanted || before != Some((now.uid, now.generation)) {
            self.wanted = wanted.cloned();
            self.overwrites = Overwrites::default();
            if self.trouble.rejected {
                self.trouble = Trouble::default();
            }
        }
        if self
            .trouble
            .conflict
            .as_ref()
            .is_some_and(|base| *base != seen.resource_version)
        {
            self.trouble.until = None;
            self.trouble.conflict = None;
        }
        true
    }

    /// Forgets what was looked at: it is to be looked at again.
    pub(super) fn forget(&mut self) {
        self.looked = None;
    }

    /// The newest that is known of the object.
    pub(super) fn known(&self, seen: &Observed) -> Known {
        match &self.last {
            Some(last) if last.is_newer_than(seen) => Known {
                resource_version: last.written.resource_version.clone(),
                generation: last.written.generation,
                status: last.written.status.clone(),
            },
            _ => Known {
                resource_version: seen.resource_version.clone(),
                generation: seen.generation,
                status: seen.status.clone(),
            },
        }
    }

    /// When a write that is needed now may be made.
    pub(super) fn next(&self, now: Duration, is_settling: bool) -> Duration {
        let held_up = [self.trouble.until, self.overwrites.rest, self.pace.next()];
        let settled = is_settling.then(|| now + SETTLING);
        held_up
            .into_iter()
            .chain([settled])
            .flatten()
            .fold(now, Duration::max)
    }

    /// Takes in that a write of the object as it is known is needed now. Says whether another
    /// controller has written over the same status too often: then it rests.
    pub(super) fn is_contested(&mut self, now: Duration, known: &Known) -> bool {
        let Some(last) = &self.last else {
            return false;
        };
        let is_overwritten = last.wanted == self.wanted
            && last.written.generation == known.generation
            && last.written.resource_version != known.resource_version;
        if !is_overwritten {
            return false;
        }
        let overwrites = &mut self.overwrites;
        let is_late = |last: Duration| now.saturating_sub(last) >= REST;
        if overwrites.last.is_some_and(is_late) {
            overwrites.count = 0;
        }
        overwrites.last = Some(now);
        overwrites.count += 1;
        let rests = overwrites.count >= OVERWRITES;
        overwrites.rest = rests.then(|| now + REST);
        if rests {
            overwrites.count = 0;
        }
        rests
    }

    /// Takes in that a write made from `base` succeeded.
    pub(super) fn succeeded(
        &mut self,
        now: Duration,
        base: String,
        sent: Option<Status>,
        written: Written,
    ) {
        self.trouble = Trouble::default();
        self.pace.wrote(now);
        self.last = Some(LastWrite {
            base,
            wanted: sent,
            written,
        });
    }

    /// Takes in that a write made from `base` failed for a reason of this object's own.
    pub(super) fn failed(&mut self, now: Duration, base: String, failure: &Failure) {
        let trouble = &mut self.trouble;
        let doubled = |first: Duration| {
            let factor = 2_u32.saturating_pow(trouble.failures);
            first.saturating_mul(factor).min(LONGEST_RETRY.max(first))
        };
        let pause = match failure {
            Failure::Conflict => doubled(CONFLICT_RETRY),
            Failure::Forbidden { .. } | Failure::Rejected { .. } => MENDED_RETRY,
            _ => doubled(FIRST_RETRY),
        };
        trouble.failures += 1;
        trouble.until = Some(now + pause);
        trouble.conflict = matches!(failure, Failure::Conflict).then_some(base);
        trouble.rejected = matches!(failure, Failure::Rejected { .. });
    }
}

impl LastWrite {
    /// Whether the watch has not brought the write yet.
    fn is_newer_than(&self, seen: &Observed) -> bool {
        let number = |version: &str| version.parse::<u64>().ok();
        let written = number(&self.written.resource_version);
        // Versions of one object are numbers that grow; where they are not, it is the version before
        // the write that tells.
        match (written, number(&seen.resource_version)) {
            (Some(written), Some(seen)) => written > seen,
            _ => seen.resource_version == self.base,
        }
    }
}

impl Pace {
    fn next(&self) -> Option<Duration> {
        self.last.map(|last| last + self.pause)
    }

    fn wrote(&mut self, now: Duration) {
        let was_calm = |last: Duration| now.saturating_sub(last) >= CALM;
        self.pause = if self.last.is_none_or(was_calm) {
            FIRST_PAUSE
        } else {
            (self.pause * 2).min(LONGEST_PAUSE)
        };
        self.last = Some(now);
    }
}

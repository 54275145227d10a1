//! What was counted, by Gateway, and over all lives of Locum.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use locum_demo::report::{Outcome, Record};

use crate::history::{History, Verdict};
use crate::loads::Done;
use crate::manifests::GATEWAYS;
use crate::say;

/// How many wrong answers are told in full; all are counted.
const TOLD: usize = 40;

/// All that was counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    answers: [Answers; 2],
    /// What Locum counted, by metric and label, in the lives that are over and in this one.
    past: BTreeMap<String, u64>,
    current: BTreeMap<String, u64>,
    told: usize,
}

#[derive(Debug, Default)]
struct Answers {
    requests: usize,
    right: usize,
    early: usize,
    /// With how often.
    wrong: BTreeMap<String, usize>,
    worst: Duration,
    /// To the port that comes and goes.
    further: BTreeMap<String, usize>,
}

impl Tally {
    /// Judges and counts requests that are done.
    pub(crate) fn count(&mut self, history: &mut History, done: Vec<Done>) {
        for one in done {
            let answers = &mut self.answers[one.gateway];
            answers.requests += 1;
            let took = one.answered.duration_since(one.due);
            answers.worst = answers.worst.max(took);
            let of = (one.family, one.probe);
            match history.judge(of, (one.due, one.answered), &one.outcome) {
                Verdict::Right => answers.right += 1,
                Verdict::Early => answers.early += 1,
                Verdict::Wrong(story) => {
                    *answers.wrong.entry(kind(&one.outcome)).or_default() += 1;
                    self.told += 1;
                    if self.told <= TOLD {
                        say(&format!("wrong, {}: {story}", GATEWAYS[one.gateway]));
                    }
                }
            }
        }
    }

    /// Counts what became of requests to the port that comes and goes.
    pub(crate) fn count_further(&mut self, gateway: usize, records: &[Record]) {
        let further = &mut self.answers[gateway].further;
        for record in records {
            let what = match &record.outcome {
                Outcome::Answered { status, .. } => format!("{status} by a backend"),
                Outcome::Failed(why) if why.contains("refused") => "no listener".to_owned(),
                other => kind(other),
            };
            *further.entry(what).or_default() += 1;
        }
    }

    /// Takes in Locum's metrics, in the place of those of the same life before.
    pub(crate) fn read(&mut self, metrics: &str) {
        const WANTED: [&str; 5] = [
            "locum_xds_responses_total",
            "locum_xds_nacks_total",
            "locum_xds_waits_expired_total",
            "locum_xds_streams_rejected_total",
            "locum_xds_stale_nonces_total",
        ];
        let lines = metrics.lines().filter_map(|line| line.rsplit_once(' '));
        let wanted = lines.filter(|(name, _)| WANTED.iter().any(|it| name.starts_with(it)));
        let counted = wanted.filter_map(|(name, count)| Some((name, count.parse().ok()?)));
        let counted = counted.filter(|(_, count)| *count > 0);
        self.current = counted
            .map(|(name, count)| (name.to_owned(), count))
            .collect();
    }

    /// Notes that this life of Locum is over.
    pub(crate) fn locum_ended(&mut self) {
        for (name, count) in std::mem::take(&mut self.current) {
            *self.past.entry(name).or_default() += count;
        }
    }

    /// What Locum counted in all of its lives.
    fn metrics(&self) -> BTreeMap<String, u64> {
        let mut all = self.past.clone();
        for (name, count) in &self.current {
            *all.entry(name.clone()).or_default() += count;
        }
        all
    }

    /// How many responses Envoys refused, as Locum counted.
    pub(crate) fn nacks(&self) -> u64 {
        let all = self.metrics();
        let nacks = all.iter().filter(|(name, _)| name.contains("nacks"));
        nacks.map(|(_, count)| count).sum()
    }

    /// How many waits for a proxy ended by their bound, but for those until one lets go of what is
    /// to be removed.
    pub(crate) fn broken_waits(&self) -> u64 {
        let all = self.metrics();
        let waits = all.iter().filter(|(name, _)| {
            name.contains("waits_expired") && !name.contains("awaited=\"release\"")
        });
        waits.map(|(_, count)| count).sum()
    }

    /// How many requests were lost, or answered by what is not right for them.
    pub(crate) fn wrong(&self) -> usize {
        let answers = self.answers.iter();
        answers.flat_map(|of| of.wrong.values()).sum()
    }

    /// How many requests found a standby while names were looked up.
    pub(crate) fn early(&self) -> [usize; 2] {
        [0, 1].map(|gateway| self.answers[gateway].early)
    }

    /// How many steady requests each Gateway got.
    pub(crate) fn requests(&self) -> [usize; 2] {
        [0, 1].map(|gateway| self.answers[gateway].requests)
    }

    /// All of it, in lines.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (answers, name) in self.answers.iter().zip(GATEWAYS) {
            let wrong: usize = answers.wrong.values().sum();
            let Answers {
                requests,
                right,
                early,
                worst,
                ..
            } = answers;
            let _ = writeln!(
                text,
                "  {name}: {requests} requests, {right} right, {early} on a standby while names were \
                 looked up, {wrong} wrong {:?}, worst {worst:.1?}\n    \
                 info: to a port that comes and goes {:?}",
                answers.wrong, answers.further
            );
        }
        let _ = write!(text, "  Locum counted {:?}", self.metrics());
        text
    }
}

/// What kind of answer it is, to count it by.
fn kind(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered { status, own, .. } => format!("{status} by a backend, its own: {own}"),
        Outcome::Refused { status, words } => format!("{status} by Envoy {words:?}"),
        Outcome::Failed(why) => why.to_string(),
    }
}

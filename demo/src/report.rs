//! What became of a load's requests: counts, losses, latencies, and who answered when.
//!
//! In: one [`Record`] for each request. Out: numbers. It looks at no clock: times are offsets from
//! the load's start, and instants are translated by [`Report::offset`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One request and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the load, from 0; also the id that it carried.
    pub number: u64,
    /// When it was due, from the load's start.
    pub scheduled: Duration,
    /// From then to the end of its answer, so that waiting for a connection counts too.
    pub latency: Duration,
    pub outcome: Outcome,
}

/// What a request got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered {
        status: u16,
        /// Who answered, as it says itself.
        pod: Arc<str>,
        /// Whether the answer tells of this very request.
        own: bool,
    },
    /// No backend answered but the proxy itself, which says why in its own words: their beginning.
    Refused { status: u16, words: Arc<str> },
    /// No whole answer came: why.
    Failed(Arc<str>),
}

impl Record {
    /// Whether it was answered 200 by a backend that got this very request.
    pub fn is_served(&self) -> bool {
        matches!(
            &self.outcome,
            Outcome::Answered {
                status: 200,
                own: true,
                ..
            }
        )
    }

    /// Who served it; none if it was lost.
    pub fn pod(&self) -> Option<&Arc<str>> {
        match &self.outcome {
            Outcome::Answered { pod, .. } if self.is_served() => Some(pod),
            _ => None,
        }
    }

    /// When its answer was there, from the load's start.
    pub fn answered(&self) -> Duration {
        self.scheduled + self.latency
    }
}

/// The records of a load, in the order of their schedule.
#[derive(Clone, Debug)]
pub struct Report {
    started: Instant,
    records: Vec<Record>,
}

impl Report {
    /// A report on these records of a load started then.
    pub fn new(started: Instant, mut records: Vec<Record>) -> Self {
        records.sort_by_key(|record| record.number);
        Self { started, records }
    }

    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// A moment as offset from the load's start; zero if it was before.
    pub fn offset(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.started)
    }

    /// The part of the load that was due from one moment up to, and without, another.
    pub fn between(&self, from: Instant, to: Instant) -> Self {
        let window = self.offset(from)..self.offset(to);
        let due = |record: &&Record| window.contains(&record.scheduled);
        Self {
            started: self.started,
            records: self.records.iter().filter(due).cloned().collect(),
        }
    }

    /// The part of the load that had its answers by then.
    pub fn answered_by(&self, moment: Instant) -> Self {
        let by = self.offset(moment);
        let answered = |record: &&Record| record.answered() <= by;
        Self {
            started: self.started,
            records: self.records.iter().filter(answered).cloned().collect(),
        }
    }

    /// The same with other names for who answered: for Pods, say, that of their Deployment.
    pub fn renamed(mut self, name: impl Fn(&str) -> Arc<str>) -> Self {
        for record in &mut self.records {
            if let Outcome::Answered { pod, .. } = &mut record.outcome {
                *pod = name(pod);
            }
        }
        self
    }

    pub fn requests(&self) -> usize {
        self.records.len()
    }

    /// Requests that no backend served.
    pub fn lost(&self) -> usize {
        self.records
            .iter()
            .filter(|record| !record.is_served())
            .count()
    }

    /// What was lost, as text with how often: for messages.
    pub fn losses(&self) -> BTreeMap<String, usize> {
        let mut losses = BTreeMap::new();
        for record in self.records.iter().filter(|record| !record.is_served()) {
            let what = match &record.outcome {
                Outcome::Answered { status, pod, own } => {
                    let whose = if *own { "" } else { ", not its own answer" };
                    format!("status {status} from {pod:?}{whose}")
                }
                Outcome::Refused { status, words } => format!("status {status} {words:?}"),
                Outcome::Failed(why) => why.to_string(),
            };
            *losses.entry(what).or_default() += 1;
        }
        losses
    }

    /// What was lost and to what, in one line; nothing if nothing was.
    pub fn losses_in_words(&self) -> String {
        let losses = self.losses();
        let losses = losses
            .iter()
            .map(|(what, times)| format!("{times} x {what}"));
        losses.collect::<Vec<_>>().join(", ")
    }

    /// How many requests each backend served.
    pub fn by_pod(&self) -> BTreeMap<Arc<str>, usize> {
        let mut counts = BTreeMap::new();
        for pod in self.records.iter().filter_map(Record::pod) {
            *counts.entry(pod.clone()).or_default() += 1;
        }
        counts
    }

    /// How many requests this backend served.
    pub fn served_by(&self, pod: &str) -> usize {
        self.served(pod).count()
    }

    /// From a moment to this backend's first answer at or after it.
    pub fn first_answer(&self, pod: &str, since: Instant) -> Option<Duration> {
        let since = self.offset(since);
        let answers = self.served(pod).map(Record::answered);
        answers
            .filter(|answered| *answered >= since)
            .min()
            .map(|answered| answered - since)
    }

    /// From a moment to the first request from which on this backend serves everything: zero when
    /// it did so all the time, none when it does not serve the last request.
    pub fn settled(&self, pod: &str, since: Instant) -> Option<Duration> {
        let since = self.offset(since);
        let by_it = |record: &&Record| record.pod().is_some_and(|by| &**by == pod);
        let first = self.records.iter().rev().take_while(by_it).last()?;
        Some(first.scheduled.saturating_sub(since))
    }

    /// The latency that this share of the served requests, from 0 to 1, stays at or under; zero if
    /// none was served.
    pub fn latency(&self, share: f64) -> Duration {
        let served = self.records.iter().filter(|record| record.is_served());
        let mut latencies: Vec<_> = served.map(|record| record.latency).collect();
        latencies.sort_unstable();
        percentile(&latencies, share)
    }

    /// The longest that any request took, lost ones too.
    pub fn worst(&self) -> Duration {
        let latencies = self.records.iter().map(|record| record.latency);
        latencies.max().unwrap_or_default()
    }

    fn served(&self, pod: &str) -> impl Iterator<Item = &Record> {
        let by_it = move |record: &&Record| record.pod().is_some_and(|by| &**by == pod);
        self.records.iter().filter(by_it)
    }
}

/// The nearest-rank percentile of sorted values; zero of none.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    // Counts of requests are far below the 2^52 up to which this is exact.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(rank.saturating_sub(1).min(last))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64, pod: Option<&str>) -> Record {
        let outcome = match pod {
            Some(pod) => Outcome::Answered {
                status: 200,
                pod: pod.into(),
                own: true,
            },
            None => Outcome::Failed("reset".into()),
        };
        Record {
            number,
            scheduled: Duration::from_millis(number * 10),
            latency: Duration::from_millis(number + 1),
            outcome,
        }
    }

    fn report() -> (Instant, Report) {
        let started = Instant::now();
        let pods = [
            Some("a"),
            Some("a"),
            None,
            Some("b"),
            Some("b"),
            Some("a"),
            Some("a"),
        ];
        let records = (0..).zip(pods).map(|(number, pod)| record(number, pod));
        let mut records: Vec<_> = records.collect();
        records.reverse();
        (started, Report::new(started, records))
    }

    #[test]
    fn other_names_join_counts() {
        let (started, report) = report();
        let report = report.renamed(|_| "both".into());
        assert_eq!(report.by_pod(), BTreeMap::from([("both".into(), 6)]));
        assert_eq!(report.lost(), 1);
        let settled = report.settled("both", started);
        assert_eq!(settled, Some(Duration::from_millis(30)));
    }

    #[test]
    fn answers_are_counted_by_pod_and_the_rest_is_lost() {
        let (_, report) = report();
        assert_eq!((report.requests(), report.lost()), (7, 1));
        assert_eq!((report.served_by("a"), report.served_by("b")), (4, 2));
        assert_eq!(report.losses(), BTreeMap::from([("reset".to_owned(), 1)]));
    }

    #[test]
    fn another_ones_answer_and_another_status_are_lost() {
        let (started, report) = report();
        let mut records = report.records().to_vec();
        for (record, own, status) in [(0, false, 200), (1, true, 503)] {
            let pod = "a".into();
            records[record].outcome = Outcome::Answered { status, pod, own };
        }
        assert_eq!(Report::new(started, records).lost(), 3);
    }

    #[test]
    fn first_answers_and_settling_are_told_from_the_moment() {
        let (started, report) = report();
        let moment = started + Duration::from_millis(20);
        assert_eq!(
            report.first_answer("b", moment),
            Some(Duration::from_millis(14))
        );
        assert_eq!(report.settled("a", moment), Some(Duration::from_millis(30)));
        assert_eq!(report.settled("b", moment), None);
    }

    #[test]
    fn percentiles_are_of_nearest_rank() {
        let values: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        for (share, expected) in [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)] {
            assert_eq!(percentile(&values, share), Duration::from_millis(expected));
        }
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn a_window_holds_what_was_due_in_it() {
        let (started, report) = report();
        let window = report.between(
            started + Duration::from_millis(10),
            started + Duration::from_millis(30),
        );
        assert_eq!((window.requests(), window.lost()), (2, 1));
        // Due at 0, 10 and 20 ms, answered 1, 2 and 3 ms later.
        let answered = report.answered_by(started + Duration::from_millis(22));
        assert_eq!((answered.requests(), answered.lost()), (2, 0));
    }
}

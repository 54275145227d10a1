//! The election: whether this replica holds the Lease, and what to write into it. Pure: time comes
//! in, the Lease comes in and goes out.
//!
//! Times in the Lease are for people. Whether another replica is still there is judged by how long
//! its entry has stood unchanged before this replica's own eyes, so clocks that differ between
//! nodes do no harm. A Lease is written only over the version that was read, so of two replicas
//! that want it one gets it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use super::LEASE;

/// How quickly everything goes. Only statuses wait for any of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// How long an entry that nobody renews keeps others out.
    pub(super) lease_seconds: i32,
    /// How long after it began to renew its entry a leader leads. Another one may be there a look
    /// before the lease is over; what was begun to be written has the time until then to arrive.
    pub(super) leads_for: Duration,
    /// How often a leader renews its entry: a request may fail and be slow before that counts.
    pub(super) renew: Duration,
    /// How often the others look, and how long a turn that failed is rested from. A Lease that was
    /// released is taken within it.
    pub(super) look: Duration,
    /// How long the API server may take to answer.
    pub(super) request: Duration,
}

/// A write every 2 s and a read every second are nothing to an API server, and a leader that was
/// killed is followed within 10 s.
pub(super) const TIMING: Timing = Timing {
    lease_seconds: 10,
    leads_for: Duration::from_secs(8),
    renew: Duration::from_secs(2),
    look: Duration::from_secs(1),
    request: Duration::from_secs(2),
};

/// One replica's view of the Lease. Time is the [`Duration`] since any fixed moment.
#[derive(Debug)]
pub(super) struct Election {
    /// The replica's own name.
    identity: String,
    timing: Timing,
    seen: Option<Seen>,
    leads_until: Duration,
}

/// The Lease as it is, and since when its entry stands so.
#[derive(Debug)]
struct Seen {
    lease: Lease,
    since: Duration,
}

impl Election {
    pub(super) fn new(identity: String, timing: Timing) -> Self {
        Self {
            identity,
            timing,
            seen: None,
            leads_until: Duration::ZERO,
        }
    }

    /// Until when this replica leads, if it does.
    pub(super) fn leads_until(&self, now: Duration) -> Option<Duration> {
        Some(self.leads_until).filter(|until| now < *until)
    }

    /// When the Lease is to be had unless its holder renews it, if another one holds it.
    pub(super) fn vacant_from(&self) -> Option<Duration> {
        let seen = self
            .seen
            .as_ref()
            .filter(|seen| !self.is_mine(&seen.lease))?;
        let spec = seen.lease.spec.as_ref()?;
        if spec
            .holder_identity
            .as_deref()
            .unwrap_or_default()
            .is_empty()
        {
            return None;
        }
        let seconds = spec
            .lease_duration_seconds
            .unwrap_or(self.timing.lease_seconds);
        let length = Duration::from_secs(seconds.max(0).unsigned_abs().into());
        // The entry was as old as that when it was seen first.
        Some(seen.since + length.saturating_sub(self.timing.look))
    }

    /// Whether the Lease has to be read before it can be written.
    pub(super) fn is_blind(&self, now: Duration) -> bool {
        self.seen.is_none() || self.leads_until(now).is_none()
    }

    /// Takes in the Lease as it was read.
    pub(super) fn read(&mut self, now: Duration, lease: Lease) {
        let unchanged = self
            .seen
            .as_ref()
            .filter(|seen| seen.lease.spec == lease.spec);
        let since = unchanged.map_or(now, |seen| seen.since);
        if !self.is_mine(&lease) {
            self.leads_until = Duration::ZERO;
        }
        self.seen = Some(Seen { lease, since });
    }

    /// Takes in that the Lease is not as this replica thinks.
    pub(super) fn lost_sight(&mut self) {
        self.seen = None;
    }

    /// Takes in the Lease as it was written, by a request that began at `begun`.
    pub(super) fn wrote(&mut self, begun: Duration, lease: Lease) {
        self.leads_until = begun + self.timing.leads_for;
        self.seen = Some(Seen {
            lease,
            since: begun,
        });
    }

    /// The Lease as this replica wants to have it: renewed if it is its own, taken if it is nobody's
    /// or its holder has been silent for too long. `None` as long as another one holds it.
    pub(super) fn wanted(&self, now: Duration, clock: Timestamp) -> Option<Lease> {
        let seen = self.seen.as_ref()?;
        if self.vacant_from().is_some_and(|vacant| now < vacant) {
            return None;
        }
        let spec = seen.lease.spec.clone().unwrap_or_default();
        let mine = self.is_mine(&seen.lease);
        let transitions = spec.lease_transitions.unwrap_or_default();
        let spec = LeaseSpec {
            acquire_time: if mine {
                spec.acquire_time
            } else {
                Some(MicroTime(clock))
            },
            lease_transitions: Some(if mine { transitions } else { transitions + 1 }),
            ..self.entry(clock)
        };
        Some(Lease {
            spec: Some(spec),
            ..seen.lease.clone()
        })
    }

    /// A Lease where there is none yet.
    pub(super) fn first(&self, clock: Timestamp) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(LEASE.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(self.entry(clock)),
        }
    }

    /// Stops leading; the Lease to write so that the next one need not wait, if this replica has it.
    pub(super) fn release(&mut self) -> Option<Lease> {
        self.leads_until = Duration::ZERO;
        let seen = self.seen.take()?;
        let mine = self.is_mine(&seen.lease);
        mine.then(|| Lease {
            spec: Some(LeaseSpec {
                lease_transitions: seen.lease.spec.and_then(|spec| spec.lease_transitions),
                ..LeaseSpec::default()
            }),
            ..seen.lease
        })
    }

    fn is_mine(&self, lease: &Lease) -> bool {
        let spec = lease.spec.as_ref();
        let holder = spec.and_then(|spec| spec.holder_identity.as_ref());
        holder == Some(&self.identity)
    }

    fn entry(&self, clock: Timestamp) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            acquire_time: Some(MicroTime(clock)),
            renew_time: Some(MicroTime(clock)),
            lease_duration_seconds: Some(self.timing.lease_seconds),
            lease_transitions: Some(0),
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn clock(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn holder(lease: &Lease) -> Option<&str> {
        lease.spec.as_ref()?.holder_identity.as_deref()
    }

    fn own() -> Election {
        Election::new("own".into(), TIMING)
    }

    /// A Lease that `other` holds.
    fn held(second: i64) -> Lease {
        Election::new("other".into(), TIMING).first(clock(second))
    }

    #[test]
    fn a_lease_of_nobody_is_taken_at_once() {
        let mut election = own();
        election.read(seconds(1), Lease::default());
        let wanted = election.wanted(seconds(1), clock(0)).unwrap();
        assert_eq!(holder(&wanted), Some("own"));
        assert_eq!(
            election.leads_until(seconds(1)),
            None,
            "not before it is written"
        );
        election.wrote(seconds(1), wanted);
        assert_eq!(
            election.leads_until(seconds(2)),
            Some(seconds(1) + TIMING.leads_for)
        );
    }

    #[test]
    fn a_lease_that_is_renewed_is_left_alone_whatever_its_clock_says() {
        let mut election = own();
        for second in 1..100 {
            election.read(
                seconds(second),
                held(i64::try_from(second).unwrap() - 50_000),
            );
            assert_eq!(election.wanted(seconds(second), clock(0)), None);
        }
    }

    #[test]
    fn a_lease_that_stands_still_is_taken_when_its_time_is_over() {
        let mut election = own();
        election.read(seconds(1), held(0));
        election.read(seconds(9), held(0));
        assert_eq!(election.wanted(seconds(9), clock(0)), None);
        // The entry may have been written a look earlier: the whole lease is over by then.
        assert_eq!(election.vacant_from(), Some(seconds(10)));
        let wanted = election.wanted(seconds(10), clock(7)).unwrap();
        assert_eq!(holder(&wanted), Some("own"));
        let spec = wanted.spec.unwrap();
        assert_eq!(spec.lease_transitions, Some(1));
        assert_eq!(spec.acquire_time, Some(MicroTime(clock(7))));
    }

    #[test]
    fn a_leader_stops_by_itself_before_another_may_begin() {
        let mut election = own();
        election.wrote(seconds(5), election.first(clock(0)));
        assert!(election.leads_until(seconds(12)).is_some());
        assert_eq!(election.leads_until(seconds(13)), None);
        let lease = seconds(TIMING.lease_seconds.unsigned_abs().into());
        assert!(TIMING.leads_for < lease - TIMING.look);
    }

    #[test]
    fn a_leader_that_reads_another_name_leads_no_more() {
        let mut election = own();
        election.wrote(seconds(5), election.first(clock(0)));
        election.lost_sight();
        assert!(election.is_blind(seconds(6)));
        assert!(
            election.leads_until(seconds(6)).is_some(),
            "it may still be its own"
        );
        election.read(seconds(6), held(0));
        assert_eq!(election.leads_until(seconds(6)), None);
    }

    #[test]
    fn a_renewal_keeps_when_the_lease_was_taken() {
        let mut election = own();
        election.wrote(seconds(5), election.first(clock(100)));
        let spec = election
            .wanted(seconds(7), clock(102))
            .unwrap()
            .spec
            .unwrap();
        assert_eq!(spec.acquire_time, Some(MicroTime(clock(100))));
        assert_eq!(spec.renew_time, Some(MicroTime(clock(102))));
        assert_eq!(spec.lease_transitions, Some(0));
    }

    #[test]
    fn what_is_released_is_nobodys() {
        let mut election = own();
        election.wrote(seconds(5), election.first(clock(0)));
        let released = election.release().unwrap();
        assert_eq!(election.leads_until(seconds(5)), None);
        let mut next = Election::new("next".into(), TIMING);
        next.read(seconds(6), released);
        let wanted = next.wanted(seconds(6), clock(1)).unwrap();
        assert_eq!(holder(&wanted), Some("next"));
    }

    #[test]
    fn nothing_is_released_that_another_one_has() {
        let mut election = own();
        election.read(seconds(5), held(0));
        assert_eq!(election.release(), None);
    }
}

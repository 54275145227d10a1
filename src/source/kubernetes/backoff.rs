//! How long to wait before something is tried again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(100);

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(5);

/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Waits that double, with chance in them, so that many who fail together do not come back
/// together.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// The next wait: what the server `asked` for, which then says itself how long it needs.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        if let Some(asked) = asked {
            let asked = asked.clamp(FIRST, LONGEST_ASKED);
            return between(asked, asked + asked / 4);
        }
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        between(wait / 2, wait)
    }

    /// The next wait is the first again.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

/// Some time between the two. The chance is what keeps hash maps from being foreseen, which is
/// enough to spread requests.
pub(super) fn between(least: Duration, most: Duration) -> Duration {
    let range = most.saturating_sub(least);
    let chance = RandomState::new().hash_one(0) % 1000;
    let chance = u32::try_from(chance).expect("below a thousand");
    least + range * chance / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..8).map(|_| backoff.next(None)).collect();
        let most = [100, 200, 400, 800, 1600, 3200, 5000, 5000];
        for (wait, most) in waits.iter().zip(most.map(Duration::from_millis)) {
            assert!(*wait >= most / 2 && *wait <= most, "{waits:?}");
        }
        backoff.reset();
        assert!(backoff.next(None) <= FIRST);
    }

    #[test]
    fn a_server_that_asks_for_time_gets_it_within_reason() {
        let mut backoff = Backoff::default();
        let asked = Duration::from_secs(8);
        for _ in 0..8 {
            let wait = backoff.next(Some(asked));
            assert!(wait >= asked && wait <= Duration::from_secs(10), "{wait:?}");
        }
        assert!(backoff.next(Some(Duration::from_secs(86_400))) <= LONGEST_ASKED * 5 / 4);
    }
}

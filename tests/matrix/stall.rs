//! How long this machine stood still: on a busy one, time limits pass although all is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long it sleeps at a time.
const SLEEP: Duration = Duration::from_millis(10);

/// Watches as long as it is there, from a thread of its own: what the case's own tasks do does not count.
#[derive(Debug)]
pub(crate) struct Stall {
    longest_us: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Stall {
    /// Begins to watch.
    pub(crate) fn watch() -> Self {
        let stall = Self {
            longest_us: Arc::default(),
            over: Arc::default(),
        };
        let (longest, over) = (stall.longest_us.clone(), stall.over.clone());
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                thread::sleep(SLEEP);
                let late = began.elapsed().saturating_sub(SLEEP).as_micros();
                longest.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        stall
    }

    /// The longest that anything has been late so far.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_micros(self.longest_us.load(Ordering::Relaxed))
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

//! How long this machine stood still: on a busy one, time limits pass although all is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// How long it sleeps at a time.
const SLEEP: Duration = Duration::from_millis(10);

/// Watches as long as it is there.
#[derive(Debug)]
pub(crate) struct Stall {
    longest_us: Arc<AtomicU64>,
    watching: JoinHandle<()>,
}

impl Stall {
    /// Begins to watch.
    pub(crate) fn watch() -> Self {
        let longest_us = Arc::new(AtomicU64::new(0));
        let longest = longest_us.clone();
        let watching = tokio::spawn(async move {
            loop {
                let began = Instant::now();
                tokio::time::sleep(SLEEP).await;
                let late = began.elapsed().saturating_sub(SLEEP).as_micros();
                longest.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self {
            longest_us,
            watching,
        }
    }

    /// The longest that anything has been late so far.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_micros(self.longest_us.load(Ordering::Relaxed))
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

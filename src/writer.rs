//! The writer: puts statuses where their owners look, into the API server.
//!
//! In: what translation says (the pipeline's state), what proxies made of it, what the API server
//! holds, and whether this replica may write. Out: patches of the `status` subresource, and only
//! where something differs. It never changes what is not Locum's (`status::merge` says what that
//! is), and holds nothing up: translation and proxies do not wait for it.
//!
//! How often: an object is written at once, and then with pauses that grow while its status keeps
//! changing; one write of an object at a time, a bounded number of all. What is written is what is
//! wanted then, not what was wanted when it was noted. When the API server is away, one write in a
//! while finds out whether it is back. When another controller keeps writing over the same status,
//! the object is left to it for a while, since two that correct each other never end.

mod api;
mod desk;
mod entry;
mod metrics;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::pipeline;
use crate::source::kubernetes::Seen;
use crate::status::observations::Observed;

pub use api::{FIELD_MANAGER, Failure, Kubernetes, StatusApi, Write, Written};
pub use metrics::Metrics;

use desk::{Begun, Desk, Moment};

/// Looks at everything are so far apart at least, whatever changes meanwhile.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// And so many times as long as a look takes: with very many objects it costs a tenth of a core.
const LOOK_SHARE: u32 = 10;

/// Where the writer looks.
#[derive(Debug)]
pub struct Inputs {
    pub states: watch::Receiver<Arc<pipeline::State>>,
    pub observed: watch::Receiver<Arc<Observed>>,
    pub seen: Seen,
    /// Whether this replica writes.
    pub may_write: watch::Receiver<bool>,
    /// The names of Locum's controllers: what else speaks in a status is another's.
    pub controllers: Arc<[String]>,
}

/// The writer's own state.
#[derive(Debug)]
pub struct Writer<A> {
    api: Arc<A>,
    inputs: Inputs,
    ticks: watch::Receiver<u64>,
    desk: Desk,
    under_way: JoinSet<(Begun, Result<Written, Failure>)>,
    start: Instant,
    /// Before this it is not looked again.
    rests: Option<Instant>,
    /// When to look again, if something has changed.
    look: Option<Instant>,
}

impl<A: StatusApi> Writer<A> {
    /// A writer that has written nothing yet.
    pub fn new(api: A, inputs: Inputs, metrics: Metrics) -> Self {
        let ticks = inputs.seen.ticks();
        let desk = Desk::new(inputs.seen.clone(), inputs.controllers.clone(), metrics);
        let start = Instant::now();
        Self {
            api: Arc::new(api),
            inputs,
            ticks,
            desk,
            under_way: JoinSet::new(),
            start,
            rests: None,
            look: Some(start),
        }
    }

    /// Writes until the pipeline has gone.
    pub async fn run(mut self) {
        loop {
            let due = self.desk.wake().map(|due| self.start + due);
            let wake = [due, self.look].into_iter().flatten().min();
            let sleep = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now).into());
            let mut has_changed = true;
            tokio::select! {
                changed = self.inputs.states.changed() => if changed.is_err() { return },
                // Whoever has gone says nothing new; what it said last holds.
                Ok(()) = self.inputs.observed.changed() => {}
                Ok(()) = self.inputs.may_write.changed() => {}
                Ok(()) = self.ticks.changed() => {}
                Some(ended) = self.under_way.join_next() => {
                    has_changed = false;
                    let (begun, result) = ended.expect("a request does not panic");
                    self.desk.finish(self.moment(), begun, result);
                }
                () = sleep, if wake.is_some() => has_changed = false,
            }
            let now = Instant::now();
            if has_changed && self.look.is_none() {
                self.look = self.rests.max(Some(now));
            }
            if self.look.is_some_and(|look| look <= now) {
                self.look = None;
                self.look();
                let pause = LOOK_PAUSE.max(now.elapsed() * LOOK_SHARE);
                self.rests = Some(now + pause);
            }
            if !*self.inputs.may_write.borrow() {
                // Another replica may lead already.
                self.desk.forget_all();
            }
            for begun in self.desk.begin(self.moment()) {
                let api = self.api.clone();
                self.under_way.spawn(async move {
                    let result = api.write(begun.write.clone()).await;
                    (begun, result)
                });
            }
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            elapsed: self.start.elapsed(),
            clock: Timestamp::now(),
        }
    }

    fn look(&mut self) {
        if !*self.inputs.may_write.borrow_and_update() {
            self.desk.forget_all();
            return;
        }
        let state = self.inputs.states.borrow_and_update().clone();
        // Before the first translation nothing is known to be superfluous.
        if state.revision > 0 {
            let observed = self.inputs.observed.borrow_and_update().clone();
            self.ticks.mark_unchanged();
            self.desk
                .look(self.moment(), &state.translation.statuses, &observed);
        }
    }
}

#[cfg(test)]
mod tests;

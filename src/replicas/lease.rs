//! The Lease: which replica writes. Brings the Lease of the API server to the [`Election`] and its
//! wishes back.
//!
//! The API server may be away, slow or full of errors for as long as it likes: each request has a
//! bound, a turn that failed is tried again after a pause, and a leader that cannot renew its entry
//! stops leading by the clock, whatever its requests are doing.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::election::{Election, TIMING, Timing};
use super::metrics::Metrics;
use super::{LEASE, Member};
use crate::kubernetes::{RequestError, within};

/// A replica's part in the election.
pub struct Lease {
    api: Api<v1::Lease>,
    election: Election,
    timing: Timing,
    leads: watch::Sender<bool>,
    metrics: Metrics,
    start: Instant,
    /// What was wrong in the last turn, so that it is logged once.
    trouble: Option<String>,
}

impl Lease {
    /// The part of this replica, and where to see whether it leads.
    pub fn new(client: Client, member: &Member, metrics: Metrics) -> (Self, watch::Receiver<bool>) {
        let (leads, receiver) = watch::channel(false);
        let lease = Self {
            api: Api::namespaced(client, &member.namespace),
            election: Election::new(member.name.clone(), TIMING),
            timing: TIMING,
            leads,
            metrics,
            start: Instant::now(),
            trouble: None,
        };
        (lease, receiver)
    }

    /// Takes part until `stop`; then hands the Lease on, within the time of two requests.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = self.turn() => {}
                () = &mut stop => break,
            }
        }
        self.release().await;
    }

    /// One turn and the pause after it.
    async fn turn(&mut self) {
        let now = self.start.elapsed();
        let ended = match self.election.leads_until(now) {
            // Whatever the request does, leading ends in time.
            Some(until) => timeout(until - now, self.look_and_write())
                .await
                .unwrap_or(Err(RequestError::Silent(until - now))),
            None => self.look_and_write().await,
        };
        let failed = ended.is_err();
        self.note(ended);
        self.tell();
        sleep(self.pause(failed)).await;
        self.tell();
    }

    /// How long to rest after a turn.
    fn pause(&self, failed: bool) -> Duration {
        let now = self.start.elapsed();
        let due = match (self.election.leads_until(now), self.election.vacant_from()) {
            (Some(_), _) if !failed => return self.timing.renew,
            (Some(until), _) => until,
            (None, Some(vacant)) if !failed => vacant,
            _ => return self.timing.look,
        };
        self.timing.look.min(due.saturating_sub(now))
    }

    /// Reads the Lease where that is needed, and writes it where it is to be had.
    async fn look_and_write(&mut self) -> Result<(), RequestError> {
        if self.election.is_blind(self.start.elapsed()) {
            match self.bounded(self.api.get(LEASE)).await {
                Ok(lease) => self.election.read(self.start.elapsed(), lease),
                Err(error) if error.code() == Some(404) => {
                    let begun = self.start.elapsed();
                    let first = self.election.first(Timestamp::now());
                    let created = self
                        .bounded(self.api.create(&PostParams::default(), &first))
                        .await?;
                    self.election.wrote(begun, created);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        let begun = self.start.elapsed();
        let Some(wanted) = self.election.wanted(begun, Timestamp::now()) else {
            return Ok(());
        };
        match self
            .bounded(self.api.replace(LEASE, &PostParams::default(), &wanted))
            .await
        {
            Ok(written) => {
                self.election.wrote(begun, written);
                Ok(())
            }
            Err(error) => {
                // Whether it was written is not known: read it before the next attempt.
                self.election.lost_sight();
                Err(error)
            }
        }
    }

    /// Stops leading and makes the Lease nobody's, if it is this replica's.
    async fn release(&mut self) {
        let led = self.election.leads_until(self.start.elapsed()).is_some();
        self.election.release();
        self.tell();
        if !led {
            return;
        }
        match self.write_release().await {
            Ok(()) => tracing::info!(lease = LEASE, "released the lease"),
            // Then it ends by itself.
            Err(error) => tracing::warn!(lease = LEASE, %error, "could not release the lease"),
        }
    }

    async fn write_release(&mut self) -> Result<(), RequestError> {
        // A renewal may have been under way: what is there now has to be read.
        let lease = self.bounded(self.api.get(LEASE)).await?;
        self.election.read(self.start.elapsed(), lease);
        if let Some(released) = self.election.release() {
            let how = PostParams::default();
            self.bounded(self.api.replace(LEASE, &how, &released))
                .await?;
        }
        Ok(())
    }

    /// Logs what changed about how the election goes.
    fn note(&mut self, ended: Result<(), RequestError>) {
        let trouble = match ended {
            Ok(()) => None,
            // Another replica was quicker: that is how it goes.
            Err(error) if error.code() == Some(409) => return,
            Err(error) => Some(error.to_string()),
        };
        match (&self.trouble, &trouble) {
            (Some(_), None) => tracing::info!(lease = LEASE, "the lease can be used again"),
            (before, Some(error)) if before.as_ref() != Some(error) => {
                tracing::warn!(lease = LEASE, error, "the lease cannot be used");
            }
            _ => {}
        }
        self.trouble = trouble;
    }

    /// Tells everyone whether this replica leads now.
    fn tell(&self) {
        let now_leads = self.election.leads_until(self.start.elapsed()).is_some();
        let changed = self.leads.send_if_modified(|leads| {
            let changed = *leads != now_leads;
            *leads = now_leads;
            changed
        });
        if changed {
            self.metrics.leads(now_leads);
            if now_leads {
                tracing::info!(lease = LEASE, "this replica leads: it writes statuses");
            } else {
                tracing::info!(lease = LEASE, "this replica leads no more");
            }
        }
    }

    async fn bounded<T>(
        &self,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, RequestError> {
        within(self.timing.request, request).await
    }
}

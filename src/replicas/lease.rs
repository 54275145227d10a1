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

use super::election::Election;
use super::metrics::Metrics;

/// How often a leader renews its entry: a request may fail twice and be slow before it counts.
const RENEW_INTERVAL: Duration = Duration::from_secs(2);

/// How often the others look, and how long a turn that failed is rested from. A released Lease is
/// taken within it.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long the API server may take to answer.
const REQUEST_BOUND: Duration = Duration::from_secs(2);

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("the API server did not answer within {REQUEST_BOUND:?}")]
    Silence,
    // Boxed: it is 200 bytes large.
    #[error(transparent)]
    Api(Box<kube::Error>),
}

impl LeaseError {
    /// Whether someone else was quicker.
    fn is_conflict(&self) -> bool {
        matches!(self, LeaseError::Api(error) if is_answer(error, 409))
    }
}

fn is_answer(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// A replica's part in the election.
pub struct Lease {
    api: Api<v1::Lease>,
    name: String,
    election: Election,
    leads: watch::Sender<bool>,
    metrics: Metrics,
    start: Instant,
    /// What was wrong in the last turn, so that it is logged once.
    trouble: Option<String>,
}

impl Lease {
    /// A part in the election for the Lease `name`, and where to see whether this replica, called
    /// `identity`, leads.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        metrics: Metrics,
    ) -> (Self, watch::Receiver<bool>) {
        let (leads, receiver) = watch::channel(false);
        let lease = Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            election: Election::new(identity.to_owned()),
            leads,
            metrics,
            start: Instant::now(),
            trouble: None,
        };
        (lease, receiver)
    }

    /// Takes part until `stop`; then hands the Lease on, within twice [`REQUEST_BOUND`].
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
                .unwrap_or(Err(LeaseError::Silence)),
            None => self.look_and_write().await,
        };
        let failed = ended.is_err();
        self.note(ended);
        self.tell();
        let leads_until = self.election.leads_until(self.start.elapsed());
        let pause = match leads_until {
            Some(_) if !failed => RENEW_INTERVAL,
            Some(until) => LOOK_INTERVAL.min(until.saturating_sub(self.start.elapsed())),
            None => LOOK_INTERVAL,
        };
        sleep(pause).await;
        self.tell();
    }

    /// Reads the Lease where that is needed, and writes it where it is to be had.
    async fn look_and_write(&mut self) -> Result<(), LeaseError> {
        if self.election.is_blind(self.start.elapsed()) {
            match bounded(self.api.get(&self.name)).await {
                Ok(lease) => self.election.read(self.start.elapsed(), lease),
                Err(LeaseError::Api(error)) if is_answer(&error, 404) => {
                    let begun = self.start.elapsed();
                    let first = self.election.first(&self.name, Timestamp::now());
                    let created = bounded(self.api.create(&PostParams::default(), &first)).await?;
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
        match bounded(
            self.api
                .replace(&self.name, &PostParams::default(), &wanted),
        )
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
            Ok(()) => tracing::info!(lease = self.name, "released the lease"),
            // Then it ends by itself.
            Err(error) => tracing::warn!(lease = self.name, %error, "could not release the lease"),
        }
    }

    async fn write_release(&mut self) -> Result<(), LeaseError> {
        // A renewal may have been under way: what is there now has to be read.
        let lease = bounded(self.api.get(&self.name)).await?;
        self.election.read(self.start.elapsed(), lease);
        if let Some(released) = self.election.release() {
            let how = PostParams::default();
            bounded(self.api.replace(&self.name, &how, &released)).await?;
        }
        Ok(())
    }

    /// Logs what changed about how the election goes.
    fn note(&mut self, ended: Result<(), LeaseError>) {
        let trouble = match ended {
            Ok(()) => None,
            // Another replica was quicker: that is how it goes.
            Err(error) if error.is_conflict() => return,
            Err(error) => Some(error.to_string()),
        };
        match (&self.trouble, &trouble) {
            (Some(_), None) => tracing::info!(lease = self.name, "the lease can be used again"),
            (before, Some(error)) if before.as_ref() != Some(error) => {
                tracing::warn!(lease = self.name, error, "the lease cannot be used");
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
                tracing::info!(lease = self.name, "this replica leads: it writes statuses");
            } else {
                tracing::info!(lease = self.name, "this replica leads no more");
            }
        }
    }
}

async fn bounded<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, LeaseError> {
    match timeout(REQUEST_BOUND, request).await {
        Ok(answer) => answer.map_err(|error| LeaseError::Api(Box::new(error))),
        Err(_) => Err(LeaseError::Silence),
    }
}

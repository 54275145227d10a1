//! What Locum asks of an Envoy through its admin interface, and tells it.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::admin_client::{AdminError, Limits, ask};
use crate::bootstrap::{AdminAddress, READY};

/// What one answer may take. Envoy's main thread may be busy with a large configuration.
const LIMITS: Limits = Limits {
    time: Duration::from_secs(1),
    size: 1 << 20,
};

/// The prefix of the admin interface's own statistics.
const ADMIN: &str = "admin";

/// What an Envoy says of itself (`/ready`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It has its configuration and serves.
    Live,
    /// It was told to drain.
    Draining,
    /// It waits for its configuration.
    Initializing,
}

/// What is under way at an Envoy's listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    pub connections: u64,
    pub requests: u64,
}

/// Asks one Envoy.
#[derive(Clone, Debug)]
pub(super) struct EnvoyAdmin {
    address: AdminAddress,
}

impl EnvoyAdmin {
    /// A client for the Envoy whose admin interface is there.
    pub(super) fn new(address: AdminAddress) -> Self {
        Self { address }
    }

    /// How far it is.
    pub(super) async fn readiness(&self) -> Result<Readiness, AdminError> {
        let (_, text) = self.ask(Method::GET, "/ready").await?;
        Ok(match text.trim() {
            "LIVE" => Readiness::Live,
            "DRAINING" => Readiness::Draining,
            _ => Readiness::Initializing,
        })
    }

    /// Makes it end each connection with its next answer, so that clients open their next one
    /// elsewhere.
    pub(super) async fn close_connections_with_answers(&self) -> Result<(), AdminError> {
        self.order("/healthcheck/fail").await
    }

    /// Makes it accept no new connection; those that are open stay.
    pub(super) async fn stop_listening(&self) -> Result<(), AdminError> {
        self.order("/drain_listeners").await
    }

    /// Makes it open its log file again, after a rotation.
    pub(super) async fn reopen_log(&self) -> Result<(), AdminError> {
        self.order("/reopen_logs").await
    }

    /// Makes it end at once.
    pub(super) async fn quit(&self) -> Result<(), AdminError> {
        self.order("/quitquitquit").await
    }

    /// What is under way.
    pub(super) async fn activity(&self) -> Result<Activity, AdminError> {
        let path = "/stats?filter=%5Ehttp%5C..*%5C.downstream_(cx%7Crq)_active%24";
        let (_, text) = self.ask(Method::GET, path).await?;
        Ok(activity(&text))
    }

    async fn order(&self, path: &str) -> Result<(), AdminError> {
        let (status, answer) = self.ask(Method::POST, path).await?;
        if status.is_success() {
            return Ok(());
        }
        Err(AdminError::Refused {
            path: path.to_owned(),
            status,
            answer,
        })
    }

    async fn ask(&self, method: Method, path: &str) -> Result<(StatusCode, String), AdminError> {
        ask(&self.address, method, path, LIMITS).await
    }
}

/// Adds up `http.<listener>.downstream_cx_active: 3`; who asks Envoy how it is is not meant.
fn activity(stats: &str) -> Activity {
    let mut activity = Activity::default();
    for line in stats.lines() {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        let value: u64 = value.trim().parse().unwrap_or_default();
        let listener = name.split('.').nth(1).unwrap_or_default();
        if [ADMIN, READY].contains(&listener) {
            continue;
        }
        if name.ends_with(".downstream_cx_active") {
            activity.connections += value;
        } else if name.ends_with(".downstream_rq_active") {
            activity.requests += value;
        }
    }
    activity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listeners_activity_counts() {
        let stats = "http.admin.downstream_cx_active: 1\nhttp.admin.downstream_rq_active: 1\n\
                     http.ready.downstream_cx_active: 1\n\
                     http.80.downstream_cx_active: 3\nhttp.80.downstream_rq_active: 2\n\
                     http.81.downstream_cx_active: 4\nhttp.81.downstream_rq_active: 0\n";
        let expected = Activity {
            connections: 7,
            requests: 2,
        };
        assert_eq!(activity(stats), expected);
    }
}

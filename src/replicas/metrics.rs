//! What is counted about replicas.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Gauges of this replica's part among the others.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    leader: Gauge<i64, AtomicI64>,
    heard: Gauge<i64, AtomicI64>,
}

impl Metrics {
    /// The metrics, entered into `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "locum_leader",
            "1 while this replica leads, that is, writes statuses; else 0",
            metrics.leader.clone(),
        );
        registry.register(
            "locum_replicas_heard",
            "Other replicas that the leader hears at present",
            metrics.heard.clone(),
        );
        metrics
    }

    /// Notes whether this replica leads.
    pub(super) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Notes how many other replicas are being heard.
    pub(super) fn heard(&self, replicas: usize) {
        self.heard.set(i64::try_from(replicas).unwrap_or(i64::MAX));
    }
}

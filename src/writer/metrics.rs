//! What is counted about writing statuses.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::api::Failure;
use crate::resource::{Key, Kind};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfFailure {
    kind: String,
    reason: &'static str,
}

/// The kinds whose statuses are written in every cluster.
const WRITTEN: [Kind; 6] = [
    Kind::GatewayClass,
    Kind::Gateway,
    Kind::HttpRoute,
    Kind::Backend,
    Kind::BackendTrafficPolicy,
    Kind::FailoverPolicy,
];

/// Counters of the writer.
#[derive(Clone, Debug)]
pub struct Metrics {
    writes: Family<OfKind, Counter>,
    conflicts: Family<OfKind, Counter>,
    failures: Family<OfFailure, Counter>,
    contested: Family<OfKind, Counter>,
    pending: Family<OfKind, Gauge<i64, AtomicI64>>,
}

impl Metrics {
    /// The writer's metrics, entered into `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            writes: Family::default(),
            conflicts: Family::default(),
            failures: Family::default(),
            contested: Family::default(),
            pending: Family::default(),
        };
        // There from the start, so that the first of them shows as an increase.
        for kind in WRITTEN {
            let of_kind = OfKind {
                kind: kind.name().to_owned(),
            };
            metrics.writes.get_or_create(&of_kind).inc_by(0);
            metrics.conflicts.get_or_create(&of_kind).inc_by(0);
            metrics.contested.get_or_create(&of_kind).inc_by(0);
            metrics.pending.get_or_create(&of_kind).inc_by(0);
        }
        registry.register(
            "locum_status_writes",
            "Statuses written to the API server",
            metrics.writes.clone(),
        );
        registry.register(
            "locum_status_conflicts",
            "Statuses that someone else had written since they were seen, so that they were compared \
             again",
            metrics.conflicts.clone(),
        );
        registry.register(
            "locum_status_failures",
            "Writes of statuses that failed and are tried again",
            metrics.failures.clone(),
        );
        registry.register(
            "locum_status_contested",
            "Times that an object was left to another controller which keeps writing over the same \
             status",
            metrics.contested.clone(),
        );
        registry.register(
            "locum_status_pending",
            "Statuses that wait to be written, or are being written",
            metrics.pending.clone(),
        );
        metrics
    }

    pub(super) fn wrote(&self, key: &Key) {
        self.writes.get_or_create(&of(key)).inc();
    }

    pub(super) fn failed(&self, key: &Key, failure: &Failure) {
        if *failure == Failure::Conflict {
            self.conflicts.get_or_create(&of(key)).inc();
            return;
        }
        let labels = OfFailure {
            kind: key.manifest_kind().to_owned(),
            reason: failure.name(),
        };
        self.failures.get_or_create(&labels).inc();
    }

    pub(super) fn contested(&self, key: &Key) {
        self.contested.get_or_create(&of(key)).inc();
    }

    pub(super) fn pending(&self, key: &Key, by: i64) {
        self.pending.get_or_create(&of(key)).inc_by(by);
    }
}

fn of(key: &Key) -> OfKind {
    OfKind {
        kind: key.manifest_kind().to_owned(),
    }
}

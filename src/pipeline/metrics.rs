//! What is counted about translation.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::State;
use crate::problem::Severity;
use crate::xds::kind::Kind;

/// The upper bounds, in seconds, that translations are counted under.
const SECONDS: [f64; 10] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSeverity {
    severity: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGateway {
    gateway: String,
    kind: &'static str,
}

/// Counters of the pipeline.
#[derive(Clone, Debug)]
pub struct Metrics {
    translations: Counter,
    duration: Histogram,
    problems: Family<OfSeverity, Gauge<i64, AtomicI64>>,
    resources: Family<OfGateway, Gauge<i64, AtomicI64>>,
}

impl Metrics {
    /// The pipeline's metrics, entered into `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            translations: Counter::default(),
            duration: Histogram::new(SECONDS),
            problems: Family::default(),
            resources: Family::default(),
        };
        registry.register(
            "locum_translations",
            "Times that all resources were translated and published",
            metrics.translations.clone(),
        );
        registry.register_with_unit(
            "locum_translation_duration",
            "Time from taking changes in to having published what follows from them",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "locum_problems",
            "Problems there are now: in files, in resources, and resources that proxies refuse",
            metrics.problems.clone(),
        );
        registry.register(
            "locum_snapshot_resources",
            "Envoy resources that a Gateway's proxies are given",
            metrics.resources.clone(),
        );
        metrics
    }

    /// Counts a translation that led to `state`.
    pub(super) fn translated(&self, state: &State, took: Duration) {
        self.translations.inc();
        self.duration.observe(took.as_secs_f64());
        self.resources.clear();
        for (gateway, snapshot) in &state.snapshots {
            for kind in Kind::ALL {
                let labels = OfGateway {
                    gateway: gateway.to_string(),
                    kind: kind.name(),
                };
                let count = snapshot.of_kind(kind).count();
                self.resources
                    .get_or_create(&labels)
                    .set(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        self.count_problems(state);
    }

    /// Counts what is wrong in `state`.
    pub(super) fn count_problems(&self, state: &State) {
        let problems = state.located_problems();
        for severity in [Severity::Note, Severity::Warning, Severity::Error] {
            let count = problems
                .iter()
                .filter(|problem| problem.severity == severity)
                .count();
            self.problems
                .get_or_create(&OfSeverity {
                    severity: severity.name(),
                })
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

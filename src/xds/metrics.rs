//! What is counted about streams.
//!
//! In: the events of the stream machines. Out: a Prometheus registry that the admin endpoint
//! encodes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::xds::clients::Clients;
use crate::xds::kind::Kind;
use crate::xds::message::{Event, Output};
use crate::xds::order::Awaited;

/// The upper bounds, in seconds, that acknowledgements are counted under.
const ACK_SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWait {
    awaited: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    cause: &'static str,
}

/// Counters of the xDS server; one for the whole process.
#[derive(Clone, Debug)]
pub struct Metrics {
    streams: Gauge<i64, AtomicI64>,
    streams_opened: Counter,
    streams_rejected: Counter,
    connections_refused: Family<OfCause, Counter>,
    requests: Counter,
    responses: Family<OfKind, Counter>,
    resources: Family<OfKind, Counter>,
    removals: Family<OfKind, Counter>,
    acks: Family<OfKind, Counter>,
    nacks: Family<OfKind, Counter>,
    waits_expired: Family<OfWait, Counter>,
    unknown_types: Counter,
    stale_nonces: Counter,
    ack_seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            streams: Gauge::default(),
            streams_opened: Counter::default(),
            streams_rejected: Counter::default(),
            connections_refused: Family::default(),
            requests: Counter::default(),
            responses: by_kind(),
            resources: by_kind(),
            removals: by_kind(),
            acks: by_kind(),
            nacks: by_kind(),
            waits_expired: Family::default(),
            unknown_types: Counter::default(),
            stale_nonces: Counter::default(),
            ack_seconds: Histogram::new(ACK_SECONDS),
        }
    }
}

/// A counter that is there for each kind from the start, so that the first of it shows as an increase.
fn by_kind() -> Family<OfKind, Counter> {
    let family = Family::<OfKind, Counter>::default();
    for kind in Kind::ALL {
        let kind = kind.name();
        family.get_or_create(&OfKind { kind }).inc_by(0);
    }
    family
}

/// That a stream is open; it is counted out when this is dropped.
#[derive(Debug)]
pub struct OpenStream(Gauge<i64, AtomicI64>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// Enters every metric, named `locum_xds_...`.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("locum_xds");
        r.register("streams", "Open discovery streams", self.streams.clone());
        let counters = [
            (
                "streams_opened",
                "Discovery streams opened",
                &self.streams_opened,
            ),
            (
                "streams_rejected",
                "Discovery streams refused or ended by a limit",
                &self.streams_rejected,
            ),
            (
                "requests",
                "Discovery requests, acknowledgements included",
                &self.requests,
            ),
            (
                "unknown_types",
                "Requests for types that are not served",
                &self.unknown_types,
            ),
            (
                "stale_nonces",
                "Answers to responses that are not the last",
                &self.stale_nonces,
            ),
        ];
        for (name, help, counter) in counters {
            r.register(name, help, counter.clone());
        }
        let families = [
            ("responses", "Responses sent", &self.responses),
            ("resources", "Resources sent", &self.resources),
            ("removals", "Removals sent", &self.removals),
            ("acks", "Responses acknowledged", &self.acks),
            ("nacks", "Responses refused", &self.nacks),
        ];
        for (name, help, family) in families {
            r.register(name, help, family.clone());
        }
        r.register(
            "connections_refused",
            "Connections that failed to become mutual TLS, by cause",
            self.connections_refused.clone(),
        );
        r.register(
            "waits_expired",
            "Waits for a proxy that ended by their bound",
            self.waits_expired.clone(),
        );
        r.register(
            "ack_seconds",
            "From a response to its acknowledgement",
            self.ack_seconds.clone(),
        );
    }

    /// Enters `locum_proxy_certificate_expiry_timestamp_seconds`, a line for each group that has
    /// proxies with certificates: of the one that runs out first.
    pub fn register_certificates(clients: Arc<Clients>, registry: &mut Registry) {
        registry.register_collector(Box::new(Certificates(clients)));
    }

    /// Counts a stream for as long as what is returned lives.
    pub fn stream(&self) -> OpenStream {
        self.streams_opened.inc();
        self.streams.inc();
        OpenStream(self.streams.clone())
    }

    /// Counts a stream that was refused or ended by a limit.
    pub fn rejected(&self) {
        self.streams_rejected.inc();
    }

    /// Counts a connection whose peer did not make itself known.
    pub fn refused(&self, cause: &'static str) {
        self.connections_refused
            .get_or_create(&OfCause { cause })
            .inc();
    }

    /// Counts a request.
    pub fn request(&self) {
        self.requests.inc();
    }

    /// Counts what came out of a stream's machine.
    pub fn output(&self, output: &Output) {
        for response in &output.responses {
            let kind = of(response.kind);
            self.responses.get_or_create(&kind).inc();
            self.resources
                .get_or_create(&kind)
                .inc_by(response.resources.len() as u64);
            self.removals
                .get_or_create(&kind)
                .inc_by(response.removed.len() as u64);
        }
        for event in &output.events {
            self.event(event);
        }
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Acknowledged { kind, after } => {
                self.acks.get_or_create(&of(*kind)).inc();
                self.ack_seconds.observe(after.as_secs_f64());
            }
            Event::Refused { kind, .. } => {
                self.nacks.get_or_create(&of(*kind)).inc();
            }
            Event::Expired(expired) => {
                let awaited = match expired.awaited {
                    Awaited::Subscription => "subscription",
                    Awaited::Cluster => "cluster",
                    Awaited::Endpoints => "endpoints",
                    Awaited::Secrets => "secrets",
                    Awaited::Names => "names",
                    Awaited::Release => "release",
                };
                self.waits_expired.get_or_create(&OfWait { awaited }).inc();
            }
            Event::UnknownType { .. } => {
                self.unknown_types.inc();
            }
            Event::Stale { .. } => {
                self.stale_nonces.inc();
            }
            Event::RefusalsChanged | Event::Unsupported { .. } => {}
        }
    }
}

#[derive(Debug)]
struct Certificates(Arc<Clients>);

impl Collector for Certificates {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let certificates = self.0.certificates();
        if certificates.is_empty() {
            return Ok(());
        }
        let mut family = encoder.encode_descriptor(
            "locum_proxy_certificate_expiry_timestamp_seconds",
            "When the first of the certificates runs out that the Gateway's proxies connected with",
            None,
            MetricType::Gauge,
        )?;
        for (gateway, (at, _)) in certificates {
            let labels = [("gateway", gateway)];
            let gauge = ConstGauge::new(at.as_second());
            gauge.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn of(kind: Kind) -> OfKind {
    OfKind { kind: kind.name() }
}

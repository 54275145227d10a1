//! Until when Locum's own certificates hold, for who watches them.
//!
//! In: mutual TLS with whatever credentials are the newest. Out: a metric, read when it is asked for.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Tls;

/// Enters `locum_certificate_expiry_timestamp_seconds`: of the server's certificate, and of the CA
/// that proxies are signed by.
pub fn register(tls: Tls, registry: &mut Registry) {
    registry.register_collector(Box::new(Certificates(tls)));
}

#[derive(Debug)]
struct Certificates(Tls);

impl Collector for Certificates {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(expiry) = self.0.expiry() else {
            return Ok(());
        };
        let mut family = encoder.encode_descriptor(
            "locum_certificate_expiry_timestamp_seconds",
            "When Locum's own certificate runs out, and the CA that it believes proxies by",
            None,
            MetricType::Gauge,
        )?;
        for (which, at) in [("server", expiry.own), ("ca", expiry.authorities)] {
            let labels = [("certificate", which)];
            let gauge = ConstGauge::new(at.as_second());
            gauge.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

//! Balancing by what the endpoints report of their use.

use std::time::Duration;

/// How reports become weights. `None` is Envoy's default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Utilization {
    /// How long the first reports of an endpoint are only collected.
    pub blackout: Option<Duration>,
    /// How long a weight holds without a new report.
    pub expiration: Option<Duration>,
    /// How often weights are worked out anew.
    pub update: Option<Duration>,
    /// How much errors count as use; 1 is as much as the use that is reported.
    pub error_penalty: Option<f32>,
    /// Reported numbers that count as use.
    pub metrics: Vec<String>,
    pub slow_start: Option<Duration>,
    /// Reports are asked for, instead of taken from answers.
    pub out_of_band: Option<OutOfBand>,
}

/// How reports are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutOfBand {
    pub period: Option<Duration>,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
    pub authority: Option<String>,
}

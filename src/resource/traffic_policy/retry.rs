//! When and how a request is tried again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::Duration;

/// When and how a request is tried again.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Attempts after the first. Envoy Gateway's CRD fills in 2; nothing said is enough for every
    /// tier here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_retries: Option<u32>,
    /// After how many attempts the tiers tried so far are left alone; nothing or 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_attempts_per_priority: Option<u32>,
    /// What is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_on: Option<RetryOn>,
    /// Time limits of one attempt and between attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_retry: Option<PerRetry>,
}

/// What is tried again.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryOn {
    /// What must have happened, any of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Trigger>,
    /// Status codes, for the trigger `retriable-status-codes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 100, max = 599)))]
    pub http_status_codes: Vec<u16>,
}

/// What must have happened for a request to be tried again; Envoy's words.
#[derive(
    Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    #[serde(rename = "5xx")]
    FiveXx,
    GatewayError,
    Reset,
    ResetBeforeRequest,
    ConnectFailure,
    #[serde(rename = "retriable-4xx")]
    Retriable4xx,
    RefusedStream,
    RetriableStatusCodes,
    Cancelled,
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    Unavailable,
}

impl Trigger {
    /// Envoy's word.
    pub fn word(self) -> &'static str {
        match self {
            Trigger::FiveXx => "5xx",
            Trigger::GatewayError => "gateway-error",
            Trigger::Reset => "reset",
            Trigger::ResetBeforeRequest => "reset-before-request",
            Trigger::ConnectFailure => "connect-failure",
            Trigger::Retriable4xx => "retriable-4xx",
            Trigger::RefusedStream => "refused-stream",
            Trigger::RetriableStatusCodes => "retriable-status-codes",
            Trigger::Cancelled => "cancelled",
            Trigger::DeadlineExceeded => "deadline-exceeded",
            Trigger::Internal => "internal",
            Trigger::ResourceExhausted => "resource-exhausted",
            Trigger::Unavailable => "unavailable",
        }
    }
}

/// Time limits of one attempt and between attempts.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PerRetry {
    /// How long one attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The pause before an attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_off: Option<BackOff>,
}

/// The pause before an attempt.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackOff {
    /// Up to this long at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_interval: Option<Duration>,
    /// Up to this long later; not less than the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_interval: Option<Duration>,
}

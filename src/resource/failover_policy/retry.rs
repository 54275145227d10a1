//! When a request goes on to the next tier.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::ByteSize;

/// When a request goes on to the next tier. What is left out is as a BackendTrafficPolicy's `retry`
/// says, or as Locum's defaults have it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// How often a request is tried again, at most. Nothing said anywhere: often enough for every
    /// tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub attempts: Option<u32>,
    /// Whether another endpoint of the same tier is tried before the next tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_tier: Option<NextTier>,
    /// Answers with these status codes are not passed on while there are attempts left, for the
    /// methods that may be repeated: GET, HEAD, OPTIONS, TRACE, PUT and DELETE. They stand in the
    /// place of a BackendTrafficPolicy's `httpStatusCodes`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(range(min = 400, max = 599)))]
    pub codes: Vec<u16>,
    /// The largest body with which a request can be tried again. The proxy keeps so much of each
    /// request that is under way. Nothing said: 1Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_limit: Option<ByteSize>,
}

/// Where a request is tried again.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum NextTier {
    /// In the next tier, whatever else could serve in the same one.
    Immediately,
    /// Once more in the same tier, at another endpoint if it has one, then in the next.
    AfterSameTier,
}

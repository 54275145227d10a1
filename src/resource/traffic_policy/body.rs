//! Bodies of requests and answers on their way: kept, made small, slowed down.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::ByteSize;

/// Requests are taken in whole before they are sent on.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub struct RequestBuffer {
    /// The largest body; a request with more is answered 413.
    pub limit: ByteSize,
}

/// Answers are made small for clients that take them so.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Compression {
    /// In which way.
    pub r#type: CompressorType,
    /// With `type: Brotli`; there is nothing to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brotli: Option<NoSettings>,
    /// With `type: Gzip`; there is nothing to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gzip: Option<NoSettings>,
    /// With `type: Zstd`; there is nothing to set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zstd: Option<NoSettings>,
    /// Smaller answers stay as they are; at least 30 bytes, which it is where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_content_length: Option<ByteSize>,
}

/// Ways to make an answer small.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum CompressorType {
    Gzip,
    Brotli,
    Zstd,
}

/// Nothing to set.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct NoSettings {}

/// How fast bodies may be, for all requests of a route together, at each proxy.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("has(self.request) || has(self.response)")
        .message("at least one of request or response must be specified")
)]
pub struct BandwidthLimit {
    /// Of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestBandwidth>,
    /// Of answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseBandwidth>,
}

/// How fast bodies of requests may be.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub struct RequestBandwidth {
    /// As fast as this.
    pub limit: BandwidthValue,
}

/// How fast bodies of answers may be.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResponseBandwidth {
    /// As fast as this.
    pub limit: BandwidthValue,
    /// Trailers tell clients how much they were slowed down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_trailers: Option<BandwidthTrailers>,
}

/// Bytes in a time; at least 1 KiB a second.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub struct BandwidthValue {
    /// Bytes.
    pub value: ByteSize,
    /// The time.
    pub unit: BandwidthUnit,
}

/// A time.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum BandwidthUnit {
    Second,
    Minute,
    Hour,
}

/// Trailers that tell how much a client was slowed down.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct BandwidthTrailers {
    /// What their names begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[^\r\n\x00]*$"))]
    pub prefix: Option<String>,
}

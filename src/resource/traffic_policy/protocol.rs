//! What is spoken to endpoints, and which they are.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::{ByteSize, Duration};

/// HTTP/2 towards the endpoints that speak it.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Http2 {
    /// How much an endpoint may send ahead on a stream; 64Ki where nothing is said. From 65535 to
    /// 2147483647 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_stream_window_size: Option<ByteSize>,
    /// How much an endpoint may send ahead on a connection; 1Mi where nothing is said. From 65535
    /// to 2147483647 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_connection_window_size: Option<ByteSize>,
    /// Requests under way on one connection; 100 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub max_concurrent_streams: Option<u32>,
    /// What an answer that breaks the protocol ends; its connection where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_invalid_message: Option<InvalidMessageAction>,
    /// Signs of life that are asked for on connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_keepalive: Option<Http2Keepalive>,
}

/// What an answer that breaks the protocol ends.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum InvalidMessageAction {
    TerminateConnection,
    TerminateStream,
}

/// Signs of life that are asked for on HTTP/2 connections.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.timeout) || !has(self.interval) \
         || duration(self.timeout) < duration(self.interval)"
    )
    .message("timeout must be less than interval")
)]
pub struct Http2Keepalive {
    /// How often is asked; never, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// How long an answer may take; 2s where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// A random share of the interval that is added to it, in percent; 15 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub interval_jitter: Option<u32>,
    /// How long a connection is idle before it is asked ahead of the next request; 1s where nothing
    /// is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_interval: Option<Duration>,
}

/// A protocol that clients may turn their connection to.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("!has(self.connect) || self.type == 'CONNECT'")
        .message("connect can only be set if type is CONNECT")
)]
pub struct HttpUpgrade {
    /// Its name, in either case: `websocket`, `spdy/3.1`. `CONNECT` is not supported.
    pub r#type: String,
    /// With `type: CONNECT`; not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Connect>,
}

/// What becomes of CONNECT.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct Connect {
    /// Whether it ends at the proxy, which sends the payload on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminate: Option<bool>,
}

/// Where requests for a Service go.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum RoutingType {
    /// To its cluster IP; to the endpoints of one that has none.
    Service,
    /// To its endpoints.
    Endpoint,
}

/// Tells endpoints who the client is, before anything else on a connection.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub struct ProxyProtocol {
    /// The form.
    pub version: ProxyProtocolVersion,
}

/// The form of the PROXY protocol.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum ProxyProtocolVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

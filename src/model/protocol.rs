//! What is spoken to endpoints.

use std::time::Duration;

/// HTTP/2 towards the endpoints that speak it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2 {
    /// Bytes that an endpoint may send ahead on a stream, and on a connection.
    pub stream_window: u32,
    pub connection_window: u32,
    /// Requests under way on one connection.
    pub max_streams: u32,
    /// Whether an answer that breaks the protocol ends its stream alone, not the connection.
    pub invalid_message_ends_stream: bool,
    /// How often a sign of life is asked for; `None` is never.
    pub ping_interval: Option<Duration>,
    pub ping_timeout: Duration,
    /// A random share of the interval that is added to it. `None` is Envoy's 15.
    pub ping_jitter_percent: Option<u32>,
    /// A connection that was silent for so long is asked before the next request rides on it.
    pub ping_after_idle: Duration,
}

/// The form in which endpoints are told who the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    V1,
    V2,
}

//! Connections towards the endpoints: how many, how long, how found.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::{ByteSize, Duration};

/// How much may be under way at once, at each proxy.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Connections to all endpoints.
    #[serde(default = "kibi")]
    pub max_connections: u32,
    /// Requests that wait for a connection.
    #[serde(default = "kibi")]
    pub max_pending_requests: u32,
    /// Requests under way.
    #[serde(default = "kibi")]
    pub max_parallel_requests: u32,
    /// Retries under way.
    #[serde(default = "kibi")]
    pub max_parallel_retries: u32,
    /// Requests until a connection is closed. 0: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_requests_per_connection: Option<u32>,
    /// Limits of one endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_endpoint: Option<PerEndpointCircuitBreaker>,
    /// Instead of `maxParallelRetries`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_budget: Option<RetryBudget>,
}

fn kibi() -> u32 {
    1024
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            max_connections: kibi(),
            max_pending_requests: kibi(),
            max_parallel_requests: kibi(),
            max_parallel_retries: kibi(),
            max_requests_per_connection: None,
            per_endpoint: None,
            retry_budget: None,
        }
    }
}

/// Limits of one endpoint.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PerEndpointCircuitBreaker {
    /// Connections.
    #[serde(default = "kibi")]
    pub max_connections: u32,
}

/// Retries as a share of what is under way.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetryBudget {
    /// The share.
    pub percent: Fraction,
    /// This many may always be under way; 3 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_retry_concurrency: Option<u32>,
}

/// A fraction.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("self.numerator <= self.denominator")
        .message("numerator must be less than or equal to denominator")
)]
pub struct Fraction {
    /// Above the line.
    pub numerator: u32,
    /// Below the line.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1))]
    pub denominator: u32,
}

fn hundred() -> u32 {
    100
}

/// How long things may take.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct Timeout {
    /// Of connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpTimeout>,
    /// Of requests and their connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpTimeout>,
}

/// How long connections may take.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpTimeout {
    /// To be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Duration>,
}

/// How long requests and their connections may take.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpTimeout {
    /// How long a connection is kept without a request. 0s: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_idle_timeout: Option<Duration>,
    /// How long a connection is kept at all. 0s: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connection_duration: Option<Duration>,
    /// How long a request may take, with all its retries. 0s: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_timeout: Option<Duration>,
    /// How long a stream may live. 0s: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_stream_duration: Option<Duration>,
    /// How long a stream may be silent. 0s: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_idle_timeout: Option<Duration>,
}

/// Connections towards the endpoints.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// How much of a connection's data waits in the proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer_limit: Option<ByteSize>,
    /// How much of a connection's data waits in the kernel, in each direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_buffer_limit: Option<ByteSize>,
    /// Connections made before they are needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preconnect: Option<Preconnect>,
}

/// Connections made before they are needed, in percent of those in use.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preconnect {
    /// At each endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 300))]
    pub per_endpoint_percent: Option<u32>,
    /// At the endpoints that are next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100))]
    pub predictive_percent: Option<u32>,
}

/// How endpoints' names are looked up.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dns {
    /// How often, where an answer's own time to live does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_refresh_rate: Option<Duration>,
    /// Whether an answer's own time to live counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respect_dns_ttl: Option<bool>,
    /// Which addresses are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lookup_family: Option<LookupFamily>,
}

/// Which addresses of a name are used.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum LookupFamily {
    #[serde(rename = "IPv4")]
    Ipv4,
    #[serde(rename = "IPv6")]
    Ipv6,
    #[serde(rename = "IPv4Preferred")]
    Ipv4Preferred,
    #[serde(rename = "IPv6Preferred")]
    Ipv6Preferred,
    #[serde(rename = "IPv4AndIPv6")]
    Ipv4AndIpv6,
}

/// Signs of life on idle connections.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpKeepalive {
    /// How many without an answer end the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<u32>,
    /// How long a connection is idle before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_time: Option<Duration>,
    /// The time between two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
}

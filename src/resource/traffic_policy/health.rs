//! How it is found out that an endpoint cannot serve.

use k8s_openapi::ByteString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::telemetry::HealthCheckLog;
use crate::resource::Duration;

const HOSTNAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Health checks, by asking and by watching.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// By asking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveHealthCheck>,
    /// By watching what becomes of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passive: Option<PassiveHealthCheck>,
    /// Below this share of healthy endpoints, in percent, the others are used too. 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub panic_threshold: Option<u32>,
}

/// Takes endpoints out for a while that failed too often.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PassiveHealthCheck {
    /// How often it is looked whether one that is out may come back. It happens twice a second at
    /// least, unless failurePercentageThreshold counts over this time.
    #[serde(default = "three_seconds")]
    pub interval: Duration,
    /// How long one is out.
    #[serde(default = "thirty_seconds")]
    pub base_ejection_time: Duration,
    /// How many may be out at once, in percent of all endpoints of all tiers. Envoy Gateway's CRD
    /// fills in 10, which can take no tier out; nothing said is 100 here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub max_ejection_percent: Option<u32>,
    /// Whether one may be out whatever the percentage says.
    #[serde(default)]
    pub always_eject_one_endpoint: bool,
    /// 5xx answers in a row that take an endpoint out. 0: never.
    #[serde(default = "five", rename = "consecutive5XxErrors")]
    pub consecutive_5xx_errors: u32,
    /// 502, 503 and 504 answers in a row that take an endpoint out. 0: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_gateway_errors: Option<u32>,
    /// Connection failures and the like in a row that take an endpoint out; only where they are
    /// split.
    #[serde(default = "five")]
    pub consecutive_local_origin_failures: u32,
    /// Whether connection failures are counted on their own, not as 5xx.
    #[serde(default)]
    pub split_external_local_origin_errors: bool,
    /// The share of failures, in percent, that takes an endpoint out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub failure_percentage_threshold: Option<u32>,
}

impl Default for PassiveHealthCheck {
    fn default() -> Self {
        Self {
            interval: three_seconds(),
            base_ejection_time: thirty_seconds(),
            max_ejection_percent: None,
            always_eject_one_endpoint: false,
            consecutive_5xx_errors: five(),
            consecutive_gateway_errors: None,
            consecutive_local_origin_failures: five(),
            split_external_local_origin_errors: false,
            failure_percentage_threshold: None,
        }
    }
}

fn one_second() -> Duration {
    Duration::from_secs(1)
}

fn three_seconds() -> Duration {
    Duration::from_secs(3)
}

fn thirty_seconds() -> Duration {
    Duration::from_secs(30)
}

fn one() -> u32 {
    1
}

fn three() -> u32 {
    3
}

fn five() -> u32 {
    5
}

/// Asks each endpoint at intervals.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type == 'HTTP' ? has(self.http) : !has(self.http)")
        .message("http must be set if type is HTTP, and only then"),
    validation = Rule::new("self.type == 'TCP' ? has(self.tcp) : !has(self.tcp)")
        .message("tcp must be set if type is TCP, and only then"),
    validation = Rule::new("!has(self.grpc) || self.type == 'GRPC'")
        .message("grpc can only be set if type is GRPC")
)]
pub struct ActiveHealthCheck {
    /// How long an answer may take.
    #[serde(default = "one_second")]
    pub timeout: Duration,
    /// How often is asked.
    #[serde(default = "three_seconds")]
    pub interval: Duration,
    /// A random wait before the first question, up to this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_jitter: Option<Duration>,
    /// Failures in a row that make an endpoint unhealthy.
    #[serde(default = "three")]
    #[schemars(range(min = 1))]
    pub unhealthy_threshold: u32,
    /// Successes in a row that make it healthy again.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub healthy_threshold: u32,
    /// What is asked.
    pub r#type: CheckType,
    /// With `type: HTTP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpCheck>,
    /// With `type: TCP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpCheck>,
    /// With `type: GRPC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GrpcCheck>,
    /// Where else than at the endpoint's own port is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<CheckOverrides>,
    /// What becomes of the questions is written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_log: Option<HealthCheckLog>,
}

/// What an active health check asks.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum CheckType {
    Http,
    Tcp,
    Grpc,
}

/// A question by HTTP.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.requestBody) \
         || (has(self.method) && self.method.upperAscii() in ['POST', 'PUT'])"
    )
    .message("requestBody can only be set when method is POST or PUT")
)]
pub struct HttpCheck {
    /// The path asked for.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
    /// The host said; else the endpoint's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = HOSTNAME))]
    pub hostname: Option<String>,
    /// The method; GET where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub method: Option<String>,
    /// Status codes of a healthy endpoint; 200 where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 100, max = 599)))]
    pub expected_statuses: Vec<u16>,
    /// Status codes that count as a failure but not at once as the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 100, max = 599)))]
    pub retriable_statuses: Vec<u16>,
    /// What the answer must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_response: Option<Payload>,
    /// What is sent along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_body: Option<Payload>,
}

/// A question by TCP: a connection, and perhaps words and an answer.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct TcpCheck {
    /// What is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<Payload>,
    /// What must come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive: Option<Payload>,
}

/// A question by gRPC's health service.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct GrpcCheck {
    /// Of which service; the whole server where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// Where else than at the endpoint's own port is asked.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct CheckOverrides {
    /// The port asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

/// Bytes, as text or in base64.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("self.type == 'Text' ? has(self.text) : !has(self.text)")
        .message("text must be set if type is Text, and only then"),
    validation = Rule::new("self.type == 'Binary' ? has(self.binary) : !has(self.binary)")
        .message("binary must be set if type is Binary, and only then")
)]
pub struct Payload {
    /// Which of the two.
    pub r#type: PayloadType,
    /// As text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// In base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "byte"))]
    pub binary: Option<ByteString>,
}

/// How a payload is written.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum PayloadType {
    Text,
    Binary,
}

//! Faults that are made on purpose, to see what becomes of them.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::Duration;

/// Faults that are made on purpose.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new("has(self.delay) || has(self.abort)")
        .message("at least one of delay and abort must be set")
)]
pub struct FaultInjection {
    /// Requests wait before they are sent on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<FaultDelay>,
    /// Requests are answered by the proxy instead of being sent on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort: Option<FaultAbort>,
}

/// Requests wait before they are sent on.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FaultDelay {
    /// For so long.
    pub fixed_delay: Duration,
    /// So many of them, in percent.
    #[serde(default = "all")]
    pub percentage: f32,
}

/// Requests are answered by the proxy.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.httpStatus) && has(self.grpcStatus))")
        .message("httpStatus and grpcStatus cannot be set together"),
    validation = Rule::new("has(self.httpStatus) || has(self.grpcStatus)")
        .message("httpStatus or grpcStatus must be set")
)]
pub struct FaultAbort {
    /// With this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 200, max = 600))]
    pub http_status: Option<u32>,
    /// With this status of gRPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 16))]
    pub grpc_status: Option<u32>,
    /// So many of them, in percent.
    #[serde(default = "all")]
    pub percentage: f32,
}

fn all() -> f32 {
    100.0
}

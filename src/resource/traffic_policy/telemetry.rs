//! What proxies tell of requests and of health checks.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What proxies tell of requests.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
pub struct Telemetry {
    /// Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::resource::schema::untyped")]
    pub tracing: Option<Value>,
    /// In numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
}

/// What proxies tell of requests in numbers.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Gives the requests of a route statistics of their own, under this name. `%ROUTE_NAME%`,
    /// `%ROUTE_NAMESPACE%` and `%ROUTE_KIND%` in it stand for the route's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route_stat_name: Option<String>,
}

/// Where proxies write what became of health checks, and of which.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthCheckLog {
    /// Where; to standard output where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1))]
    pub sinks: Vec<HealthCheckLogSink>,
    /// Of which; of all where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(
        validation = Rule::new(
            "self.exists(e, e == 'Failure' || e == 'FailureSeriesStart') \
             == self.exists(e, e == 'Success' || e == 'HealthyTransition')"
        )
        .message("a failure type and a success type must both be specified together")
    )]
    pub matches: Vec<HealthCheckEvent>,
}

/// Where something is written.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("self.type == 'File' ? has(self.file) : !has(self.file)")
        .message("file must be set if type is File, and only then")
)]
pub struct HealthCheckLogSink {
    /// Which kind of place.
    pub r#type: HealthCheckLogSinkType,
    /// With `type: File`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileSink>,
}

/// Kinds of places.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum HealthCheckLogSinkType {
    File,
}

/// A file of the proxy's machine.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct FileSink {
    /// Its path; `/dev/stdout` is standard output.
    #[schemars(length(min = 1))]
    pub path: String,
}

/// What may become of a health check.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum HealthCheckEvent {
    /// Each one that failed.
    Failure,
    /// The first of several that failed.
    FailureSeriesStart,
    /// Each one that succeeded.
    Success,
    /// The first of several that succeeded, and the one that makes an endpoint healthy.
    HealthyTransition,
}

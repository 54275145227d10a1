//! How an endpoint is chosen.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::resource::Duration;

/// How an endpoint is chosen within a tier.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "self.type == 'ConsistentHash' ? has(self.consistentHash) : !has(self.consistentHash)"
    )
    .message("consistentHash must be set if type is ConsistentHash, and only then"),
    validation = Rule::new(
        "self.type == 'BackendUtilization' ? has(self.backendUtilization) \
         : !has(self.backendUtilization)"
    )
    .message("backendUtilization must be set if type is BackendUtilization, and only then"),
    validation = Rule::new(
        "self.type == 'DynamicModule' ? has(self.dynamicModule) : !has(self.dynamicModule)"
    )
    .message("dynamicModule must be set if type is DynamicModule, and only then"),
    validation = Rule::new(
        "!has(self.slowStart) || !(self.type in ['Random', 'ConsistentHash', 'DynamicModule'])"
    )
    .message("slowStart works with RoundRobin, LeastRequest and BackendUtilization only"),
    validation = Rule::new(
        "!has(self.zoneAware) || !has(self.zoneAware.preferLocal) \
         || !(self.type in ['ConsistentHash', 'BackendUtilization'])"
    )
    .message("zoneAware.preferLocal does not work with ConsistentHash and BackendUtilization"),
    validation = Rule::new("!has(self.zoneAware) || self.type != 'DynamicModule'")
        .message("zoneAware does not work with DynamicModule"),
    validation = Rule::new(
        "!has(self.zoneAware) \
         || !(has(self.zoneAware.preferLocal) && has(self.zoneAware.weightedZones))"
    )
    .message("zoneAware.preferLocal and zoneAware.weightedZones cannot be set together"),
    validation = Rule::new("!has(self.endpointOverride) || self.type != 'DynamicModule'")
        .message("endpointOverride does not work with DynamicModule")
)]
pub struct LoadBalancer {
    /// The rule of choice.
    pub r#type: BalancerType,
    /// With `type: ConsistentHash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistent_hash: Option<ConsistentHash>,
    /// With `type: BackendUtilization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_utilization: Option<BackendUtilization>,
    /// With `type: DynamicModule`; not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::resource::schema::untyped")]
    pub dynamic_module: Option<Value>,
    /// New endpoints get their share little by little.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<SlowStart>,
    /// Zones count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone_aware: Option<ZoneAware>,
    /// The request names its endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_override: Option<EndpointOverride>,
}

/// The rule of choice.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum BalancerType {
    ConsistentHash,
    LeastRequest,
    Random,
    RoundRobin,
    BackendUtilization,
    DynamicModule,
}

/// Requests that hash alike go to the same endpoint.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type == 'Header' ? has(self.header) : !has(self.header)")
        .message("header must be set if type is Header, and only then"),
    validation = Rule::new("self.type == 'Headers' ? has(self.headers) : !has(self.headers)")
        .message("headers must be set if type is Headers, and only then"),
    validation = Rule::new("self.type == 'Cookie' ? has(self.cookie) : !has(self.cookie)")
        .message("cookie must be set if type is Cookie, and only then"),
    validation = Rule::new(
        "self.type == 'QueryParams' ? has(self.queryParams) : !has(self.queryParams)"
    )
    .message("queryParams must be set if type is QueryParams, and only then")
)]
pub struct ConsistentHash {
    /// What is hashed.
    pub r#type: ConsistentHashType,
    /// With `type: Header`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Named>,
    /// With `type: Headers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<Named>>,
    /// With `type: Cookie`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<Cookie>,
    /// With `type: QueryParams`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_params: Option<Vec<Named>>,
    /// The size of the hash table, a prime.
    #[serde(default = "table_size")]
    #[schemars(range(min = 2, max = 5_000_011))]
    pub table_size: u64,
}

fn table_size() -> u64 {
    65537
}

/// What is hashed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum ConsistentHashType {
    #[serde(rename = "SourceIP")]
    SourceIp,
    Header,
    Headers,
    Cookie,
    QueryParams,
}

/// A header or a query parameter.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct Named {
    /// Its name.
    pub name: String,
}

/// A cookie.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct Cookie {
    /// Its name.
    pub name: String,
    /// How long one lives that the proxy sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// Further attributes of one that the proxy sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// New endpoints get their share little by little.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct SlowStart {
    /// How long until an endpoint gets its whole share.
    pub window: Duration,
}

/// Weights by what the endpoints report of their use.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendUtilization {
    /// How long the first reports of an endpoint are only collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blackout_period: Option<Duration>,
    /// How long a weight holds without a new report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_expiration_period: Option<Duration>,
    /// How often weights are worked out anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_update_period: Option<Duration>,
    /// How much errors count as use, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_utilization_penalty_percent: Option<u32>,
    /// Which reported numbers count as use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metric_names_for_computing_utilization: Vec<String>,
    /// Whether the headers with reports are passed on to clients.
    #[serde(default)]
    pub keep_response_headers: bool,
    /// Reports that the proxy asks for, instead of those that come with answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_band: Option<OutOfBand>,
}

/// Reports that do not come with answers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OutOfBand {
    /// How often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(
        validation = Rule::new("duration(self) > duration('0s')")
            .message("reportingPeriod must be greater than 0")
    )]
    pub reporting_period: Option<Duration>,
    /// At which port, where it is not the endpoint's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Under which name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 259), regex(pattern = r"^[^\x00\n\r]*$"))]
    pub authority: Option<String>,
}

/// Zones count.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZoneAware {
    /// The proxy's own zone first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefer_local: Option<PreferLocalZone>,
    /// Zones by weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighted_zones: Option<Vec<WeightedZone>>,
}

/// The proxy's own zone first.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreferLocalZone {
    /// Zones count only with at least this many endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_endpoints_threshold: Option<u64>,
    /// For this share of requests, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100))]
    pub percentage_enabled: Option<u32>,
    /// The own zone alone, even where that makes its endpoints carry more than the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force: Option<PreferLocalForce>,
}

/// The proxy's own zone, and no other.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreferLocalForce {
    /// Only while the own zone has at least this many endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_endpoints_in_zone_threshold: Option<u32>,
}

/// A zone and its weight.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct WeightedZone {
    /// The name of the zone.
    pub zone: String,
    /// Its share, in proportion to the weights of the others.
    pub weight: u32,
}

/// The request names its endpoint.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointOverride {
    /// Where the request names it, the first that does.
    #[schemars(length(min = 1, max = 10))]
    pub extract_from: Vec<EndpointOverrideSource>,
}

/// Where a request names its endpoint.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct EndpointOverrideSource {
    /// A header with `IP:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
}

//! How many requests are taken in a time.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many requests are taken in a time; more are answered 429.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
pub struct RateLimit {
    /// Which of the two below counts; both, where nothing is said. The older form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<RateLimitType>,
    /// Counted for all proxies together, by the rate limit service that `--rate-limit-service` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global: Option<GlobalRateLimit>,
    /// Counted by each proxy for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalRateLimit>,
}

/// Who counts.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum RateLimitType {
    Global,
    Local,
}

/// Limits that a rate limit service counts, for all proxies together.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
pub struct GlobalRateLimit {
    /// The limits. A request counts for each rule that selects it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub rules: Vec<RateLimitRule>,
}

/// Limits that each proxy counts for itself, each match of each rule of a route on its own.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct LocalRateLimit {
    /// The limits. A request counts for each rule that selects it; for the one without selectors
    /// only where no other does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(
        validation = Rule::new("self.all(r, !has(r.cost) || !has(r.cost.response))")
            .message("response cost is not supported for Local Rate Limits"),
        validation = Rule::new("self.all(r, !has(r.limit.fromMetadata))")
            .message("limit fromMetadata is not supported for Local Rate Limits")
    )]
    pub rules: Vec<RateLimitRule>,
}

/// A limit, and for what.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitRule {
    /// All of them must select a request; every request, where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub client_selectors: Vec<ClientSelector>,
    /// The limit.
    pub limit: LimitValue,
    /// How much a request counts; 1 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Whether all routes of the policy share the limit; of global limits only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,
    /// Whether the limit is only counted, not kept; of local limits only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow_mode: Option<bool>,
    /// Whether answers say what is left, in X-RateLimit headers; they do, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x_rate_limit_headers: Option<RateLimitHeaders>,
}

/// Whether answers say what is left.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum RateLimitHeaders {
    Off,
    DraftVersion03,
}

/// So many requests in a time.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitValue {
    /// Requests.
    pub requests: u32,
    /// The time.
    pub unit: LimitUnit,
    /// Not supported: nothing writes metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::resource::schema::untyped")]
    pub from_metadata: Option<Value>,
}

/// A time; a month has 30 days, a year 365.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum LimitUnit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// How much something counts.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
pub struct Cost {
    /// A request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<CostSpecifier>,
    /// Its answer, counted when it ends; not for local limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<CostSpecifier>,
}

/// How much something counts.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("!(has(self.number) && has(self.metadata))")
        .message("only one of number or metadata can be specified")
)]
pub struct CostSpecifier {
    /// Which of the two below.
    pub from: CostFrom,
    /// So much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::resource::schema::untyped")]
    pub metadata: Option<Value>,
}

/// Where a cost comes from.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum CostFrom {
    Number,
    Metadata,
}

/// Some of the requests; all that is said must hold.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "has(self.headers) || has(self.methods) || has(self.path) || has(self.sourceCIDR) \
         || has(self.queryParams)"
    )
    .message(
        "at least one of headers, methods, path, sourceCIDR or queryParams must be specified"
    )
)]
pub struct ClientSelector {
    /// Headers, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub headers: Vec<ValueSelector>,
    /// Methods, any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<MethodSelector>,
    /// The path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathSelector>,
    /// Where the client is.
    #[serde(
        default,
        rename = "sourceCIDR",
        skip_serializing_if = "Option::is_none"
    )]
    pub source_cidr: Option<SourceSelector>,
    /// Query parameters, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub query_params: Vec<ValueSelector>,
}

/// A header or a query parameter with some value.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct ValueSelector {
    /// How the value is looked at.
    #[serde(default)]
    pub r#type: ValueSelectorType,
    /// Its name.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The value; not with `type: Distinct`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub value: Option<String>,
    /// Whether it is every other value; not with `type: Distinct`.
    #[serde(default)]
    pub invert: bool,
}

/// How a value is looked at.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum ValueSelectorType {
    #[default]
    Exact,
    RegularExpression,
    /// Each value has a limit of its own.
    Distinct,
}

/// A method.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct MethodSelector {
    /// Its name.
    pub value: Method,
    /// Whether it is every other method.
    #[serde(default)]
    pub invert: bool,
}

/// A method.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
}

/// A path.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct PathSelector {
    /// How it is looked at.
    #[serde(default)]
    pub r#type: PathSelectorType,
    /// The path.
    #[serde(default = "every_path")]
    #[schemars(length(max = 1024))]
    pub value: String,
    /// Whether it is every other path.
    #[serde(default)]
    pub invert: bool,
}

fn every_path() -> String {
    "/".into()
}

/// How a path is looked at.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum PathSelectorType {
    Exact,
    #[default]
    PathPrefix,
    RegularExpression,
}

/// Where clients are.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct SourceSelector {
    /// Whether they have a limit together or each its own.
    #[serde(default)]
    pub r#type: SourceSelectorType,
    /// Their addresses: `192.168.0.0/24`.
    #[schemars(length(min = 1, max = 256))]
    pub value: String,
    /// Whether it is every other address.
    #[serde(default)]
    pub invert: bool,
}

/// Whether clients have a limit together or each its own.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum SourceSelectorType {
    #[default]
    Exact,
    Distinct,
}

//! BackendTrafficPolicy (gateway.envoyproxy.io/v1alpha1): how what it targets is balanced, watched,
//! retried and connected to.
//!
//! Names, limits and defaults are those of Envoy Gateway's CRD. What Locum acts on is typed here, a
//! file for each subject; the few other fields are known by name and carried as they are, so that
//! translation can refuse them instead of leaving them out in silence.
#![allow(
    unreachable_pub,
    reason = "KubeSchema copies the structs, with their `pub`, into functions"
)]
#![allow(
    clippy::duplicated_attributes,
    reason = "two columns of kubectl's table have types in common"
)]

mod balancer;
mod body;
mod connection;
mod fault;
mod health;
mod protocol;
mod rate_limit;
mod response_override;
mod retry;
mod status;
mod target;
mod telemetry;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use balancer::{
    BackendUtilization, BalancerType, ConsistentHash, ConsistentHashType, Cookie, EndpointOverride,
    EndpointOverrideSource, LoadBalancer, Named, OutOfBand, PreferLocalForce, PreferLocalZone,
    SlowStart, WeightedZone, ZoneAware,
};
pub use body::{
    BandwidthLimit, BandwidthTrailers, BandwidthUnit, BandwidthValue, Compression, CompressorType,
    NoSettings, RequestBandwidth, RequestBuffer, ResponseBandwidth,
};
pub use connection::{
    CircuitBreaker, Connection, Dns, Fraction, HttpTimeout, LookupFamily,
    PerEndpointCircuitBreaker, Preconnect, RetryBudget, TcpKeepalive, TcpTimeout, Timeout,
};
pub use fault::{FaultAbort, FaultDelay, FaultInjection};
pub use health::{
    ActiveHealthCheck, CheckOverrides, CheckType, GrpcCheck, HealthCheck, HttpCheck,
    PassiveHealthCheck, Payload, PayloadType, TcpCheck,
};
pub use protocol::{
    Connect, Http2, Http2Keepalive, HttpUpgrade, InvalidMessageAction, ProxyProtocol,
    ProxyProtocolVersion, RoutingType,
};
pub use rate_limit::{
    ClientSelector, Cost, CostFrom, CostSpecifier, GlobalRateLimit, LimitUnit, LimitValue,
    LocalRateLimit, Method, MethodSelector, PathSelector, PathSelectorType, RateLimit,
    RateLimitHeaders, RateLimitRule, RateLimitType, SourceSelector, SourceSelectorType,
    ValueSelector, ValueSelectorType,
};
pub use response_override::{
    BodyRef, BodyType, CustomResponse, CustomResponseBody, HeaderValue, ResponseHeaderMatch,
    ResponseHeaders, ResponseMatch, ResponseOverride, ResponseSource, StatusCodeMatch,
    StatusCodeRange, StatusCodeType, TextMatch, TextMatchType,
};
pub use retry::{BackOff, PerRetry, Retry, RetryOn, Trigger};
pub use status::{PolicyAncestor, PolicyAncestorRef, PolicyStatus};
pub use target::{MergeType, NamespaceFrom, SelectorNamespaces, TargetRef, TargetSelector};
pub use telemetry::{
    FileSink, HealthCheckEvent, HealthCheckLog, HealthCheckLogSink, HealthCheckLogSinkType,
    Metrics, Telemetry,
};

/// How requests to a Gateway's, a route's or a rule's backends are treated.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "gateway.envoyproxy.io",
    version = "v1alpha1",
    kind = "BackendTrafficPolicy",
    plural = "backendtrafficpolicies",
    namespaced,
    status = "PolicyStatus",
    shortname = "btp",
    category = "envoy-gateway",
    derive = "PartialEq",
    doc = "How requests to the backends of a Gateway, a route or a rule are treated: how an endpoint is \
           chosen, when one is left out, what is tried again, how long things may take.",
    printcolumn(
        name = "Target Kind",
        type_ = "string",
        description = "The kind of the first target",
        json_path = ".spec['targetRef','targetRefs','targetSelectors']..kind"
    ),
    printcolumn(
        name = "Target",
        type_ = "string",
        description = "The name of the first target",
        json_path = ".spec['targetRef','targetRefs']..name"
    ),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        description = "By the first Gateway that it holds for",
        json_path = r#".status.ancestors[*].conditions[?(@.type=="Accepted")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.ancestors[*].conditions[?(@.type=="Accepted")].reason"#,
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "(has(self.targetRef) && !has(self.targetRefs)) \
         || (!has(self.targetRef) && has(self.targetRefs)) \
         || (has(self.targetSelectors) && self.targetSelectors.size() > 0)"
    )
    .message("either targetRef or targetRefs must be used"),
    validation = Rule::new(
        "!has(self.targetRef) || self.targetRef.group == 'gateway.networking.k8s.io'"
    )
    .message("targetRef.group must be gateway.networking.k8s.io")
    .field_path(".targetRef"),
    validation = Rule::new(
        "!has(self.targetRef) || self.targetRef.kind in ['Gateway', 'ListenerSet', 'HTTPRoute', \
         'GRPCRoute', 'UDPRoute', 'TCPRoute', 'TLSRoute']"
    )
    .message(
        "targetRef.kind must be Gateway, ListenerSet, HTTPRoute, GRPCRoute, TCPRoute, UDPRoute or \
         TLSRoute"
    )
    .field_path(".targetRef"),
    validation = Rule::new(
        "!has(self.targetRefs) \
         || self.targetRefs.all(ref, ref.group == 'gateway.networking.k8s.io')"
    )
    .message("the group of each of targetRefs must be gateway.networking.k8s.io")
    .field_path(".targetRefs"),
    validation = Rule::new(
        "!has(self.targetRefs) || self.targetRefs.all(ref, ref.kind in ['Gateway', 'ListenerSet', \
         'HTTPRoute', 'GRPCRoute', 'UDPRoute', 'TCPRoute', 'TLSRoute'])"
    )
    .message(
        "the kind of each of targetRefs must be Gateway, ListenerSet, HTTPRoute, GRPCRoute, \
         TCPRoute, UDPRoute or TLSRoute"
    )
    .field_path(".targetRefs"),
    validation = Rule::new(
        "!has(self.mergeType) || ((!has(self.targetRef) || self.targetRef.kind.endsWith('Route')) \
         && (!has(self.targetRefs) || self.targetRefs.all(ref, ref.kind.endsWith('Route'))) \
         && (!has(self.targetSelectors) \
         || self.targetSelectors.all(sel, sel.kind.endsWith('Route'))))"
    )
    .message("mergeType can only be used where every target is a route")
    .field_path(".mergeType"),
    validation = Rule::new("!has(self.compression) || !has(self.compressor)")
        .message("either compression or compressor can be set, not both"),
    validation = Rule::new(
        "!has(self.requestBuffer) || !has(self.httpUpgrade) || self.httpUpgrade.size() == 0"
    )
    .message("requestBuffer cannot be used together with httpUpgrade"),
    validation = Rule::new(
        "!has(self.connection) || !has(self.connection.preconnect) \
         || !has(self.connection.preconnect.predictivePercent) || (has(self.loadBalancer) \
         && self.loadBalancer.type in ['Random', 'RoundRobin'])"
    )
    .message(
        "connection.preconnect.predictivePercent needs a loadBalancer of type RoundRobin or Random"
    )
)]
pub struct BackendTrafficPolicySpec {
    /// What the policy is for. The older form of `targetRefs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
    /// What the policy is for: Gateways, listeners of them, routes and rules of them, of its own
    /// namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_refs: Vec<TargetRef>,
    /// What the policy is for, by labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_selectors: Vec<TargetSelector>,
    /// How the policy is merged into the one of the route's Gateway; else it stands instead of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_type: Option<MergeType>,
    /// How an endpoint is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// When a request is tried again. Nothing said: Locum's defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How it is found out that an endpoint cannot serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// How much may be under way at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_breaker: Option<CircuitBreaker>,
    /// How long things may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
    /// Connections towards the endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// How endpoints' names are looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    /// Signs of life on idle connections towards the endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::resource::schema::untyped")]
    pub admission_control: Option<Value>,
    /// How fast bodies may be, for all requests of a route together, at each proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_limit: Option<BandwidthLimit>,
    /// Answers are made small for clients that take them so. The older form of `compressor`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compression: Vec<Compression>,
    /// Answers are made small for clients that take them so. The first is preferred where a client
    /// takes several alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compressor: Vec<Compression>,
    /// Faults that are made on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault_injection: Option<FaultInjection>,
    /// HTTP/2 towards the endpoints that speak it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http2: Option<Http2>,
    /// What clients may turn their connection to; to WebSocket, where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http_upgrade: Vec<HttpUpgrade>,
    /// Endpoints are told who the client is, before anything else on a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How many requests are taken in a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Requests are taken in whole before they are sent on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_buffer: Option<RequestBuffer>,
    /// Answers that are given instead of others; the first that matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub response_override: Vec<ResponseOverride>,
    /// Whether requests go to a Service's endpoints, as they do where nothing is said, or to its
    /// cluster IP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routing_type: Option<RoutingType>,
    /// What proxies tell of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Telemetry>,
    /// Whether endpoints are spoken to in the protocol that the client speaks, not in the one that
    /// their Service or Backend says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_client_protocol: Option<bool>,
}

impl BackendTrafficPolicySpec {
    /// The targets that are named, in the order they stand there, each with the path of its
    /// reference.
    pub fn targets(&self) -> impl Iterator<Item = (String, &TargetRef)> {
        let one = self
            .target_ref
            .iter()
            .map(|target| ("spec.targetRef".to_owned(), target));
        let many = self.target_refs.iter().enumerate();
        one.chain(many.map(|(i, target)| (format!("spec.targetRefs[{i}]"), target)))
    }
}

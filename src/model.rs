//! The model: what shall be served, in plain data between the APIs and Envoy.
//!
//! Made by [`crate::translate::resolve`], read by [`crate::translate::emit`]. It holds no
//! Kubernetes type and no protobuf; every default is already filled in, so that what stands here is
//! what Envoy is told.

mod filters;
mod protocol;
mod tls;
mod utilization;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::resource::{Key, ObjectName};

pub use filters::{
    AbortStatus, AnswerHeader, Bandwidth, Codec, Compression, Fault, Filters, Limit, LimitMatch,
    LimitRule, Override, RateLimit, TextMatch,
};
pub use protocol::{Http2, ProxyProtocol};
pub use tls::{Secret, SecretContent, SecretName, ServerName, Tls, TlsVersion};
pub use utilization::{OutOfBand, Utilization};

/// Everything that shall be served, a Gateway at a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// By the Gateway's namespace and name; its Envoys call themselves so in `node.cluster`.
    pub gateways: BTreeMap<ObjectName, Gateway>,
}

/// What the Envoys of one Gateway serve.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// By the port that the Gateway's listeners name.
    pub ports: BTreeMap<u16, Port>,
    /// Every chain that a route of this Gateway forwards to, and no other.
    pub chains: BTreeMap<ChainName, Chain>,
    /// Every secret that a chain names, and no other.
    pub secrets: BTreeMap<SecretName, Secret>,
    /// The resources this Gateway's listeners were made from.
    pub owners: BTreeSet<Key>,
}

/// One port with all listeners of the Gateway on it: one Envoy listener and one route
/// configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// The port that the Gateway's listener names.
    pub port: u16,
    /// The port that Envoy binds: the same, or 10000 more where that needs no privilege.
    pub bind_port: u16,
    pub virtual_hosts: Vec<VirtualHost>,
    pub owners: BTreeSet<Key>,
}

/// The routes of one host name (`*` for any, `*.example.com` for a suffix), first match first.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualHost {
    pub domain: String,
    pub routes: Vec<Route>,
    pub owners: BTreeSet<Key>,
}

/// One match of one rule and what becomes of the request.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Unique in its virtual host; says which rule and match it is.
    pub name: String,
    pub matches: RouteMatch,
    pub action: Action,
    pub owner: Key,
    /// Which of its owner's rules it belongs to, counted from 0.
    pub rule: usize,
}

/// What a request must have; all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMatch {
    pub path: PathMatch,
    pub method: Option<String>,
    /// By header name in lower case.
    pub headers: Vec<(String, StringMatch)>,
    pub query: Vec<(String, StringMatch)>,
}

/// How a path matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    Exact(String),
    /// By whole path elements, as Gateway API has it: `/a` takes `/a` and `/a/b`, not `/ab`. `/`
    /// takes all.
    Prefix(String),
    /// An RE2 expression for the whole path.
    Regex(String),
}

/// The largest regular expression, in RE2's instructions, that proxies take: their bootstrap says
/// so, and larger ones are refused before. Envoy's own limit of 100 is less than many a route's.
pub const MAX_EXPRESSION: u32 = 10_000;

/// How a header or query value matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StringMatch {
    Exact(String),
    /// An RE2 expression for the whole value.
    Regex(String),
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Forward(Box<Forward>),
    /// Answered by the proxy itself: a rule without a usable backend.
    Respond {
        status: u16,
    },
}

/// How a request is sent on.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    pub chain: ChainName,
    /// The share of requests, in millionths, that is answered 500 because the rule has one tier and
    /// some of its references are invalid (Gateway API asks for it). 0 where a standby stands in.
    pub failing_millionths: u32,
    /// The longest a request may take, all retries included. Zero is no limit; `None` Envoy's 15 s.
    pub timeout: Option<Duration>,
    /// Longest silence on a stream. `None` leaves it to the listener.
    pub stream_idle_timeout: Option<Duration>,
    /// Longest life of a stream.
    pub max_stream_duration: Option<Duration>,
    pub retry: Retry,
    /// What a consistent-hash balancer hashes, all that yield a value together.
    pub hash: Vec<HashInput>,
    pub filters: Filters,
    /// The protocols that a client may turn its connection to, in lower case; `None` leaves it to
    /// the listener.
    pub upgrades: Option<Vec<String>>,
    /// The name of statistics of its own.
    pub stat_prefix: Option<String>,
    /// What the proxy answers when no tier can; `None` leaves it to Envoy.
    pub last_resort: Option<LastResort>,
}

/// What a proxy answers when no tier can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastResort {
    pub status: u16,
    pub body: String,
    pub content_type: String,
}

/// What consistent hashing looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashInput {
    SourceIp,
    Header(String),
    Cookie {
        name: String,
        ttl: Option<Duration>,
        attributes: Vec<(String, String)>,
    },
    QueryParameter(String),
}

/// When and how often a failed attempt is made again. `retries` 0 is never.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Attempts after the first.
    pub retries: u32,
    /// Envoy's `retry_on` words that are safe for every method.
    pub on: BTreeSet<&'static str>,
    /// Words added for the methods that may be repeated: GET, HEAD, OPTIONS, TRACE, PUT, DELETE.
    pub on_repeatable: BTreeSet<&'static str>,
    /// Status codes that are tried again; `retriable-status-codes` must be among the words.
    pub status_codes: Vec<u16>,
    pub per_try_timeout: Option<Duration>,
    pub back_off: BackOff,
    /// After how many attempts the tiers tried so far are left alone (Envoy's
    /// `previous_priorities`).
    pub attempts_per_tier: Option<u32>,
    /// Bytes of a request's body that are kept for another attempt; a request with a longer one is
    /// not tried again.
    pub body_limit: u64,
}

/// The pause before a retry: random, up to `base` at first, up to `max` later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    pub base: Duration,
    pub max: Option<Duration>,
}

/// The name of a chain and of the Envoy cluster that requests are sent to; made in
/// `translate::names` only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainName(pub String);

/// The ordered tiers of a rule's backends and how they are looked after.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    /// Tier 0 is served first, unless another is pinned. Never empty; a tier may be.
    pub tiers: Vec<Tier>,
    /// The tier that is served first instead.
    pub pinned: Option<usize>,
    pub switch: Switch,
    /// Whether each tier has a cluster of its own even where one could hold them all.
    pub tiers_apart: bool,
    pub settings: ChainSettings,
    /// The routes, backends, Services and policies it was made from.
    pub owners: BTreeSet<Key>,
}

impl Chain {
    /// The members of all tiers.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.tiers.iter().flat_map(|tier| &tier.members)
    }
}

/// When requests go to the next tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// All of them, when no endpoint of a tier is healthy.
    Whole,
    /// In proportion to what is missing, when fewer than so many percent of a tier's endpoints are
    /// healthy: from 1 to 100.
    Spill { threshold: u32 },
}

/// Members among which requests are divided by weight while the tier serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tier {
    pub members: Vec<Member>,
    /// Whether it gets no request, whatever happens to the others.
    pub drained: bool,
    /// Where it is not the chain's.
    pub connect_timeout: Option<Duration>,
    pub probing: Probing,
}

/// How a tier is probed.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Probing {
    /// As the chain's settings say.
    #[default]
    AsChain,
    /// Not at all, where the others are.
    Off,
    /// In the same way as the chain's check, but for path, host and port.
    Own(Box<HealthCheck>),
}

/// One backend in a tier. A failed one (missing, invalid, refused) has no endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// What it is, for the locality's name: `Backend/default/active`.
    pub name: String,
    /// Its share within the tier, against the other members' weights.
    pub weight: u32,
    pub endpoints: Vec<Endpoint>,
    pub protocol: Protocol,
    /// How it is spoken to in TLS, if it is.
    pub tls: Option<Arc<Tls>>,
}

/// One place a request may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub address: Address,
    /// The name to use for health checks and host rewriting, where it is not the address.
    pub hostname: Option<String>,
    pub health: Health,
}

/// How an endpoint is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    Ip(SocketAddr),
    /// A name for Envoy's DNS, with the port.
    Name(String, u16),
    /// A Unix socket's path.
    Unix(String),
    /// Wherever the host of each request leads. Its chain has nothing else.
    OfRequest,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(formatter),
            Self::Name(name, port) => write!(formatter, "{name}:{port}"),
            Self::Unix(path) => formatter.write_str(path),
            Self::OfRequest => formatter.write_str("each request's host"),
        }
    }
}

/// What the source says of an endpoint's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Nothing is said against it.
    Unknown,
    /// Not ready: counts in its tier, gets no request.
    Unhealthy,
    /// Going away: gets no new request.
    Draining,
}

/// The protocol spoken to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Http1,
    /// HTTP/2; without TLS by prior knowledge.
    Http2,
    /// Either, as the member wants it: only with TLS. Beside members of its tier, or of others in
    /// the same cluster, that speak one protocol it is theirs.
    Negotiated,
}

/// How a chain's endpoints are chosen, watched and connected to.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainSettings {
    pub balancer: Balancer,
    /// Headers in which a request may name its endpoint, as `IP:port`; the first that is there
    /// counts, before the balancer.
    pub endpoint_headers: Vec<String>,
    pub outlier_detection: OutlierDetection,
    pub health_check: Option<HealthCheck>,
    /// Below this share of healthy hosts, in percent, Envoy uses the unhealthy too.
    pub panic_percent: u32,
    pub circuit_breaker: CircuitBreaker,
    pub connect_timeout: Duration,
    /// How long an unused upstream connection is kept.
    pub connection_idle_timeout: Option<Duration>,
    pub max_connection_duration: Option<Duration>,
    pub max_requests_per_connection: Option<u32>,
    /// Bytes.
    pub buffer_limit: u32,
    /// Bytes, in each direction. `None` is the kernel's setting.
    pub socket_buffer_limit: Option<u32>,
    pub preconnect: Preconnect,
    pub tcp_keepalive: Option<TcpKeepalive>,
    pub dns: Dns,
    pub http2: Http2,
    /// Whether endpoints are spoken to in the client's protocol, not in their member's.
    pub use_client_protocol: bool,
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// How an endpoint is chosen within a tier.
#[derive(Clone, Debug, PartialEq)]
pub enum Balancer {
    LeastRequest {
        slow_start: Option<Duration>,
    },
    RoundRobin {
        slow_start: Option<Duration>,
    },
    Random,
    /// Maglev.
    ConsistentHash {
        table_size: u64,
    },
    /// By what the endpoints report of their use.
    Utilization(Utilization),
}

/// Passive health checking: what takes an endpoint out for a while. A threshold of `None` never
/// does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    pub interval: Duration,
    pub base_ejection_time: Duration,
    pub max_ejection_time: Duration,
    pub max_ejection_percent: u32,
    pub always_eject_one: bool,
    pub consecutive_5xx: Option<u32>,
    pub consecutive_gateway_errors: Option<u32>,
    pub consecutive_local_origin_failures: Option<u32>,
    pub split_external_local_origin_errors: bool,
    pub failure_percentage_threshold: Option<u32>,
}

/// Active health checking.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthCheck {
    pub timeout: Duration,
    pub interval: Duration,
    pub initial_jitter: Option<Duration>,
    pub unhealthy_threshold: u32,
    pub healthy_threshold: u32,
    /// Another port than the endpoint's.
    pub port: Option<u16>,
    pub probe: Probe,
    pub log: Option<HealthCheckLog>,
}

/// Where a proxy writes what became of its probes, and of which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheckLog {
    /// A file's path.
    pub path: String,
    /// Each failure and each success, not the first of several alone.
    pub every_failure: bool,
    pub every_success: bool,
}

/// What an active health check sends and expects.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    Http {
        path: String,
        /// For every endpoint; else each endpoint's own name or address.
        hostname: Option<String>,
        method: String,
        expected_statuses: Vec<u16>,
        retriable_statuses: Vec<u16>,
        expected_response: Option<Payload>,
        request_body: Option<Payload>,
    },
    Tcp {
        send: Option<Payload>,
        receive: Option<Payload>,
    },
    Grpc {
        service: Option<String>,
    },
}

/// Bytes that a health check sends or expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    Text(String),
    Binary(Vec<u8>),
}

/// Limits of what may be under way at once, per proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct CircuitBreaker {
    pub max_connections: u32,
    pub max_pending_requests: u32,
    pub max_parallel_requests: u32,
    pub max_parallel_retries: u32,
    pub max_connections_per_endpoint: Option<u32>,
    /// Instead of `max_parallel_retries`: retries as a share of what is under way, in percent, and
    /// the least number.
    pub retry_budget: Option<(f64, u32)>,
}

/// Connections opened before they are needed, as ratios of those in use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Preconnect {
    pub per_endpoint: Option<f64>,
    pub predictive: Option<f64>,
}

/// TCP keep-alive towards the endpoints. `None` is the kernel's setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpKeepalive {
    pub probes: Option<u32>,
    pub idle_time: Option<Duration>,
    pub interval: Option<Duration>,
}

/// How Envoy's DNS is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dns {
    pub refresh_rate: Duration,
    pub respect_ttl: bool,
    /// How soon a name that did not resolve is asked again: the first pause and the longest.
    pub failure_refresh_rate: (Duration, Duration),
    pub lookup_family: LookupFamily,
}

/// Which addresses of a name are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupFamily {
    Ipv4,
    Ipv6,
    Ipv4Preferred,
    Ipv6Preferred,
    All,
}

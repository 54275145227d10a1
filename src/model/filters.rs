//! What a proxy does with the requests and answers of a route on their way, beyond sending them on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::StringMatch;
use crate::resource::ObjectName;

/// All of it. Nothing is the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filters {
    pub fault: Option<Fault>,
    pub rate_limit: Option<RateLimit>,
    /// What a rate limit service counts.
    pub global_limits: Vec<GlobalLimit>,
    /// Requests are taken in whole; larger ones, in bytes, are answered 413.
    pub request_buffer: Option<u32>,
    pub request_bandwidth: Option<Bandwidth>,
    pub response_bandwidth: Option<Bandwidth>,
    /// The first is preferred where a client takes several alike. Each codec once.
    pub compression: Vec<Compression>,
    /// What is answered instead of what; the first that matches counts.
    pub overrides: Vec<Override>,
    /// Whether what endpoints report of their use stays inside.
    pub hides_load_reports: bool,
    /// Request headers that a member of the chain changes, in lower case: as the client sent them they
    /// are kept for the attempts at others.
    pub kept_headers: BTreeSet<String>,
}

/// Faults made on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How long requests wait, and how many of them, in millionths.
    pub delay: Option<(Duration, u32)>,
    /// What requests are answered, and how many of them, in millionths.
    pub abort: Option<(AbortStatus, u32)>,
}

/// What a request is answered that is not sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortStatus {
    Http(u32),
    Grpc(u32),
}

/// What is answered instead of what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// Ranges of status codes, first and last; any of them. None is every status.
    pub statuses: Vec<(u32, u32)>,
    /// By name in lower case; all of them.
    pub headers: Vec<(String, TextMatch)>,
    pub status: Option<u32>,
    /// As it is, or where it has a percent sign Envoy's format.
    pub body: Option<String>,
    pub set: Vec<AnswerHeader>,
}

/// A header of an answer that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerHeader {
    /// In lower case.
    pub name: String,
    /// In Envoy's format.
    pub value: String,
    /// Whether it is added to what there is, not put in its place.
    pub added: bool,
}

/// How a text matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextMatch {
    Exact(String),
    Prefix(String),
    Suffix(String),
    /// An RE2 expression for the whole text.
    Regex(String),
}

/// A way to make answers small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Compression {
    pub codec: Codec,
    /// Smaller answers, in bytes, stay as they are.
    pub min_length: u32,
}

/// Ways to make an answer small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    Gzip,
    Brotli,
    Zstd,
}

/// How fast bodies may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    pub kib_per_second: u64,
    /// Trailers tell how much a body was slowed down; their names begin with this.
    pub trailers: Option<String>,
}

/// How many requests of a route a proxy takes in a time; more are answered 429.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// For requests that no rule is for.
    pub default: Limit,
    /// Each request counts for every rule that it matches.
    pub rules: Vec<LimitRule>,
    /// Whether answers say what is left.
    pub headers: bool,
}

/// A limit that a rate limit service counts, for all proxies together.
#[derive(Clone, Debug, PartialEq)]
pub struct GlobalLimit {
    pub rule: LimitRule,
    /// How much an answer counts, when it ends; `None` is nothing.
    pub answer_cost: Option<u64>,
    /// The policy whose routes are counted together; `None` counts each on its own.
    pub shared_by: Option<ObjectName>,
}

/// So many requests in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub requests: u32,
    pub per: Duration,
}

/// A limit for some of the requests.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitRule {
    pub limit: Limit,
    /// All of them must hold.
    pub matches: Vec<LimitMatch>,
    /// How much a request counts; `None` is 1.
    pub cost: Option<u64>,
    /// Whether the limit is only counted, not kept.
    pub shadow: bool,
    /// Whether answers say what is left, where it is not as the others.
    pub headers: Option<bool>,
}

/// What a rule of a limit asks of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum LimitMatch {
    /// A header, `:path` and `:method` among them.
    Header {
        name: String,
        value: StringMatch,
        invert: bool,
    },
    /// The header is there; each value has a limit of its own.
    EachHeader(String),
    Query {
        name: String,
        value: StringMatch,
        invert: bool,
    },
    /// The parameter is there; each value has a limit of its own.
    EachQuery(String),
    /// From an address whose first bits are these.
    Source {
        address: IpAddr,
        bits: u8,
        invert: bool,
    },
    /// Each address has a limit of its own.
    EachSource,
}

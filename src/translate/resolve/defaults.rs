//! What a chain is given where its owner says nothing, each value with its reason.
//!
//! What the user sets wins field by field. Nothing in Locum sets a default of a chain anywhere
//! else.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{
    BackOff, Balancer, ChainSettings, CircuitBreaker, Dns, Http2, LookupFamily, OutlierDetection,
    Preconnect, Retry,
};

/// How often what was seen is looked at: a dead endpoint's ejection and its return are at most this
/// late.
const DETECTION_INTERVAL: Duration = Duration::from_secs(1);

/// The longest interval of a policy that counts nothing over it. All that it does then is to say
/// when Envoy sees that an ejection is over: an endpoint that is well again must not wait for it. A
/// Pod that is ready a moment before it listens is ejected at once, and waits once the whole time.
pub(super) const RETURN_INTERVAL: Duration = Duration::from_millis(500);

/// How long an endpoint is left out. Its return is blind, and a retry hides the attempt it costs,
/// so it can be short: the active backend is used again soon after it is well.
const EJECTION_TIME: Duration = Duration::from_secs(10);

/// A whole tier may be taken out, since another stands by. When all tiers are out the chain fails
/// open ([`PANIC_PERCENT`]).
pub(crate) const MAX_EJECTION_PERCENT: u32 = 100;

/// More than one in a row, so that one answer of 502, 503 or 504, or one broken connection, moves
/// nothing.
const CONSECUTIVE_GATEWAY_ERRORS: u32 = 3;

/// Never 0, which would answer 503 to everything while all endpoints are ejected, and far under
/// Envoy's 50, with which a tier that is half dead gets requests for its dead half.
const PANIC_PERCENT: u32 = 1;

/// As in Envoy Gateway, for each of connections, pending requests, requests and retries. Envoy's
/// own 3 retries at a time lose requests when a busy endpoint dies.
const CIRCUIT_BREAKER: u32 = 1024;

/// The least number of retries under a budget where none is said: Envoy's.
pub(crate) const MIN_RETRY_CONCURRENCY: u32 = 3;

/// Hosts that vanish are found at the first connection; Envoy Gateway's 10 s is longer than most
/// clients wait.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest silence on a stream that listeners allow. A request that may take longer may be silent
/// for as long.
pub(crate) const STREAM_IDLE_TIMEOUT: Duration = Duration::from_mins(5);

/// Bytes; Envoy Gateway's, for an edge proxy.
const BUFFER_LIMIT: u32 = 32_768;

/// How often names are looked up where their time to live does not say. That there is no such name, or
/// none with an address, is an answer to Envoy and no failure: it takes the endpoints away, has no time
/// to live, and is asked about again after this. With Envoy Gateway's 30 s a name that was missing for a
/// moment kept its tier empty for as long (`tests/matrix`).
const DNS_REFRESH_RATE: Duration = Duration::from_secs(5);

/// A name that did not resolve is asked again soon: a standby that comes late must not be missing
/// for 30 s.
const DNS_FAILURE_REFRESH_RATE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(5));

/// Envoy Gateway's, as are the windows; in bytes.
const HTTP2_MAX_STREAMS: u32 = 100;
const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;

/// An HTTP/2 connection that was silent for this long is asked for a sign of life before the next
/// request rides on it, and is closed without one. Asked only then: many gRPC servers close
/// connections that ping without work.
const HTTP2_PING_AFTER_IDLE: Duration = Duration::from_secs(1);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(2);

/// What a probe by HTTP asks with, and the status that it expects.
pub(crate) const PROBE_METHOD: &str = "GET";
pub(crate) const EXPECTED_STATUS: u16 = 200;

/// Envoy's least length of an answer to be made small, in bytes.
pub(crate) const MIN_COMPRESSED: u32 = 30;

/// Attempts at one tier before the next: another host of the same tier first.
pub(super) const ATTEMPTS_PER_TIER: u32 = 2;

/// The fewest retries, for a chain of one tier.
const MIN_RETRIES: u32 = 2;

/// Bytes of a request's body that are kept for a retry. Enough for what forms and APIs send; the
/// listener's limit, which would hold otherwise, is 32 KiB, and uploads beyond it were lost with
/// their host. It is what a request with a body may cost a proxy while it is under way.
const BODY_LIMIT: u64 = 1 << 20;

/// The pause before a retry: short, because another host is tried.
pub(super) const BACK_OFF: BackOff = BackOff {
    base: Duration::from_millis(5),
    max: Some(Duration::from_millis(50)),
};

/// What is safe to repeat for every method: the request did not reach the application.
const RETRY_ON: [&str; 3] = ["connect-failure", "refused-stream", "reset-before-request"];

/// What is repeated for the methods that may be: the request was under way when its host died.
const RETRY_ON_REPEATABLE: [&str; 1] = ["reset"];

/// The settings of a chain without any policy.
pub(crate) fn chain_settings() -> ChainSettings {
    ChainSettings {
        balancer: Balancer::LeastRequest { slow_start: None },
        endpoint_headers: Vec::new(),
        outlier_detection: outlier_detection(),
        health_check: None,
        panic_percent: PANIC_PERCENT,
        circuit_breaker: CircuitBreaker {
            max_connections: CIRCUIT_BREAKER,
            max_pending_requests: CIRCUIT_BREAKER,
            max_parallel_requests: CIRCUIT_BREAKER,
            max_parallel_retries: CIRCUIT_BREAKER,
            max_connections_per_endpoint: None,
            retry_budget: None,
        },
        connect_timeout: CONNECT_TIMEOUT,
        connection_idle_timeout: None,
        max_connection_duration: None,
        max_requests_per_connection: None,
        buffer_limit: BUFFER_LIMIT,
        socket_buffer_limit: None,
        preconnect: Preconnect::default(),
        tcp_keepalive: None,
        dns: Dns {
            refresh_rate: DNS_REFRESH_RATE,
            respect_ttl: true,
            failure_refresh_rate: DNS_FAILURE_REFRESH_RATE,
            lookup_family: LookupFamily::Ipv4Preferred,
        },
        http2: Http2 {
            stream_window: HTTP2_STREAM_WINDOW,
            connection_window: HTTP2_CONNECTION_WINDOW,
            max_streams: HTTP2_MAX_STREAMS,
            invalid_message_ends_stream: false,
            ping_interval: None,
            ping_timeout: HTTP2_PING_TIMEOUT,
            ping_jitter_percent: None,
            ping_after_idle: HTTP2_PING_AFTER_IDLE,
        },
        use_client_protocol: false,
        proxy_protocol: None,
    }
}

/// Detection where no policy says how. Answers of 500 move nothing: they may be one URL's.
///
/// Connections that fail or break, and time limits of an attempt, count as gateway errors do.
/// Counted apart from answers they would start at 0 with every connection that comes about: an
/// endpoint that takes each request and breaks off would stay in for ever (measured on Envoy 1.40).
fn outlier_detection() -> OutlierDetection {
    OutlierDetection {
        interval: DETECTION_INTERVAL,
        base_ejection_time: EJECTION_TIME,
        max_ejection_time: EJECTION_TIME,
        max_ejection_percent: MAX_EJECTION_PERCENT,
        always_eject_one: false,
        consecutive_5xx: None,
        consecutive_gateway_errors: Some(CONSECUTIVE_GATEWAY_ERRORS),
        consecutive_local_origin_failures: None,
        split_external_local_origin_errors: false,
        failure_percentage_threshold: None,
    }
}

/// Retries for a chain of `tiers` tiers without any policy.
pub(crate) fn retry(tiers: usize) -> Retry {
    Retry {
        retries: retries(tiers, ATTEMPTS_PER_TIER),
        on: BTreeSet::from(RETRY_ON),
        on_repeatable: BTreeSet::from(RETRY_ON_REPEATABLE),
        status_codes: Vec::new(),
        per_try_timeout: None,
        back_off: BACK_OFF,
        attempts_per_tier: attempts_per_tier(tiers, retries(tiers, ATTEMPTS_PER_TIER)),
        body_limit: BODY_LIMIT,
    }
}

/// Attempts at a tier before the next where `retries` is said and this is not: fewer than by default
/// where the last of `tiers` tiers would not be reached otherwise. With one tier there is none to turn
/// to.
pub(super) fn attempts_per_tier(tiers: usize, retries: u32) -> Option<u32> {
    let others = u32::try_from(tiers).unwrap_or(u32::MAX).saturating_sub(1);
    let most = retries.checked_div(others)?;
    Some(most.clamp(1, ATTEMPTS_PER_TIER))
}

/// As many retries as give each of `tiers` tiers `per_tier` attempts, and one more.
pub(super) fn retries(tiers: usize, per_tier: u32) -> u32 {
    let tiers = u32::try_from(tiers).unwrap_or(u32::MAX);
    per_tier.saturating_mul(tiers).max(MIN_RETRIES)
}

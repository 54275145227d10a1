//! Settings: what a BackendTrafficPolicy makes of a chain and of the requests sent to it.
//!
//! In: a policy's spec. Out: [`Settings`], where what the policy leaves out has Locum's defaults;
//! or, for each field that is set and cannot be honoured, its path and why. Such a policy is not
//! used in part: its targets are closed.

mod balancer;
mod health;
mod protocol;
mod retry;

use std::time::Duration;

use super::defaults;
use crate::model::{
    ChainSettings, CircuitBreaker, Dns, HashInput, LookupFamily, Preconnect, Retry, TcpKeepalive,
};
use crate::resource::traffic_policy::{self as api, BackendTrafficPolicySpec};

/// A field that cannot be honoured, below `spec`, and why.
pub(super) type Refusals = Vec<(String, String)>;

/// What shapes a rule's requests and its chain.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub chain: ChainSettings,
    pub request_timeout: Option<Duration>,
    pub stream_idle_timeout: Option<Duration>,
    pub max_stream_duration: Option<Duration>,
    pub hash: Vec<HashInput>,
    retry: Option<api::Retry>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            chain: defaults::chain_settings(),
            request_timeout: None,
            stream_idle_timeout: None,
            max_stream_duration: None,
            hash: Vec::new(),
            retry: None,
        }
    }
}

impl Settings {
    /// What a policy asks for, or what of it cannot be honoured.
    pub(super) fn of(spec: &BackendTrafficPolicySpec) -> Result<Self, Refusals> {
        let mut refusals = Refusals::new();
        for field in spec.unsupported() {
            refuse(&mut refusals, field, "is not supported yet");
        }
        if spec.merge_type.is_some() {
            refuse(
                &mut refusals,
                "mergeType",
                "is not supported yet: a policy stands instead of wider ones",
            );
        }
        if !spec.target_selectors.is_empty() {
            refuse(
                &mut refusals,
                "targetSelectors",
                "is not supported yet: use targetRefs",
            );
        }
        let mut settings = Self {
            retry: spec.retry.clone(),
            ..Self::default()
        };
        let chain = &mut settings.chain;
        if let Some(balancer) = &spec.load_balancer {
            settings.hash = balancer::apply(balancer, chain, &mut refusals);
        }
        protocol::apply(spec, chain, &mut refusals);
        if let Some(check) = &spec.health_check {
            health::apply(check, chain, &mut refusals);
        }
        if let Some(retry) = &spec.retry {
            retry::check(retry, &mut refusals);
        }
        if let Some(breaker) = &spec.circuit_breaker {
            circuit_breaker(breaker, chain);
        }
        if let Some(connection) = &spec.connection {
            self::connection(connection, chain, &mut refusals);
        }
        if let Some(dns) = &spec.dns {
            self::dns(dns, &mut chain.dns, &mut refusals);
        }
        if let Some(keepalive) = &spec.tcp_keepalive {
            tcp_keepalive(keepalive, chain, &mut refusals);
        }
        if let Some(timeout) = &spec.timeout {
            settings.timeouts(timeout, &mut refusals);
        }
        if refusals.is_empty() {
            Ok(settings)
        } else {
            Err(refusals)
        }
    }

    /// When and how often requests to a chain of `tiers` tiers are tried again.
    pub(super) fn retry(&self, tiers: usize) -> Retry {
        match &self.retry {
            None => defaults::retry(tiers),
            Some(retry) => retry::retry(retry, tiers),
        }
    }

    fn timeouts(&mut self, timeout: &api::Timeout, refusals: &mut Refusals) {
        if let Some(connect) = timeout.tcp.and_then(|tcp| tcp.connect_timeout) {
            self.chain.connect_timeout = connect.0;
            positive(connect.0, "timeout.tcp.connectTimeout", refusals);
        }
        let Some(http) = &timeout.http else {
            return;
        };
        self.chain.connection_idle_timeout = http.connection_idle_timeout.map(Into::into);
        self.chain.max_connection_duration = http.max_connection_duration.map(Into::into);
        self.request_timeout = http.request_timeout.map(Into::into);
        self.stream_idle_timeout = http.stream_idle_timeout.map(Into::into);
        self.max_stream_duration = http.max_stream_duration.map(Into::into);
    }
}

fn refuse(refusals: &mut Refusals, field: &str, why: &str) {
    let name = field.rsplit('.').next().unwrap_or(field);
    refusals.push((field.into(), format!("{name} {why}.")));
}

/// Refuses a length of time of zero, which Envoy would refuse.
fn positive(duration: Duration, field: &str, refusals: &mut Refusals) {
    if duration.is_zero() {
        refuse(refusals, field, "must be more than 0s");
    }
}

fn circuit_breaker(breaker: &api::CircuitBreaker, chain: &mut ChainSettings) {
    chain.max_requests_per_connection = breaker.max_requests_per_connection;
    chain.circuit_breaker = CircuitBreaker {
        max_connections: breaker.max_connections,
        max_pending_requests: breaker.max_pending_requests,
        max_parallel_requests: breaker.max_parallel_requests,
        max_parallel_retries: breaker.max_parallel_retries,
        max_connections_per_endpoint: breaker.per_endpoint.map(|limits| limits.max_connections),
        retry_budget: breaker.retry_budget.map(|budget| {
            let share =
                f64::from(budget.percent.numerator) / f64::from(budget.percent.denominator.max(1));
            let least = budget
                .min_retry_concurrency
                .unwrap_or(defaults::MIN_RETRY_CONCURRENCY);
            (share * 100.0, least)
        }),
    };
}

fn connection(connection: &api::Connection, chain: &mut ChainSettings, refusals: &mut Refusals) {
    if let Some(limit) = connection.buffer_limit {
        match u32::try_from(limit.0) {
            Ok(limit) => chain.buffer_limit = limit,
            Err(_) => refuse(refusals, "connection.bufferLimit", "must be less than 4Gi"),
        }
    }
    if connection.socket_buffer_limit.is_some() {
        refuse(refusals, "connection.socketBufferLimit", "is not supported");
    }
    if let Some(preconnect) = &connection.preconnect {
        let ratio = |percent: Option<u32>| percent.map(|percent| f64::from(percent) / 100.0);
        chain.preconnect = Preconnect {
            per_endpoint: ratio(preconnect.per_endpoint_percent),
            predictive: ratio(preconnect.predictive_percent),
        };
    }
}

fn dns(dns: &api::Dns, settings: &mut Dns, refusals: &mut Refusals) {
    if let Some(rate) = dns.dns_refresh_rate {
        settings.refresh_rate = rate.0;
        positive(rate.0, "dns.dnsRefreshRate", refusals);
    }
    if let Some(respect) = dns.respect_dns_ttl {
        settings.respect_ttl = respect;
    }
    settings.lookup_family = match dns.lookup_family {
        None => settings.lookup_family,
        Some(api::LookupFamily::Ipv4) => LookupFamily::Ipv4,
        Some(api::LookupFamily::Ipv6) => LookupFamily::Ipv6,
        Some(api::LookupFamily::Ipv4Preferred) => LookupFamily::Ipv4Preferred,
        Some(api::LookupFamily::Ipv6Preferred) => LookupFamily::Ipv6Preferred,
        Some(api::LookupFamily::Ipv4AndIpv6) => LookupFamily::All,
    };
}

/// Kernels count idle time and interval in whole seconds.
fn tcp_keepalive(
    keepalive: &api::TcpKeepalive,
    chain: &mut ChainSettings,
    refusals: &mut Refusals,
) {
    let times = [
        (keepalive.idle_time, "tcpKeepalive.idleTime"),
        (keepalive.interval, "tcpKeepalive.interval"),
    ];
    for (time, field) in times {
        if time.is_some_and(|time| time.0.is_zero() || time.0.subsec_nanos() != 0) {
            refuse(refusals, field, "must be whole seconds, at least one");
        }
    }
    chain.tcp_keepalive = Some(TcpKeepalive {
        probes: keepalive.probes,
        idle_time: keepalive.idle_time.map(Into::into),
        interval: keepalive.interval.map(Into::into),
    });
}

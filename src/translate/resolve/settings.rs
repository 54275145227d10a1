//! Settings: what a BackendTrafficPolicy makes of a chain and of the requests sent to it.
//!
//! In: a policy's spec. Out: [`Settings`], where what the policy leaves out has Locum's defaults;
//! or, for each field that is set and cannot be honoured, its path and why. Such a policy is not
//! used in part: its targets are closed.

mod balancer;
mod failover;
mod filters;
mod global_limit;
mod health;
mod protocol;
mod rate_limit;
mod response_override;
mod retry;
mod rule_retry;

use std::collections::BTreeSet;
use std::time::Duration;

pub(super) use rule_retry::RuleRetry;

use super::defaults;
use crate::model::{
    Balancer, ChainSettings, CircuitBreaker, Dns, Filters, HashInput, LookupFamily, Preconnect,
    Retry, TcpKeepalive,
};
use crate::resource::failover_policy;
use crate::resource::traffic_policy::{self as api, BackendTrafficPolicySpec};
use crate::resource::{Key, ObjectName};

/// Envoy takes a longer time only.
const MIN_DNS_REFRESH_RATE: Duration = Duration::from_millis(1);
/// What Linux takes for the times of keep-alive, and for how many probes there are.
const KEEPALIVE_SECONDS: std::ops::RangeInclusive<u64> = 1..=32_767;
const MAX_KEEPALIVE_PROBES: u32 = 127;

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
    filters: Filters,
    pub upgrades: Option<Vec<String>>,
    /// Whether requests go to Services' cluster IPs.
    pub by_service: bool,
    /// Whether there is detection without a limit of what it takes out.
    pub limit_left_out: bool,
    route_stat_name: Option<String>,
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
            filters: Filters::default(),
            upgrades: None,
            by_service: false,
            limit_left_out: false,
            route_stat_name: None,
            retry: None,
        }
    }
}

impl Settings {
    /// What the policy `name` asks for, or what of it cannot be honoured. `has_limit_service` where there
    /// is who counts for all proxies together.
    pub(super) fn of(
        spec: &BackendTrafficPolicySpec,
        name: &ObjectName,
        has_limit_service: bool,
    ) -> Result<Self, Refusals> {
        let mut refusals = Refusals::new();
        if spec.admission_control.is_some() {
            let why = "is not supported: Envoy counts all tiers of a chain together, and would turn \
                       requests away from a standby for what the active tier did";
            refuse(&mut refusals, "admissionControl", why);
        }
        let global_limits = spec
            .rate_limit
            .as_ref()
            .map(|limit| global_limit::global(limit, name, has_limit_service, &mut refusals));
        let mut settings = Self {
            retry: spec.retry.clone(),
            filters: Filters {
                global_limits: global_limits.unwrap_or_default(),
                ..filters::of(spec, &mut refusals)
            },
            upgrades: upgrades(spec, &mut refusals),
            by_service: spec.routing_type == Some(api::RoutingType::Service),
            route_stat_name: route_stat_name(spec, &mut refusals),
            ..Self::default()
        };
        let chain = &mut settings.chain;
        if let Some(balancer) = &spec.load_balancer {
            settings.hash = balancer::apply(balancer, chain, &mut refusals);
        }
        protocol::apply(spec, chain, &mut refusals);
        if let Some(check) = &spec.health_check {
            health::apply(check, chain, &mut refusals);
            let passive = check.passive.as_ref();
            settings.limit_left_out =
                passive.is_some_and(|passive| passive.max_ejection_percent.is_none());
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
        together(spec, &settings.chain, &mut refusals);
        if refusals.is_empty() {
            Ok(settings)
        } else {
            Err(refusals)
        }
    }

    /// The name of the statistics that a route has of its own.
    pub(super) fn stat_prefix(&self, route: &Key) -> Option<String> {
        let pattern = self.route_stat_name.as_deref()?;
        let name = pattern
            .replace("%ROUTE_NAME%", &route.object.name)
            .replace("%ROUTE_NAMESPACE%", &route.object.namespace)
            .replace("%ROUTE_KIND%", &route.kind.name().to_ascii_lowercase());
        Some(name).filter(|name| !name.is_empty())
    }

    /// What is done with a rule's requests; `kept_headers` are those that its references change.
    pub(super) fn filters(&self, kept_headers: BTreeSet<String>) -> Filters {
        Filters {
            kept_headers,
            ..self.filters.clone()
        }
    }

    /// When and how often requests to a chain of `tiers` tiers are tried again, where its rule and a
    /// FailoverPolicy say this: the rule goes over the policy of these settings, a FailoverPolicy over
    /// both, field by field.
    pub(super) fn retry(
        &self,
        tiers: usize,
        rule: Option<&RuleRetry>,
        failover: Option<&failover_policy::Retry>,
    ) -> Retry {
        let spec = self.retry.as_ref();
        let mut retry = match spec {
            None => defaults::retry(tiers),
            Some(retry) => retry::retry(retry, tiers),
        };
        if let Some(rule) = rule {
            rule.apply(&mut retry);
        }
        let is_counted = spec.is_some_and(|spec| spec.num_retries.is_some())
            || rule.is_some_and(|rule| rule.attempts.is_some());
        if let Some(failover) = failover {
            failover::apply(failover, tiers, is_counted, &mut retry);
        }
        let is_paced = spec.is_some_and(|spec| spec.num_attempts_per_priority.is_some())
            || failover.is_some_and(|failover| failover.next_tier.is_some());
        if !is_paced {
            retry.attempts_per_tier = defaults::attempts_per_tier(tiers, retry.retries);
        }
        retry
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

/// Refuses what excludes each other. Of one policy the API refuses it before; of two that are merged
/// nobody does.
fn together(spec: &BackendTrafficPolicySpec, chain: &ChainSettings, refusals: &mut Refusals) {
    if spec.request_buffer.is_some() && !spec.http_upgrade.is_empty() {
        let why = "cannot be used together with httpUpgrade";
        refuse(refusals, "requestBuffer", why);
    }
    let looks_ahead = matches!(
        chain.balancer,
        Balancer::Random | Balancer::RoundRobin { .. }
    );
    if chain.preconnect.predictive.is_some() && !looks_ahead {
        let why = "needs a loadBalancer of type RoundRobin or Random";
        refuse(refusals, "connection.preconnect.predictivePercent", why);
    }
    let starts_slowly = spec
        .load_balancer
        .as_ref()
        .is_some_and(|balancer| balancer.slow_start.is_some());
    if starts_slowly
        && matches!(
            chain.balancer,
            Balancer::Random | Balancer::ConsistentHash { .. }
        )
    {
        let why = "works with RoundRobin, LeastRequest and BackendUtilization only";
        refuse(refusals, "loadBalancer.slowStart", why);
    }
    let abort = spec.fault_injection.as_ref().and_then(|fault| fault.abort);
    if abort.is_some_and(|abort| abort.http_status.is_some() && abort.grpc_status.is_some()) {
        let why = "has httpStatus and grpcStatus, which exclude each other";
        refuse(refusals, "faultInjection.abort", why);
    }
}

fn refuse(refusals: &mut Refusals, field: &str, why: &str) {
    let name = field.rsplit('.').next().unwrap_or(field);
    refusals.push((field.into(), format!("{name} {why}.")));
}

/// Whether HTTP takes a name: of a header, a cookie, a protocol.
fn is_token(name: &str) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(part)
}

/// What clients may turn their connection to. A buffer of whole requests leaves nothing of it.
fn upgrades(spec: &BackendTrafficPolicySpec, refusals: &mut Refusals) -> Option<Vec<String>> {
    if spec.http_upgrade.is_empty() {
        return spec.request_buffer.is_some().then(Vec::new);
    }
    let mut names: Vec<String> = Vec::new();
    for (index, upgrade) in spec.http_upgrade.iter().enumerate() {
        let field = format!("httpUpgrade[{index}].type");
        let name = upgrade.r#type.to_ascii_lowercase();
        if name == "connect" {
            let why = "CONNECT is not supported: a route matches by path, and CONNECT has none";
            refuse(refusals, &field, why);
        } else if !name.split('/').all(is_token) {
            refuse(refusals, &field, "is no name of a protocol");
        } else if !names.contains(&name) {
            names.push(name);
        }
    }
    Some(names)
}

fn route_stat_name(spec: &BackendTrafficPolicySpec, refusals: &mut Refusals) -> Option<String> {
    let telemetry = spec.telemetry.as_ref()?;
    if telemetry.tracing.is_some() {
        let why = "is not supported: only an EnvoyProxy says where traces go, and Locum reads none";
        refuse(refusals, "telemetry.tracing", why);
    }
    let name = telemetry.metrics.as_ref()?.route_stat_name.as_ref()?;
    let known = ["%ROUTE_NAME%", "%ROUTE_NAMESPACE%", "%ROUTE_KIND%"];
    let rest = known
        .iter()
        .fold(name.clone(), |rest, word| rest.replace(word, ""));
    if rest.contains('%') {
        let why = "knows %ROUTE_NAME%, %ROUTE_NAMESPACE% and %ROUTE_KIND% only";
        refuse(refusals, "telemetry.metrics.routeStatName", why);
    }
    Some(name.clone())
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
    if let Some(limit) = connection.socket_buffer_limit {
        // The kernel's word for it has a sign.
        match i32::try_from(limit.0) {
            Ok(limit) => chain.socket_buffer_limit = Some(limit.unsigned_abs()),
            Err(_) => refuse(
                refusals,
                "connection.socketBufferLimit",
                "must be less than 2Gi",
            ),
        }
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
        if rate.0 <= MIN_DNS_REFRESH_RATE {
            refuse(refusals, "dns.dnsRefreshRate", "must be more than 1ms");
        }
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

/// Kernels count idle time and interval in whole seconds. An Envoy that cannot set them makes no
/// connection at all.
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
        let fits = |time: Duration| {
            time.subsec_nanos() == 0 && KEEPALIVE_SECONDS.contains(&time.as_secs())
        };
        if time.is_some_and(|time| !fits(time.0)) {
            refuse(refusals, field, "must be whole seconds, from 1 to 32767");
        }
    }
    if keepalive
        .probes
        .is_some_and(|probes| probes > MAX_KEEPALIVE_PROBES)
    {
        refuse(refusals, "tcpKeepalive.probes", "must be at most 127");
    }
    chain.tcp_keepalive = Some(TcpKeepalive {
        probes: keepalive.probes,
        idle_time: keepalive.idle_time.map(Into::into),
        interval: keepalive.interval.map(Into::into),
    });
}

//! Connections towards the endpoints: how many, how long, how found.

use super::NO_TIME;
use crate::reference::{Row, below, time, value};
use crate::translate::resolve::defaults;

/// Where Envoy is told how much may be under way.
macro_rules! breaker {
    ($field:literal) => {
        concat!("Cluster.circuit_breakers.thresholds.", $field)
    };
}

const NO_SECONDS: &str = "must be whole seconds, from 1 to 32767";

pub(super) fn rows() -> Vec<Row> {
    let parts = [breaker(), timeout(), connection(), dns(), keepalive()];
    parts.into_iter().flatten().collect()
}

fn breaker() -> Vec<Row> {
    let breaker = defaults::chain_settings().circuit_breaker;
    let own = vec![
        Row::words("", "limits of each proxy by itself").absent(format!(
            "{} of each of the first four",
            value(breaker.max_connections)
        )),
        Row::envoy("maxConnections", &[breaker!("max_connections")]),
        Row::envoy("maxPendingRequests", &[breaker!("max_pending_requests")]),
        Row::envoy("maxParallelRequests", &[breaker!("max_requests")]),
        Row::envoy("maxParallelRetries", &[breaker!("max_retries")]),
        Row::envoy(
            "maxRequestsPerConnection",
            &["HttpProtocolOptions.common_http_protocol_options.max_requests_per_connection"],
        )
        .absent("no limit"),
        Row::words("perEndpoint", "limits of each endpoint").absent("no limit"),
        Row::envoy(
            "perEndpoint.maxConnections",
            &["Cluster.circuit_breakers.per_host_thresholds.max_connections"],
        ),
        Row::words("retryBudget", "holds instead of `maxParallelRetries`").absent("none"),
    ];
    let share = &[breaker!("retry_budget.budget_percent")];
    let budget = vec![
        Row::envoy("percent.numerator", share),
        Row::envoy("percent.denominator", share),
        Row::envoy(
            "minRetryConcurrency",
            &[breaker!("retry_budget.min_retry_concurrency")],
        )
        .absent(value(defaults::MIN_RETRY_CONCURRENCY)),
    ];
    let rows = [own, below("retryBudget", budget)];
    below("circuitBreaker", rows.into_iter().flatten().collect())
}

fn timeout() -> Vec<Row> {
    let connect = defaults::chain_settings().connect_timeout;
    let http = vec![
        Row::envoy(
            "connectionIdleTimeout",
            &["HttpProtocolOptions.common_http_protocol_options.idle_timeout"],
        )
        .absent("`1h`, which is Envoy's"),
        Row::envoy(
            "maxConnectionDuration",
            &["HttpProtocolOptions.common_http_protocol_options.max_connection_duration"],
        )
        .absent("no limit"),
        Row::envoy("requestTimeout", &["Route.route.timeout"])
            .absent("`15s`, which is Envoy's; `timeouts.request` of a rule goes before either"),
        Row::envoy(
            "maxStreamDuration",
            &["Route.route.max_stream_duration.max_stream_duration"],
        )
        .absent("no limit"),
        Row::envoy("streamIdleTimeout", &["Route.route.idle_timeout"]).absent(format!(
            "{}, or as long as the request may take where that is more",
            time(defaults::STREAM_IDLE_TIMEOUT)
        )),
    ];
    let tcp = vec![
        Row::envoy("connectTimeout", &["Cluster.connect_timeout"])
            .absent(time(connect))
            .but("`0s`", NO_TIME),
    ];
    let rows = [below("tcp", tcp), below("http", http)];
    below("timeout", rows.into_iter().flatten().collect())
}

fn connection() -> Vec<Row> {
    let rows = vec![
        Row::envoy(
            "bufferLimit",
            &["Cluster.per_connection_buffer_limit_bytes"],
        )
        .absent(value(defaults::chain_settings().buffer_limit))
        .but("`4Gi` and more", "must be less than 4Gi"),
        Row::envoy(
            "socketBufferLimit",
            &["Cluster.upstream_bind_config.socket_options.int_value"],
        )
        .absent("the kernel's")
        .but("`2Gi` and more", "must be less than 2Gi"),
        Row::envoy(
            "preconnect.perEndpointPercent",
            &["Cluster.preconnect_policy.per_upstream_preconnect_ratio"],
        )
        .absent("none are made before they are needed"),
        Row::envoy(
            "preconnect.predictivePercent",
            &["Cluster.preconnect_policy.predictive_preconnect_ratio"],
        )
        .absent("none are made before they are needed"),
    ];
    below("connection", rows)
}

fn dns() -> Vec<Row> {
    let dns = defaults::chain_settings().dns;
    let rows = vec![
        Row::envoy("dnsRefreshRate", &["DnsCluster.dns_refresh_rate"])
            .absent(time(dns.refresh_rate))
            .but("`0s`, `1ms`", "must be more than 1ms"),
        Row::envoy("respectDnsTtl", &["DnsCluster.respect_dns_ttl"]).absent(value(dns.respect_ttl)),
        Row::envoy("lookupFamily", &["DnsCluster.dns_lookup_family"])
            .absent(value("IPv4Preferred")),
    ];
    below("dns", rows)
}

fn keepalive() -> Vec<Row> {
    let rows = vec![
        Row::words("", "what is left out of it is the kernel's").absent("none"),
        Row::envoy(
            "probes",
            &["Cluster.upstream_connection_options.tcp_keepalive.keepalive_probes"],
        )
        .absent("the kernel's")
        .but("more than 127", "must be at most 127"),
        Row::envoy(
            "idleTime",
            &["Cluster.upstream_connection_options.tcp_keepalive.keepalive_time"],
        )
        .absent("the kernel's")
        .but("others", NO_SECONDS),
        Row::envoy(
            "interval",
            &["Cluster.upstream_connection_options.tcp_keepalive.keepalive_interval"],
        )
        .absent("the kernel's")
        .but("others", NO_SECONDS),
    ];
    below("tcpKeepalive", rows)
}

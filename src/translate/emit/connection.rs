//! Connections to endpoints: the protocol spoken, limits of what is under way, and how a dead peer
//! is noticed.

use std::collections::HashMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::{
    Thresholds, thresholds::RetryBudget,
};
use envoy_types::pb::envoy::config::cluster::v3::cluster::PreconnectPolicy;
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, UpstreamConnectionOptions};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::core::v3::socket_option;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::google::protobuf::Any;

use crate::model::{ChainSettings, CircuitBreaker, Preconnect, Protocol, TcpKeepalive};
use crate::xds::wire::{double, duration, percent, spoken, uint32};

/// How long sent bytes may stay without an acknowledgement before the kernel gives the connection
/// up. This finds hosts that vanish without a word under a request; the kernel alone would take a
/// quarter of an hour. It leaves room for four retransmissions on a bad link, and for a backend
/// that reads nothing for a while: Linux counts a window that stays closed too.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);
/// `IPPROTO_TCP` and `TCP_USER_TIMEOUT` on Linux, which is what Envoy's releases run on.
const IPPROTO_TCP: i64 = 6;
const TCP_USER_TIMEOUT_OPTION: i64 = 18;

/// An HTTP/2 connection that was silent for this long is asked for a sign of life before the next
/// request rides on it, and is closed without one. Asked only then: many gRPC servers close
/// connections that ping without work.
const HTTP2_PING_AFTER_IDLE: Duration = Duration::from_secs(1);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(2);
/// Envoy Gateway's limits towards HTTP/2 backends; windows in bytes.
const HTTP2_MAX_STREAMS: u32 = 100;
const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;

/// The protocol and its limits, as clusters carry them.
pub(super) fn protocol_options(
    settings: &ChainSettings,
    protocol: Protocol,
) -> HashMap<String, Any> {
    let config = match protocol {
        Protocol::Http1 => {
            ProtocolConfig::HttpProtocolOptions(core::Http1ProtocolOptions::default())
        }
        Protocol::H2c => ProtocolConfig::Http2ProtocolOptions(http2()),
    };
    let common = core::HttpProtocolOptions {
        idle_timeout: settings.connection_idle_timeout.map(duration),
        max_connection_duration: settings.max_connection_duration.map(duration),
        max_requests_per_connection: settings.max_requests_per_connection.map(uint32),
        ..core::HttpProtocolOptions::default()
    };
    spoken(config, Some(common))
}

fn http2() -> core::Http2ProtocolOptions {
    core::Http2ProtocolOptions {
        max_concurrent_streams: Some(uint32(HTTP2_MAX_STREAMS)),
        initial_stream_window_size: Some(uint32(HTTP2_STREAM_WINDOW)),
        initial_connection_window_size: Some(uint32(HTTP2_CONNECTION_WINDOW)),
        connection_keepalive: Some(core::KeepaliveSettings {
            timeout: Some(duration(HTTP2_PING_TIMEOUT)),
            connection_idle_interval: Some(duration(HTTP2_PING_AFTER_IDLE)),
            ..core::KeepaliveSettings::default()
        }),
        ..core::Http2ProtocolOptions::default()
    }
}

/// Socket options for every upstream connection.
pub(super) fn bind_config() -> core::BindConfig {
    let millis = i64::try_from(TCP_USER_TIMEOUT.as_millis()).unwrap_or(i64::MAX);
    core::BindConfig {
        socket_options: vec![core::SocketOption {
            description: "TCP_USER_TIMEOUT in milliseconds".into(),
            level: IPPROTO_TCP,
            name: TCP_USER_TIMEOUT_OPTION,
            value: Some(socket_option::Value::IntValue(millis)),
            state: socket_option::SocketState::StatePrebind.into(),
            ..core::SocketOption::default()
        }],
        ..core::BindConfig::default()
    }
}

/// TCP keep-alive. Envoy takes whole seconds; a shorter time is one.
pub(super) fn options(keepalive: TcpKeepalive) -> UpstreamConnectionOptions {
    let seconds =
        |value: Duration| uint32(u32::try_from(value.as_secs()).unwrap_or(u32::MAX).max(1));
    UpstreamConnectionOptions {
        tcp_keepalive: Some(core::TcpKeepalive {
            keepalive_probes: keepalive.probes.map(uint32),
            keepalive_time: keepalive.idle_time.map(seconds),
            keepalive_interval: keepalive.interval.map(seconds),
        }),
        ..UpstreamConnectionOptions::default()
    }
}

/// Limits of what is under way at once.
pub(super) fn circuit_breakers(breaker: &CircuitBreaker) -> CircuitBreakers {
    let retry_budget = breaker.retry_budget.map(|(share, least)| RetryBudget {
        budget_percent: Some(percent(share)),
        min_retry_concurrency: Some(uint32(least)),
        ..RetryBudget::default()
    });
    let per_host = breaker
        .max_connections_per_endpoint
        .map(|limit| Thresholds {
            max_connections: Some(uint32(limit)),
            ..Thresholds::default()
        });
    CircuitBreakers {
        thresholds: vec![Thresholds {
            max_connections: Some(uint32(breaker.max_connections)),
            max_pending_requests: Some(uint32(breaker.max_pending_requests)),
            max_requests: Some(uint32(breaker.max_parallel_requests)),
            max_retries: Some(uint32(breaker.max_parallel_retries)),
            retry_budget,
            ..Thresholds::default()
        }],
        per_host_thresholds: per_host.into_iter().collect(),
    }
}

/// Connections opened ahead; nothing where none are asked for.
pub(super) fn preconnect_policy(preconnect: Preconnect) -> Option<PreconnectPolicy> {
    (preconnect != Preconnect::default()).then(|| PreconnectPolicy {
        per_upstream_preconnect_ratio: preconnect.per_endpoint.map(double),
        predictive_preconnect_ratio: preconnect.predictive.map(double),
        ..PreconnectPolicy::default()
    })
}

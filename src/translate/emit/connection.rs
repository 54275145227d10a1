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
use envoy_types::pb::envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;
use envoy_types::pb::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::util::pack_any;

use crate::model::{
    ChainSettings, CircuitBreaker, Http2, Preconnect, Protocol, ProxyProtocol, TcpKeepalive,
};
use crate::xds::wire::{
    boolean, clients_own, double, duration, negotiated, packed, percent, spoken, uint32,
};

/// How long sent bytes may stay without an acknowledgement before the kernel gives the connection
/// up. This finds hosts that vanish without a word under a request; the kernel alone would take a
/// quarter of an hour. It leaves room for four retransmissions on a bad link, and for a backend
/// that reads nothing for a while: Linux counts a window that stays closed too.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);
/// Levels and options of sockets on Linux, which is what Envoy's releases run on.
const IPPROTO_TCP: i64 = 6;
const TCP_USER_TIMEOUT_OPTION: i64 = 18;
const SOL_SOCKET: i64 = 1;
const SO_SNDBUF: i64 = 7;
const SO_RCVBUF: i64 = 8;

/// The protocol and its limits, as clusters carry them. Where `by_request`, each request's host is
/// the name that TLS says and checks.
pub(super) fn protocol_options(
    settings: &ChainSettings,
    protocol: Protocol,
    by_request: bool,
) -> HashMap<String, Any> {
    let mut options = spoken_options(settings, protocol);
    options.upstream_http_protocol_options =
        by_request.then(|| core::UpstreamHttpProtocolOptions {
            auto_sni: true,
            auto_san_validation: true,
            ..core::UpstreamHttpProtocolOptions::default()
        });
    packed(options)
}

fn spoken_options(settings: &ChainSettings, protocol: Protocol) -> HttpProtocolOptions {
    let http1 = core::Http1ProtocolOptions::default();
    let http2 = http2(&settings.http2);
    let common = core::HttpProtocolOptions {
        idle_timeout: settings.connection_idle_timeout.map(duration),
        max_connection_duration: settings.max_connection_duration.map(duration),
        max_requests_per_connection: settings.max_requests_per_connection.map(uint32),
        ..core::HttpProtocolOptions::default()
    };
    if settings.use_client_protocol {
        return clients_own(http1, http2, Some(common));
    }
    let config = match protocol {
        Protocol::Http1 => ProtocolConfig::HttpProtocolOptions(http1),
        Protocol::Http2 => ProtocolConfig::Http2ProtocolOptions(http2),
        Protocol::Negotiated => return negotiated(http1, http2, Some(common)),
    };
    spoken(config, Some(common))
}

fn http2(http2: &Http2) -> core::Http2ProtocolOptions {
    core::Http2ProtocolOptions {
        max_concurrent_streams: Some(uint32(http2.max_streams)),
        initial_stream_window_size: Some(uint32(http2.stream_window)),
        initial_connection_window_size: Some(uint32(http2.connection_window)),
        override_stream_error_on_invalid_http_message: http2
            .invalid_message_ends_stream
            .then(|| boolean(true)),
        connection_keepalive: Some(core::KeepaliveSettings {
            interval: http2.ping_interval.map(duration),
            timeout: Some(duration(http2.ping_timeout)),
            interval_jitter: http2
                .ping_jitter_percent
                .map(|jitter| percent(jitter.into())),
            connection_idle_interval: Some(duration(http2.ping_after_idle)),
        }),
        ..core::Http2ProtocolOptions::default()
    }
}

/// The socket that is asked for, `inner` or a plain one, behind what says who the client is before
/// anything else, where that is asked for.
pub(super) fn transport_socket(
    settings: &ChainSettings,
    inner: Option<core::TransportSocket>,
) -> Option<core::TransportSocket> {
    use core::proxy_protocol_config::Version;
    let version = match settings.proxy_protocol {
        None => return inner,
        Some(ProxyProtocol::V1) => Version::V1,
        Some(ProxyProtocol::V2) => Version::V2,
    };
    let plain = || socket("envoy.transport_sockets.raw_buffer", RawBuffer {});
    let config = ProxyProtocolUpstreamTransport {
        config: Some(core::ProxyProtocolConfig {
            version: version.into(),
            ..core::ProxyProtocolConfig::default()
        }),
        transport_socket: Some(inner.unwrap_or_else(plain)),
        ..ProxyProtocolUpstreamTransport::default()
    };
    Some(socket(
        "envoy.transport_sockets.upstream_proxy_protocol",
        config,
    ))
}

pub(super) fn socket<M: prost::Message + prost::Name>(
    name: &str,
    config: M,
) -> core::TransportSocket {
    core::TransportSocket {
        name: name.to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(pack_any(
            config,
        ))),
    }
}

/// Socket options for every upstream connection.
pub(super) fn bind_config(settings: &ChainSettings) -> core::BindConfig {
    let option = |description: &str, level, name, value| core::SocketOption {
        description: description.into(),
        level,
        name,
        value: Some(socket_option::Value::IntValue(value)),
        state: socket_option::SocketState::StatePrebind.into(),
        ..core::SocketOption::default()
    };
    let millis = i64::try_from(TCP_USER_TIMEOUT.as_millis()).unwrap_or(i64::MAX);
    let timeout = option(
        "TCP_USER_TIMEOUT in milliseconds",
        IPPROTO_TCP,
        TCP_USER_TIMEOUT_OPTION,
        millis,
    );
    let limit = settings.socket_buffer_limit.map(i64::from);
    let buffers = limit.into_iter().flat_map(|limit| {
        [
            option("SO_SNDBUF in bytes", SOL_SOCKET, SO_SNDBUF, limit),
            option("SO_RCVBUF in bytes", SOL_SOCKET, SO_RCVBUF, limit),
        ]
    });
    core::BindConfig {
        socket_options: [timeout].into_iter().chain(buffers).collect(),
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

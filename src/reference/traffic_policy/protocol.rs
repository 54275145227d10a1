//! What is spoken to endpoints, and which they are.

use super::NO_TIME;
use crate::reference::{Row, below, time, value};
use crate::translate::resolve::defaults;

/// Where Envoy is told how to speak HTTP/2.
macro_rules! http2 {
    ($field:literal) => {
        concat!(
            "HttpProtocolOptions.explicit_http_config.http2_protocol_options.",
            $field
        )
    };
}

const NO_WINDOW: &str = "must be from 65535 to 2147483647 bytes";

pub(super) fn rows() -> Vec<Row> {
    let own = vec![
        Row::envoy(
            "useClientProtocol",
            &["HttpProtocolOptions.use_downstream_protocol_config"],
        )
        .absent(value(false)),
        Row::envoy(
            "proxyProtocol.version",
            &["ProxyProtocolUpstreamTransport.config"],
        ),
        Row::words(
            "routingType",
            "whether `ClusterLoadAssignment` has a Service's endpoints or its cluster IP",
        )
        .absent(value("Endpoint")),
    ];
    let rows = [own, below("http2", http2())];
    rows.into_iter().flatten().collect()
}

fn http2() -> Vec<Row> {
    let http2 = defaults::chain_settings().http2;
    let keepalive = vec![
        Row::envoy("interval", &[http2!("connection_keepalive.interval")])
            .absent("never")
            .but("`0s`", NO_TIME),
        Row::envoy("timeout", &[http2!("connection_keepalive.timeout")])
            .absent(time(http2.ping_timeout))
            .but("`0s`", NO_TIME),
        Row::envoy(
            "intervalJitter",
            &[http2!("connection_keepalive.interval_jitter")],
        )
        .absent("`15`, which is Envoy's"),
        Row::envoy(
            "idleInterval",
            &[http2!("connection_keepalive.connection_idle_interval")],
        )
        .absent(time(http2.ping_after_idle))
        .but("`0s`", NO_TIME),
    ];
    let own = vec![
        Row::envoy(
            "initialStreamWindowSize",
            &[http2!("initial_stream_window_size")],
        )
        .absent(value(http2.stream_window))
        .but("less or more", NO_WINDOW),
        Row::envoy(
            "initialConnectionWindowSize",
            &[http2!("initial_connection_window_size")],
        )
        .absent(value(http2.connection_window))
        .but("less or more", NO_WINDOW),
        Row::envoy("maxConcurrentStreams", &[http2!("max_concurrent_streams")])
            .absent(value(http2.max_streams)),
        Row::envoy(
            "onInvalidMessage",
            &[http2!("override_stream_error_on_invalid_http_message")],
        )
        .absent(value("TerminateConnection")),
    ];
    [own, below("connectionKeepalive", keepalive)]
        .into_iter()
        .flatten()
        .collect()
}

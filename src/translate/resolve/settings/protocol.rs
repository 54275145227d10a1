//! What a policy has spoken to endpoints: `http2`, `useClientProtocol`, `proxyProtocol`.

use super::{Refusals, positive, refuse};
use crate::model::{ChainSettings, ProxyProtocol};
use crate::resource::ByteSize;
use crate::resource::traffic_policy::{
    BackendTrafficPolicySpec, Http2, InvalidMessageAction, ProxyProtocolVersion,
};

/// The least window that HTTP/2 has by itself, and the largest that it can say.
const WINDOWS: std::ops::RangeInclusive<u64> = 65_535..=2_147_483_647;

/// Sets what is spoken.
pub(super) fn apply(
    spec: &BackendTrafficPolicySpec,
    chain: &mut ChainSettings,
    refusals: &mut Refusals,
) {
    if let Some(http2) = &spec.http2 {
        self::http2(http2, chain, refusals);
    }
    chain.use_client_protocol = spec.use_client_protocol.unwrap_or(false);
    chain.proxy_protocol = spec.proxy_protocol.map(|protocol| match protocol.version {
        ProxyProtocolVersion::V1 => ProxyProtocol::V1,
        ProxyProtocolVersion::V2 => ProxyProtocol::V2,
    });
}

fn http2(spec: &Http2, chain: &mut ChainSettings, refusals: &mut Refusals) {
    let http2 = &mut chain.http2;
    let mut window = |size: Option<ByteSize>, field: &str, window: &mut u32| {
        let Some(size) = size else { return };
        match u32::try_from(size.0) {
            Ok(bytes) if WINDOWS.contains(&size.0) => *window = bytes,
            _ => refuse(refusals, field, "must be from 65535 to 2147483647 bytes"),
        }
    };
    window(
        spec.initial_stream_window_size,
        "http2.initialStreamWindowSize",
        &mut http2.stream_window,
    );
    window(
        spec.initial_connection_window_size,
        "http2.initialConnectionWindowSize",
        &mut http2.connection_window,
    );
    http2.max_streams = spec.max_concurrent_streams.unwrap_or(http2.max_streams);
    http2.invalid_message_ends_stream =
        spec.on_invalid_message == Some(InvalidMessageAction::TerminateStream);
    let Some(keepalive) = &spec.connection_keepalive else {
        return;
    };
    let times = [
        (keepalive.interval, "http2.connectionKeepalive.interval"),
        (keepalive.timeout, "http2.connectionKeepalive.timeout"),
        (
            keepalive.idle_interval,
            "http2.connectionKeepalive.idleInterval",
        ),
    ];
    for (time, field) in times {
        if let Some(time) = time {
            positive(time.0, field, refusals);
        }
    }
    http2.ping_interval = keepalive.interval.map(Into::into);
    http2.ping_jitter_percent = keepalive.interval_jitter;
    if let Some(timeout) = keepalive.timeout {
        http2.ping_timeout = timeout.0;
    }
    if let Some(idle) = keepalive.idle_interval {
        http2.ping_after_idle = idle.0;
    }
}

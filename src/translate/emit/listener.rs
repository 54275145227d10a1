//! Listeners: one per port, hardened as an edge proxy's, with its routes by name so that it stays
//! still when they change.
//!
//! The values are Envoy Gateway's and those of Envoy's guide "Configuring Envoy as an edge proxy",
//! where they agree.

use std::net::IpAddr;
use std::time::Duration;

use envoy_types::pb::envoy::config::common::mutation_rules::v3::{
    HeaderMutation, header_mutation::Action,
};
use envoy_types::pb::envoy::config::core::v3::http_protocol_options::HeadersWithUnderscoresAction;
use envoy_types::pb::envoy::config::core::v3::{Http2ProtocolOptions, HttpProtocolOptions};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_connection_manager, http_filter,
};
use envoy_types::pb::envoy::extensions::http::early_header_mutation::header_mutation::v3::HeaderMutation as EarlyHeaderMutation;
use envoy_types::util::pack_any;
use http_connection_manager::{
    CodecType, PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation,
    UpgradeConfig,
};

use super::{filters, last_resort};
use crate::model::Port;
use crate::resource::ObjectName;
use crate::translate::{RateLimitService, names};
use crate::xds::wire::{ads, boolean, duration, extension, socket_address, uint32};

/// A listener waits for its routes for ever: taking up work without them would answer 404 to
/// everyone. The stream brings them right after it.
const ROUTES_TIMEOUT: Duration = Duration::ZERO;

/// What a client may take to send a request's headers: a slow one must not hold a connection for
/// long.
const REQUEST_HEADERS_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest silence on a request or its answer; a route may say otherwise. Envoy's own default.
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_mins(5);
/// How long a connection without requests is kept. Envoy's own default.
const CONNECTION_IDLE_TIMEOUT: Duration = Duration::from_hours(1);
/// Bytes that a connection may have waiting in each direction.
const CONNECTION_BUFFER_LIMIT: u32 = 32 * 1024;
/// Requests that a client may have under way on one HTTP/2 connection.
const HTTP2_MAX_STREAMS: u32 = 100;
/// Bytes that an HTTP/2 client may send ahead on a stream, and on a connection.
const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Connections taken up before other sockets get their turn.
const ACCEPTS_PER_EVENT: u32 = 1;

/// What clients may turn their connection to, where a route says nothing.
pub(super) const UPGRADE: &str = "websocket";

/// Request headers that steer Envoy's router. They are for the one who configures the proxy, so
/// they are taken off before routing; those that Locum's own routes add come after.
const ROUTER_HEADERS: [&str; 12] = [
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-max-retries",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-stream-duration-ms",
    "x-envoy-expected-rq-timeout-ms",
];

/// The listener of `port`, bound at `address`, with who counts for all proxies together.
pub(super) fn listener(
    gateway: &ObjectName,
    port: &Port,
    address: IpAddr,
    service: Option<&RateLimitService>,
) -> Listener {
    let manager = connection_manager(gateway, port, service);
    Listener {
        name: names::listener(gateway, port.port),
        address: Some(socket_address(
            &address.to_string(),
            port.bind_port,
            address.is_ipv6() && address.is_unspecified(),
        )),
        filter_chains: vec![FilterChain {
            filters: vec![Filter {
                name: "envoy.filters.network.http_connection_manager".into(),
                config_type: Some(filter::ConfigType::TypedConfig(pack_any(manager))),
            }],
            ..FilterChain::default()
        }],
        per_connection_buffer_limit_bytes: Some(uint32(CONNECTION_BUFFER_LIMIT)),
        max_connections_to_accept_per_socket_event: Some(uint32(ACCEPTS_PER_EVENT)),
        ..Listener::default()
    }
}

fn connection_manager(
    gateway: &ObjectName,
    port: &Port,
    service: Option<&RateLimitService>,
) -> HttpConnectionManager {
    HttpConnectionManager {
        codec_type: CodecType::Auto.into(),
        stat_prefix: format!("http-{}", port.bind_port),
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: Some(ads(ROUTES_TIMEOUT)),
            route_config_name: names::route_config(gateway, port.port),
        })),
        http_filters: filters::of_listener(port, service)
            .chain([router()])
            .collect(),
        local_reply_config: last_resort::local_replies(port),
        upgrade_configs: vec![UpgradeConfig {
            upgrade_type: UPGRADE.into(),
            ..UpgradeConfig::default()
        }],
        early_header_mutation_extensions: vec![extension(
            "envoy.http.early_header_mutation.header_mutation",
            EarlyHeaderMutation {
                mutations: ROUTER_HEADERS.map(removal).into(),
            },
        )],
        common_http_protocol_options: Some(HttpProtocolOptions {
            idle_timeout: Some(duration(CONNECTION_IDLE_TIMEOUT)),
            headers_with_underscores_action: HeadersWithUnderscoresAction::RejectRequest.into(),
            ..HttpProtocolOptions::default()
        }),
        http2_protocol_options: Some(Http2ProtocolOptions {
            max_concurrent_streams: Some(uint32(HTTP2_MAX_STREAMS)),
            initial_stream_window_size: Some(uint32(HTTP2_STREAM_WINDOW)),
            initial_connection_window_size: Some(uint32(HTTP2_CONNECTION_WINDOW)),
            ..Http2ProtocolOptions::default()
        }),
        request_headers_timeout: Some(duration(REQUEST_HEADERS_TIMEOUT)),
        stream_idle_timeout: Some(duration(STREAM_IDLE_TIMEOUT)),
        use_remote_address: Some(boolean(true)),
        normalize_path: Some(boolean(true)),
        merge_slashes: true,
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::UnescapeAndRedirect.into(),
        server_header_transformation: ServerHeaderTransformation::PassThrough.into(),
        ..HttpConnectionManager::default()
    }
}

fn router() -> HttpFilter {
    let router = Router {
        suppress_envoy_headers: true,
        ..Router::default()
    };
    HttpFilter {
        name: "envoy.filters.http.router".into(),
        config_type: Some(http_filter::ConfigType::TypedConfig(pack_any(router))),
        ..HttpFilter::default()
    }
}

fn removal(header: &str) -> HeaderMutation {
    HeaderMutation {
        action: Some(Action::Remove(header.to_owned())),
    }
}

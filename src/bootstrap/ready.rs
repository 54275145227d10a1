//! A port at which everybody may ask whether the proxy is ready, and nothing else.
//!
//! The admin interface stays where only the proxy's own Pod or machine reaches it; this passes
//! `GET /ready` on to it.

use std::net::Ipv6Addr;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as manager;
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use envoy_types::util::pack_any;
use manager::http_connection_manager::RouteSpecifier;

use super::static_cluster;
use crate::xds::wire::{boolean, duration, socket_address};

/// The cluster that is the proxy's own admin interface.
const ADMIN_CLUSTER: &str = "admin";
/// The listener, and the prefix of its statistics: what happens there is nobody's request.
pub const READY: &str = "ready";
/// The one path that is passed on.
const PATH: &str = "/ready";
/// How long an answer may take; the proxy's main thread may be busy with a large configuration.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a connection may be idle; probes open a new one each time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The admin interface as a cluster.
pub(super) fn cluster(admin: core::Address) -> Cluster {
    static_cluster(ADMIN_CLUSTER, admin)
}

/// The listener at `port`, at every address.
pub(super) fn listener(port: u16) -> Listener {
    Listener {
        name: READY.into(),
        address: Some(socket_address(
            &Ipv6Addr::UNSPECIFIED.to_string(),
            port,
            true,
        )),
        filter_chains: vec![FilterChain {
            filters: vec![Filter {
                name: "envoy.filters.network.http_connection_manager".into(),
                config_type: Some(filter::ConfigType::TypedConfig(pack_any(connections()))),
            }],
            ..FilterChain::default()
        }],
        // A proxy with too many clients is still asked.
        ignore_global_conn_limit: true,
        ..Listener::default()
    }
}

fn connections() -> manager::HttpConnectionManager {
    manager::HttpConnectionManager {
        stat_prefix: READY.into(),
        route_specifier: Some(RouteSpecifier::RouteConfig(routes())),
        common_http_protocol_options: Some(core::HttpProtocolOptions {
            idle_timeout: Some(duration(IDLE_TIMEOUT)),
            ..core::HttpProtocolOptions::default()
        }),
        http_filters: vec![manager::HttpFilter {
            name: "envoy.filters.http.router".into(),
            config_type: Some(manager::http_filter::ConfigType::TypedConfig(pack_any(
                Router::default(),
            ))),
            ..manager::HttpFilter::default()
        }],
        ..manager::HttpConnectionManager::default()
    }
}

fn routes() -> route::RouteConfiguration {
    let get = route::HeaderMatcher {
        name: ":method".into(),
        header_match_specifier: Some(route::header_matcher::HeaderMatchSpecifier::StringMatch(
            StringMatcher {
                match_pattern: Some(MatchPattern::Exact("GET".into())),
                ..StringMatcher::default()
            },
        )),
        ..route::HeaderMatcher::default()
    };
    let ready = route::Route {
        r#match: Some(route::RouteMatch {
            path_specifier: Some(route::route_match::PathSpecifier::Path(PATH.into())),
            headers: vec![get],
            ..route::RouteMatch::default()
        }),
        action: Some(route::route::Action::Route(route::RouteAction {
            cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(
                ADMIN_CLUSTER.into(),
            )),
            timeout: Some(duration(ANSWER_TIMEOUT)),
            ..route::RouteAction::default()
        })),
        ..route::Route::default()
    };
    route::RouteConfiguration {
        name: READY.into(),
        virtual_hosts: vec![route::VirtualHost {
            name: READY.into(),
            domains: vec!["*".into()],
            routes: vec![ready],
            ..route::VirtualHost::default()
        }],
        validate_clusters: Some(boolean(true)),
        ..route::RouteConfiguration::default()
    }
}

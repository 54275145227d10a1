//! Routes: virtual hosts, matches and what becomes of a request.

use envoy_types::pb::envoy::config::core::v3::RuntimeFractionalPercent;
use envoy_types::pb::envoy::config::route::v3 as pb;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_action::hash_policy::{
    ConnectionProperties, Cookie, CookieAttribute, Header, PolicySpecifier, QueryParameter,
};
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterSpecifier, HashPolicy, MaxStreamDuration, UpgradeConfig,
};
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use envoy_types::pb::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};

use super::{filters, last_resort, listener, retry};
use crate::model::{
    Action, ChainName, Forward, HashInput, PathMatch, Port, Route, RouteMatch, StringMatch,
    VirtualHost,
};
use crate::resource::ObjectName;
use crate::translate::names;
use crate::xds::wire::{boolean, duration, regex};

/// What Gateway API has answered for the share of requests that an invalid reference would get.
const INVALID_REFERENCE_STATUS: u32 = 500;

/// The routes of `port`. With no virtual host it answers 404 to everyone.
pub(super) fn route_configuration(gateway: &ObjectName, port: &Port) -> pb::RouteConfiguration {
    pb::RouteConfiguration {
        name: names::route_config(gateway, port.port),
        virtual_hosts: port
            .virtual_hosts
            .iter()
            .map(|host| virtual_host(gateway, port.port, host))
            .collect(),
        // `example.com:8080` is `example.com`: Gateway API matches host names without the port.
        ignore_port_in_host_matching: true,
        ..pb::RouteConfiguration::default()
    }
}

/// The chain that `route` forwards to.
pub(super) fn chain(route: &Route) -> Option<&ChainName> {
    match &route.action {
        Action::Forward(forward) => Some(&forward.chain),
        Action::Respond { .. } => None,
    }
}

fn virtual_host(gateway: &ObjectName, port: u16, host: &VirtualHost) -> pb::VirtualHost {
    pb::VirtualHost {
        name: names::virtual_host(gateway, port, &host.domain),
        domains: vec![host.domain.clone()],
        routes: host.routes.iter().flat_map(routes).collect(),
        ..pb::VirtualHost::default()
    }
}

/// One Envoy route, and before it, where some of the rule's references are invalid, one of the same
/// name that takes their share. A fraction on a route rather than a weighted cluster that is not
/// there: the snapshot stays closed.
fn routes(route: &Route) -> impl Iterator<Item = pb::Route> {
    let failing = match &route.action {
        Action::Forward(forward) => forward.failing_millionths,
        Action::Respond { .. } => 0,
    };
    let share = (failing > 0).then(|| {
        let mut share = envoy_route(route, direct_response(INVALID_REFERENCE_STATUS));
        if let Some(matches) = &mut share.r#match {
            matches.runtime_fraction = Some(millionths(failing));
        }
        share
    });
    let action = match &route.action {
        Action::Forward(forward) => pb::route::Action::Route(forwarding(forward)),
        Action::Respond { status } => direct_response((*status).into()),
    };
    let mut served = envoy_route(route, action);
    if let Action::Forward(forward) = &route.action {
        served.request_headers_to_add = retry::triggers_by_method(&forward.retry)
            .into_iter()
            .collect();
        served.request_body_buffer_limit = retry::body_limit(&forward.retry);
        served.metadata = forward.last_resort.as_ref().map(last_resort::metadata);
        served.request_headers_to_remove = filters::headers_to_remove(&forward.filters);
        served.response_headers_to_remove = filters::answer_headers_to_remove(&forward.filters);
        served.typed_per_filter_config = filters::of_route(route, &forward.filters);
        served.stat_prefix = forward.stat_prefix.clone().unwrap_or_default();
    }
    share.into_iter().chain([served])
}

fn envoy_route(route: &Route, action: pb::route::Action) -> pb::Route {
    pb::Route {
        name: route.name.clone(),
        r#match: Some(route_match(&route.matches)),
        action: Some(action),
        ..pb::Route::default()
    }
}

fn direct_response(status: u32) -> pb::route::Action {
    pb::route::Action::DirectResponse(pb::DirectResponseAction {
        status,
        ..pb::DirectResponseAction::default()
    })
}

fn millionths(numerator: u32) -> RuntimeFractionalPercent {
    RuntimeFractionalPercent {
        default_value: Some(FractionalPercent {
            numerator,
            denominator: DenominatorType::Million.into(),
        }),
        runtime_key: String::new(),
    }
}

fn forwarding(forward: &Forward) -> pb::RouteAction {
    pb::RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(forward.chain.0.clone())),
        timeout: forward.timeout.map(duration),
        idle_timeout: forward.stream_idle_timeout.map(duration),
        max_stream_duration: forward
            .max_stream_duration
            .map(|longest| MaxStreamDuration {
                max_stream_duration: Some(duration(longest)),
                ..MaxStreamDuration::default()
            }),
        retry_policy: retry::policy(&forward.retry),
        hash_policy: forward.hash.iter().map(hash_policy).collect(),
        upgrade_configs: forward
            .upgrades
            .as_deref()
            .map(upgrades)
            .unwrap_or_default(),
        ..pb::RouteAction::default()
    }
}

/// What may be upgraded to, and that nothing else may: not what the listener allows where a route
/// says nothing.
fn upgrades(allowed: &[String]) -> Vec<UpgradeConfig> {
    let config = |name: &str, enabled| UpgradeConfig {
        upgrade_type: name.to_owned(),
        enabled: Some(boolean(enabled)),
        ..UpgradeConfig::default()
    };
    let allowed_by_listener = (!allowed.iter().any(|name| name == listener::UPGRADE))
        .then(|| config(listener::UPGRADE, false));
    let allowed = allowed.iter().map(|name| config(name, true));
    allowed_by_listener.into_iter().chain(allowed).collect()
}

fn hash_policy(input: &HashInput) -> HashPolicy {
    let specifier = match input {
        HashInput::SourceIp => {
            PolicySpecifier::ConnectionProperties(ConnectionProperties { source_ip: true })
        }
        HashInput::Header(name) => PolicySpecifier::Header(Header {
            header_name: name.clone(),
            ..Header::default()
        }),
        HashInput::Cookie {
            name,
            ttl,
            attributes,
        } => PolicySpecifier::Cookie(Cookie {
            name: name.clone(),
            ttl: ttl.map(duration),
            path: String::new(),
            attributes: attributes
                .iter()
                .map(|(name, value)| CookieAttribute {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
        }),
        HashInput::QueryParameter(name) => {
            PolicySpecifier::QueryParameter(QueryParameter { name: name.clone() })
        }
    };
    HashPolicy {
        terminal: false,
        policy_specifier: Some(specifier),
    }
}

fn route_match(matches: &RouteMatch) -> pb::RouteMatch {
    let method = matches
        .method
        .iter()
        .map(|method| header(":method", &StringMatch::Exact(method.clone())));
    let headers = matches
        .headers
        .iter()
        .map(|(name, value)| header(name, value));
    pb::RouteMatch {
        path_specifier: Some(path(&matches.path)),
        headers: method.chain(headers).collect(),
        query_parameters: matches
            .query
            .iter()
            .map(|(name, value)| pb::QueryParameterMatcher {
                name: name.clone(),
                query_parameter_match_specifier: Some(QueryParameterMatchSpecifier::StringMatch(
                    string(value),
                )),
            })
            .collect(),
        ..pb::RouteMatch::default()
    }
}

fn path(matches: &PathMatch) -> PathSpecifier {
    match matches {
        PathMatch::Exact(path) => PathSpecifier::Path(path.clone()),
        PathMatch::Regex(expression) => PathSpecifier::SafeRegex(regex(expression)),
        // Envoy's prefix of whole elements is written without a slash at its end.
        PathMatch::Prefix(prefix) => match prefix.trim_end_matches('/') {
            "" => PathSpecifier::Prefix("/".into()),
            prefix => PathSpecifier::PathSeparatedPrefix(prefix.to_owned()),
        },
    }
}

pub(super) fn header(name: &str, value: &StringMatch) -> pb::HeaderMatcher {
    pb::HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(string(value))),
        ..pb::HeaderMatcher::default()
    }
}

pub(super) fn string(value: &StringMatch) -> StringMatcher {
    let pattern = match value {
        StringMatch::Exact(value) => MatchPattern::Exact(value.clone()),
        StringMatch::Regex(expression) => MatchPattern::SafeRegex(regex(expression)),
    };
    StringMatcher {
        match_pattern: Some(pattern),
        ..StringMatcher::default()
    }
}

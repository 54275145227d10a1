//! Matches: which rule a request meets first, hosts, and rules that are refused.

use std::sync::Arc;

use super::super::Resolution;
use super::super::fixture::{GATEWAY, ip, resolved, resolved_after, served};
use crate::model::{Action, PathMatch};
use crate::resource::{Kind, Object};
use crate::status::reasons::{self, kind};

/// A route with this metadata, these hosts and rules, each in YAML's flow style, that sends
/// everything to `active`.
fn route(metadata: &str, hostnames: &str, matches: &[&str]) -> String {
    let rules: Vec<String> = matches
        .iter()
        .map(|matches| {
            format!(
                "{{ matches: [{matches}], backendRefs: [{{ group: gateway.envoyproxy.io, kind: Backend, name: active }}] }}"
            )
        })
        .collect();
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{ {metadata} }}\n\
         spec: {{ hostnames: [{hostnames}], parentRefs: [{{ name: eg }}], rules: [{}] }}\n",
        rules.join(", ")
    )
}

fn active() -> String {
    ip("active", "10.0.0.1", false)
}

/// The names of a host's routes, in the order they are tried.
fn order(resolution: &Resolution, host: &str) -> Vec<String> {
    let names = resolution
        .host(host)
        .routes
        .iter()
        .map(|route| route.name.clone());
    names
        .map(|name| {
            name.replace("default/", "")
                .replace("/rule/", " ")
                .replace("/match/", ".")
        })
        .collect()
}

#[test]
fn the_narrowest_match_goes_first_whatever_the_order_of_the_rules() {
    let matches = [
        "{ path: { value: / } }",
        "{ path: { value: /a } }",
        "{ path: { value: /a/b } }",
        "{ path: { type: RegularExpression, value: '/[ab]' } }",
        "{ path: { type: Exact, value: /a } }",
        "{ path: { value: /a }, method: GET }",
        "{ path: { value: /a }, headers: [{ name: x, value: v }] }",
        "{ path: { value: /a }, headers: [{ name: x, value: v }, { name: z, value: v }] }",
        "{ path: { value: /a }, queryParams: [{ name: q, value: v }] }",
    ];
    let resolution = served(&(active() + &route("name: web", "", &matches)));
    let rules = ["4", "3", "2", "5", "7", "6", "8", "1", "0"];
    let expected: Vec<String> = rules.iter().map(|rule| format!("web {rule}.0")).collect();
    assert_eq!(order(&resolution, "*"), expected);
}

#[test]
fn of_equal_matches_the_oldest_route_goes_first_then_the_name_then_the_rule() {
    let metadata = |name: &str, time: &str| {
        format!("name: {name}, creationTimestamp: '2026-01-0{time}T00:00:00Z'")
    };
    let yaml = active()
        + &route(&metadata("a", "2"), "", &["{ path: { value: /x } }"])
        + &route(
            &metadata("c", "1"),
            "",
            &[
                "{ path: { value: /x } }, { path: { value: /x } }",
                "{ path: { value: /x } }",
            ],
        )
        + &route(&metadata("b", "1"), "", &["{ path: { value: /x } }"]);
    assert_eq!(
        order(&served(&yaml), "*"),
        ["b 0.0", "c 0.0", "c 0.1", "c 1.0", "a 0.0"]
    );
}

#[test]
fn a_prefix_is_of_whole_elements() {
    let resolution = served(&(active() + &route("name: web", "", &["{ path: { value: /a/ } }"])));
    assert_eq!(
        resolution.host("*").routes[0].matches.path,
        PathMatch::Prefix("/a".into())
    );
}

#[test]
fn only_the_first_of_headers_with_one_name_counts() {
    let headers = "{ headers: [{ name: X-A, value: one }, { name: x-a, value: two }] }";
    let resolution = served(&(active() + &route("name: web", "", &[headers])));
    let headers = &resolution.host("*").routes[0].matches.headers;
    assert_eq!(headers.len(), 1);
    assert_eq!(headers[0].0, "x-a");
}

#[test]
fn a_broken_expression_refuses_its_rule_and_no_other() {
    let broken = "{ path: { value: /a } }, { path: { type: RegularExpression, value: '/[' } }";
    let resolution =
        served(&(active() + &route("name: web", "", &[broken, "{ path: { value: /b } }"])));
    let actions: Vec<bool> = resolution
        .host("*")
        .routes
        .iter()
        .map(|route| matches!(route.action, Action::Respond { status: 500 }))
        .collect();
    assert_eq!(actions, [true, false]);
    let partially = resolution.condition(Kind::HttpRoute, "web", kind::PARTIALLY_INVALID);
    assert_eq!(partially, (true, reasons::UNSUPPORTED_VALUE));
    assert_eq!(
        resolution.problems[0].field,
        "spec.rules[0].matches[1].path.value"
    );
}

/// Envoy would refuse the routes of the whole port for it.
#[test]
fn an_expression_that_only_envoy_does_not_know_refuses_its_rule() {
    let foreign = "{ headers: [{ name: x, type: RegularExpression, value: '(?x) a' }] }";
    let resolution = served(&(active() + &route("name: web", "", &[foreign])));
    assert_eq!(
        resolution.problems[0].field,
        "spec.rules[0].matches[0].headers[0].value"
    );
    assert!(resolution.problems[0].message.contains("RE2"));
}

#[test]
fn what_a_rule_asks_for_and_cannot_have_is_refused() {
    let unsupported = [
        (
            "filters: [{ type: RequestHeaderModifier, requestHeaderModifier: { remove: [x] } }]",
            "filters[0]",
        ),
        ("sessionPersistence: { type: Cookie }", "sessionPersistence"),
        ("retry: { backoff: 0s }", "retry.backoff"),
    ];
    for (field, path) in unsupported {
        let web = route("name: web", "", &["{ path: { value: / } }"])
            .replace("{ matches:", &format!("{{ {field}, matches:"));
        let resolution = served(&(active() + &web));
        assert_eq!(
            resolution.action(),
            &Action::Respond { status: 500 },
            "{field}"
        );
        let accepted = resolution.condition(Kind::HttpRoute, "web", kind::ACCEPTED);
        assert_eq!(accepted, (false, reasons::UNSUPPORTED_VALUE), "{field}");
        assert_eq!(
            resolution.problems[0].field,
            format!("spec.rules[0].{path}")
        );
    }
}

#[test]
fn timeouts_are_those_of_the_rule() {
    let web = route("name: web", "", &["{ path: { value: / } }"]).replace(
        "{ matches:",
        "{ timeouts: { request: 10s, backendRequest: 500ms }, matches:",
    );
    let resolution = served(&(active() + &web));
    let forward = resolution.forward();
    assert_eq!(
        forward.timeout.map(|timeout| timeout.as_millis()),
        Some(10_000)
    );
    assert_eq!(
        forward
            .retry
            .per_try_timeout
            .map(|timeout| timeout.as_millis()),
        Some(500)
    );
    let unlimited = web.replace("10s", "0s").replace("500ms", "0s");
    let resolution = served(&(active() + &unlimited));
    assert_eq!(
        resolution
            .forward()
            .timeout
            .map(|timeout| timeout.as_millis()),
        Some(0)
    );
    assert_eq!(resolution.forward().retry.per_try_timeout, None);
}

const TWO_LISTENERS: &str = "[{ name: any, protocol: HTTP, port: 80 }, \
    { name: narrow, protocol: HTTP, port: 80, hostname: a.example.com }]";

#[test]
fn a_host_belongs_to_the_most_specific_listener_on_its_port() {
    let gateway = GATEWAY.replace("[{ name: http, protocol: HTTP, port: 80 }]", TWO_LISTENERS);
    let any = route(
        "name: any",
        "a.example.com, b.example.com",
        &["{ path: { value: /any } }"],
    )
    .replace("{ name: eg }", "{ name: eg, sectionName: any }");
    let narrow = route("name: narrow", "", &["{ path: { value: /narrow } }"])
        .replace("{ name: eg }", "{ name: eg, sectionName: narrow }");
    let resolution = resolved(&(gateway + &active() + &any + &narrow));
    assert_eq!(order(&resolution, "a.example.com"), ["narrow 0.0"]);
    assert_eq!(order(&resolution, "b.example.com"), ["any 0.0"]);
}

#[test]
fn a_listener_without_routes_still_keeps_wider_ones_from_its_host() {
    let gateway = GATEWAY.replace("[{ name: http, protocol: HTTP, port: 80 }]", TWO_LISTENERS);
    let any = route("name: any", "", &["{ path: { value: / } }"])
        .replace("{ name: eg }", "{ name: eg, sectionName: any }");
    let resolution = resolved(&(gateway + &active() + &any));
    assert_eq!(order(&resolution, "*"), ["any 0.0"]);
    assert_eq!(order(&resolution, "a.example.com"), Vec::<String>::new());
}

#[test]
fn a_listener_named_twice_gets_a_route_once() {
    let yaml = format!(
        "{GATEWAY}{}{}",
        active(),
        route("name: web", "", &["{ path: { value: / } }"])
    );
    let resolution = resolved_after(&yaml, |object| {
        if let Object::HttpRoute(route) = object {
            let parents = Arc::make_mut(route)
                .spec
                .parent_refs
                .get_or_insert_default();
            parents.push(parents[0].clone());
        }
    });
    assert_eq!(order(&resolution, "*"), ["web 0.0"]);
}

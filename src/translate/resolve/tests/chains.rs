//! A chain never turns into a split, whatever becomes of its members.

use super::super::fixture::{backend, ip, route, rule, served, service, slice};
use crate::model::{Action, Health};
use crate::resource::Kind;
use crate::status::reasons::{self, kind};

const ACTIVE: &str = "Ip(10.0.0.1:3000)";
const PASSIVE: &str = "Ip(10.0.0.2:3000)";

fn pair() -> String {
    ip("active", "10.0.0.1", false) + &ip("passive", "10.0.0.2", true)
}

#[test]
fn a_fallback_backend_stands_by_whatever_its_place_in_the_rule() {
    let resolution = served(&(pair() + &route("web", &rule(&["passive", "active"]))));
    assert_eq!(resolution.tiers(), [[ACTIVE], [PASSIVE]]);
    assert_eq!(resolution.forward().chain.0, "default/active>passive");
    assert_eq!(resolution.problems, []);
}

#[test]
fn names_and_addresses_in_one_rule_are_still_tiers() {
    let named = backend(
        "passive",
        "fallback: true, endpoints: [{ fqdn: { hostname: dr.example.com, port: 80 } }]",
    );
    let yaml =
        service("web", &["10.0.1.1"]) + &named + &route("web", &rule(&["web:80", "passive"]));
    let resolution = served(&yaml);
    assert_eq!(
        resolution.tiers(),
        [["Ip(10.0.1.1:8080)"], ["Name(\"dr.example.com\", 80)"]]
    );
    assert_eq!(resolution.forward().failing_millionths, 0);
}

#[test]
fn a_rule_with_fallback_backends_only_serves_them_first() {
    let resolution = served(&(pair() + &route("web", &rule(&["passive"]))));
    assert_eq!(resolution.tiers(), [[PASSIVE]]);
}

#[test]
fn weight_counts_within_a_tier_and_zero_leaves_a_reference_out() {
    let yaml = pair()
        + &ip("other", "10.0.0.3", false)
        + &route("web", &rule(&["active*3", "other*0", "passive"]));
    let resolution = served(&yaml);
    assert_eq!(resolution.tiers(), [[ACTIVE], [PASSIVE]]);
    assert_eq!(resolution.forward().chain.0, "default/active*3>passive");
    assert_eq!(
        resolution.chain("default/active*3>passive").tiers[0].members[0].weight,
        3
    );
}

#[test]
fn a_missing_standby_takes_nothing_from_the_active_one() {
    let yaml = ip("active", "10.0.0.1", false) + &route("web", &rule(&["active", "passive"]));
    let resolution = served(&yaml);
    assert_eq!(resolution.tiers(), [vec![ACTIVE], vec![]]);
    assert_eq!(resolution.forward().failing_millionths, 0);
    let resolved = resolution.condition(Kind::HttpRoute, "web", kind::RESOLVED_REFS);
    assert_eq!(resolved, (false, reasons::BACKEND_NOT_FOUND));
    let accepted = resolution.condition(Kind::HttpRoute, "web", kind::ACCEPTED);
    assert_eq!(accepted, (true, reasons::ACCEPTED));
    assert_eq!(
        resolution.reasons(),
        [
            reasons::BACKEND_NOT_FOUND,
            reasons::STANDBY_WITHOUT_ENDPOINTS
        ]
    );
}

#[test]
fn a_missing_active_backend_leaves_everything_to_the_standby() {
    let yaml = ip("passive", "10.0.0.2", true) + &route("web", &rule(&["active", "passive"]));
    let resolution = served(&yaml);
    assert_eq!(resolution.tiers(), [vec![], vec![PASSIVE]]);
    assert_eq!(resolution.forward().failing_millionths, 0);
    // It keeps its name, so that its return is an update of the same cluster.
    assert_eq!(resolution.forward().chain.0, "default/active>passive");
}

#[test]
fn an_invalid_active_backend_leaves_everything_to_the_standby() {
    let yaml = backend("active", "appProtocols: []")
        + &ip("passive", "10.0.0.2", true)
        + &route("web", &rule(&["active", "passive"]));
    let resolution = served(&yaml);
    assert_eq!(resolution.tiers(), [vec![], vec![PASSIVE]]);
    assert_eq!(resolution.forward().failing_millionths, 0);
}

#[test]
fn a_backend_whose_tls_cannot_be_had_is_failed_never_spoken_to_without() {
    let tls = "endpoints: [{ ip: { address: 10.0.0.1, port: 443 } }], tls: {}";
    let yaml = backend("active", tls)
        + &ip("passive", "10.0.0.2", true)
        + &route("web", &rule(&["active", "passive"]));
    let resolution = served(&yaml);
    assert_eq!(resolution.tiers(), [vec![], vec![PASSIVE]]);
    let accepted = resolution.condition(Kind::Backend, "active", kind::ACCEPTED);
    assert_eq!(accepted, (false, reasons::INVALID));
}

#[test]
fn an_active_service_without_endpoints_is_an_empty_first_tier() {
    let yaml = service("web", &[])
        + &ip("passive", "10.0.0.2", true)
        + &route("web", &rule(&["web:80", "passive"]));
    let resolution = served(&yaml);
    assert_eq!(resolution.tiers(), [vec![], vec![PASSIVE]]);
    let resolved = resolution.condition(Kind::HttpRoute, "web", kind::RESOLVED_REFS);
    assert_eq!(resolved, (true, reasons::RESOLVED_REFS));
}

#[test]
fn an_invalid_reference_in_a_rule_of_one_tier_keeps_its_share_of_500() {
    let yaml = ip("active", "10.0.0.1", false) + &route("web", &rule(&["active*3", "gone:80*1"]));
    let resolution = served(&yaml);
    assert_eq!(resolution.forward().failing_millionths, 250_000);
    assert_eq!(resolution.tiers(), [[ACTIVE]]);
}

#[test]
fn an_invalid_reference_beside_a_standby_has_no_share() {
    let yaml = pair() + &route("web", &rule(&["active", "gone:80", "passive"]));
    let resolution = served(&yaml);
    assert_eq!(resolution.forward().failing_millionths, 0);
    assert_eq!(resolution.tiers(), [[ACTIVE], [PASSIVE]]);
}

#[test]
fn a_rule_without_any_valid_reference_answers_500() {
    for references in [&["gone:80", "missing"][..], &["active*0"], &[]] {
        let yaml = pair() + &route("web", &rule(references));
        let resolution = served(&yaml);
        assert_eq!(
            resolution.action(),
            &Action::Respond { status: 500 },
            "{references:?}"
        );
        assert_eq!(resolution.gateway().chains.len(), 0);
    }
}

#[test]
fn a_rule_without_references_is_accepted_and_resolved() {
    let resolution = served(&route("web", "{ matches: [{ path: { value: /a } }] }"));
    assert_eq!(resolution.action(), &Action::Respond { status: 500 });
    let route = |of| resolution.condition(Kind::HttpRoute, "web", of).0;
    assert!(route(kind::ACCEPTED) && route(kind::RESOLVED_REFS));
}

#[test]
fn a_valid_chain_without_endpoints_is_left_to_envoys_503() {
    let yaml = service("web", &[]) + &route("web", &rule(&["web:80"]));
    let resolution = served(&yaml);
    assert_eq!(resolution.tiers(), [Vec::<String>::new()]);
    let available = resolution.condition(Kind::HttpRoute, "web", kind::BACKENDS_AVAILABLE);
    assert_eq!(available, (false, reasons::ENDPOINTS_NOT_FOUND));
}

#[test]
fn unready_endpoints_keep_their_place_in_the_tier() {
    let endpoints = "[{ addresses: [10.0.1.1], conditions: { ready: false } }, \
                      { addresses: [10.0.1.2], conditions: { ready: false, serving: true, terminating: true } }, \
                      { addresses: [10.0.1.3], conditions: { ready: true } }]";
    let yaml = service("web", &[]).replace("endpoints: []", &format!("endpoints: {endpoints}"))
        + &route("web", &rule(&["web:80"]));
    let resolution = served(&yaml);
    let health: Vec<Health> = resolution.chain("default/Service/web:80").tiers[0].members[0]
        .endpoints
        .iter()
        .map(|endpoint| endpoint.health)
        .collect();
    assert_eq!(
        health,
        [Health::Unhealthy, Health::Draining, Health::Unknown]
    );
}

#[test]
fn an_address_in_two_slices_is_one_endpoint() {
    let second = slice("web", "[{ addresses: [10.0.1.1] }]").replace("web-1", "web-2");
    let yaml = service("web", &["10.0.1.1"]) + &second + &route("web", &rule(&["web:80"]));
    assert_eq!(served(&yaml).tiers(), [["Ip(10.0.1.1:8080)"]]);
}

#[test]
fn a_member_that_speaks_another_protocol_than_its_tier_is_refused() {
    let h2c = "appProtocols: [gateway.envoyproxy.io/h2c], endpoints: [{ ip: { address: 10.0.0.3, port: 3000 } }]";
    let yaml =
        pair() + &backend("other", h2c) + &route("web", &rule(&["active*2", "other", "passive"]));
    let resolution = served(&yaml);
    assert_eq!(resolution.tiers(), [[ACTIVE], [PASSIVE]]);
    assert_eq!(resolution.reasons(), [reasons::UNSUPPORTED_PROTOCOL_MIX]);
}

#[test]
fn a_unix_socket_beside_a_name_is_refused() {
    let socket = "endpoints: [{ unix: { path: /run/a.sock } }]";
    let name = "endpoints: [{ fqdn: { hostname: a.example.com, port: 80 } }]";
    let yaml = pair()
        + &backend("socket", socket)
        + &backend("name", name)
        + &route("web", &rule(&["socket", "name", "passive"]))
        + &route("apart", &rule(&["socket", "passive"]));
    let resolution = served(&yaml);
    assert_eq!(resolution.reasons(), [reasons::UNSUPPORTED_ADDRESS_MIX]);
    let chain = resolution.chain("default/socket,name>passive");
    let endpoints: Vec<usize> = (chain.tiers.iter().flat_map(|tier| &tier.members))
        .map(|member| member.endpoints.len())
        .collect();
    assert_eq!(endpoints, [0, 1, 1]);
}

#[test]
fn rules_with_the_same_members_and_policy_share_a_chain() {
    let yaml = pair()
        + &route("one", &rule(&["active", "passive"]))
        + &route("two", &rule(&["active", "passive"]))
        + &route("three", &rule(&["active"]));
    let resolution = served(&yaml);
    let names: Vec<&str> = resolution
        .gateway()
        .chains
        .keys()
        .map(|name| name.0.as_str())
        .collect();
    assert_eq!(names, ["default/active", "default/active>passive"]);
    let owners = &resolution.chain("default/active>passive").owners;
    let routes = owners
        .iter()
        .filter(|owner| owner.kind == Kind::HttpRoute)
        .count();
    assert_eq!(routes, 2);
}

#[test]
fn an_endpoint_that_stands_in_for_itself_is_a_warning() {
    let yaml = ip("active", "10.0.0.1", false)
        + &ip("passive", "10.0.0.1", true)
        + &route("web", &rule(&["active", "passive"]));
    assert_eq!(served(&yaml).reasons(), [reasons::ENDPOINT_IN_TWO_TIERS]);
}

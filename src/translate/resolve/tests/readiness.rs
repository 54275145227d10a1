//! FailoverReady: what a route says of its standbys.

use super::super::fixture::{
    GATEWAY, failover, ip, options, policy, resolved, route, rule, service, store,
};
use super::super::{Resolution, resolve};
use crate::resource::{Key, Kind};
use crate::status::reasons::{self, kind};
use crate::status::{Condition, StatusBody};
use crate::translate::{GatewayAddresses, Options, read::Reader};

/// What route `web` over these references says; nothing where it says nothing.
fn ready(references: &[&str], objects: &str) -> Option<Condition> {
    let route = route("web", &rule(references));
    said(&resolved(&format!("{GATEWAY}{objects}{route}")))
}

fn said(resolution: &Resolution) -> Option<Condition> {
    let mut bodies = resolution
        .statuses
        .iter()
        .filter(|(key, _)| key.kind == Kind::HttpRoute)
        .map(|(_, status)| &status.body);
    let Some(StatusBody::Route(parents)) = bodies.next() else {
        panic!("a route's status");
    };
    let mut conditions = parents[0].conditions.iter();
    conditions
        .find(|condition| condition.kind == kind::FAILOVER_READY)
        .cloned()
}

fn active() -> String {
    ip("active", "10.0.0.1", false)
}

fn passive() -> String {
    ip("passive", "10.0.0.2", true)
}

/// A Backend that stands by and means Service `standby`.
fn passive_service() -> String {
    passive().replace(
        "ip: { address: 10.0.0.2, port: 3000 }",
        "fqdn: { hostname: standby.default.svc.cluster.local, port: 80 }",
    )
}

#[test]
fn a_chain_whose_standby_has_endpoints_is_ready() {
    let condition = ready(&["active", "passive"], &(active() + &passive())).expect("said");
    assert_eq!((condition.holds, condition.reason), (true, reasons::READY));
}

#[test]
fn without_a_standby_nothing_is_said() {
    assert_eq!(ready(&["active"], &active()), None);
}

#[test]
fn a_standby_that_could_not_serve_is_named() {
    let unready = service("standby", &["10.0.1.1"]).replace(
        "{ addresses: [10.0.1.1] }",
        "{ addresses: [10.0.1.1], conditions: { ready: false } }",
    );
    let empty = service("standby", &[]);
    for standby in [
        String::new(),
        passive_service() + &empty,
        passive_service() + &unready,
    ] {
        let condition = ready(&["active", "passive"], &(active() + &standby)).expect("said");
        assert!(!condition.holds, "{standby}");
        assert_eq!(condition.reason, reasons::STANDBY_WITHOUT_ENDPOINTS);
        assert!(
            condition.message.contains("(Backend default/passive)"),
            "{condition:?}"
        );
    }
}

#[test]
fn a_standby_that_serves_already_has_nothing_behind_it() {
    let empty = active().replace(
        "ip: { address: 10.0.0.1, port: 3000 }",
        "fqdn: { hostname: web.default.svc.cluster.local, port: 80 }",
    ) + &service("web", &[]);
    let condition = ready(&["active", "passive"], &(empty + &passive())).expect("said");
    assert_eq!(condition.reason, reasons::ACTIVE_WITHOUT_ENDPOINTS);
}

#[test]
fn a_standby_whose_service_does_not_exist_is_not_ready_in_a_cluster() {
    let route = route("web", &rule(&["active", "passive"]));
    let text = format!("{GATEWAY}{}{}{route}", active(), passive_service());
    let options = Options {
        addresses: GatewayAddresses::Services,
        ..options()
    };
    let store = store(&text);
    let condition = said(&resolve(&Reader::new(&store), &options)).expect("said");
    assert_eq!(condition.reason, reasons::STANDBY_WITHOUT_ENDPOINTS);
    let words = "Service default/standby does not exist";
    assert!(condition.message.contains(words), "{condition:?}");
}

#[test]
fn a_policy_that_keeps_the_standby_from_taking_over_is_named_by_every_route_of_the_chain() {
    let off = policy(
        "never",
        "kind: Gateway, name: eg",
        "healthCheck: { passive: { consecutive5XxErrors: 0 } }",
    );
    let chain = active() + &passive() + &off;
    let first = route("a-first", &rule(&["active", "passive"]));
    for more in [String::new(), first] {
        let condition = ready(&["active", "passive"], &(chain.clone() + &more)).expect("said");
        assert!(!condition.holds);
        assert_eq!(condition.reason, reasons::DETECTION_OFF);
    }
}

#[test]
fn a_condition_names_the_codes() {
    let low = policy(
        "low",
        "kind: HTTPRoute, name: web",
        "healthCheck: { passive: { maxEjectionPercent: 10 } }\n  retry: { numRetries: 0 }",
    );
    let condition = ready(&["active", "passive"], &(active() + &passive() + &low)).expect("said");
    assert_eq!(condition.reason, reasons::EJECTION_LIMIT_TOO_LOW);
    let message = &condition.message;
    assert!(message.starts_with("LOC202: "), "{message}");
    assert!(message.contains(" LOC301: "), "{message}");
}

#[test]
fn a_policy_says_of_the_chains_that_it_orders_whether_they_are_ready() {
    let tiers: &[(&str, &[&str])] = &[("a", &["active"]), ("b", &["passive"])];
    let rules = [
        rule(&["active", "passive"]).replacen('{', "{ name: first, ", 1),
        rule(&["active", "last"]).replacen('{', "{ matches: [{ path: { value: /b } }], ", 1),
    ];
    let said_for = |standby: &str, last: &str| {
        let yaml = active()
            + standby
            + last
            + &route("web", &rules.join(", "))
            + &failover("order", "name: web, sectionName: first", tiers, "");
        let resolution = resolved(&format!("{GATEWAY}{yaml}"));
        [(Kind::HttpRoute, "web"), (Kind::FailoverPolicy, "order")]
            .map(|(kind, name)| resolution.condition(kind, name, kind::FAILOVER_READY))
    };
    let well = ip("last", "10.0.0.3", true);
    let missing = String::new();
    let ready = (true, reasons::READY);
    let not_ready = (false, reasons::STANDBY_WITHOUT_ENDPOINTS);
    assert_eq!(said_for(&passive(), &well), [ready, ready]);
    // The other rule is the route's matter, not the policy's.
    assert_eq!(said_for(&passive(), &missing), [not_ready, ready]);
    let empty = passive_service() + &service("standby", &[]);
    assert_eq!(said_for(&empty, &well), [not_ready, not_ready]);
}

#[test]
fn a_policy_over_one_tier_says_nothing_of_failing_over() {
    let yaml = active()
        + &route("web", &rule(&["active"]))
        + &failover("order", "name: web", &[("a", &["active"])], "");
    let resolution = resolved(&format!("{GATEWAY}{yaml}"));
    let key = Key::new(Kind::FailoverPolicy, "default", "order");
    let StatusBody::Policy(ancestors) = &resolution.statuses[&key].body else {
        panic!("a policy's status");
    };
    let mut conditions = ancestors.iter().flat_map(|ancestor| &ancestor.conditions);
    assert!(conditions.all(|condition| condition.kind == kind::ACCEPTED));
}

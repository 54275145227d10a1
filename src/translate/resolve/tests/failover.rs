//! FailoverPolicies: which order holds for a rule, and what is refused.

use jiff::Timestamp;

use super::super::fixture::{
    GATEWAY, backend, failover, ip, options, policy, route, rule, served, service, store,
};
use super::super::resolve;
use crate::model::Switch;
use crate::resource::Kind;
use crate::status::StatusBody;
use crate::status::reasons::{self, kind};
use crate::store::Change;
use crate::translate::read::Reader;

const ONE: &str = "Ip(10.0.0.1:3000)";
const TWO: &str = "Ip(10.0.0.2:3000)";
const WEB: &str = "Ip(10.0.1.1:8080)";

/// Two Backends, the second of which stands by, and a Service.
fn three() -> String {
    ip("one", "10.0.0.1", false) + &ip("two", "10.0.0.2", true) + &service("web", &["10.0.1.1"])
}

fn accepted(resolution: &super::super::Resolution, name: &str) -> (bool, &'static str) {
    resolution.condition(Kind::FailoverPolicy, name, kind::ACCEPTED)
}

#[test]
fn a_policy_orders_any_backends_in_any_number_of_tiers() {
    let tiers: &[(&str, &[&str])] = &[("a", &["two"]), ("b", &["web:80"]), ("c", &["one"])];
    let yaml = three()
        + &route("web", &rule(&["one", "two", "web:80"]))
        + &failover("order", "name: web", tiers, "");
    let resolution = served(&yaml);
    assert_eq!(resolution.tiers(), [[TWO], [WEB], [ONE]]);
    let name = &resolution.forward().chain.0;
    assert_eq!(name, "default/one,two,Service/web:80+order");
    assert_eq!(accepted(&resolution, "order"), (true, reasons::ACCEPTED));
    assert!(resolution.reasons().is_empty());
}

#[test]
fn what_no_tier_names_is_first_or_stands_by() {
    let yaml = three()
        + &ip("three", "10.0.0.3", false)
        + &route("web", &rule(&["one", "two", "web:80", "three", "gone"]))
        + &failover(
            "order",
            "name: web",
            &[("a", &["web:80"]), ("b", &["one"])],
            "",
        );
    let tiers = served(&yaml).tiers();
    assert_eq!(tiers, [[WEB, "Ip(10.0.0.3:3000)"], [ONE, TWO]]);
}

#[test]
fn one_tier_and_a_fallback_that_it_does_not_name_are_two() {
    let yaml = three()
        + &route("web", &rule(&["one", "two"]))
        + &failover("order", "name: web", &[("a", &["one"])], "");
    assert_eq!(served(&yaml).tiers(), [[ONE], [TWO]]);
}

#[test]
fn a_tier_whose_backends_have_no_weight_keeps_its_place() {
    let yaml = three()
        + &route("web", &rule(&["one", "web:80*0", "two"]))
        + &failover(
            "order",
            "name: web",
            &[("a", &["web:80"]), ("b", &["one"]), ("c", &["two"])],
            "",
        );
    let none: Vec<String> = Vec::new();
    assert_eq!(
        served(&yaml).tiers(),
        [none, vec![ONE.into()], vec![TWO.into()]]
    );
}

#[test]
fn the_same_backend_is_first_on_one_route_and_stands_by_on_another() {
    let yaml = three()
        + &route("here", &rule(&["one", "web:80"]))
        + &route("there", &rule(&["one", "web:80"]))
        + &failover(
            "here",
            "name: here",
            &[("a", &["one"]), ("b", &["web:80"])],
            "",
        )
        + &failover(
            "there",
            "name: there",
            &[("a", &["web:80"]), ("b", &["one"])],
            "",
        );
    let resolution = served(&yaml);
    let chains: Vec<_> = resolution
        .gateway()
        .chains
        .iter()
        .map(|(name, chain)| (name.0.as_str(), chain.tiers[0].members[0].name.as_str()))
        .collect();
    assert_eq!(
        chains,
        [
            ("default/one,Service/web:80+here", "Backend/default/one"),
            ("default/one,Service/web:80+there", "Service/default/web:80"),
        ]
    );
}

#[test]
fn a_policy_that_does_not_fit_does_nothing() {
    for (tiers, said) in [
        (
            vec![("a", vec!["other"])],
            "none of the backendRefs of rule 0",
        ),
        (
            vec![("a", vec!["web:81"])],
            "none of the backendRefs of rule 0",
        ),
        (
            vec![("a", vec!["one"]), ("b", vec!["two", "one"])],
            "named twice: in tier a and in tier b",
        ),
    ] {
        let tiers: Vec<(&str, &[&str])> = tiers
            .iter()
            .map(|(name, references)| (*name, references.as_slice()))
            .collect();
        let yaml = three()
            + &route("web", &rule(&["one", "two", "web:80"]))
            + &failover("order", "name: web", &tiers, "");
        let resolution = served(&yaml);
        assert_eq!(accepted(&resolution, "order"), (false, reasons::INVALID));
        assert_eq!(
            resolution.forward().chain.0,
            "default/one,Service/web:80>two"
        );
        let problem = &resolution.problems[0];
        assert!(problem.message.contains(said), "{}", problem.message);
        assert!(
            problem.field.starts_with("spec.tiers["),
            "{}",
            problem.field
        );
    }
}

#[test]
fn a_rules_own_policy_holds_before_that_of_the_route_which_need_not_fit_it() {
    let named = "{ name: own, backendRefs: [{ name: web, port: 80 }], \
                 matches: [{ path: { value: /own } }] }";
    let rules = format!("{}, {named}", rule(&["one", "two"]));
    let yaml = three()
        + &route("web", &rules)
        + &failover(
            "own",
            "name: web, sectionName: own",
            &[("a", &["web:80"])],
            "",
        )
        + &failover(
            "whole",
            "name: web",
            &[("a", &["two"]), ("b", &["one"])],
            "",
        );
    let resolution = served(&yaml);
    let chains: Vec<_> = resolution.gateway().chains.keys().collect();
    assert_eq!(chains[0].0, "default/Service/web:80+own");
    assert_eq!(chains[1].0, "default/one,two+whole");
    assert!(accepted(&resolution, "own").0 && accepted(&resolution, "whole").0);
}

#[test]
fn of_two_policies_for_one_route_the_oldest_holds() {
    let tiers: &[(&str, &[&str])] = &[("a", &["two"]), ("b", &["one"])];
    let dated = |name: &str, year: u16| {
        let metadata = format!("name: {name}, creationTimestamp: \"{year}-01-01T00:00:00Z\"");
        failover(name, "name: web", tiers, "").replace(
            &format!("metadata: {{ name: {name} }}"),
            &format!("metadata: {{ {metadata} }}"),
        )
    };
    let yaml = three()
        + &route("web", &rule(&["one", "two"]))
        + &dated("a-newer", 2025)
        + &dated("b-older", 2024);
    let resolution = served(&yaml);
    assert_eq!(resolution.forward().chain.0, "default/one,two+b-older");
    assert_eq!(
        accepted(&resolution, "a-newer"),
        (false, reasons::CONFLICTED)
    );
    assert_eq!(accepted(&resolution, "b-older"), (true, reasons::ACCEPTED));
}

#[test]
fn a_rule_or_route_that_is_not_there_is_said() {
    let tiers: &[(&str, &[&str])] = &[("a", &["one"])];
    let yaml = three()
        + &route("web", &rule(&["one"]))
        + &failover("rule", "name: web, sectionName: none", tiers, "")
        + &failover("route", "name: none", tiers, "");
    let resolution = served(&yaml);
    assert_eq!(
        accepted(&resolution, "rule"),
        (false, reasons::TARGET_NOT_FOUND)
    );
    assert_eq!(resolution.reasons(), [reasons::TARGET_NOT_FOUND]);
    assert_eq!(resolution.problems.len(), 2);
}

#[test]
fn spilling_is_a_chains_own() {
    let tiers: &[(&str, &[&str])] = &[("a", &["one"]), ("b", &["two"])];
    let yaml = three()
        + &route("web", &rule(&["one", "two"]))
        + &failover("order", "name: web", tiers, "mode: Spill\n  threshold: 70")
        + &policy(
            "watch",
            "kind: HTTPRoute, name: web",
            "timeout: { http: { requestTimeout: 2s } }",
        );
    let resolution = served(&yaml);
    let chain = resolution.chain("default/one,two@watch+order");
    assert_eq!(chain.switch, Switch::Spill { threshold: 70 });
}

#[test]
fn tiers_of_names_are_apart_under_a_policy() {
    let name = |name: &str, fallback: bool| {
        let endpoint = format!("{{ fqdn: {{ hostname: {name}.example.com, port: 80 }} }}");
        backend(
            name,
            &format!("fallback: {fallback}, endpoints: [{endpoint}]"),
        )
    };
    let yaml =
        name("north", false) + &name("south", true) + &route("web", &rule(&["north", "south"]));
    assert!(!served(&yaml).chain("default/north>south").tiers_apart);
    let yaml = yaml
        + &failover(
            "order",
            "name: web",
            &[("a", &["south"]), ("b", &["north"])],
            "",
        );
    assert!(served(&yaml).chain("default/north,south+order").tiers_apart);
}

#[test]
fn three_tiers_are_apart() {
    let of = |tiers: &[(&str, &[&str])]| {
        let yaml = three()
            + &route("web", &rule(&["one", "two", "web:80"]))
            + &failover("order", "name: web", tiers, "");
        let chain = "default/one,two,Service/web:80+order";
        served(&yaml).chain(chain).tiers_apart
    };
    assert!(!of(&[("a", &["one", "web:80"]), ("b", &["two"])]));
    assert!(of(&[("a", &["one"]), ("b", &["two"]), ("c", &["web:80"])]));
}

const PAIR: &[(&str, &[&str])] = &[("a", &["one"]), ("b", &["two"])];

#[test]
fn a_pin_holds_until_its_time_has_come() {
    let pin = "pin: { tier: b, until: \"2026-01-02T03:04:05Z\", reason: a trial }";
    let yaml = three()
        + &route("web", &rule(&["one", "two"]))
        + &failover("order", "name: web", PAIR, pin);
    let mut store = store(&format!("{GATEWAY}---\n{yaml}"));
    let until: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let early: Timestamp = "2026-01-02T03:04:04Z".parse().unwrap();
    for (come, pinned, said) in [
        (
            early,
            Some(1),
            "Tier b is preferred until 2026-01-02T03:04:05Z: a trial.",
        ),
        (
            until,
            None,
            "The pin to tier b ended at 2026-01-02T03:04:05Z: a trial.",
        ),
    ] {
        store.apply(Change::Passed(come));
        let resolution = resolve(&Reader::new(&store), &options());
        let chain = resolution.chain("default/one,two+order");
        assert_eq!(chain.pinned, pinned);
        let status = &resolution.statuses
            [&crate::resource::Key::new(Kind::FailoverPolicy, "default", "order")];
        let StatusBody::Policy(ancestors) = &status.body else {
            panic!("a policy's status");
        };
        let message = &ancestors[0].conditions[0].message;
        assert!(message.ends_with(said), "{message}");
    }
}

#[test]
fn a_drained_tier_is_no_standby_that_could_take_over() {
    let yaml = three() + &route("web", &rule(&["one", "two"]));
    let ready = |policy: &str| {
        let resolution = served(&(yaml.clone() + policy));
        resolution.condition(Kind::HttpRoute, "web", kind::FAILOVER_READY)
    };
    let whole = failover("order", "name: web", PAIR, "");
    assert_eq!(ready(&whole), (true, reasons::READY));
    for tier in ["a", "b"] {
        let name = format!("name: {tier}, backendRefs");
        let drained = whole.replace(&name, &format!("drain: true, {name}"));
        assert_eq!(ready(&drained), (false, reasons::TIER_DRAINED), "{tier}");
    }
}

#[test]
fn tiers_that_are_all_drained_are_a_warning() {
    let yaml = three() + &route("web", &rule(&["one", "two"]));
    let all =
        failover("order", "name: web", PAIR, "").replace("name: a, ", "drain: true, name: a, ");
    assert!(served(&(yaml.clone() + &all)).reasons().is_empty());
    let all = all.replace("name: b, ", "drain: true, name: b, ");
    assert_eq!(served(&(yaml + &all)).reasons(), [reasons::NOTHING_SERVES]);
}

#[test]
fn a_target_that_a_policy_names_twice_is_its_own() {
    let yaml = three() + &route("web", &rule(&["one", "two"]));
    let order = failover("order", "name: web", PAIR, "");
    let target = order
        .split_once("targetRefs: [")
        .and_then(|(_, rest)| rest.split_once(']'))
        .expect("its target")
        .0;
    let twice = order.replace(target, &format!("{target}, {target}"));
    let resolution = served(&(yaml + &twice));
    assert!(
        resolution.reasons().is_empty(),
        "{:?}",
        resolution.reasons()
    );
    assert_eq!(accepted(&resolution, "order"), (true, reasons::ACCEPTED));
}

#[test]
fn a_connect_timeout_of_nothing_is_refused() {
    let order = failover("order", "name: web", PAIR, "").replace(
        "name: b, backendRefs",
        "connectTimeout: 0s, name: b, backendRefs",
    );
    let resolution = served(&(three() + &route("web", &rule(&["one", "two"])) + &order));
    assert_eq!(accepted(&resolution, "order"), (false, reasons::INVALID));
    assert_eq!(resolution.problems[0].field, "spec.tiers[1].connectTimeout");
    assert_eq!(resolution.forward().chain.0, "default/one>two");
}

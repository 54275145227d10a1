//! Warnings: each finding of a chain that cannot fail over, or not as meant, on the object and the
//! field where it is mended.

mod detection;

use super::super::Resolution;
use super::super::fixture::{failover, ip, policy, route, rule, served, service};
use crate::problem::{Problem, Severity, codes};
use crate::resource::{Kind, ObjectName};
use crate::status::reasons::{self, kind};

const ROUTE: &str = "kind: HTTPRoute, name: web";
const GATEWAY: &str = "kind: Gateway, name: eg";
/// What says of a policy all that is asked of it.
const PASSIVE: &str = "healthCheck: { passive: { maxEjectionPercent: 100 } }";

/// What is made of a route over `active` and `passive`, and more.
fn with(more: &str) -> Resolution {
    let chain = ip("active", "10.0.0.1", false) + &ip("passive", "10.0.0.2", true);
    served(&(chain + &route("web", &rule(&["active", "passive"])) + more))
}

/// The same with a policy of the route.
fn under(spec: &str) -> Resolution {
    with(&policy("p", ROUTE, spec))
}

/// The one problem with a reason.
fn the<'r>(resolution: &'r Resolution, reason: &str) -> &'r Problem {
    let found = resolution.found(reason);
    let [found] = found.as_slice() else {
        panic!("{reason} in {:#?}", resolution.problems);
    };
    assert!(codes::in_table(reason).is_some());
    found
}

/// Severity, kind of the object and field of the one problem with a reason, which has a mend.
fn place<'r>(resolution: &'r Resolution, reason: &str) -> (Severity, Kind, &'r str) {
    let found = the(resolution, reason);
    assert!(found.mend.ends_with('.'), "{found:?}");
    (found.severity, found.object.kind, &found.field)
}

fn is_ready(resolution: &Resolution) -> bool {
    let (holds, _) = resolution.condition(Kind::HttpRoute, "web", kind::FAILOVER_READY);
    holds
}

#[test]
fn a_chain_under_the_defaults_is_ready() {
    for resolution in [with(""), under(PASSIVE)] {
        assert!(resolution.reasons().is_empty(), "{:?}", resolution.problems);
        assert!(is_ready(&resolution));
    }
}

#[test]
fn retries_that_are_off_or_do_not_reach_the_standby_are_named() {
    let off = reasons::RETRIES_OFF;
    let short = reasons::RETRIES_DO_NOT_REACH_STANDBY;
    let count = "spec.retry.numRetries";
    for (spec, warned) in [
        ("retry: { numRetries: 0 }", Some((off, count))),
        (
            "retry: { numRetries: 1, numAttemptsPerPriority: 2 }",
            Some((short, count)),
        ),
        ("retry: { numRetries: 1, numAttemptsPerPriority: 1 }", None),
        ("retry: { numRetries: 2 }", None),
        (
            "retry: { numRetries: 5, numAttemptsPerPriority: 0 }",
            Some((short, "spec.retry.numAttemptsPerPriority")),
        ),
        (
            "circuitBreaker: { maxParallelRetries: 0 }",
            Some((off, "spec.circuitBreaker.maxParallelRetries")),
        ),
    ] {
        let resolution = under(spec);
        let reasons: Vec<&str> = warned.iter().map(|(reason, _)| *reason).collect();
        assert_eq!(resolution.reasons(), reasons, "{spec}");
        if let Some((reason, field)) = warned {
            let expected = (Severity::Warning, Kind::BackendTrafficPolicy, field);
            assert_eq!(place(&resolution, reason), expected, "{spec}");
        }
        assert_eq!(is_ready(&resolution), warned.is_none());
    }
}

#[test]
fn attempts_of_a_rule_are_named_there_and_not_in_a_policy() {
    let chain = ip("active", "10.0.0.1", false) + &ip("passive", "10.0.0.2", true);
    let other = policy(
        "p",
        ROUTE,
        "retry: { numRetries: 4, numAttemptsPerPriority: 2 }",
    );
    for (attempts, reason) in [(1, Some(reasons::RETRIES_DO_NOT_REACH_STANDBY)), (2, None)] {
        let says = format!("{{ retry: {{ attempts: {attempts} }}, ");
        let rule = rule(&["active", "passive"]).replacen("{ ", &says, 1);
        let resolution = served(&(chain.clone() + &route("web", &rule) + &other));
        assert_eq!(resolution.reasons(), Vec::from_iter(reason), "{attempts}");
        if let Some(reason) = reason {
            let field = "spec.rules[0].retry.attempts";
            let expected = (Severity::Warning, Kind::HttpRoute, field);
            assert_eq!(place(&resolution, reason), expected);
            assert!(!is_ready(&resolution));
        }
    }
}

#[test]
fn attempts_of_a_failover_policy_that_do_not_reach_the_last_tier_are_named_there() {
    let three = ip("active", "10.0.0.1", false)
        + &ip("passive", "10.0.0.2", true)
        + &ip("last", "10.0.0.3", true);
    let tiers: &[(&str, &[&str])] = &[("a", &["active"]), ("b", &["passive"]), ("c", &["last"])];
    for (attempts, warned) in [(3, true), (4, false)] {
        let retry = format!("retry: {{ attempts: {attempts}, nextTier: AfterSameTier }}");
        let yaml = three.clone()
            + &route("web", &rule(&["active", "passive", "last"]))
            + &failover("order", "name: web", tiers, &retry);
        let resolution = served(&yaml);
        let found = resolution.found(reasons::RETRIES_DO_NOT_REACH_STANDBY);
        assert_eq!(found.len(), usize::from(warned), "{attempts}");
        for found in found {
            assert_eq!(found.object.kind, Kind::FailoverPolicy);
            assert_eq!(found.field, "spec.retry.attempts");
            assert!(found.mend.contains("attempts: 4"), "{found:?}");
        }
    }
}

#[test]
fn a_breaker_that_opens_when_a_tier_dies_is_named() {
    for (spec, field) in [
        ("maxParallelRetries: 10", Some("maxParallelRetries")),
        ("maxParallelRetries: 10, maxConnections: 10", None),
        ("maxParallelRetries: 10, maxParallelRequests: 10", None),
        ("maxPendingRequests: 10", Some("maxPendingRequests")),
        ("maxParallelRequests: 5000", None),
        (
            "retryBudget: { percent: { numerator: 20 } }",
            Some("retryBudget.percent"),
        ),
        (
            "retryBudget: { percent: { numerator: 20 }, minRetryConcurrency: 1024 }",
            None,
        ),
    ] {
        let resolution = under(&format!("circuitBreaker: {{ {spec} }}"));
        let reason = reasons::BREAKER_BELOW_RETRIES;
        match field {
            None => assert!(
                resolution.reasons().is_empty(),
                "{spec}: {:?}",
                resolution.reasons()
            ),
            Some(field) => {
                let field = format!("spec.circuitBreaker.{field}");
                let expected = (
                    Severity::Warning,
                    Kind::BackendTrafficPolicy,
                    field.as_str(),
                );
                assert_eq!(place(&resolution, reason), expected, "{spec}");
                assert!(!is_ready(&resolution));
            }
        }
    }
}

#[test]
fn an_endpoint_in_two_tiers_is_named() {
    let yaml = ip("active", "10.0.0.1", false)
        + &ip("passive", "10.0.0.1", true)
        + &route("web", &rule(&["active", "passive"]));
    let resolution = served(&yaml);
    assert_eq!(
        place(&resolution, reasons::ENDPOINT_IN_TWO_TIERS),
        (
            Severity::Warning,
            Kind::HttpRoute,
            "spec.rules[0].backendRefs"
        )
    );
    assert!(!is_ready(&resolution));
}

#[test]
fn a_policy_that_hides_a_wider_ones_detection_is_named() {
    let wide = policy(
        "wide",
        GATEWAY,
        "healthCheck: { passive: { maxEjectionPercent: 100 } }",
    );
    let narrow = |spec: &str| {
        let narrow = policy("narrow", ROUTE, spec);
        with(&format!("{wide}{narrow}"))
    };
    let resolution = narrow("retry: { numRetries: 4 }");
    assert_eq!(
        place(&resolution, reasons::POLICY_OVERRIDDEN),
        (Severity::Warning, Kind::BackendTrafficPolicy, "spec")
    );
    let found = the(&resolution, reasons::POLICY_OVERRIDDEN);
    assert_eq!(found.object.object, ObjectName::new("default", "narrow"));
    let words = "BackendTrafficPolicy default/wide in chain default/active>passive@narrow, of which nothing holds \
                 there: healthCheck of that is lost.";
    assert!(found.message.contains(words), "{}", found.message);
    assert!(found.mend.contains("mergeType: StrategicMerge"));
    assert!(is_ready(&resolution));
    for spec in [
        "mergeType: StrategicMerge\n  retry: { numRetries: 4 }",
        "healthCheck: { passive: { maxEjectionPercent: 100 } }",
    ] {
        let found = narrow(spec);
        assert!(found.found(reasons::POLICY_OVERRIDDEN).is_empty(), "{spec}");
    }
}

#[test]
fn a_policy_of_a_rule_cannot_be_merged_into_that_of_its_route() {
    let rule = rule(&["active", "passive"]).replacen('{', "{ name: first, ", 1);
    let chain = ip("active", "10.0.0.1", false) + &ip("passive", "10.0.0.2", true);
    let yaml = chain
        + &route("web", &rule)
        + &policy("route", ROUTE, "useClientProtocol: true")
        + &policy("rule", &format!("{ROUTE}, sectionName: first"), PASSIVE);
    let resolution = served(&yaml);
    let found = the(&resolution, reasons::POLICY_OVERRIDDEN);
    // Nothing that failing over rests on.
    assert_eq!(found.severity, Severity::Note);
    assert_eq!(found.mend, "Repeat what is to hold.");
}

#[test]
fn a_failover_policy_of_a_route_whose_rules_have_their_own_is_named() {
    let tiers: &[(&str, &[&str])] = &[("a", &["active"]), ("b", &["passive"])];
    let named = rule(&["active", "passive"]).replacen('{', "{ name: first, ", 1);
    let other =
        rule(&["active", "passive"]).replacen('{', "{ matches: [{ path: { value: /b } }], ", 1);
    for (rules, severity) in [
        (named.clone(), Severity::Warning),
        (format!("{named}, {other}"), Severity::Note),
    ] {
        let yaml = ip("active", "10.0.0.1", false)
            + &ip("passive", "10.0.0.2", true)
            + &route("web", &rules)
            + &failover("whole", "name: web", tiers, "")
            + &failover("own", "name: web, sectionName: first", tiers, "");
        let resolution = served(&yaml);
        let found = the(&resolution, reasons::POLICY_OVERRIDDEN);
        assert_eq!(found.object.object, ObjectName::new("default", "whole"));
        assert_eq!(found.severity, severity);
        assert!(found.message.contains("Rule(s) first of"), "{found:?}");
    }
}

#[test]
fn a_standby_that_could_not_serve_is_named_tier_by_tier() {
    let yaml = ip("active", "10.0.0.1", false)
        + &service("empty", &[])
        + &ip("last", "10.0.0.3", false)
        + &route("web", &rule(&["active", "empty:80", "last"]))
        + &failover(
            "order",
            "name: web",
            &[("a", &["active"]), ("b", &["empty:80"]), ("c", &["last"])],
            "",
        );
    let resolution = served(&yaml);
    let found = the(&resolution, reasons::STANDBY_WITHOUT_ENDPOINTS);
    assert_eq!(found.field, "spec.rules[0].backendRefs");
    assert!(
        found.message.contains("(Service default/empty)"),
        "{found:?}"
    );
}

#[test]
fn one_tier_has_nothing_to_fail_over_to() {
    let spec = "healthCheck: { passive: { consecutive5XxErrors: 1, maxEjectionPercent: 10 } }";
    let yaml = ip("active", "10.0.0.1", false)
        + &route("web", &rule(&["active"]))
        + &policy("p", ROUTE, spec);
    assert_eq!(served(&yaml).problems, []);
}

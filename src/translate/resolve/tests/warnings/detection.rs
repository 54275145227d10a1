//! What keeps endpoints in that have failed, or takes out those that have not.

use super::super::super::fixture::{failover, ip, policy, route, rule, served, service};
use super::{PASSIVE, ROUTE, is_ready, place, the, under, with};
use crate::problem::Severity;
use crate::resource::Kind;
use crate::status::reasons;

#[test]
fn detection_that_never_takes_anything_out_is_named() {
    let spec = "healthCheck: { passive: { maxEjectionPercent: 100, consecutive5XxErrors: 0 } }";
    let resolution = under(spec);
    assert_eq!(
        place(&resolution, reasons::DETECTION_OFF),
        (
            Severity::Warning,
            Kind::BackendTrafficPolicy,
            "spec.healthCheck.passive"
        )
    );
    assert!(!is_ready(&resolution));
    let probed = "healthCheck: { passive: { maxEjectionPercent: 100, consecutive5XxErrors: 0 }, \
                  active: { type: TCP, tcp: {} } }";
    assert!(under(probed).reasons().is_empty());
}

#[test]
fn a_tier_that_nothing_watches_is_named() {
    let probed = "healthCheck: { passive: { maxEjectionPercent: 100, consecutive5XxErrors: 0 }, \
                  active: { type: TCP, tcp: {} } }";
    let order = failover(
        "order",
        "name: web",
        &[("a", &["active"]), ("b", &["passive"])],
        "",
    )
    .replace(
        "name: b, backendRefs",
        "name: b, healthCheck: { disabled: true }, backendRefs",
    );
    let resolution = with(&(policy("p", ROUTE, probed) + &order));
    assert_eq!(
        place(&resolution, reasons::DETECTION_OFF),
        (
            Severity::Warning,
            Kind::FailoverPolicy,
            "spec.tiers[1].healthCheck.disabled"
        )
    );
}

#[test]
fn an_ejection_limit_says_what_it_keeps_in() {
    let limit =
        |percent: u32| format!("healthCheck: {{ passive: {{ maxEjectionPercent: {percent} }} }}");
    for (percent, warned) in [(0, true), (49, true), (50, false), (100, false)] {
        let resolution = under(&limit(percent));
        let reasons: &[&str] = if warned {
            &[reasons::EJECTION_LIMIT_TOO_LOW]
        } else {
            &[]
        };
        assert_eq!(resolution.reasons(), reasons, "{percent}");
        assert_eq!(is_ready(&resolution), !warned);
    }
    let resolution = under(&limit(10));
    assert_eq!(
        place(&resolution, reasons::EJECTION_LIMIT_TOO_LOW),
        (
            Severity::Warning,
            Kind::BackendTrafficPolicy,
            "spec.healthCheck.passive.maxEjectionPercent"
        )
    );
    let message = &the(&resolution, reasons::EJECTION_LIMIT_TOO_LOW).message;
    assert_eq!(
        message,
        "maxEjectionPercent 10 lets 0 of 2 endpoints of chain default/active>passive@p (all tiers together) be out \
         at once, so the one of the first tier (10.0.0.1:3000) cannot be ejected."
    );
    let one = "healthCheck: { passive: { maxEjectionPercent: 0, alwaysEjectOneEndpoint: true } }";
    assert!(under(one).reasons().is_empty());
}

#[test]
fn an_ejection_limit_is_that_of_a_cluster() {
    let pods = service("pods", &["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"]);
    let spec = "healthCheck: { passive: { maxEjectionPercent: 50 } }";
    let said = |standbys: &[(&str, &[&str])]| {
        let references: Vec<&str> = standbys
            .iter()
            .flat_map(|(_, tier)| *tier)
            .copied()
            .collect();
        let backends = ip("one", "10.0.0.1", false) + &ip("two", "10.0.0.2", false);
        let yaml = backends
            + &pods
            + &route("web", &rule(&references))
            + &policy("p", ROUTE, spec)
            + &failover("order", "name: web", standbys, "");
        let resolution = served(&yaml);
        let found = resolution.found(reasons::EJECTION_LIMIT_TOO_LOW);
        found
            .iter()
            .map(|found| found.message.clone())
            .collect::<Vec<_>>()
    };
    assert!(said(&[("a", &["one"]), ("b", &["pods:80"])]).is_empty());
    let [first] = said(&[("a", &["pods:80"]), ("b", &["one"])])
        .try_into()
        .expect("one");
    assert!(first.contains("lets 2 of 5 endpoints"), "{first}");
    assert!(
        first.contains("2 of the 4 of tier a (10.1.0.1:8080"),
        "{first}"
    );
    let tiers: &[(&str, &[&str])] = &[("a", &["one"]), ("b", &["pods:80"]), ("c", &["two"])];
    let [alone] = said(tiers).try_into().expect("one");
    assert!(
        alone.contains("lets 0 of 1 endpoints") && alone.contains("(tier a)"),
        "{alone}"
    );
}

#[test]
fn an_ejection_limit_that_is_left_out_is_said_though_it_keeps_nothing_in_here() {
    let resolution = under("healthCheck: { passive: { interval: 2s } }");
    assert_eq!(
        place(&resolution, reasons::EJECTION_LIMIT_LEFT_OUT),
        (
            Severity::Warning,
            Kind::BackendTrafficPolicy,
            "spec.healthCheck.passive.maxEjectionPercent"
        )
    );
    let message = &the(&resolution, reasons::EJECTION_LIMIT_LEFT_OUT).message;
    assert!(
        message.contains("fills in 10, which lets 0 of 2"),
        "{message}"
    );
    assert!(
        message.contains("(10.0.0.1:3000) cannot be ejected"),
        "{message}"
    );
    assert!(is_ready(&resolution));
}

#[test]
fn a_threshold_of_one_is_noted_where_it_finds_dead_endpoints_and_a_warning_elsewhere() {
    let spec = |more: &str| {
        format!(
            "healthCheck: {{ passive: {{ maxEjectionPercent: 100, consecutive5XxErrors: 1{more} }} }}"
        )
    };
    let field = "spec.healthCheck.passive.consecutive5XxErrors";
    for (more, severity) in [
        ("", Severity::Note),
        (", consecutiveGatewayErrors: 0", Severity::Note),
        (", consecutiveGatewayErrors: 1", Severity::Warning),
        (", splitExternalLocalOriginErrors: true", Severity::Warning),
    ] {
        let resolution = under(&spec(more));
        let found = place(&resolution, reasons::THRESHOLD_OF_ONE);
        assert_eq!(
            found,
            (severity, Kind::BackendTrafficPolicy, field),
            "{more}"
        );
        assert!(is_ready(&resolution));
    }
    assert!(under(PASSIVE).found(reasons::THRESHOLD_OF_ONE).is_empty());
}

/// What is found about endpoints that hang, for a rule with these lines, under more objects: severity,
/// kind of the object and field, and the message.
fn hang(more: &str, rule_says: &str) -> Option<(Severity, Kind, String, String)> {
    let rule = rule(&["active", "passive"]);
    let rule = rule.replacen('{', &format!("{{ {rule_says}"), 1);
    let chain = ip("active", "10.0.0.1", false) + &ip("passive", "10.0.0.2", true);
    let resolution = served(&(chain + &route("web", &rule) + more));
    let hangs = [reasons::HANG_NOT_FOUND, reasons::HANG_FOUND_LATE];
    let mut found = hangs.iter().flat_map(|reason| resolution.found(reason));
    let first = found.next();
    assert_eq!(found.next(), None);
    let is_never = first.is_some_and(|found| found.severity == Severity::Warning);
    assert_eq!(is_ready(&resolution), !is_never);
    first.map(|found| {
        let (field, message) = (found.field.clone(), found.message.clone());
        (found.severity, found.object.kind, field, message)
    })
}

#[test]
fn a_hang_that_only_the_limit_of_a_request_finds_is_noted() {
    for (rule_says, after) in [
        ("", "taken 15s"),
        ("timeouts: { request: 3s }, ", "taken 3s"),
    ] {
        let (severity, kind, field, message) = hang("", rule_says).expect("a note");
        assert_eq!((severity, kind), (Severity::Note, Kind::HttpRoute));
        assert_eq!(field, "spec.rules[0]");
        assert!(message.contains(after), "{message}");
    }
    let limited = "timeouts: { request: 3s, backendRequest: 1s }, ";
    assert_eq!(hang("", limited), None);
    let per_try = policy("p", ROUTE, "retry: { perRetry: { timeout: 1s } }");
    assert_eq!(hang(&per_try, ""), None);
}

#[test]
fn a_hang_that_nothing_finds_is_named() {
    let for_ever = "timeouts: { request: 0s }, ";
    let uncounted = "healthCheck: { passive: { maxEjectionPercent: 100, splitExternalLocalOriginErrors: true, \
                     consecutiveLocalOriginFailures: 0 } }";
    for (policy_says, rule_says, kind, field) in [
        (
            "",
            for_ever,
            Kind::HttpRoute,
            "spec.rules[0].timeouts.request",
        ),
        (
            "timeout: { http: { requestTimeout: 0s } }",
            "",
            Kind::BackendTrafficPolicy,
            "spec.timeout.http.requestTimeout",
        ),
        (
            uncounted,
            "",
            Kind::BackendTrafficPolicy,
            "spec.healthCheck.passive.consecutiveLocalOriginFailures",
        ),
    ] {
        let more = match policy_says {
            "" => String::new(),
            spec => policy("p", ROUTE, spec),
        };
        let (severity, of, at, _) = hang(&more, rule_says).expect("a warning");
        assert_eq!(
            (severity, of, at.as_str()),
            (Severity::Warning, kind, field)
        );
    }
    let probed = policy(
        "p",
        ROUTE,
        "healthCheck: { active: { type: TCP, tcp: {} } }",
    );
    assert_eq!(hang(&probed, for_ever), None);
}

#[test]
fn a_rule_without_a_time_limit_is_named_beside_one_that_shares_its_chain() {
    let rules = [
        rule(&["active", "passive"]),
        format!(
            "{{ timeouts: {{ request: 0s }}, matches: [{{ path: {{ value: /b }} }}], {}",
            rule(&["active", "passive"]).trim_start_matches("{ ")
        ),
    ];
    let chain = ip("active", "10.0.0.1", false) + &ip("passive", "10.0.0.2", true);
    let resolution = served(&(chain + &route("web", &rules.join(", "))));
    let found = the(&resolution, reasons::HANG_NOT_FOUND);
    assert_eq!(found.field, "spec.rules[1].timeouts.request");
    assert!(!is_ready(&resolution));
}

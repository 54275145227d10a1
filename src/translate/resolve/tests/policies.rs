//! Policies: which holds, what it sets, and what it closes.

use std::time::Duration;

use super::super::Resolution;
use super::super::fixture::{GATEWAY, ip, objects, policy, resolved, route, rule, served};
use super::super::{fixture, resolve};
use crate::model::{Action, Balancer};
use crate::resource::{Key, Kind};
use crate::status::StatusBody;
use crate::status::reasons::{self, kind};
use crate::store::Change;
use crate::translate::read::Reader;

const ROUTE: &str = "kind: HTTPRoute, name: web";
const GATEWAY_TARGET: &str = "kind: Gateway, name: eg";

/// A chain of two tiers behind route `web`, whose rule is named `main`, and these policies.
fn with(policies: &str) -> Resolution {
    let rule = rule(&["active", "passive"]).replace("{ backendRefs", "{ name: main, backendRefs");
    served(
        &(ip("active", "10.0.0.1", false)
            + &ip("passive", "10.0.0.2", true)
            + &route("web", &rule)
            + policies),
    )
}

fn timeout(seconds: u32) -> String {
    format!("timeout: {{ http: {{ requestTimeout: {seconds}s }} }}")
}

#[test]
fn the_most_specific_policy_holds_alone() {
    let gateway = policy("a", GATEWAY_TARGET, &timeout(1));
    let listener = policy(
        "b",
        &format!("{GATEWAY_TARGET}, sectionName: http"),
        &timeout(2),
    );
    let route = policy("c", ROUTE, &timeout(3));
    let rule = policy(
        "d",
        &format!("{ROUTE}, sectionName: main"),
        "circuitBreaker: { maxConnections: 7 }",
    );
    let mut policies = String::new();
    for (added, seconds) in [
        (gateway, Some(1)),
        (listener, Some(2)),
        (route, Some(3)),
        (rule, None),
    ] {
        policies += &added;
        let resolution = with(&policies);
        let forward = resolution.forward();
        assert_eq!(forward.timeout, seconds.map(Duration::from_secs));
        let mut reasons = resolution.reasons().into_iter();
        assert!(reasons.all(|reason| reason == reasons::POLICY_OVERRIDDEN));
    }
}

#[test]
fn a_request_that_may_take_long_may_be_silent_for_as_long() {
    for (seconds, said, idle) in [
        (300, "", None),
        (301, "", Some(301)),
        (301, ", streamIdleTimeout: 9s", Some(9)),
    ] {
        let spec = format!("timeout: {{ http: {{ requestTimeout: {seconds}s{said} }} }}");
        let resolution = with(&policy("a", ROUTE, &spec));
        let found = resolution.forward().stream_idle_timeout;
        assert_eq!(found, idle.map(Duration::from_secs), "{spec}");
    }
}

#[test]
fn a_chain_is_named_for_its_policy_not_for_its_content() {
    let resolution = with(&policy("watch", ROUTE, &timeout(1)));
    assert_eq!(resolution.forward().chain.0, "default/active>passive@watch");
    let edited = with(&policy(
        "watch",
        ROUTE,
        "circuitBreaker: { maxConnections: 7 }",
    ));
    assert_eq!(edited.forward().chain.0, "default/active>passive@watch");
}

#[test]
fn of_two_policies_for_one_target_the_oldest_holds() {
    let age = |text: String, time: &str| {
        text.replace(
            "metadata: {",
            &format!("metadata: {{ creationTimestamp: '2026-01-0{time}T00:00:00Z',"),
        )
    };
    let policies =
        age(policy("a", ROUTE, &timeout(1)), "2") + &age(policy("b", ROUTE, &timeout(2)), "1");
    let resolution = with(&policies);
    assert_eq!(resolution.forward().timeout, Some(Duration::from_secs(2)));
    let accepted = |name| resolution.condition(Kind::BackendTrafficPolicy, name, kind::ACCEPTED);
    assert_eq!(accepted("a"), (false, reasons::CONFLICTED));
    assert_eq!(accepted("b"), (true, reasons::ACCEPTED));
    assert_eq!(resolution.reasons(), [reasons::CONFLICTED]);
}

#[test]
fn a_target_that_is_missing_is_reported() {
    let resolution = with(&policy("a", "kind: HTTPRoute, name: gone", &timeout(1)));
    assert_eq!(resolution.reasons(), [reasons::TARGET_NOT_FOUND]);
    let resolution = with(&policy(
        "a",
        &format!("{ROUTE}, sectionName: gone"),
        &timeout(1),
    ));
    assert_eq!(resolution.forward().timeout, None);
    let accepted = resolution.condition(Kind::BackendTrafficPolicy, "a", kind::ACCEPTED);
    assert_eq!(accepted, (false, reasons::TARGET_NOT_FOUND));
}

#[test]
fn a_policy_with_a_field_that_cannot_be_honoured_closes_what_it_applies_to() {
    let fields = [
        ("rateLimit: { type: Local }", "spec.rateLimit.local"),
        (
            "rateLimit: { global: { rules: [{ limit: { requests: 1, unit: Hour } }] } }",
            "spec.rateLimit.global",
        ),
        ("telemetry: { tracing: {} }", "spec.telemetry.tracing"),
        ("admissionControl: {}", "spec.admissionControl"),
        (
            "httpUpgrade: [{ type: CONNECT }]",
            "spec.httpUpgrade[0].type",
        ),
        (
            "http2: { initialStreamWindowSize: 1Ki }",
            "spec.http2.initialStreamWindowSize",
        ),
        (
            "compressor: [{ type: Gzip, minContentLength: 20 }]",
            "spec.compressor[0].minContentLength",
        ),
        (
            "bandwidthLimit: { request: { limit: { value: 1Ki, unit: Hour } } }",
            "spec.bandwidthLimit.request.limit",
        ),
        (
            "faultInjection: { abort: { httpStatus: 600 } }",
            "spec.faultInjection.abort.httpStatus",
        ),
        (
            "loadBalancer: { type: RoundRobin, zoneAware: { preferLocal: {} } }",
            "spec.loadBalancer.zoneAware",
        ),
        (
            "loadBalancer: { type: DynamicModule, dynamicModule: {} }",
            "spec.loadBalancer.type",
        ),
        (
            "retry: { perRetry: { timeout: 0s } }",
            "spec.retry.perRetry.timeout",
        ),
        (
            "loadBalancer: { type: ConsistentHash, consistentHash: { type: SourceIP, tableSize: 100 } }",
            "spec.loadBalancer.consistentHash.tableSize",
        ),
        (
            "loadBalancer: { type: ConsistentHash, consistentHash: { type: Headers, headers: [{ name: 'a b' }] } }",
            "spec.loadBalancer.consistentHash",
        ),
    ];
    for (field, path) in fields {
        let resolution = with(&policy("a", ROUTE, field));
        assert_eq!(
            resolution.action(),
            &Action::Respond { status: 500 },
            "{field}"
        );
        assert_eq!(resolution.problems[0].field, path);
        let accepted = resolution.condition(Kind::BackendTrafficPolicy, "a", kind::ACCEPTED);
        assert_eq!(accepted, (false, reasons::INVALID), "{field}");
    }
}

#[test]
fn a_policy_that_selects_by_labels_holds_for_what_it_selects() {
    let select = |labels: &str| {
        let selectors =
            format!("targetSelectors: [{{ kind: HTTPRoute, matchLabels: {{ {labels} }} }}]");
        policy("a", ROUTE, &(selectors + "\n  " + &timeout(7))).replace(
            &format!("targetRefs: [{{ group: gateway.networking.k8s.io, {ROUTE} }}]"),
            "{}",
        )
    };
    let labelled = |labels: &str| {
        let yaml = ip("active", "10.0.0.1", false)
            + &route("web", &rule(&["active"]))
                .replace("name: web }", "name: web, labels: { app: web } }")
            + &select(labels).replace("  {}\n", "");
        served(&yaml)
    };
    let selected = labelled("app: web");
    assert_eq!(selected.forward().timeout, Some(Duration::from_secs(7)));
    let accepted = selected.condition(Kind::BackendTrafficPolicy, "a", kind::ACCEPTED);
    assert_eq!(accepted, (true, reasons::ACCEPTED));
    assert_eq!(labelled("app: other").forward().timeout, None);
}

#[test]
fn a_policy_that_names_and_selects_one_target_is_not_in_its_own_way() {
    let selectors = format!("targetSelectors: [{{ kind: HTTPRoute }}]\n  {}", timeout(7));
    let resolution = with(&policy("a", ROUTE, &selectors));
    assert_eq!(resolution.forward().timeout, Some(Duration::from_secs(7)));
    assert!(resolution.reasons().is_empty());
}

/// The conditions of a policy at its first ancestor, beside Accepted.
fn said(resolution: &Resolution, name: &str) -> Vec<(&'static str, String)> {
    let key = Key::new(Kind::BackendTrafficPolicy, "default", name);
    let StatusBody::Policy(ancestors) = &resolution.statuses[&key].body else {
        panic!("a policy's status");
    };
    let conditions = ancestors[0].conditions.iter();
    let others = conditions.filter(|condition| condition.kind != kind::ACCEPTED);
    others
        .map(|condition| (condition.kind, condition.message.clone()))
        .collect()
}

#[test]
fn a_policy_that_stands_instead_of_another_is_said_there() {
    let policies = policy("wide", GATEWAY_TARGET, &timeout(1))
        + &policy(
            "listener",
            &format!("{GATEWAY_TARGET}, sectionName: http"),
            &timeout(1),
        )
        + &policy("route", ROUTE, &timeout(2))
        + &policy("rule", &format!("{ROUTE}, sectionName: main"), &timeout(3));
    let resolution = with(&policies);
    let overridden = |by: &str| {
        let message =
            format!("This policy is being overridden by other backendTrafficPolicies for {by}");
        vec![(kind::OVERRIDDEN, message)]
    };
    let routes = "these routes: [default/web] and these route rules: [default/web/main]";
    assert_eq!(said(&resolution, "listener"), overridden(routes));
    assert_eq!(
        said(&resolution, "wide"),
        overridden(&format!(
            "these gateway listeners: [default/eg/http] and {routes}"
        ))
    );
    assert_eq!(
        said(&resolution, "route"),
        overridden("these route rules: [default/web/main]")
    );
    assert_eq!(said(&resolution, "rule"), []);
}

#[test]
fn a_policy_is_merged_into_the_one_of_the_listener_or_else_the_gateway() {
    let merging = |mode: &str| {
        policy(
            "route",
            ROUTE,
            &format!("mergeType: {mode}\n  timeout: {{ http: {{ streamIdleTimeout: 9s }} }}"),
        )
    };
    let wide = policy("wide", GATEWAY_TARGET, &timeout(1));
    let listener = policy(
        "listener",
        &format!("{GATEWAY_TARGET}, sectionName: http"),
        &timeout(2),
    );
    let alone = with(&merging("StrategicMerge"));
    assert_eq!(alone.forward().timeout, None);
    assert_eq!(alone.forward().chain.0, "default/active>passive@route");
    for mode in ["StrategicMerge", "JSONMerge"] {
        let resolution = with(&(wide.clone() + &merging(mode)));
        let forward = resolution.forward();
        assert_eq!(forward.timeout, Some(Duration::from_secs(1)));
        assert_eq!(forward.stream_idle_timeout, Some(Duration::from_secs(9)));
        assert_eq!(forward.chain.0, "default/active>passive@route+wide");
        let of = |message: &str| vec![(kind::MERGED, message.to_owned())];
        assert_eq!(
            said(&resolution, "route"),
            of("Merged with policy default/wide")
        );
        assert_eq!(
            said(&resolution, "wide"),
            of(
                "This policy is being merged by other backendTrafficPolicies for these routes: [default/web]"
            )
        );
    }
    let resolution = with(&(wide + &listener + &merging("JSONMerge")));
    assert_eq!(resolution.forward().timeout, Some(Duration::from_secs(2)));
    assert_eq!(
        resolution.forward().chain.0,
        "default/active>passive@route+listener"
    );
}

#[test]
fn two_policies_that_cannot_be_merged_close_the_route_alone() {
    let policies = policy("wide", GATEWAY_TARGET, "requestBuffer: { limit: 1Mi }")
        + &policy(
            "route",
            ROUTE,
            "mergeType: JSONMerge\n  httpUpgrade: [{ type: websocket }]",
        );
    let resolution = with(&policies);
    assert_eq!(resolution.action(), &Action::Respond { status: 500 });
    let accepted = |name| resolution.condition(Kind::BackendTrafficPolicy, name, kind::ACCEPTED);
    assert_eq!(accepted("route"), (false, reasons::INVALID));
    assert_eq!(accepted("wide"), (true, reasons::ACCEPTED));
}

#[test]
fn an_older_form_of_a_field_is_a_warning_in_the_status() {
    let resolution = with(&policy("a", ROUTE, "compression: [{ type: Gzip }]"));
    let message = "spec.compression is deprecated, use spec.compressor instead.";
    assert_eq!(
        said(&resolution, "a"),
        [(kind::WARNING, message.to_owned())]
    );
}

#[test]
fn without_a_policy_detection_and_retries_are_on() {
    let resolution = with("");
    let forward = resolution.forward();
    assert_eq!(
        (forward.retry.retries, forward.retry.attempts_per_tier),
        (4, Some(2))
    );
    assert!(forward.retry.on.contains("connect-failure") && !forward.retry.on.contains("reset"));
    assert!(forward.retry.on_repeatable.contains("reset"));
    let detection = &resolution
        .chain("default/active>passive")
        .settings
        .outlier_detection;
    assert_eq!(detection.max_ejection_percent, 100);
    assert_eq!(detection.max_ejection_time, detection.base_ejection_time);
    assert!(detection.consecutive_gateway_errors > Some(1));
    // Counted apart, each connection that comes about would start the count again.
    assert!(!detection.split_external_local_origin_errors);
}

#[test]
fn what_a_policy_says_of_detection_wins_and_the_ejection_time_never_multiplies() {
    let passive = "healthCheck: { panicThreshold: 0, passive: { baseEjectionTime: 10s, interval: 2s, consecutive5XxErrors: 1, \
                   consecutiveGatewayErrors: 0, consecutiveLocalOriginFailures: 1 } }";
    let resolution = with(&policy("watch", ROUTE, passive));
    let settings = &resolution.chain("default/active>passive@watch").settings;
    let detection = &settings.outlier_detection;
    assert_eq!(detection.base_ejection_time, Duration::from_secs(10));
    assert_eq!(detection.max_ejection_time, Duration::from_secs(10));
    assert_eq!(
        (detection.max_ejection_percent, settings.panic_percent),
        (100, 0)
    );
    assert_eq!(detection.consecutive_5xx, Some(1));
    assert_eq!(detection.consecutive_gateway_errors, Some(0));
    assert!(!detection.split_external_local_origin_errors);
    // A policy that says nothing of retries keeps the defaults.
    assert_eq!(resolution.forward().retry.retries, 4);
    // Another default would keep the tier in, where the policy comes from Envoy Gateway.
    assert_eq!(resolution.reasons(), [reasons::EJECTION_LIMIT_LEFT_OUT]);
}

#[test]
fn a_policys_retry_wins_field_by_field() {
    let spec = "retry: { retryOn: { triggers: [5xx], httpStatusCodes: [503] }, perRetry: { timeout: 250ms } }";
    let resolution = with(&policy("a", ROUTE, spec));
    let retry = &resolution.forward().retry;
    assert_eq!(
        retry.on.iter().copied().collect::<Vec<_>>(),
        ["5xx", "retriable-status-codes"]
    );
    assert_eq!(retry.status_codes, [503]);
    assert_eq!(retry.per_try_timeout, Some(Duration::from_millis(250)));
    assert!(retry.on_repeatable.contains("reset"));
    assert_eq!((retry.retries, retry.attempts_per_tier), (4, Some(2)));
}

#[test]
fn balancer_and_hash_come_from_the_policy() {
    let spec = "loadBalancer: { type: ConsistentHash, consistentHash: { type: Headers, headers: [{ name: x }, { name: w }] } }";
    let resolution = with(&policy("a", ROUTE, spec));
    assert_eq!(resolution.forward().hash.len(), 2);
    let settings = &resolution.chain("default/active>passive@a").settings;
    assert_eq!(
        settings.balancer,
        Balancer::ConsistentHash { table_size: 65537 }
    );
}

#[test]
fn of_more_ancestors_than_a_status_holds_the_last_one_shown_says_how_many_there_are() {
    let shown = |count: usize| {
        let list = |item: &dyn Fn(usize) -> String| {
            let items: Vec<String> = (0..count).map(item).collect();
            items.join(", ")
        };
        let listeners = list(&|i| format!("{{ name: l{i}, protocol: HTTP, port: {} }}", 8000 + i));
        let parents = list(&|i| format!("{{ name: eg, sectionName: l{i} }}"));
        let gateway = GATEWAY.replace("{ name: http, protocol: HTTP, port: 80 }", &listeners);
        let route = route("web", &rule(&["active"])).replace("{ name: eg }", &parents);
        let policy = policy("watch", ROUTE, &timeout(1));
        let backend = ip("active", "10.0.0.1", false);
        let resolution = resolved(&format!("{gateway}{backend}{route}{policy}"));
        let key = Key::new(Kind::BackendTrafficPolicy, "default", "watch");
        let StatusBody::Policy(ancestors) = &resolution.statuses[&key].body else {
            panic!("a policy's status");
        };
        let last = ancestors.last().expect("an ancestor").conditions.clone();
        (ancestors.len(), last)
    };
    let (count, last) = shown(16);
    assert_eq!((count, last.len()), (16, 1));
    let (count, last) = shown(18);
    assert_eq!((count, last.len()), (16, 2));
    assert_eq!(last[1].kind, kind::AGGREGATED);
    assert!(last[1].holds && last[1].message.starts_with("16 of 18 ancestors"));
}

#[test]
fn the_order_in_which_things_come_does_not_matter() {
    let yaml = format!(
        "{GATEWAY}---\n{}",
        ip("active", "10.0.0.1", false)
            + &route("a", &rule(&["active"]))
            + &route("b", &rule(&["active"]))
            + &policy("p", "kind: HTTPRoute, name: a", &timeout(1))
    );
    let forwards = resolved(&yaml);
    let mut store = crate::store::Store::default();
    for object in objects(&yaml).into_iter().rev() {
        store.apply(Change::Applied(object));
    }
    let mut backwards = resolve(&Reader::new(&store), &fixture::options());
    backwards.problems.sort();
    assert_eq!(forwards.model, backwards.model);
    assert_eq!(forwards.statuses, backwards.statuses);
    assert_eq!(forwards.problems, backwards.problems);
}

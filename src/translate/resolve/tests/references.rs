//! References: what each leads to, and Gateway API's reasons where it leads nowhere.

use super::super::fixture::{ip, route, rule, served, service};
use crate::model::{Action, Protocol};
use crate::resource::Kind;
use crate::status::reasons::{self, kind};

/// What becomes of a route with this one reference: the answer and the reason of ResolvedRefs.
fn outcome(resources: &str, reference: &str) -> (bool, &'static str) {
    let rule = format!("{{ backendRefs: [{reference}] }}");
    let resolution = served(&(resources.to_owned() + &route("web", &rule)));
    let resolved = resolution.condition(Kind::HttpRoute, "web", kind::RESOLVED_REFS);
    if !resolved.0 {
        assert_eq!(resolution.action(), &Action::Respond { status: 500 });
    }
    resolved
}

#[test]
fn references_that_lead_nowhere_answer_500_and_say_why() {
    let external = service("ext", &[]).replace(
        "spec: {",
        "spec: { type: ExternalName, externalName: 10.0.0.1,",
    );
    let services = service("web", &["10.0.1.1"]) + &external;
    let cases = [
        ("{ name: web, port: 80 }", reasons::RESOLVED_REFS),
        ("{ name: web, port: 81 }", reasons::PORT_NOT_FOUND),
        ("{ name: gone, port: 80 }", reasons::BACKEND_NOT_FOUND),
        ("{ name: ext, port: 80 }", reasons::INVALID_ADDRESS),
        (
            "{ kind: ConfigMap, name: web, port: 80 }",
            reasons::INVALID_KIND,
        ),
        (
            "{ group: example.com, kind: Service, name: web, port: 80 }",
            reasons::INVALID_KIND,
        ),
        (
            "{ group: gateway.envoyproxy.io, kind: Backend, name: gone }",
            reasons::BACKEND_NOT_FOUND,
        ),
        (
            "{ namespace: shop, name: web, port: 80 }",
            reasons::REF_NOT_PERMITTED,
        ),
    ];
    for (reference, reason) in cases {
        assert_eq!(outcome(&services, reference).1, reason, "{reference}");
    }
}

#[test]
fn a_backend_without_its_group_is_told_the_group() {
    let rule = "{ backendRefs: [{ kind: Backend, name: active }] }";
    let resolution = served(&(ip("active", "10.0.0.1", false) + &route("web", rule)));
    let said = &resolution.problems[0].message;
    assert!(
        said.contains("A Backend is of group gateway.envoyproxy.io."),
        "{said}"
    );
}

#[test]
fn rules_that_send_requests_nowhere_are_reported() {
    for nowhere in [
        "{ matches: [{ path: { value: /a } }] }".to_owned(),
        rule(&["active*0"]),
    ] {
        let resolution = served(&(ip("active", "10.0.0.1", false) + &route("web", &nowhere)));
        assert_eq!(resolution.reasons(), [reasons::NO_BACKENDS], "{nowhere}");
        assert_eq!(resolution.action(), &Action::Respond { status: 500 });
    }
}

const GRANT: &str = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: { name: routes, namespace: shop }
spec:
  from: [{ group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: FROM }]
  to: [{ group: gateway.envoyproxy.io, kind: Backend, name: TO }]
";

#[test]
fn cross_namespace_backend_without_grant_is_500() {
    let backend = ip("active", "10.0.0.1", false)
        .replace("{ name: active }", "{ name: active, namespace: shop }");
    let reference =
        "{ group: gateway.envoyproxy.io, kind: Backend, namespace: shop, name: active }";
    let with =
        |from: &str, to: &str| backend.clone() + &GRANT.replace("FROM", from).replace("TO", to);
    assert_eq!(outcome(&backend, reference).1, reasons::REF_NOT_PERMITTED);
    assert_eq!(
        outcome(&with("elsewhere", "active"), reference).1,
        reasons::REF_NOT_PERMITTED
    );
    assert_eq!(
        outcome(&with("default", "other"), reference).1,
        reasons::REF_NOT_PERMITTED
    );
    assert_eq!(
        outcome(&with("default", "active"), reference).1,
        reasons::RESOLVED_REFS
    );
}

#[test]
fn a_granted_backend_elsewhere_is_named_with_its_namespace() {
    let backend = ip("active", "10.0.0.1", false)
        .replace("{ name: active }", "{ name: active, namespace: shop }");
    let reference =
        "{ group: gateway.envoyproxy.io, kind: Backend, namespace: shop, name: active }";
    let yaml = backend
        + &GRANT.replace("FROM", "default").replace("TO", "active")
        + &route("web", &format!("{{ backendRefs: [{reference}] }}"));
    assert_eq!(served(&yaml).forward().chain.0, "default/shop/active");
}

#[test]
fn a_services_app_protocol_says_what_is_spoken() {
    for (app_protocol, protocol) in [
        ("kubernetes.io/h2c", Protocol::Http2),
        ("kubernetes.io/ws", Protocol::Http1),
        ("example.com/other", Protocol::Http1),
    ] {
        let service = service("web", &["10.0.1.1"]).replace(
            "name: http, port: 80,",
            &format!("name: http, port: 80, appProtocol: {app_protocol},"),
        );
        let resolution = served(&(service + &route("web", &rule(&["web:80"]))));
        let member = &resolution.chain("default/Service/web:80").tiers[0].members[0];
        assert_eq!(member.protocol, protocol, "{app_protocol}");
    }
}

#[test]
fn of_two_address_families_the_services_first_is_used() {
    let second = "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: web-6, labels: { kubernetes.io/service-name: web } }
addressType: IPv6
ports: [{ name: http, port: 8080 }]
endpoints: [{ addresses: ['2001:db8::1'] }]
";
    let both = service("web", &["10.0.1.1"]) + second + &route("web", &rule(&["web:80"]));
    assert_eq!(served(&both).tiers(), [["Ip(10.0.1.1:8080)"]]);
    let six_first = both.replace("spec: { ports", "spec: { ipFamilies: [IPv6, IPv4], ports");
    assert_eq!(served(&six_first).tiers(), [["Ip([2001:db8::1]:8080)"]]);
}

//! Backends: what they lead to and which are refused.

use super::super::fixture::{GATEWAY, backend, options, route, rule, served, service, store};
use super::super::resolve;
use crate::resource::Kind;
use crate::status::reasons::{self, kind};
use crate::translate::{GatewayAddresses, Options, read::Reader};

fn fqdn(name: &str, hostname: &str, port: u16) -> String {
    backend(
        name,
        &format!("endpoints: [{{ fqdn: {{ hostname: {hostname}, port: {port} }} }}]"),
    )
}

#[test]
fn a_name_inside_the_cluster_leads_to_its_services_endpoints() {
    for hostname in [
        "web.default.svc.cluster.local",
        "web.default.svc",
        "web.default.svc.cluster.local.",
    ] {
        let yaml = service("web", &["10.0.1.1"])
            + &fqdn("active", hostname, 80)
            + &route("web", &rule(&["active"]));
        let resolution = served(&yaml);
        assert_eq!(resolution.tiers(), [["Ip(10.0.1.1:8080)"]], "{hostname}");
        let endpoint = &resolution.chain("default/active").tiers[0].members[0].endpoints[0];
        assert_eq!(
            endpoint.hostname.as_deref(),
            Some(hostname.trim_end_matches('.'))
        );
    }
}

#[test]
fn a_known_service_without_slices_is_left_to_dns_with_a_note() {
    let name = fqdn("active", "web.default.svc.cluster.local", 80);
    let route = route("web", &rule(&["active"]));
    let all = service("web", &["10.0.1.1"]);
    let (only_service, _) = all.rsplit_once("---").unwrap();
    let left = served(&format!("{only_service}{name}{route}"));
    assert_eq!(left.found(reasons::LEFT_TO_DNS).len(), 1);
    assert!(left.reasons().is_empty());
    assert_eq!(served(&format!("{all}{name}{route}")).problems, []);
    assert_eq!(served(&format!("{name}{route}")).problems, []);
}

#[test]
fn a_service_whose_last_pod_went_is_an_empty_tier_not_a_name() {
    let yaml = service("web", &[])
        + &fqdn("active", "web.default.svc", 80)
        + &route("web", &rule(&["active"]));
    assert_eq!(served(&yaml).tiers(), [Vec::<String>::new()]);
}

#[test]
fn a_name_without_slices_is_left_to_dns() {
    let yaml =
        fqdn("active", "web.default.svc.cluster.local", 3000) + &route("web", &rule(&["active"]));
    assert_eq!(
        served(&yaml).tiers(),
        [["Name(\"web.default.svc.cluster.local\", 3000)"]]
    );
}

#[test]
fn without_the_service_the_slices_port_is_found_by_number() {
    let slices = service("web", &["10.0.1.1"])
        .split("---\n")
        .nth(2)
        .map(|slice| format!("---\n{slice}"));
    let slices = slices.expect("a service comes with its slice");
    let yaml =
        slices + &fqdn("active", "web.default.svc", 8080) + &route("web", &rule(&["active"]));
    assert_eq!(served(&yaml).tiers(), [["Ip(10.0.1.1:8080)"]]);
}

#[test]
fn a_headless_services_name_leads_to_the_pods_at_the_given_port() {
    let headless =
        service("web", &["10.0.1.1"]).replace("spec: { ports", "spec: { clusterIP: None, ports");
    let yaml =
        headless + &fqdn("active", "web.default.svc", 9090) + &route("web", &rule(&["active"]));
    assert_eq!(served(&yaml).tiers(), [["Ip(10.0.1.1:9090)"]]);
}

#[test]
fn anothers_service_is_left_to_dns_unless_it_is_granted() {
    let other = service("web", &["10.0.1.1"]).replace(
        "metadata: { name: web",
        "metadata: { namespace: shop, name: web",
    );
    let yaml = other + &fqdn("active", "web.shop.svc", 80) + &route("web", &rule(&["active"]));
    assert_eq!(served(&yaml).tiers(), [["Name(\"web.shop.svc\", 80)"]]);
    let grant = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: { name: backends, namespace: shop }
spec:
  from: [{ group: gateway.envoyproxy.io, kind: Backend, namespace: default }]
  to: [{ group: '', kind: Service }]
";
    assert_eq!(served(&(yaml + grant)).tiers(), [["Ip(10.0.1.1:8080)"]]);
}

#[test]
fn addresses_that_reach_the_proxy_itself_are_refused_unless_allowed() {
    let local = [
        "{ ip: { address: 127.0.0.1, port: 80 } }",
        "{ ip: { address: '0:0:0:0:0:0:0:1', port: 80 } }",
        "{ ip: { address: '0:0:0:0:0:ffff:7f00:1', port: 80 } }",
        "{ ip: { address: 169.254.169.254, port: 80 } }",
        "{ fqdn: { hostname: localhost, port: 80 } }",
        "{ fqdn: { hostname: db, port: 80 } }",
        "{ unix: { path: /run/admin.sock } }",
    ];
    for endpoint in local {
        let yaml = format!(
            "{GATEWAY}{}",
            backend("active", &format!("endpoints: [{endpoint}]"))
        );
        let store = store(&yaml);
        let accepted = |options: &Options| {
            let resolution = resolve(&Reader::new(&store), options);
            resolution.condition(Kind::Backend, "active", kind::ACCEPTED)
        };
        let strict = Options {
            allow_local_backends: false,
            ..options()
        };
        assert_eq!(accepted(&strict), (false, reasons::INVALID), "{endpoint}");
        assert_eq!(
            accepted(&options()),
            (true, reasons::ACCEPTED),
            "{endpoint}"
        );
    }
}

#[test]
fn what_no_request_can_be_sent_to_is_always_refused() {
    let useless = [
        "endpoints: [{ ip: { address: 10.0.0.1, port: 0 } }]",
        "endpoints: [{ ip: { address: 0.0.0.0, port: 80 } }]",
        "endpoints: [{ fqdn: { hostname: a.example.com, port: 0 } }]",
        "endpoints: [{ fqdn: { hostname: 10.0.0.1, port: 80 } }]",
        "fallback: false",
        "appProtocols: [gateway.envoyproxy.io/wss], endpoints: [{ ip: { address: 10.0.0.1, port: 80 } }]",
    ];
    for spec in useless {
        let resolution = served(&backend("active", spec));
        let accepted = resolution.condition(Kind::Backend, "active", kind::ACCEPTED);
        assert_eq!(accepted, (false, reasons::INVALID), "{spec}");
    }
}

#[test]
fn a_name_of_a_service_that_is_not_there_is_reported_where_all_services_are_known() {
    let text = format!(
        "{GATEWAY}{}{}",
        fqdn("active", "web.default.svc.cluster.local", 80),
        route("web", &rule(&["active"]))
    );
    let reasons = |addresses| {
        let options = Options {
            addresses,
            ..options()
        };
        let store = store(&text);
        let resolution = resolve(&Reader::new(&store), &options);
        resolution.reasons()
    };
    let elsewhere: [&str; 0] = [];
    assert_eq!(reasons(GatewayAddresses::Listeners), elsewhere);
    assert_eq!(
        reasons(GatewayAddresses::Services),
        [reasons::SERVICE_NOT_FOUND]
    );
}

#[test]
fn where_each_request_says_is_only_for_proxies_that_may_reach_themselves() {
    let yaml = backend("active", "type: DynamicResolver") + &route("web", &rule(&["active"]));
    assert_eq!(served(&yaml).tiers(), [["OfRequest"]]);
    let store = store(&format!("{GATEWAY}---\n{yaml}"));
    let careful = Options {
        allow_local_backends: false,
        ..options()
    };
    let resolution = resolve(&Reader::new(&store), &careful);
    let accepted = resolution.condition(Kind::Backend, "active", kind::ACCEPTED);
    assert_eq!(accepted, (false, reasons::INVALID));
}

#[test]
fn where_each_request_says_nothing_stands_in() {
    let resolver = backend("active", "type: DynamicResolver");
    let passive = backend(
        "passive",
        "fallback: true, endpoints: [{ ip: { address: 10.0.0.2, port: 80 } }]",
    );
    let yaml = resolver + &passive + &route("web", &rule(&["active", "passive"]));
    let resolution = served(&yaml);
    assert_eq!(resolution.tiers(), [vec![], vec!["Ip(10.0.0.2:80)"]]);
    assert_eq!(
        resolution.reasons(),
        [
            reasons::ACTIVE_WITHOUT_ENDPOINTS,
            reasons::INVALID_BACKEND_REF
        ]
    );
}

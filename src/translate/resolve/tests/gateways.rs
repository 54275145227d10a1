//! Gateway classes, Gateways, listeners, and which routes attach to them.

use std::sync::Arc;

use super::super::fixture::{
    GATEWAY, ip, options, resolved, resolved_after, route, rule, served, store,
};
use super::super::{Resolution, resolve};
use crate::problem::Severity;
use crate::resource::{Key, Kind, Object};
use crate::status::reasons::{self, kind};
use crate::status::{ListenerStatus, StatusBody};
use crate::translate::{GatewayAddresses, Options, read::Reader};

/// The Gateway with these listeners, in YAML's flow style.
fn listeners(listeners: &str) -> String {
    GATEWAY.replace(
        "[{ name: http, protocol: HTTP, port: 80 }]",
        &format!("[{listeners}]"),
    )
}

fn listener<'a>(resolution: &'a Resolution, name: &str) -> &'a ListenerStatus {
    match &resolution.statuses[&Key::new(Kind::Gateway, "default", "eg")].body {
        StatusBody::Gateway(gateway) => gateway
            .listeners
            .iter()
            .find(|listener| listener.name == name)
            .expect("the listener is there"),
        _ => panic!("a Gateway's status"),
    }
}

fn reason(listener: &ListenerStatus, of: &str) -> (bool, &'static str) {
    let condition = listener
        .conditions
        .iter()
        .find(|condition| condition.kind == of)
        .expect("a condition");
    (condition.holds, condition.reason)
}

#[test]
fn a_class_of_nobody_is_a_warning_that_names_the_option() {
    let resolution = resolved(&GATEWAY.replace("locum.dev/", "example.com/"));
    let [problem] = &resolution.problems[..] else {
        panic!("one problem");
    };
    assert_eq!(
        (problem.severity, problem.reason),
        (Severity::Warning, reasons::UNKNOWN_CONTROLLER)
    );
    assert!(
        problem
            .message
            .contains("--controller-name example.com/gatewayclass-controller")
    );
    assert!(resolution.statuses.is_empty() && resolution.model.gateways.is_empty());
}

#[test]
fn a_gateway_of_a_class_that_does_not_exist_is_reported() {
    let resolution = resolved(&GATEWAY.replace("gatewayClassName: eg", "gatewayClassName: gone"));
    let [problem] = &resolution.problems[..] else {
        panic!("one problem: {:?}", resolution.problems);
    };
    assert_eq!(
        (problem.severity, problem.reason, &*problem.field),
        (
            Severity::Error,
            reasons::GATEWAY_CLASS_NOT_FOUND,
            "spec.gatewayClassName"
        )
    );
    assert!(resolution.model.gateways.is_empty());
    let status = &resolution.statuses[&Key::new(Kind::Gateway, "default", "eg")];
    assert!(status.is_of_nobody());
    let (accepted, reason) = resolution.condition(Kind::Gateway, "eg", "Accepted");
    assert_eq!(
        (accepted, reason),
        (false, reasons::GATEWAY_CLASS_NOT_FOUND)
    );
}

#[test]
fn ports_that_need_privileges_are_bound_10000_higher() {
    let resolution = resolved(&listeners(
        "{ name: a, protocol: HTTP, port: 80 }, { name: b, protocol: HTTP, port: 8080 }",
    ));
    let bound: Vec<(u16, u16)> = resolution
        .gateway()
        .ports
        .values()
        .map(|port| (port.port, port.bind_port))
        .collect();
    assert_eq!(bound, [(80, 10080), (8080, 8080)]);
}

#[test]
fn two_ports_bound_at_one_are_refused_but_for_the_lower() {
    let resolution = resolved(&listeners(
        "{ name: high, protocol: HTTP, port: 10080 }, { name: low, protocol: HTTP, port: 80 }",
    ));
    let accepted = |name| reason(listener(&resolution, name), kind::ACCEPTED);
    assert_eq!(accepted("high"), (false, reasons::PORT_UNAVAILABLE));
    assert_eq!(accepted("low"), (true, reasons::ACCEPTED));
    assert_eq!(resolution.reasons(), [reasons::PORT_UNAVAILABLE]);
    assert_eq!(resolution.gateway().ports.keys().collect::<Vec<_>>(), [&80]);
}

#[test]
fn a_protocol_that_is_not_served_takes_nothing_from_the_others() {
    let resolution = resolved(&listeners(
        "{ name: http, protocol: HTTP, port: 80 }, { name: tls, protocol: HTTPS, port: 443 }",
    ));
    assert_eq!(
        reason(listener(&resolution, "tls"), kind::ACCEPTED),
        (false, reasons::UNSUPPORTED_PROTOCOL)
    );
    assert!(listener(&resolution, "tls").supported_kinds.is_empty());
    let gateway = |of| resolution.condition(Kind::Gateway, "eg", of);
    assert_eq!(
        gateway(kind::ACCEPTED),
        (true, reasons::LISTENERS_NOT_VALID)
    );
    assert_eq!(gateway(kind::PROGRAMMED), (true, reasons::PROGRAMMED));
}

#[test]
fn a_gateway_without_a_valid_listener_is_not_accepted() {
    let resolution = resolved(&listeners("{ name: x, protocol: INVALID, port: 1111 }"));
    let gateway = |of| resolution.condition(Kind::Gateway, "eg", of);
    assert_eq!(
        gateway(kind::ACCEPTED),
        (false, reasons::LISTENERS_NOT_VALID)
    );
    assert_eq!(gateway(kind::PROGRAMMED), (false, reasons::INVALID));
    assert!(resolution.gateway().ports.is_empty());
}

#[test]
fn listeners_that_cannot_be_told_apart_are_all_refused() {
    let yaml = listeners(
        "{ name: one, protocol: HTTP, port: 80, hostname: a.io }, \
         { name: two, protocol: HTTP, port: 80, hostname: c.io }, \
         { name: three, protocol: HTTP, port: 80, hostname: b.io }",
    );
    let resolution = resolved_after(&yaml, |object| {
        if let Object::Gateway(gateway) = object {
            Arc::make_mut(gateway).spec.listeners[1].hostname = Some("a.io".into());
        }
    });
    for name in ["one", "two"] {
        let conflicted = reason(listener(&resolution, name), kind::CONFLICTED);
        assert_eq!(conflicted, (true, reasons::HOSTNAME_CONFLICT));
    }
    assert_eq!(
        reason(listener(&resolution, "three"), kind::CONFLICTED),
        (false, reasons::NO_CONFLICTS)
    );
}

#[test]
fn two_protocols_on_one_port_are_both_refused() {
    let resolution = resolved(&listeners(
        "{ name: one, protocol: HTTP, port: 80 }, { name: two, protocol: TCP, port: 80 }",
    ));
    for name in ["one", "two"] {
        assert_eq!(
            reason(listener(&resolution, name), kind::CONFLICTED).1,
            reasons::PROTOCOL_CONFLICT
        );
    }
}

#[test]
fn a_route_kind_that_is_not_known_is_not_supported() {
    let kinds =
        "{ name: http, protocol: HTTP, port: 80, allowedRoutes: { kinds: [{ kind: KIND }] } }";
    let resolution = resolved(&listeners(&kinds.replace("KIND", "GRPCRoute")));
    let status = listener(&resolution, "http");
    assert_eq!(
        reason(status, kind::RESOLVED_REFS),
        (false, reasons::INVALID_ROUTE_KINDS)
    );
    assert!(status.supported_kinds.is_empty());
    let resolution = resolved(&listeners(&kinds.replace("KIND", "HTTPRoute")));
    let status = listener(&resolution, "http");
    assert_eq!(
        status.supported_kinds,
        [("gateway.networking.k8s.io", "HTTPRoute")]
    );
}

#[test]
fn an_address_is_given_unless_every_address_is_bound() {
    let yaml = store(GATEWAY);
    let addresses = |listen: &str| {
        let options = Options {
            listen: listen.parse().expect("an address"),
            ..options()
        };
        let resolution = resolve(&Reader::new(&yaml), &options);
        match &resolution.statuses[&Key::new(Kind::Gateway, "default", "eg")].body {
            StatusBody::Gateway(gateway) => gateway.addresses.clone(),
            _ => panic!("a Gateway's status"),
        }
    };
    assert_eq!(addresses("127.0.0.1"), ["127.0.0.1"]);
    assert!(addresses("::").is_empty());
}

/// A Service of the namespace with these lines, in YAML's flow style.
fn labelled(name: &str, spec: &str, status: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{ name: {name}, labels: \
         {{ gateway.networking.k8s.io/gateway-name: eg }} }}\n\
         spec: {{ ports: [{{ port: 80 }}], {spec} }}\nstatus: {{ {status} }}\n"
    )
}

/// In a cluster: the addresses, and Programmed with its reason and message.
fn in_cluster(services: &str) -> (Vec<String>, (bool, &'static str), String) {
    let options = Options {
        addresses: GatewayAddresses::Services,
        ..options()
    };
    let store = store(&format!("{GATEWAY}{services}"));
    let resolution = resolve(&Reader::new(&store), &options);
    let status = &resolution.statuses[&Key::new(Kind::Gateway, "default", "eg")].body;
    let StatusBody::Gateway(gateway) = status else {
        panic!("a Gateway's status");
    };
    let programmed = &gateway.conditions[1];
    (
        gateway.addresses.clone(),
        (programmed.holds, programmed.reason),
        programmed.message.clone(),
    )
}

#[test]
fn in_a_cluster_the_addresses_are_those_of_the_labelled_services() {
    let balanced = labelled(
        "one",
        "type: LoadBalancer, clusterIP: 10.96.0.1",
        "loadBalancer: { ingress: [{ ip: 192.0.2.7 }, { hostname: lb.example.com }] }",
    );
    let pending = labelled(
        "two",
        "type: LoadBalancer, clusterIP: 10.96.0.2, clusterIPs: [10.96.0.2, 'fd00::2']",
        "loadBalancer: {}",
    );
    let headless = labelled("three", "clusterIP: None", "");
    let programmed = (true, reasons::PROGRAMMED);
    let (addresses, condition, _) = in_cluster(&(balanced.clone() + &pending + &headless));
    assert_eq!(
        addresses,
        ["10.96.0.2", "192.0.2.7", "fd00::2", "lb.example.com"]
    );
    assert_eq!(condition, programmed);
    // Of another namespace, or another Gateway's.
    let foreign = balanced.replace("{ name: one,", "{ name: one, namespace: other,");
    let others = balanced.replace("gateway-name: eg", "gateway-name: internal");
    for services in [headless, foreign, others] {
        let (addresses, condition, message) = in_cluster(&services);
        assert_eq!(addresses, [""; 0]);
        assert_eq!(condition, (false, reasons::ADDRESS_NOT_ASSIGNED));
        assert!(
            message.contains("gateway.networking.k8s.io/gateway-name: eg"),
            "{message}"
        );
    }
}

#[test]
fn a_port_to_which_no_service_leads_is_said_at_its_listener() {
    let programmed = |ports: &str| {
        let service = labelled("one", "clusterIP: 10.96.0.1", "")
            .replace("ports: [{ port: 80 }]", &format!("ports: [{ports}]"));
        let options = Options {
            addresses: GatewayAddresses::Services,
            ..options()
        };
        let store = store(&format!("{GATEWAY}{service}"));
        let resolution = resolve(&Reader::new(&store), &options);
        let conditions = &listener(&resolution, "http").conditions;
        let programmed = conditions.iter().find(|it| it.kind == kind::PROGRAMMED);
        let programmed = programmed.expect("it is said").clone();
        (programmed.holds, programmed.message)
    };
    for reached in [
        "{ port: 80, targetPort: 10080 }",
        "{ port: 8080, targetPort: 10080 }",
        "{ port: 10080 }",
        "{ port: 80, targetPort: http }",
    ] {
        assert!(programmed(reached).0, "{reached}");
    }
    let (holds, message) =
        programmed("{ name: a, port: 80 }, { name: b, port: 81, targetPort: 10081 }");
    assert!(!holds);
    let mend = "add port 80 with targetPort 10080 to Service default/one";
    assert!(message.contains(mend), "{message}");
}

#[test]
fn gateways_of_a_class_that_is_refused_say_so_and_are_not_served() {
    let parameters = "parametersRef: { group: example.com, kind: Config, name: some }";
    let controller = "controllerName: locum.dev/gatewayclass-controller";
    let refused = GATEWAY.replace(controller, &format!("{controller}, {parameters}"));
    assert_ne!(refused, GATEWAY);
    let resolution = resolved(&refused);
    for condition in [kind::ACCEPTED, kind::PROGRAMMED] {
        assert!(!resolution.condition(Kind::Gateway, "eg", condition).0);
    }
    assert!(resolution.gateway().ports.is_empty());
}

#[test]
fn proxies_that_locum_shall_run_itself_are_refused() {
    let with = |who: &str| {
        let annotated = format!(
            "{{ name: eg, annotations: {{ locum.dev/proxies: {who} }} }}\nspec:\n  gatewayClassName"
        );
        resolved(&GATEWAY.replace("{ name: eg }\nspec:\n  gatewayClassName", &annotated))
    };
    let resolution = with("managed");
    assert_eq!(
        resolution.condition(Kind::Gateway, "eg", kind::ACCEPTED),
        (false, reasons::INVALID_PARAMETERS)
    );
    let problem = &resolution.problems[0];
    assert_eq!(
        (problem.severity, &*problem.field, problem.reason),
        (
            Severity::Error,
            "metadata.annotations",
            reasons::INVALID_PARAMETERS
        )
    );
    assert!(resolution.gateway().ports.is_empty());
    assert!(with("external").problems.is_empty());
}

#[test]
fn a_class_names_what_is_served_in_order() {
    let resolution = resolved(GATEWAY);
    let status = &resolution.statuses[&Key::new(Kind::GatewayClass, "", "eg")].body;
    let StatusBody::Class(class) = status else {
        panic!("a class's status");
    };
    assert!(class.supported_features.is_sorted());
    assert!(
        class
            .supported_features
            .contains(&"HTTPRouteMethodMatching")
    );
}

/// The reason of Accepted at the route's first parent.
fn accepted(gateway: &str, parent: &str, metadata: &str, hostnames: &str) -> (bool, &'static str) {
    let route = format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{ name: web{metadata} }}\n\
         spec: {{ hostnames: [{hostnames}], parentRefs: [{parent}], rules: [{}] }}\n",
        rule(&["active"])
    );
    let resolution = resolved(&format!(
        "{gateway}{}{route}",
        ip("active", "10.0.0.1", false)
    ));
    let key = resolution
        .statuses
        .keys()
        .find(|key| key.kind == Kind::HttpRoute)
        .expect("a status");
    match &resolution.statuses[key].body {
        StatusBody::Route(parents) => (
            parents[0].conditions[0].holds,
            parents[0].conditions[0].reason,
        ),
        _ => panic!("a route's status"),
    }
}

#[test]
fn a_route_attaches_to_the_listeners_it_names() {
    let case = |parent: &str| accepted(GATEWAY, parent, "", "");
    assert_eq!(case("{ name: eg }"), (true, reasons::ACCEPTED));
    assert_eq!(
        case("{ name: eg, sectionName: http, port: 80 }"),
        (true, reasons::ACCEPTED)
    );
    assert_eq!(
        case("{ name: eg, sectionName: other }"),
        (false, reasons::NO_MATCHING_PARENT)
    );
    assert_eq!(
        case("{ name: eg, port: 8080 }"),
        (false, reasons::NO_MATCHING_PARENT)
    );
}

#[test]
fn a_route_without_a_common_hostname_is_not_accepted() {
    let gateway = listeners("{ name: http, protocol: HTTP, port: 80, hostname: '*.example.com' }");
    let case = |hostnames: &str| accepted(&gateway, "{ name: eg }", "", hostnames);
    assert_eq!(case("a.example.com"), (true, reasons::ACCEPTED));
    assert_eq!(
        case("example.com"),
        (false, reasons::NO_MATCHING_LISTENER_HOSTNAME)
    );
}

#[test]
fn a_listener_takes_routes_of_the_namespaces_it_allows() {
    let with = |from: &str| {
        listeners(&format!(
            "{{ name: http, protocol: HTTP, port: 80, allowedRoutes: {{ namespaces: {from} }} }}"
        ))
    };
    let case = |from: &str| {
        accepted(
            &with(from),
            "{ name: eg, namespace: default }",
            ", namespace: shop",
            "",
        )
        .1
    };
    let by_name =
        "{ from: Selector, selector: { matchLabels: { kubernetes.io/metadata.name: shop } } }";
    let by_label = "{ from: Selector, selector: { matchLabels: { team: shop } } }";
    assert_eq!(case("{ from: Same }"), reasons::NOT_ALLOWED_BY_LISTENERS);
    assert_eq!(case("{ from: All }"), reasons::ACCEPTED);
    assert_eq!(case(by_name), reasons::ACCEPTED);
    assert_eq!(case(by_label), reasons::NOT_ALLOWED_BY_LISTENERS);
    let namespace =
        "---\napiVersion: v1\nkind: Namespace\nmetadata: { name: shop, labels: { team: shop } }\n";
    let labelled = with(by_label) + namespace;
    let outcome = accepted(
        &labelled,
        "{ name: eg, namespace: default }",
        ", namespace: shop",
        "",
    );
    assert_eq!(outcome.1, reasons::ACCEPTED);
}

#[test]
fn a_route_of_refused_listeners_only_is_counted_but_not_accepted() {
    let gateway = listeners(
        "{ name: one, protocol: HTTP, port: 80 }, { name: two, protocol: TCP, port: 80 }, \
         { name: good, protocol: HTTP, port: 8080 }",
    );
    assert_eq!(
        accepted(&gateway, "{ name: eg, port: 80 }", "", ""),
        (false, reasons::NO_READY_LISTENERS)
    );
    let yaml = gateway + &ip("active", "10.0.0.1", false) + &route("web", &rule(&["active"]));
    let resolution = resolved(&yaml);
    assert_eq!(listener(&resolution, "one").attached_routes, 1);
    assert_eq!(listener(&resolution, "good").attached_routes, 1);
}

#[test]
fn routes_that_attach_to_nothing_are_reported() {
    let cases = [
        ("{ name: gone }", reasons::PARENT_NOT_FOUND),
        (
            "{ kind: Service, group: '', name: web }",
            reasons::PARENT_NOT_SERVED,
        ),
        ("", reasons::NO_PARENT),
    ];
    for (parent, reason) in cases {
        let route =
            route("web", &rule(&["active"])).replace("[{ name: eg }]", &format!("[{parent}]"));
        let resolution = served(&(ip("active", "10.0.0.1", false) + &route));
        assert_eq!(resolution.reasons(), [reason], "{parent}");
        assert!(
            !resolution
                .statuses
                .contains_key(&Key::new(Kind::HttpRoute, "default", "web"))
        );
    }
}

//! The kinds of Gateway API, as their CRDs have them.

use super::*;

fn gateway() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "eg", "namespace": "infra"},
        "spec": {
            "gatewayClassName": "eg",
            "listeners": [
                {"name": "http", "port": 80, "protocol": "HTTP"},
                {
                    "name": "https", "port": 443, "protocol": "HTTPS",
                    "tls": {"certificateRefs": [{"name": "cert"}]},
                },
            ],
        },
    })
}

const GATEWAY: &str = r#"
    /spec/gatewayClassName = "" => spec.gatewayClassName
    /spec/listeners = [] => spec.listeners
    /spec/listeners/0/port = 0 => spec.listeners[0].port
    /spec/listeners/0/port = 443 => ok
    /spec/listeners/0/name = "HTTP" => spec.listeners[0].name
    /spec/listeners/0/name = "https" => spec.listeners[1]
    /spec/listeners/0/protocol = "no good" => spec.listeners[0].protocol
    /spec/listeners/0/protocol = "example.com/own" => ok
    /spec/listeners/0/hostname = "*.*.com" => spec.listeners[0].hostname
    /spec/listeners/0/hostname = "*.example.com" => ok
    /spec/listeners/0/hostname = "10.0.0.1" => spec.listeners[0].hostname
    /spec/listeners/0/tls = {"mode": "Passthrough"} => spec.listeners[0].tls
    /spec/listeners/1/tls = {} => spec.listeners[1].tls
    /spec/listeners/1/tls = {"mode": "Passthrough"} => spec.listeners[1].tls.mode
    /spec/listeners/2 = {"name": "http", "port": 81, "protocol": "HTTP"} => spec.listeners[2]
    /spec/listeners/2 = {"name": "other", "port": 80, "protocol": "HTTP"} => spec.listeners[2]
    /spec/listeners/2 = {"name": "other", "port": 81, "protocol": "HTTP"} => ok
    /spec/listeners/2 = {"name": "tls", "port": 444, "protocol": "TLS"} => spec.listeners[2].tls
    /spec/addresses = [{"value": "nowhere"}] => spec.addresses[0].value
    /spec/addresses = [{"value": "10.0.0.1"}, {"value": "10.0.0.1"}] => spec.addresses[1]
    /spec/addresses = [{"type": "Hostname", "value": "a.example.com"}] => ok
    /spec/somethingNew = true => ok
"#;

#[test]
fn gateway_is_taken_or_refused_as_its_crd_does() {
    check(&gateway(), GATEWAY);
    let routes = json!({"namespaces": {"from": "None"}});
    let sample = with(gateway(), "/spec/listeners/0/allowedRoutes", routes);
    assert_eq!(
        errors(sample),
        ["spec.listeners[0].allowedRoutes.namespaces.from"]
    );
}

#[test]
fn gateway_gets_the_defaults_of_its_crd() {
    let Some(Object::Gateway(gateway)) = parse(gateway(), "default").object else {
        panic!("the sample is sound");
    };
    let routes = gateway.spec.listeners[0].allowed_routes.as_ref().unwrap();
    let from = routes.namespaces.as_ref().unwrap().from.as_ref().unwrap();
    assert_eq!(serde_json::to_value(from).unwrap(), "Same");
    assert_eq!(gateway.metadata.namespace.as_deref(), Some("infra"));
}

fn route() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "r"},
        "spec": {
            "parentRefs": [{"name": "eg"}],
            "hostnames": ["www.example.com"],
            "rules": [{
                "matches": [{"path": {"value": "/a"}}],
                "backendRefs": [{"name": "svc", "port": 80}],
            }],
        },
    })
}

const ROUTE: &str = r#"
    /apiVersion = "gateway.networking.k8s.io/v1beta1" => ok
    /spec/hostnames/0 = "10.0.0.1" => spec.hostnames[0]
    /spec/hostnames/0 = "a.*.com" => spec.hostnames[0]
    /spec/hostnames/0 = "A.com" => spec.hostnames[0]
    /spec/hostnames/0 = "*.example.com" => ok
    /spec/rules = [] => spec.rules
    /spec/rules = [{"name": "a"}, {"name": "a"}] => spec.rules[1]
    /spec/parentRefs/0/sectionName = "A" => spec.parentRefs[0].sectionName
    /spec/parentRefs/0/port = 0 => spec.parentRefs[0].port
    /spec/parentRefs/1 = {"name": "eg"} => spec.parentRefs[1]
    /spec/parentRefs/1 = {"name": "eg", "sectionName": "http"} => spec.parentRefs[0].sectionName
    /spec/parentRefs/1 = {"name": "eg", "namespace": "other"} => ok
"#;

const RULE: &str = r#"
    /matches/0/path/value = "a" => matches[0].path.value
    /matches/0/path/value = "/a//b" => matches[0].path.value
    /matches/0/path/value = "/a/../b" => matches[0].path.value
    /matches/0/path/value = "/a/.." => matches[0].path.value
    /matches/0/path/value = "/a%2fb" => matches[0].path.value
    /matches/0/path/value = "/a%20b" => ok
    /matches/0/path/value = "/a%2" => matches[0].path.value
    /matches/0/path/value = "/a#b" => matches[0].path.value
    /matches/0/path/value = "/a b" => matches[0].path.value
    /matches/0/path = {"type": "RegularExpression", "value": "a//b"} => ok
    /matches/0/path/type = "Prefix" => matches[0].path.type
    /matches/0/method = "get" => matches[0].method
    /matches/0/headers = [{"name": "a b", "value": "x"}] => matches[0].headers[0].name
    /matches/0/headers = [{"name": "a", "value": ""}] => matches[0].headers[0].value
    /matches/0/queryParams = [{"name": "a", "value": "1"}] => ok
    /backendRefs/0/port = null => backendRefs[0].port
    /backendRefs/0/port = 65536 => backendRefs[0].port
    /backendRefs/0/weight = 1000001 => backendRefs[0].weight
    /backendRefs/0/weight = -1 => backendRefs[0].weight
    /backendRefs/0/weight = 0 => ok
    /backendRefs/0/namespace = "A" => backendRefs[0].namespace
    /backendRefs/0 = {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "a"} => ok
    /name = "Rule" => name
    /timeouts = {"request": "1d"} => timeouts.request
    /timeouts = {"request": "1s", "backendRequest": "2s"} => timeouts.backendRequest
    /timeouts = {"request": "0s", "backendRequest": "2s"} => ok
    /retry = {"codes": [200]} => retry.codes[0]
    /retry = {"codes": [500], "attempts": 2, "backoff": "100ms"} => ok
    /filters = [{"type": "RequestHeaderModifier"}] => filters[0].requestHeaderModifier
    /filters = [{"type": "RequestRedirect", "requestRedirect": {}}] => filters[0]
    /filters = [{"type": "URLRewrite", "urlRewrite": {}, "cors": {}}] => filters[0].cors
"#;

#[test]
fn route_is_taken_or_refused_as_its_crd_does() {
    check(&route(), ROUTE);
    let cases = RULE.lines().map(str::trim).filter(|line| !line.is_empty());
    for case in cases {
        let (change, outcome) = case.rsplit_once(" => ").unwrap();
        let field = match outcome {
            "ok" => "ok".to_owned(),
            field => format!("spec.rules[0].{field}"),
        };
        check(&route(), &format!("/spec/rules/0{change} => {field}"));
    }
}

#[test]
fn path_that_stands_in_anothers_place_fits_its_type() {
    let filter = |path: Value| {
        let filter = json!({"type": "URLRewrite", "urlRewrite": {"path": path}});
        with(route(), "/spec/rules/0/filters", json!([filter]))
    };
    let at = "spec.rules[0].filters[0].urlRewrite.path";
    let missing = filter(json!({"type": "ReplaceFullPath"}));
    assert_eq!(errors(missing), [format!("{at}.replaceFullPath")]);
    let sound = filter(json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"}));
    assert_eq!(errors(sound.clone()), [""; 0]);
    let exact = with(sound, "/spec/rules/0/matches/0/path/type", json!("Exact"));
    assert_eq!(errors(exact), [format!("{at}.replacePrefixMatch")]);
}

#[test]
fn lengths_of_a_routes_lists_are_limited() {
    let rules = |rules: Vec<Value>| errors(with(route(), "/spec/rules", json!(rules)));
    let rule = |matches: usize| json!({"matches": vec![json!({}); matches]});
    assert_eq!(rules(vec![json!({}); 16]), [""; 0]);
    assert_eq!(rules(vec![json!({}); 17]), ["spec.rules"]);
    assert_eq!(rules(vec![rule(64)]), [""; 0]);
    assert_eq!(rules(vec![rule(65)]), ["spec.rules[0].matches"]);
    assert_eq!(rules(vec![rule(33); 4]), ["spec.rules"]);
}

#[test]
fn route_gets_the_defaults_of_its_crd() {
    let sample = with(route(), "/spec/rules/0/matches", json!(null));
    let Some(Object::HttpRoute(route)) = parse(sample, "default").object else {
        panic!("the sample is sound");
    };
    let parent = &route.spec.parent_refs.as_ref().unwrap()[0];
    assert_eq!(parent.kind.as_deref(), Some("Gateway"));
    let rule = &route.spec.rules.as_ref().unwrap()[0];
    let path = rule.matches.as_ref().unwrap()[0].path.as_ref().unwrap();
    assert_eq!(path.value.as_deref(), Some("/"));
    let backend = &rule.backend_refs.as_ref().unwrap()[0];
    assert_eq!(
        (backend.weight, backend.kind.as_deref()),
        (Some(1), Some("Service"))
    );
}

#[test]
fn unknown_field_is_a_warning() {
    let sample = with(route(), "/spec/rules/0/matchs", json!([]));
    let parsed = parse(sample, "default");
    assert!(parsed.object.is_some());
    let faults: Vec<_> = parsed
        .faults
        .iter()
        .map(|f| (f.severity, f.field.as_str()))
        .collect();
    assert_eq!(faults, [(Severity::Warning, "spec.rules[0].matchs")]);
}

#[test]
fn grant_and_class_are_taken_or_refused_as_their_crds_do() {
    let grant = json!({
        "apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant",
        "metadata": {"name": "g"},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "a"}],
            "to": [{"group": "", "kind": "Service"}],
        },
    });
    check(
        &grant,
        r#"
        /spec/from = [] => spec.from
        /spec/to = null => spec.to
        /spec/to/0/name = "" => spec.to[0].name
        /spec/from/0/namespace = "" => spec.from[0].namespace
        /spec/to/0/kind = "a b" => spec.to[0].kind
        "#,
    );
    let class = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
        "metadata": {"name": "eg"}, "spec": {"controllerName": "example.com/controller"},
    });
    check(
        &class,
        "/spec/controllerName = \"controller\" => spec.controllerName",
    );
    let long = with(class, "/spec/description", json!("x".repeat(65)));
    assert_eq!(errors(long), ["spec.description"]);
}

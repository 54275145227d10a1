//! Backend, as its CRD has it.

use super::*;

fn backend() -> Value {
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "Backend",
        "metadata": {"name": "active"},
        "spec": {
            "endpoints": [{"fqdn": {"hostname": "a.example.com", "port": 3000}}],
            "tls": {"wellKnownCACertificates": "System"},
        },
    })
}

const CASES: &str = r#"
    /spec/endpoints/0 = {} => spec.endpoints[0]
    /spec/endpoints/0/ip = {"address": "10.0.0.1", "port": 80} => spec.endpoints[0]
    /spec/endpoints/1 = {"ip": {"address": "10.0.0.1", "port": 80}} => spec.endpoints
    /spec/endpoints/1 = {"fqdn": {"hostname": "b", "port": 80}} => ok
    /spec/endpoints = [] => spec.endpoints
    /spec/endpoints/0/fqdn/port = 65536 => spec.endpoints[0].fqdn.port
    /spec/endpoints/0/fqdn/port = 0 => ok
    /spec/endpoints/0/fqdn/port = null => spec.endpoints[0].fqdn.port
    /spec/endpoints/0/fqdn/port = "80" => spec.endpoints[0].fqdn.port
    /spec/endpoints/0/fqdn/hostname = "A_b" => spec.endpoints[0].fqdn.hostname
    /spec/endpoints/0/fqdn/hostname = "a.example.com." => ok
    /spec/endpoints/0/hostname = "a." => spec.endpoints[0].hostname
    /spec/endpoints/0/hostname = "a" => ok
    /spec/endpoints/0/fallback = true => spec.endpoints[0].fallback
    /spec/fallback = true => ok
    /spec/fallback = "yes" => spec.fallback
    /spec/appProtocols = ["h2c"] => spec.appProtocols[0]
    /spec/appProtocols = ["gateway.envoyproxy.io/h2c"] => ok
    /spec/type = "Other" => spec.type
    /spec/type = "DynamicResolver" => spec
    /spec/type = "Endpoints" => ok
    /spec/tls/minVersion = "1.4" => spec.tls.minVersion
    /spec/tls/minVersion = "1.2" => ok
    /spec/tls/maxVersion = "1.1" => spec.tls
    /spec/tls/insecureSkipVerify = true => spec.tls
    /spec/tls/caCertificateRefs = [{"group": "", "kind": "Secret", "name": "ca"}] => spec.tls
    /metadata/name = "Active" => metadata.name
    /metadata/naem = "x" => metadata.naem
    /metadata/creationTimestamp = "2026-01-31T12:00:00Z" => ok
    /metadata/creationTimestamp = "today" => metadata.creationTimestamp
    /spec = null => spec
    /extra = 1 => extra
    /status = {"conditions": "what an export may hold"} => ok
"#;

#[test]
fn backend_is_taken_or_refused_as_its_crd_does() {
    check(&backend(), CASES);
}

#[test]
fn empty_field_is_an_error() {
    let mut sample = backend();
    sample["spec"]["endpoints"] = Value::Null;
    assert_eq!(errors(sample), ["spec.endpoints"]);
}

#[test]
fn path_of_a_socket_has_at_most_108_characters() {
    let sample = |length| {
        let path = "/".repeat(length);
        with(
            backend(),
            "/spec/endpoints",
            json!([{"unix": {"path": path}}]),
        )
    };
    assert_eq!(errors(sample(108)), [""; 0]);
    assert_eq!(errors(sample(109)), ["spec.endpoints[0].unix.path"]);
}

#[test]
fn server_name_from_the_endpoint_needs_a_name_there() {
    let sample = with(
        backend(),
        "/spec/tls/autoSNIFromEndpointHostname",
        json!(true),
    );
    check(
        &sample,
        r#"
        /spec/endpoints = [{"ip": {"address": "10.0.0.1", "port": 80}}] => spec
        /spec/endpoints = [{"ip": {"address": "fd00::1", "port": 80}, "hostname": "a"}] => ok
        /spec/tls/sni = "a.example.com" => spec.tls
        "#,
    );
}

#[test]
fn unknown_field_names_the_known_ones() {
    let sample = with(backend(), "/spec/endpoints/0/zzz", json!(1));
    let fault = &parse(sample, "default").faults[0];
    let message = "is not a known field; known here: fqdn, hostname, ip, unix, zone";
    assert_eq!(fault.message, message);
}

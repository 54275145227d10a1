//! The kinds of Kubernetes itself, as far as they matter to Locum.

use super::*;

#[test]
fn service_is_taken_or_refused_as_an_api_server_does() {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc"},
        "spec": {"ports": [{"port": 80, "targetPort": "http"}]},
    });
    check(
        &service,
        r#"
        /spec/ports/0/port = 0 => spec.ports[0].port
        /spec/ports/0/port = "80" => spec.ports[0].port
        /spec/ports = [] => spec.ports
        /spec/ports = [{"port": 1, "name": "a"}, {"port": 2}] => spec.ports[1].name
        /spec/ports = [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}] => spec.ports[1]
        /spec/ports/0/targetPort = true => spec.ports[0].targetPort
        /spec/ports/0/targetPort = 8080 => ok
        /spec/type = "Cluster" => spec.type
        /spec/somethingNew = 1 => ok
        /metadata/name = "1svc" => metadata.name
        /metadata/name = null => metadata.name
        /metadata/namespace = "a.b" => metadata.namespace
        /metadata/labels = {"app": "not good"} => metadata.labels[app]
        /metadata/labels = {"app.kubernetes.io/name": "svc"} => ok
        "#,
    );
    let mut sample = service;
    sample["spec"]["clusterIP"] = Value::Null;
    sample["metadata"]["creationTimestamp"] = Value::Null;
    assert_eq!(
        errors(sample),
        [""; 0],
        "null is no value in Kubernetes' own kinds"
    );
}

#[test]
fn slice_is_taken_or_refused_as_an_api_server_does() {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "svc-1"}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}],
    });
    check(
        &slice,
        r#"
        /endpoints/0/addresses/0 = "::1" => endpoints[0].addresses[0]
        /endpoints/0/addresses/0 = "a.example.com" => endpoints[0].addresses[0]
        /endpoints/0/addresses = [] => endpoints[0].addresses
        /addressType = "IPv5" => addressType
        /addressType = "IPv6" => endpoints[0].addresses[0]
        /ports/0/port = 70000 => ports[0].port
        /ports/1 = {"port": 81} => ports[1]
        /ports/1 = {"port": 81, "name": "b"} => ok
        "#,
    );
}

#[test]
fn secret_is_never_quoted() {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "data": {"tls.key": "hush hush"}, "type": 12345,
    });
    let parsed = parse(secret, "default");
    assert!(parsed.object.is_none());
    assert_eq!(parsed.faults.len(), 2, "{:?}", parsed.faults);
    for fault in parsed.faults {
        assert!(!fault.message.contains("hush"), "{fault:?}");
        assert!(!fault.message.contains("12345"), "{fault:?}");
    }
}

#[test]
fn secret_is_not_shown_by_what_holds_it() {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "a"},
        "data": {"tls.key": "aHVzaA=="},
    });
    let object = parse(secret, "default").object.unwrap();
    assert_eq!(format!("{object:?}"), "Secret a/s");
}

#[test]
fn of_all_statuses_only_a_services_is_kept() {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"ports": [{"port": 80}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
    });
    let Some(Object::Service(service)) = parse(service, "default").object else {
        panic!("the sample is sound");
    };
    let status = serde_json::to_value(&service.status).unwrap();
    assert_eq!(status["loadBalancer"]["ingress"][0]["ip"], "192.0.2.1");
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"},
        "status": {"phase": "Active"},
    });
    let Some(Object::Namespace(namespace)) = parse(namespace, "default").object else {
        panic!("the sample is sound");
    };
    assert_eq!(namespace.status, None);
}

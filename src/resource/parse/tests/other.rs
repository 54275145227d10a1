//! Guards, kinds that are not Locum's, and what is no object at all.

use super::*;
use crate::resource::Guard;

fn policy(kind: &str, spec: &Value) -> Parsed {
    let object = json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": kind,
        "metadata": {"name": "p"}, "spec": spec,
    });
    parse(object, "default")
}

fn guard(kind: &str, spec: &Value) -> Arc<Guard> {
    match policy(kind, spec).object {
        Some(Object::Guard(guard)) => guard,
        other => panic!("{other:?} is no guard"),
    }
}

#[test]
fn guard_says_what_it_closes() {
    let target = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "eg"});
    let security = guard("SecurityPolicy", &json!({"targetRefs": [target]}));
    assert!(security.closes);
    assert_eq!(security.targets[0].key.to_string(), "Gateway default/eg");
    assert!(guard("SecurityPolicy", &json!({"targetSelectors": [{}]})).has_selectors);
}

#[test]
fn policy_for_clients_closes_only_where_it_keeps_something_out() {
    let target = json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "eg"});
    let spec = json!({"targetRef": target, "timeout": {}});
    assert!(!guard("ClientTrafficPolicy", &spec).closes);
    let spec = json!({"targetRef": target, "tls": {"clientValidation": {}}});
    assert!(guard("ClientTrafficPolicy", &spec).closes);
}

#[test]
fn guards_of_different_kinds_may_share_a_name() {
    let key = |kind: &str| policy(kind, &json!({"targetSelectors": [{}]})).key.unwrap();
    let (one, two) = (key("SecurityPolicy"), key("EnvoyExtensionPolicy"));
    assert_ne!(one, two);
    assert_eq!(one.to_string(), "SecurityPolicy default/p");
}

#[test]
fn guard_whose_target_cannot_be_read_is_refused() {
    let parsed = policy(
        "SecurityPolicy",
        &json!({"targetRefs": [{"kind": "Gateway"}]}),
    );
    assert!(parsed.object.is_none());
    assert_eq!(parsed.faults[0].field, "spec.targetRefs[0]");
}

#[test]
fn other_kinds_are_passed_over_and_unsupported_ones_warned_of() {
    let severity = |api_version: &str, kind: &str| {
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}});
        let parsed = parse(object, "default");
        assert!(parsed.object.is_none());
        parsed.faults[0].severity
    };
    assert_eq!(severity("apps/v1", "Deployment"), Severity::Note);
    assert_eq!(
        severity("gateway.networking.k8s.io/v1", "GRPCRoute"),
        Severity::Warning
    );
    assert_eq!(
        severity("gateway.envoyproxy.io/v1alpha1", "EnvoyProxy"),
        Severity::Warning
    );
    assert_eq!(
        severity("gateway.envoyproxy.io/v1", "Backend"),
        Severity::Error
    );
}

#[test]
fn what_is_no_object_is_passed_over_and_half_an_object_refused() {
    let severity = |value: Value| parse(value, "default").faults[0].severity;
    assert_eq!(severity(json!({"a": 1})), Severity::Note);
    assert_eq!(severity(json!("text")), Severity::Note);
    assert_eq!(severity(json!({"kind": "Service"})), Severity::Error);
    assert_eq!(severity(json!({"apiVersion": "v1"})), Severity::Error);
}

//! Statuses as Kubernetes would hold them: JSON objects with `apiVersion`, `kind`, `metadata` and
//! `status`.
//!
//! In: [`Statuses`] and the time to write as `lastTransitionTime`, since nothing here looks at a
//! clock. Out: the list that `locum translate -t status` shows, and for each object what a status
//! writer would patch.

use serde_json::{Map, Value, json};

use super::{
    AncestorStatus, ClassStatus, Condition, GatewayStatus, ListenerStatus, ParentRef, ParentStatus,
    Status, StatusBody, Statuses,
};
use crate::resource::Key;

/// Kubernetes wants a generation; an object from a file has none and is at its first.
const FIRST_GENERATION: i64 = 1;

/// Kubernetes admits messages up to this many bytes.
const MAX_MESSAGE: usize = 32_768;

/// Every status as an object, by kind, namespace and name. `time` is RFC 3339 with seconds, as
/// Kubernetes writes it.
pub fn statuses(statuses: &Statuses, time: &str) -> Vec<Value> {
    statuses
        .iter()
        .map(|(key, status)| object(key, status, time))
        .collect()
}

/// One resource with nothing but its name and its status.
pub fn object(key: &Key, status: &Status, time: &str) -> Value {
    let mut metadata = Map::new();
    metadata.insert("name".into(), key.manifest_name().into());
    if !key.object.namespace.is_empty() {
        metadata.insert("namespace".into(), (*key.object.namespace).into());
    }
    json!({
        "apiVersion": key.api_version(),
        "kind": key.manifest_kind(),
        "metadata": metadata,
        "status": body(status, time),
    })
}

/// What stands under `status`.
pub(super) fn body(status: &Status, time: &str) -> Value {
    let generation = status.observed_generation.unwrap_or(FIRST_GENERATION);
    let conditions = |list: &[Condition]| conditions(list, generation, time);
    match &status.body {
        StatusBody::Conditions(list) => json!({ "conditions": conditions(list) }),
        StatusBody::Class(class) => self::class(class, &conditions),
        StatusBody::Gateway(gateway) => self::gateway(gateway, &conditions),
        StatusBody::Route(parents) => {
            let parents: Vec<Value> = parents
                .iter()
                .map(|parent| self::parent(parent, &conditions))
                .collect();
            json!({ "parents": parents })
        }
        StatusBody::Policy(ancestors) => {
            let ancestors: Vec<Value> = ancestors
                .iter()
                .map(|ancestor| self::ancestor(ancestor, &conditions))
                .collect();
            json!({ "ancestors": ancestors })
        }
    }
}

fn conditions(list: &[Condition], generation: i64, time: &str) -> Value {
    list.iter()
        .map(|condition| {
            json!({
                "type": condition.kind,
                "status": if condition.holds { "True" } else { "False" },
                "reason": condition.reason,
                "message": bounded(&condition.message),
                "observedGeneration": generation,
                "lastTransitionTime": time,
            })
        })
        .collect()
}

/// As much of a message as Kubernetes admits.
fn bounded(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_MESSAGE)]
}

fn class(class: &ClassStatus, conditions: &dyn Fn(&[Condition]) -> Value) -> Value {
    let features = class.supported_features.iter();
    let features: Vec<Value> = features.map(|name| json!({ "name": name })).collect();
    json!({ "conditions": conditions(&class.conditions), "supportedFeatures": features })
}

fn gateway(gateway: &GatewayStatus, conditions: &dyn Fn(&[Condition]) -> Value) -> Value {
    let listeners: Vec<Value> = gateway
        .listeners
        .iter()
        .map(|listener| self::listener(listener, conditions))
        .collect();
    let mut status = json!({
        "conditions": conditions(&gateway.conditions),
        "listeners": listeners,
    });
    if !gateway.addresses.is_empty() {
        status["addresses"] = gateway
            .addresses
            .iter()
            .map(|address| self::address(address))
            .collect();
    }
    status
}

fn address(address: &str) -> Value {
    let is_ip = address.parse::<std::net::IpAddr>().is_ok();
    json!({ "type": if is_ip { "IPAddress" } else { "Hostname" }, "value": address })
}

fn listener(listener: &ListenerStatus, conditions: &dyn Fn(&[Condition]) -> Value) -> Value {
    let kinds: Vec<Value> = listener
        .supported_kinds
        .iter()
        .map(|(group, kind)| json!({ "group": group, "kind": kind }))
        .collect();
    json!({
        "name": listener.name,
        "attachedRoutes": listener.attached_routes,
        "supportedKinds": kinds,
        "conditions": conditions(&listener.conditions),
    })
}

fn parent(parent: &ParentStatus, conditions: &dyn Fn(&[Condition]) -> Value) -> Value {
    json!({
        "parentRef": reference(&parent.parent),
        "controllerName": parent.controller_name,
        "conditions": conditions(&parent.conditions),
    })
}

fn ancestor(ancestor: &AncestorStatus, conditions: &dyn Fn(&[Condition]) -> Value) -> Value {
    json!({
        "ancestorRef": reference(&ancestor.ancestor),
        "controllerName": ancestor.controller_name,
        "conditions": conditions(&ancestor.conditions),
    })
}

fn reference(parent: &ParentRef) -> Value {
    let mut reference = Map::new();
    reference.insert("group".into(), parent.group.as_str().into());
    reference.insert("kind".into(), parent.kind.as_str().into());
    reference.insert("name".into(), parent.name.as_str().into());
    let optional = [
        ("namespace", &parent.namespace),
        ("sectionName", &parent.section_name),
    ];
    for (field, value) in optional {
        if let Some(value) = value {
            reference.insert(field.into(), value.as_str().into());
        }
    }
    if let Some(port) = parent.port {
        reference.insert("port".into(), port.into());
    }
    Value::Object(reference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Kind;
    use crate::resource::guard::GuardKind;
    use crate::status::reasons;

    const TIME: &str = "2026-01-01T00:00:00Z";

    #[test]
    fn a_condition_has_the_form_that_kubernetes_admits() {
        let status = Status {
            observed_generation: Some(3),
            body: StatusBody::Conditions(vec![Condition::no(
                reasons::kind::ACCEPTED,
                reasons::INVALID,
                "no endpoints",
            )]),
        };
        let rendered = object(&Key::new(Kind::Backend, "default", "active"), &status, TIME);
        let expected = json!({
            "apiVersion": "gateway.envoyproxy.io/v1alpha1",
            "kind": "Backend",
            "metadata": { "namespace": "default", "name": "active" },
            "status": { "conditions": [{
                "type": "Accepted",
                "status": "False",
                "reason": "Invalid",
                "message": "no endpoints",
                "observedGeneration": 3,
                "lastTransitionTime": TIME,
            }] },
        });
        assert_eq!(rendered, expected);
    }

    #[test]
    fn a_gateways_addresses_are_told_apart_by_type() {
        assert_eq!(address("192.0.2.1")["type"], "IPAddress");
        assert_eq!(address("2001:db8::1")["type"], "IPAddress");
        assert_eq!(address("gw.example.com")["type"], "Hostname");
    }

    #[test]
    fn a_guard_is_shown_as_its_own_kind() {
        let status = Status {
            observed_generation: None,
            body: StatusBody::Policy(Vec::new()),
        };
        let key = Key::guard(GuardKind::SecurityPolicy, "default", "login");
        let rendered = object(&key, &status, TIME);
        assert_eq!(rendered["apiVersion"], "gateway.envoyproxy.io/v1alpha1");
        assert_eq!(rendered["kind"], "SecurityPolicy");
        assert_eq!(rendered["metadata"]["name"], "login");
    }
}

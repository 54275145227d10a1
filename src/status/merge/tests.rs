//! What is written, and above all what is left as it is.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::status::{
    AncestorStatus, ClassStatus, Condition, GatewayStatus, ListenerStatus, ParentRef, ParentStatus,
    StatusBody, reasons,
};

const OWN: &str = "locum.dev/gatewayclass-controller";
const OTHER: &str = "example.com/controller";
const THEN: &str = "2026-01-01T00:00:00Z";
const NOW: &str = "2026-02-02T00:00:00Z";

fn key(kind: Kind) -> Key {
    Key::new(kind, "default", "it")
}

/// Merges with the status of an object at generation 2.
fn merge(kind: Kind, held: &Value, wanted: Option<StatusBody>) -> Option<Value> {
    let status = wanted.map(|body| Status {
        observed_generation: Some(2),
        body,
    });
    let held = Held {
        status: held,
        generation: Some(2),
    };
    patch(&key(kind), held, status.as_ref(), &[OWN.into()], NOW)
}

/// A JSON merge patch of fields, as an API server applies it.
fn applied(held: &Value, patch: Option<&Value>) -> Value {
    let mut status = held.as_object().cloned().unwrap_or_default();
    for (field, value) in patch.and_then(Value::as_object).into_iter().flatten() {
        if value.is_null() {
            status.remove(field);
        } else {
            status.insert(field.clone(), value.clone());
        }
    }
    Value::Object(status)
}

fn accepted() -> Condition {
    Condition::yes(kind::ACCEPTED, reasons::ACCEPTED, "Fine.")
}

fn broken() -> Condition {
    Condition::no(kind::ACCEPTED, reasons::INVALID, "Not fine.")
}

fn condition(kind: &str, holds: bool, message: &str, generation: i64, since: &str) -> Value {
    json!({
        "type": kind, "status": if holds { "True" } else { "False" },
        "reason": if holds { "Accepted" } else { "Invalid" }, "message": message,
        "observedGeneration": generation, "lastTransitionTime": since,
    })
}

fn parent(gateway: &str) -> ParentRef {
    ParentRef {
        group: Kind::Gateway.group().into(),
        kind: Kind::Gateway.name().into(),
        namespace: None,
        name: gateway.into(),
        section_name: None,
        port: None,
    }
}

fn route(parents: &[(&str, Condition)]) -> StatusBody {
    let parents = parents.iter().map(|(name, condition)| ParentStatus {
        parent: parent(name),
        controller_name: OWN.into(),
        conditions: vec![condition.clone()],
    });
    StatusBody::Route(parents.collect())
}

/// An entry of a route's status.
fn entry(gateway: &str, controller: &str, conditions: Value) -> Value {
    json!({
        "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway},
        "controllerName": controller, "conditions": conditions,
    })
}

#[test]
fn a_condition_keeps_its_time_as_long_as_its_status_does() {
    let cases = [
        // What is held, what is wanted, and the time and message that are written.
        ((true, "Fine.", 2), accepted(), None),
        ((true, "Fine.", 1), accepted(), Some((THEN, "Fine."))),
        ((true, "Well.", 2), accepted(), Some((THEN, "Fine."))),
        ((false, "Fine.", 2), accepted(), Some((NOW, "Fine."))),
        ((true, "Fine.", 2), broken(), Some((NOW, "Not fine."))),
    ];
    for ((holds, message, generation), wanted, written) in cases {
        let held = condition("Accepted", holds, message, generation, THEN);
        let held = json!({"parents": [entry("eg", OWN, json!([held]))]});
        let patch = merge(Kind::HttpRoute, &held, Some(route(&[("eg", wanted)])));
        let written_now = patch.as_ref().map(|patch| {
            let condition = &patch["parents"][0]["conditions"][0];
            (
                condition["lastTransitionTime"].as_str().expect("a time"),
                condition["message"].as_str().expect("a message"),
            )
        });
        assert_eq!(written_now, written, "{held}");
    }
}

#[test]
fn a_status_that_is_not_there_is_written_as_a_whole() {
    let patch = merge(
        Kind::HttpRoute,
        &Value::Null,
        Some(route(&[("eg", accepted())])),
    );
    let expected = condition("Accepted", true, "Fine.", 2, NOW);
    let expected = json!({"parents": [entry("eg", OWN, json!([expected]))]});
    assert_eq!(patch, Some(expected));
}

#[test]
fn entries_of_other_controllers_stay_as_and_where_they_are() {
    let foreign = entry(
        "eg",
        OTHER,
        json!([{"type": "Accepted", "status": "False"}]),
    );
    let stale = entry(
        "gone",
        OWN,
        json!([condition("Accepted", true, "Fine.", 2, THEN)]),
    );
    let held = json!({"parents": [stale, foreign]});
    let patch = merge(Kind::HttpRoute, &held, Some(route(&[("eg", accepted())])));
    let own = entry(
        "eg",
        OWN,
        json!([condition("Accepted", true, "Fine.", 2, NOW)]),
    );
    assert_eq!(patch, Some(json!({"parents": [foreign, own]})));
}

#[test]
fn what_locum_no_longer_serves_loses_its_entries_only() {
    let foreign = entry("eg", OTHER, json!([]));
    let own = entry(
        "eg",
        OWN,
        json!([condition("Accepted", true, "Fine.", 2, THEN)]),
    );
    let held = json!({"parents": [foreign, own]});
    let patch = merge(Kind::HttpRoute, &held, None);
    assert_eq!(patch, Some(json!({"parents": [foreign]})));
    assert_eq!(
        merge(Kind::HttpRoute, &json!({"parents": [foreign]}), None),
        None
    );
    assert_eq!(merge(Kind::HttpRoute, &Value::Null, None), None);
    let gateway = json!({"conditions": [condition("Accepted", true, "Fine.", 2, THEN)]});
    for kind in [Kind::Gateway, Kind::GatewayClass, Kind::Backend] {
        assert_eq!(merge(kind, &gateway, None), None, "{kind} is left alone");
    }
}

#[test]
fn conditions_of_types_that_locum_does_not_write_stay() {
    let foreign = json!({"type": "example.com/Scanned", "status": "True"});
    let over = condition("PartiallyInvalid", true, "Some.", 2, THEN);
    let own = condition("Accepted", true, "Fine.", 2, THEN);
    let held = json!({"parents": [entry("eg", OWN, json!([foreign, over, own]))]});
    let patch = merge(Kind::HttpRoute, &held, Some(route(&[("eg", accepted())])));
    let expected = json!({"parents": [entry("eg", OWN, json!([foreign, own]))]});
    assert_eq!(patch, Some(expected), "one that is over goes");
}

#[test]
fn an_api_servers_defaults_and_order_are_no_difference() {
    let own = |name: &str| {
        json!({
            "parentRef": {"name": name}, "controllerName": OWN,
            "conditions": [condition("Accepted", true, "Fine.", 2, THEN)],
        })
    };
    let held = json!({"parents": [own("b"), own("a")]});
    let wanted = route(&[("a", accepted()), ("b", accepted())]);
    let patch = merge(Kind::HttpRoute, &held, Some(wanted));
    // The reference is completed, once; nothing else is touched.
    let patch = patch.expect("a reference without its kind is written with it");
    assert_eq!(patch["parents"][0]["parentRef"]["name"], "b");
    assert_eq!(
        patch["parents"][0]["conditions"],
        held["parents"][0]["conditions"]
    );
}

#[test]
fn a_gateway_keeps_what_others_say_of_it_and_its_listeners() {
    let listener = |name: &str, routes: i32| ListenerStatus {
        name: name.into(),
        envoy_name: String::new(),
        attached_routes: routes,
        supported_kinds: vec![(Kind::HttpRoute.group(), Kind::HttpRoute.name())],
        conditions: vec![accepted()],
    };
    let wanted = |routes, addresses: &[&str]| {
        StatusBody::Gateway(GatewayStatus {
            conditions: vec![accepted()],
            listeners: vec![listener("http", routes)],
            addresses: addresses.iter().map(ToString::to_string).collect(),
            controller_name: Some(OWN.into()),
        })
    };
    let foreign = json!({"type": "example.com/Dns", "status": "True"});
    let held = json!({
        "conditions": [foreign, condition("Accepted", true, "Fine.", 2, THEN)],
        "attachedListenerSets": 1,
        "listeners": [
            {"name": "gone", "attachedRoutes": 1, "supportedKinds": [], "conditions": []},
            {
                "name": "http", "attachedRoutes": 3,
                "supportedKinds": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}],
                "conditions": [condition("Accepted", true, "Fine.", 2, THEN), foreign],
            },
        ],
        "addresses": [{"type": "IPAddress", "value": "10.0.0.1"}],
    });
    let patch = merge(Kind::Gateway, &held, Some(wanted(4, &["10.0.0.1"])));
    let mut http = held["listeners"][1].clone();
    http["attachedRoutes"] = json!(4);
    assert_eq!(
        patch,
        Some(json!({"listeners": [http]})),
        "what changed alone"
    );
    let without = merge(Kind::Gateway, &held, Some(wanted(3, &[])));
    let without = without.expect("two fields differ");
    assert_eq!(without["addresses"], Value::Null);
    let after = applied(&held, Some(&without));
    assert_eq!(after["attachedListenerSets"], 1);
    assert_eq!(merge(Kind::Gateway, &after, Some(wanted(3, &[]))), None);
}

#[test]
fn a_class_gets_its_features() {
    let wanted = || {
        StatusBody::Class(ClassStatus {
            conditions: vec![accepted()],
            supported_features: &["A", "B"],
        })
    };
    let held = json!({"conditions": [condition("Accepted", true, "Fine.", 2, THEN)]});
    let patch = merge(Kind::GatewayClass, &held, Some(wanted()));
    let features = json!({"supportedFeatures": [{"name": "A"}, {"name": "B"}]});
    assert_eq!(patch, Some(features));
}

#[test]
fn a_backend_that_another_controller_speaks_of_alike_is_left_to_it() {
    let wanted = || Some(StatusBody::Conditions(vec![accepted()]));
    let held = |holds, generation| json!({"conditions": [condition("Accepted", holds, "By another.", generation, THEN)]});
    assert_eq!(merge(Kind::Backend, &held(true, 2), wanted()), None);
    let stale = merge(Kind::Backend, &held(true, 1), wanted());
    assert_eq!(
        stale.expect("a later generation")["conditions"][0]["message"],
        "Fine."
    );
    let other = merge(Kind::Backend, &held(false, 2), wanted());
    assert_eq!(
        other.expect("another status")["conditions"][0]["status"],
        "True"
    );
}

#[test]
fn a_status_of_a_later_generation_is_not_taken_back() {
    let held = |generation| {
        json!({"parents": [entry("eg", OWN, json!([
            condition("Accepted", true, "Fine.", generation, THEN),
        ]))]})
    };
    let merge = |held: &Value, current| {
        let status = Status {
            observed_generation: Some(2),
            body: route(&[("eg", broken())]),
        };
        let held = Held {
            status: held,
            generation: Some(current),
        };
        patch(
            &key(Kind::HttpRoute),
            held,
            Some(&status),
            &[OWN.into()],
            NOW,
        )
    };
    assert_eq!(merge(&held(3), 3), None);
    assert!(merge(&held(2), 3).is_some());
    assert!(merge(&held(9), 3).is_some(), "no such generation has been");
}

#[test]
fn where_there_is_no_room_for_all_others_come_first() {
    let foreign: Vec<Value> = (0..14)
        .map(|index| json!({"ancestorRef": {"name": format!("o{index}")}, "controllerName": OTHER}))
        .collect();
    let ancestors = (0..5).map(|index| AncestorStatus {
        ancestor: parent(&format!("g{index}")),
        controller_name: OWN.into(),
        conditions: vec![accepted()],
    });
    let wanted = StatusBody::Policy(ancestors.collect());
    let held = json!({"ancestors": foreign});
    let patch = merge(Kind::BackendTrafficPolicy, &held, Some(wanted)).expect("new entries");
    let names: Vec<&str> = items(&patch["ancestors"])
        .iter()
        .filter_map(|entry| entry["ancestorRef"]["name"].as_str())
        .collect();
    assert_eq!(names.len(), 16);
    assert_eq!(names[13..], ["o13", "g0", "g1"]);
}

/// Entries as any mix of controllers may have left them.
fn held_parents() -> impl Strategy<Value = Value> {
    let conditions = proptest::collection::vec(
        (
            proptest::sample::select(vec!["Accepted", "ResolvedRefs", "Programmed", "x/Other"]),
            any::<bool>(),
            1..3_i64,
        ),
        0..3,
    );
    let parts = (
        proptest::sample::select(vec!["a", "b", "c"]),
        proptest::sample::select(vec![OWN, OTHER]),
        conditions,
    );
    let entries = parts.prop_map(|(gateway, controller, conditions)| {
        let mut known = std::collections::BTreeSet::new();
        let conditions: Vec<Value> = conditions
            .into_iter()
            .filter(|(kind, ..)| known.insert(*kind))
            .map(|(kind, holds, generation)| condition(kind, holds, "Held.", generation, THEN))
            .collect();
        entry(gateway, controller, conditions.into())
    });
    proptest::collection::vec(entries, 0..6).prop_map(|parents| json!({"parents": parents}))
}

fn wanted_parents() -> impl Strategy<Value = Option<StatusBody>> {
    let conditions = || proptest::sample::select(vec![accepted(), broken()]);
    let parents = proptest::collection::btree_map(
        proptest::sample::select(vec!["a", "b", "d"]),
        conditions(),
        1..3,
    );
    let body = parents.prop_map(|parents| route(&parents.into_iter().collect::<Vec<_>>()));
    proptest::option::of(body)
}

fn foreign(status: &Value) -> Vec<&Value> {
    let entries = items(&status["parents"]).iter();
    entries
        .filter(|entry| entry["controllerName"] == OTHER)
        .collect()
}

proptest! {
    #[test]
    fn nothing_is_left_to_write_after_a_write_and_others_are_untouched(
        held in held_parents(),
        wanted in wanted_parents(),
    ) {
        let patch = merge(Kind::HttpRoute, &held, wanted.clone());
        let after = applied(&held, patch.as_ref());
        prop_assert_eq!(foreign(&after), foreign(&held));
        let others = |status: &Value| -> usize {
            let entries = items(&status["parents"]).iter();
            entries.filter(|entry| entry["controllerName"] == OWN).count()
        };
        let expected = match &wanted {
            Some(StatusBody::Route(parents)) => parents.len(),
            _ => 0,
        };
        prop_assert_eq!(others(&after), expected);
        prop_assert_eq!(merge(Kind::HttpRoute, &after, wanted), None);
    }
}

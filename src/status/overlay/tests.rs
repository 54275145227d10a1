//! What is observed and how it shows.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::problem::Severity;
use crate::resource::fault;
use crate::status::observations::{Progress, Proxy};
use crate::status::{ClassStatus, ListenerStatus};

const OWN: &str = "locum.dev/gatewayclass-controller";
const WORDS: &str = "duplicate cluster";

fn gateway_key() -> Key {
    Key::new(Kind::Gateway, "default", "eg")
}

fn route_key() -> Key {
    Key::new(Kind::HttpRoute, "default", "web")
}

fn accepted() -> Condition {
    Condition::yes(kind::ACCEPTED, reasons::ACCEPTED, "Fine.")
}

fn translated_programmed() -> Condition {
    Condition::yes(kind::PROGRAMMED, reasons::PROGRAMMED, "Ready.")
}

fn listener(name: &str, port: u16) -> ListenerStatus {
    ListenerStatus {
        name: name.into(),
        envoy_name: format!("default/eg/{port}"),
        attached_routes: 0,
        supported_kinds: Vec::new(),
        conditions: vec![accepted(), translated_programmed()],
    }
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

/// A class, its Gateway at generation 3 with two listeners, and a route, a Backend and a policy.
fn statuses() -> Statuses {
    let status = |body| Status {
        observed_generation: Some(3),
        body,
    };
    let class = StatusBody::Class(ClassStatus {
        conditions: vec![accepted()],
        supported_features: &["A"],
    });
    let gateway = StatusBody::Gateway(GatewayStatus {
        conditions: vec![accepted(), translated_programmed()],
        listeners: vec![listener("http", 80), listener("other", 81)],
        addresses: Vec::new(),
        controller_name: Some(OWN.into()),
    });
    let route = StatusBody::Route(vec![ParentStatus {
        parent: parent("eg"),
        controller_name: OWN.into(),
        conditions: vec![accepted()],
    }]);
    let policy = StatusBody::Policy(vec![AncestorStatus {
        ancestor: parent("eg"),
        controller_name: OWN.into(),
        conditions: vec![accepted()],
    }]);
    [
        (Key::new(Kind::GatewayClass, "", "eg"), class),
        (gateway_key(), gateway),
        (route_key(), route),
        (
            Key::new(Kind::Backend, "default", "active"),
            StatusBody::Conditions(vec![accepted()]),
        ),
        (
            Key::new(Kind::BackendTrafficPolicy, "default", "watch"),
            policy,
        ),
    ]
    .into_iter()
    .map(|(key, body)| (key, status(body)))
    .collect()
}

fn proxies(progress: &[(&str, Progress)]) -> Observed {
    let proxies = progress.iter().map(|(node, progress)| {
        let proxy = Proxy {
            progress: *progress,
            connected: true,
        };
        ((*node).to_owned(), proxy)
    });
    Observed {
        complete: true,
        proxies: [(gateway_key().object, proxies.collect())].into(),
        refusals: BTreeSet::new(),
    }
}

fn programmed() -> Observed {
    proxies(&[("a", Progress::Acknowledged { generation: 3 })])
}

fn refusing(name: &str, owners: &[Key]) -> Observed {
    let refusal = Refusal {
        gateway: gateway_key().object,
        node: "a".into(),
        kind: "cluster".into(),
        name: name.into(),
        owners: owners.to_vec(),
        message: format!("{WORDS}\n"),
    };
    Observed {
        refusals: [refusal].into(),
        ..programmed()
    }
}

/// What is wanted of an object that is there in generation 3 with this status.
fn wanted(statuses: &Statuses, observed: &Observed, key: &Key, held: &Value) -> Wanted<'static> {
    let controllers = [OWN.to_owned()];
    let object = Object {
        generation: Some(3),
        status: held,
        invalid: None,
    };
    match Overlay::new(statuses, observed, &controllers).wanted(key, object) {
        Wanted::Status(status) => Wanted::Status(Cow::Owned(status.into_owned())),
        Wanted::Settling(status) => Wanted::Settling(Cow::Owned(status.into_owned())),
        Wanted::Nothing => Wanted::Nothing,
        Wanted::Unknown => Wanted::Unknown,
    }
}

fn status(wanted: Wanted<'_>) -> Status {
    match wanted {
        Wanted::Status(status) | Wanted::Settling(status) => status.into_owned(),
        other => panic!("a status, not {other:?}"),
    }
}

/// Programmed of the Gateway, and of each of its listeners: reason and message.
fn of_gateway(observed: &Observed, held: &Value) -> Vec<(&'static str, String)> {
    let status = status(wanted(&statuses(), observed, &gateway_key(), held));
    let StatusBody::Gateway(gateway) = status.body else {
        panic!("a Gateway's status");
    };
    let listeners = gateway.listeners.iter();
    let lists = listeners.map(|listener| &listener.conditions);
    std::iter::once(&gateway.conditions)
        .chain(lists)
        .map(|conditions| {
            let programmed = conditions.iter().find(|c| c.kind == kind::PROGRAMMED);
            let programmed = programmed.expect("a condition");
            assert_eq!(programmed.holds, programmed.reason == reasons::PROGRAMMED);
            (programmed.reason, programmed.message.clone())
        })
        .collect()
}

fn reasons_of(observed: &Observed, held: &Value) -> Vec<&'static str> {
    let all = of_gateway(observed, held);
    all.into_iter().map(|(reason, _)| reason).collect()
}

#[test]
fn a_gateway_is_programmed_once_its_proxies_have_acknowledged_its_generation() {
    use reasons::{PENDING, PROGRAMMED};
    let behind = proxies(&[
        ("a", Progress::Acknowledged { generation: 3 }),
        ("b", Progress::Behind),
    ]);
    let cases = [
        (programmed(), PROGRAMMED, "have acknowledged"),
        (behind, PENDING, "these proxies: b."),
        (
            proxies(&[]),
            PENDING,
            "calls itself default/eg in its node.cluster",
        ),
    ];
    for (observed, reason, message) in cases {
        let all = of_gateway(&observed, &Value::Null);
        assert_eq!(reasons_of(&observed, &Value::Null), [reason; 3]);
        assert!(all[0].1.contains(message), "{all:?}");
    }
}

#[test]
fn while_nothing_is_known_of_the_proxies_a_gateways_status_says_what_it_said() {
    use reasons::{PENDING, PROGRAMMED};
    let unknown = Observed::default();
    let held = |status: &str, reason: &str, generation: i64| {
        json!({"conditions": [{
            "type": "Programmed", "status": status, "reason": reason, "message": "Said before.",
            "observedGeneration": generation,
        }]})
    };
    let cases = [
        (
            held("True", "Programmed", 3),
            PROGRAMMED,
            "have acknowledged",
        ),
        (held("True", "Programmed", 2), PENDING, "by any proxy yet"),
        (held("False", "Pending", 3), PENDING, "Said before."),
        (
            held("False", "AddressNotAssigned", 3),
            PENDING,
            "by any proxy yet",
        ),
        (Value::Null, PENDING, "by any proxy yet"),
    ];
    for (held, reason, message) in cases {
        let all = of_gateway(&unknown, &held);
        assert_eq!(all[0].0, reason, "{held}");
        assert!(all[0].1.contains(message), "{held}: {all:?}");
    }
}

#[test]
fn what_translation_says_against_a_gateway_stands_before_what_proxies_say() {
    let mut statuses = statuses();
    let missing = Condition::no(
        kind::PROGRAMMED,
        reasons::ADDRESS_NOT_ASSIGNED,
        "No Service.",
    );
    let Some(StatusBody::Gateway(gateway)) = statuses
        .get_mut(&gateway_key())
        .map(|status| &mut status.body)
    else {
        panic!("a Gateway's status");
    };
    gateway.conditions[1] = missing.clone();
    for observed in [programmed(), proxies(&[])] {
        let status = status(wanted(&statuses, &observed, &gateway_key(), &Value::Null));
        let StatusBody::Gateway(gateway) = status.body else {
            panic!("a Gateway's status");
        };
        assert_eq!(gateway.conditions[1], missing);
    }
}

#[test]
fn proxies_that_are_being_told_or_were_not_heard_yet_are_given_a_moment() {
    let is_settling = |observed: &Observed| {
        let wanted = wanted(&statuses(), observed, &gateway_key(), &Value::Null);
        matches!(wanted, Wanted::Settling(_))
    };
    assert!(is_settling(&proxies(&[("b", Progress::Behind)])));
    assert!(is_settling(&Observed::default()));
    assert!(!is_settling(&proxies(&[])));
    assert!(!is_settling(&programmed()));
}

#[test]
fn a_refused_listener_shows_at_the_gateway_and_at_that_listener() {
    use reasons::{PROGRAMMED, REFUSED};
    let observed = refusing("default/eg/81", &[gateway_key()]);
    let all = of_gateway(&observed, &Value::Null);
    assert_eq!(
        reasons_of(&observed, &Value::Null),
        [REFUSED, PROGRAMMED, REFUSED]
    );
    assert!(all[2].1.starts_with("The proxy a refuses"), "{all:?}");
    assert!(all[2].1.ends_with(WORDS), "{all:?}");
}

#[test]
fn a_refusal_shows_at_every_owner_and_goes_when_it_is_over() {
    let backend = Key::new(Kind::Backend, "default", "active");
    let policy = Key::new(Kind::BackendTrafficPolicy, "default", "watch");
    let owners = [route_key(), backend.clone(), policy.clone()];
    let refusing = refusing("default/active", &owners);
    let conditions = |observed: &Observed, key: &Key| {
        let status = status(wanted(&statuses(), observed, key, &Value::Null));
        match status.body {
            StatusBody::Conditions(conditions) => conditions,
            StatusBody::Route(parents) => parents[0].conditions.clone(),
            StatusBody::Policy(ancestors) => ancestors[0].conditions.clone(),
            other => panic!("no conditions in {other:?}"),
        }
    };
    for key in &owners {
        let all = conditions(&refusing, key);
        assert_eq!(all[0], accepted());
        let refused = &all[1];
        assert_eq!(
            (refused.kind, refused.reason),
            (kind::PROGRAMMED, reasons::REFUSED)
        );
        assert!(!refused.holds && refused.message.contains(WORDS));
        assert_eq!(conditions(&programmed(), key), [accepted()]);
    }
    assert_eq!(
        reasons_of(&refusing, &Value::Null),
        [reasons::PROGRAMMED; 3]
    );
}

#[test]
fn a_refusal_at_another_gateway_is_not_said_of_this_parent() {
    let mut observed = refusing("default/active", &[route_key()]);
    observed.refusals = observed
        .refusals
        .into_iter()
        .map(|refusal| Refusal {
            gateway: ObjectName::new("other", "eg"),
            ..refusal
        })
        .collect();
    let status = status(wanted(&statuses(), &observed, &route_key(), &Value::Null));
    assert_eq!(status, statuses()[&route_key()]);
}

#[test]
fn a_refusal_is_not_taken_back_before_all_replicas_were_heard() {
    let held = json!({"parents": [{"conditions": [
        {"type": "Programmed", "status": "False", "reason": "Refused"},
    ]}]});
    let unheard = Observed::default();
    let at = |observed: &Observed, held: &Value| wanted(&statuses(), observed, &route_key(), held);
    assert_eq!(at(&unheard, &held), Wanted::Unknown);
    assert!(matches!(at(&programmed(), &held), Wanted::Status(_)));
    assert!(matches!(at(&unheard, &Value::Null), Wanted::Status(_)));
}

/// What is wanted of an object that is not valid as it is written, in generation 4.
fn invalid(statuses: &Statuses, key: &Key, spec: &Value) -> Option<Status> {
    let faults = [fault::Fault {
        severity: Severity::Error,
        field: "spec.rules".into(),
        reason: fault::reason::INVALID,
        message: "is no list".into(),
    }];
    let observed = programmed();
    let controllers = [OWN.to_owned()];
    let object = Object {
        generation: Some(4),
        status: &Value::Null,
        invalid: Some(Invalid {
            faults: &faults,
            spec,
        }),
    };
    match Overlay::new(statuses, &observed, &controllers).wanted(key, object) {
        Wanted::Status(status) => Some(status.into_owned()),
        Wanted::Nothing => None,
        other => panic!("{other:?}"),
    }
}

/// Objects that are not valid as they are written, and whether Locum has to say so.
fn invalid_objects() -> Vec<(Kind, Value, bool)> {
    use Kind::{Backend, BackendTrafficPolicy, Gateway, GatewayClass, HttpRoute, ReferenceGrant};
    let service = json!({"name": "eg", "group": "", "kind": "Service"});
    let route = json!({"kind": "HTTPRoute", "name": "web"});
    let gateway = |name: &str| json!({"kind": "Gateway", "name": name});
    vec![
        (GatewayClass, json!({"controllerName": OWN}), true),
        (GatewayClass, json!({"controllerName": "x/y"}), false),
        (Gateway, json!({"gatewayClassName": "eg"}), true),
        (Gateway, json!({"gatewayClassName": "other"}), false),
        (HttpRoute, json!({"parentRefs": [{"name": "eg"}]}), true),
        (HttpRoute, json!({"parentRefs": [{"name": "gone"}]}), false),
        (HttpRoute, json!({"parentRefs": [service]}), false),
        (Backend, json!({}), true),
        (BackendTrafficPolicy, json!({"targetRefs": [route]}), true),
        (
            BackendTrafficPolicy,
            json!({"targetRef": gateway("eg")}),
            true,
        ),
        (
            BackendTrafficPolicy,
            json!({"targetRef": gateway("gone")}),
            false,
        ),
        (ReferenceGrant, json!({}), false),
    ]
}

#[test]
fn an_invalid_object_says_so_in_its_place_with_field_and_generation() {
    for (kind, spec, is_ours) in invalid_objects() {
        let key = Key::new(kind, "default", "new");
        let Some(status) = invalid(&statuses(), &key, &spec) else {
            assert!(!is_ours, "{key} {spec} is not told what is wrong");
            continue;
        };
        assert!(is_ours, "{key} {spec} is not Locum's");
        assert_eq!(status.observed_generation, Some(4));
        let conditions = match &status.body {
            StatusBody::Conditions(conditions) => conditions,
            StatusBody::Class(class) => &class.conditions,
            StatusBody::Gateway(gateway) => &gateway.conditions,
            StatusBody::Route(parents) => &parents[0].conditions,
            StatusBody::Policy(ancestors) => &ancestors[0].conditions,
        };
        let accepted = &conditions[0];
        assert_eq!((accepted.holds, accepted.reason), (false, reasons::INVALID));
        assert_eq!(accepted.message, "spec.rules: is no list.");
    }
}

#[test]
fn an_object_that_was_valid_before_says_that_it_is_still_served() {
    let status = invalid(
        &statuses(),
        &route_key(),
        &json!({"parentRefs": "nonsense"}),
    );
    let Some(StatusBody::Route(parents)) = status.map(|status| status.body) else {
        panic!("a route's status");
    };
    assert_eq!(parents[0].parent, parent("eg"), "its last parents are told");
    assert!(
        parents[0].conditions[0]
            .message
            .ends_with("is still served.")
    );
    let spec = json!({"gatewayClassName": "eg"});
    let Some(StatusBody::Gateway(gateway)) =
        invalid(&statuses(), &gateway_key(), &spec).map(|status| status.body)
    else {
        panic!("a Gateway's status");
    };
    assert_eq!(gateway.listeners.len(), 2);
    for conditions in gateway
        .listeners
        .iter()
        .map(|listener| &listener.conditions)
    {
        assert!(conditions.iter().all(|condition| !condition.holds));
    }
}

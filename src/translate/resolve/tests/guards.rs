//! Guards: what a policy that Locum does not serve closes.

use std::sync::Arc;

use super::super::fixture::{GATEWAY, ip, route, rule};
use super::super::{Resolution, fixture, resolve};
use crate::model::Action;
use crate::resource::guard::{Guard, GuardKind, GuardTarget};
use crate::resource::{Key, Kind, Object};
use crate::status::StatusBody;
use crate::status::reasons;
use crate::store::Change;
use crate::translate::read::Reader;

/// What the text and a guard resolve to.
fn guarded(yaml: &str, guard: Object) -> Resolution {
    let mut store = fixture::store(yaml);
    store.apply(Change::Applied(guard));
    resolve(&Reader::new(&store), &fixture::options())
}

fn guard(policy: GuardKind, target: Key, section: Option<&str>) -> Object {
    let metadata = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        name: Some("login".into()),
        namespace: Some("default".into()),
        ..Default::default()
    };
    Object::Guard(Arc::new(Guard {
        metadata,
        policy,
        targets: vec![GuardTarget {
            key: target,
            section: section.map(Into::into),
        }],
        has_selectors: false,
        closes: true,
    }))
}

fn yaml() -> String {
    format!(
        "{GATEWAY}{}{}",
        ip("active", "10.0.0.1", false),
        route("web", &rule(&["active"]))
    )
}

#[test]
fn what_a_security_policy_targets_answers_500() {
    for target in [
        Key::new(Kind::HttpRoute, "default", "web"),
        Key::new(Kind::Gateway, "default", "eg"),
    ] {
        let resolution = guarded(&yaml(), guard(GuardKind::SecurityPolicy, target, None));
        assert_eq!(resolution.action(), &Action::Respond { status: 500 });
        assert_eq!(resolution.reasons(), [reasons::GUARD_NOT_SUPPORTED]);
        let key = Key::guard(GuardKind::SecurityPolicy, "default", "login");
        let StatusBody::Policy(ancestors) = &resolution.statuses[&key].body else {
            panic!("a policy's status");
        };
        assert!(!ancestors[0].conditions[0].holds);
    }
}

#[test]
fn a_guard_of_another_route_closes_nothing_here() {
    let target = Key::new(Kind::HttpRoute, "default", "other");
    let resolution = guarded(&yaml(), guard(GuardKind::SecurityPolicy, target, None));
    assert!(matches!(resolution.action(), Action::Forward(_)));
}

#[test]
fn a_guard_of_one_listener_leaves_the_others_open() {
    let gateway = || Key::new(Kind::Gateway, "default", "eg");
    let other = guarded(
        &yaml(),
        guard(GuardKind::SecurityPolicy, gateway(), Some("other")),
    );
    assert!(matches!(other.action(), Action::Forward(_)));
    let own = guarded(
        &yaml(),
        guard(GuardKind::SecurityPolicy, gateway(), Some("http")),
    );
    assert_eq!(own.action(), &Action::Respond { status: 500 });
}

#[test]
fn a_backend_that_wants_tls_is_not_spoken_to_without_and_its_routes_gateway_says_so() {
    let target = Key::new(Kind::Backend, "default", "active");
    let resolution = guarded(&yaml(), guard(GuardKind::BackendTlsPolicy, target, None));
    assert_eq!(resolution.action(), &Action::Respond { status: 500 });
    let key = Key::guard(GuardKind::BackendTlsPolicy, "default", "login");
    let StatusBody::Policy(ancestors) = &resolution.statuses[&key].body else {
        panic!("a policy's status");
    };
    let [ancestor] = &ancestors[..] else {
        panic!("one ancestor: {ancestors:?}");
    };
    assert_eq!(ancestor.ancestor.name, "eg");
    assert!(!ancestor.conditions[0].holds);
}

#[test]
fn a_policy_that_keeps_nothing_out_is_said_to_be_left_out_and_closes_nothing() {
    let target = Key::new(Kind::Gateway, "default", "eg");
    let policy = guard(GuardKind::ClientTrafficPolicy, target, None);
    let Object::Guard(policy) = policy else {
        panic!("a guard");
    };
    let open = Guard {
        closes: false,
        ..Guard::clone(&policy)
    };
    let resolution = guarded(&yaml(), Object::Guard(Arc::new(open)));
    assert!(matches!(resolution.action(), Action::Forward(_)));
    let key = Key::guard(GuardKind::ClientTrafficPolicy, "default", "login");
    let StatusBody::Policy(ancestors) = &resolution.statuses[&key].body else {
        panic!("a policy's status");
    };
    let accepted = &ancestors[0].conditions[0];
    assert!(!accepted.holds && accepted.message.contains("served without it"));
}

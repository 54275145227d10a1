//! What Locum may do in a cluster: that nothing it watches or writes is left out. That nothing is
//! left over, the tests on a cluster show by the API server's audit log.

use std::collections::BTreeSet;

use kube::core::{ApiResource, GroupVersionKind};
use locum::resource::Kind;
use locum::resource::guard::GuardKind;

use super::granted::{Grant, granted};

/// What may be done everywhere.
fn everywhere() -> impl Iterator<Item = Grant> {
    let granted = granted().into_iter();
    granted.filter(|grant| grant.role == "ClusterRole")
}

/// The names in rules of everything that is read, with the groups.
fn read() -> Vec<String> {
    let name = |group: &str, kind: &str| {
        let plural = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind)).plural;
        format!("{plural}.{group}")
    };
    let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Guard);
    let kinds = kinds.map(|kind| name(kind.group(), kind.name()));
    let guards = GuardKind::ALL.into_iter();
    kinds
        .chain(guards.map(|guard| name(guard.group(), guard.name())))
        .collect()
}

#[test]
fn everything_that_locum_reads_may_be_read() {
    let allowed: BTreeSet<_> = everywhere()
        .map(|grant| (grant.verb, grant.resource))
        .collect();
    for resource in read() {
        for verb in ["list", "watch"] {
            let rule = (verb.to_owned(), resource.clone());
            assert!(allowed.contains(&rule), "{verb} {resource}");
        }
    }
}

#[test]
fn statuses_may_be_written_and_nothing_else() {
    let reads = ["get", "list", "watch"];
    for grant in everywhere().filter(|grant| !reads.contains(&&*grant.verb)) {
        assert!(
            grant.verb == "patch" && grant.resource.contains("/status."),
            "{grant:?}"
        );
    }
}

/// Of the kinds that come with definitions, each may be asked for: whoever may not, takes a kind
/// that is not installed for one that cannot be had just now.
#[test]
fn the_definition_of_every_kind_may_be_looked_for() {
    let definitions = "customresourcedefinitions.apiextensions.k8s.io";
    let looked_for = everywhere().filter(|grant| grant.resource == definitions);
    let looked_for: BTreeSet<String> = looked_for.flat_map(|grant| grant.names).collect();
    let own = [
        "gateway.networking.k8s.io",
        "gateway.envoyproxy.io",
        "locum.dev",
        "multicluster.x-k8s.io",
    ];
    let kinds = read().into_iter();
    let kinds: BTreeSet<String> = kinds
        .filter(|name| own.iter().any(|group| name.ends_with(group)))
        .collect();
    assert_eq!(looked_for, kinds);
}

#[test]
fn in_its_own_namespace_only_the_lease_and_the_secrets_of_locum_may_be_changed() {
    let own = granted().into_iter().filter(|grant| grant.role == "Role");
    for grant in own.filter(|grant| grant.verb != "create") {
        assert!(!grant.names.is_empty(), "{grant:?} is for any object");
    }
}

//! What Locum may do in a cluster: that nothing it watches or writes is left out. That nothing is
//! left over is not tested yet; an API server's audit log would show it.

use std::collections::BTreeSet;
use std::fs;

use kube::core::{ApiResource, GroupVersionKind};
use locum::resource::Kind;
use locum::resource::guard::GuardKind;
use serde_json::Value;

use super::shipped;

/// What may be done everywhere, as `VERB RESOURCE.GROUP`.
fn allowed() -> BTreeSet<String> {
    let text = fs::read_to_string(shipped("control-plane/roles.yaml")).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let role = documents.iter().find(|role| role["kind"] == "ClusterRole");
    let list = |rule: &Value, field: &str| {
        let texts = rule[field].as_array().unwrap().iter();
        texts
            .map(|text| text.as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut allowed = BTreeSet::new();
    for rule in role.unwrap()["rules"].as_array().unwrap() {
        for verb in list(rule, "verbs") {
            for resource in list(rule, "resources") {
                for group in list(rule, "apiGroups") {
                    allowed.insert(format!("{verb} {resource}.{group}"));
                }
            }
        }
    }
    allowed
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
    let allowed = allowed();
    for resource in read() {
        for verb in ["list", "watch"] {
            assert!(
                allowed.contains(&format!("{verb} {resource}")),
                "{verb} {resource}"
            );
        }
    }
}

#[test]
fn statuses_may_be_written_and_nothing_else() {
    let changes = allowed().into_iter().filter(|rule| {
        let verb = rule.split(' ').next().unwrap();
        !["get", "list", "watch"].contains(&verb)
    });
    for rule in changes {
        assert!(
            rule.starts_with("patch ") && rule.contains("/status."),
            "{rule}"
        );
    }
}

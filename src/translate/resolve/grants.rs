//! ReferenceGrants: which references across namespaces are permitted.

use std::collections::BTreeMap;

use crate::resource::{ObjectName, ReferenceGrant};
use crate::translate::read::Reader;

/// All grants, by the namespace that gives them.
pub(super) struct Grants<'a>(BTreeMap<&'a str, Vec<&'a ReferenceGrant>>);

/// Who refers: group, kind and namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct From<'a> {
    pub group: &'a str,
    pub kind: &'a str,
    pub namespace: &'a str,
}

impl<'a> Grants<'a> {
    /// The grants known to the store.
    pub(super) fn new(reader: &Reader<'a>) -> Self {
        let mut grants: BTreeMap<&str, Vec<&ReferenceGrant>> = BTreeMap::new();
        for grant in reader.all::<ReferenceGrant>() {
            let namespace = grant.metadata.namespace.as_deref().unwrap_or_default();
            grants.entry(namespace).or_default().push(grant);
        }
        Self(grants)
    }

    /// Whether `from` may refer to the object called `to` of that group and kind: its own
    /// namespace's always.
    pub(super) fn permit(&self, from: From<'_>, group: &str, kind: &str, to: &ObjectName) -> bool {
        if from.namespace == &*to.namespace {
            return true;
        }
        let grants = self
            .0
            .get(&*to.namespace)
            .map(Vec::as_slice)
            .unwrap_or_default();
        grants.iter().any(|grant| {
            let spec = &grant.spec;
            spec.from.iter().any(|granted| {
                granted.group == from.group
                    && granted.kind == from.kind
                    && granted.namespace == from.namespace
            }) && spec.to.iter().any(|granted| {
                granted.group == group
                    && granted.kind == kind
                    && granted
                        .name
                        .as_deref()
                        .is_none_or(|name| name.is_empty() || name == &*to.name)
            })
        })
    }
}

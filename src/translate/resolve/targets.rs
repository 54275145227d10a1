//! Targets of policies: what each names or selects, and whether it is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::selector::{Expression, selects};
use super::{grants, listeners};
use crate::problem::Problem;
use crate::resource::traffic_policy::{NamespaceFrom, TargetRef, TargetSelector};
use crate::resource::{BackendTrafficPolicy, Gateway, HttpRoute, Key, Kind, Resource};
use crate::status::reasons;
use crate::translate::read::Reader;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelectorRequirement, ObjectMeta};

/// One target of a policy, found or not.
pub(super) struct Target {
    pub key: Key,
    pub section: Option<String>,
    /// The field that names it.
    pub field: String,
}

/// All policies of a kind, the oldest first: of two for one target that one holds.
pub(super) fn oldest_first<'a, P: Resource>(
    reader: &Reader<'a>,
    metadata: impl Fn(&P) -> &ObjectMeta,
) -> Vec<&'a Arc<P>> {
    let mut policies: Vec<_> = reader.all::<P>().collect();
    // The sort is stable: of one age, by namespace and name.
    policies.sort_by_key(|policy| {
        let created = metadata(policy).creation_timestamp.as_ref();
        created.map(|time| time.0)
    });
    policies
}

/// The targets of a policy: those it names, then those it selects.
pub(super) fn targets(
    policy: &BackendTrafficPolicy,
    reader: &Reader<'_>,
    grants: &grants::Grants<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Target> {
    let key = Key::of(Kind::BackendTrafficPolicy, &policy.metadata);
    let mut targets = Vec::new();
    for (field, target) in policy.spec.targets() {
        match target.kind.as_str() {
            "HTTPRoute" => targets.push(named(&key, Kind::HttpRoute, target, field)),
            "Gateway" => targets.push(named(&key, Kind::Gateway, target, field)),
            other => problems.push(unsupported_kind(&key, &field, other)),
        }
    }
    for (index, selector) in policy.spec.target_selectors.iter().enumerate() {
        let field = format!("spec.targetSelectors[{index}]");
        if !["HTTPRoute", "Gateway"].contains(&&*selector.kind) {
            problems.push(unsupported_kind(&key, &field, &selector.kind));
        }
        let selection = Selection {
            policy: &key,
            selector,
            reader,
            grants,
        };
        targets.extend(selection.objects().into_iter().map(|key| Target {
            key,
            section: None,
            field: field.clone(),
        }));
    }
    targets
}

fn unsupported_kind(policy: &Key, field: &str, kind: &str) -> Problem {
    let message = format!("Targets of kind {kind} are not supported; HTTPRoute and Gateway are.");
    Problem::warning(policy, field, reasons::UNSUPPORTED_VALUE, message)
}

fn named(policy: &Key, kind: Kind, target: &TargetRef, field: String) -> Target {
    Target {
        key: Key::new(kind, &policy.object.namespace, &target.name),
        section: target.section_name.clone(),
        field,
    }
}

/// One selector of a policy.
struct Selection<'a> {
    policy: &'a Key,
    selector: &'a TargetSelector,
    reader: &'a Reader<'a>,
    grants: &'a grants::Grants<'a>,
}

impl Selection<'_> {
    /// What it selects.
    fn objects(&self) -> Vec<Key> {
        let routes = || self.reader.all::<HttpRoute>().map(|route| &route.metadata);
        let gateways = || {
            self.reader
                .all::<Gateway>()
                .map(|gateway| &gateway.metadata)
        };
        match self.selector.kind.as_str() {
            "HTTPRoute" => self.of(Kind::HttpRoute, routes()),
            "Gateway" => self.of(Kind::Gateway, gateways()),
            _ => Vec::new(),
        }
    }

    fn of<'o>(&self, kind: Kind, objects: impl Iterator<Item = &'o ObjectMeta>) -> Vec<Key> {
        objects
            .map(|metadata| (Key::of(kind, metadata), metadata))
            .filter(|(key, metadata)| self.selects(key, metadata))
            .map(|(key, _)| key)
            .collect()
    }

    fn selects(&self, object: &Key, metadata: &ObjectMeta) -> bool {
        let none = BTreeMap::new();
        let labels = metadata.labels.as_ref().unwrap_or(&none);
        let from = grants::From {
            group: self.policy.kind.group(),
            kind: self.policy.kind.name(),
            namespace: &self.policy.object.namespace,
        };
        let selector = self.selector;
        self.looks_in(&object.object.namespace)
            && selects(
                Some(&selector.match_labels),
                expressions(&selector.match_expressions),
                labels,
            )
            && self.grants.permit(
                from,
                object.kind.group(),
                object.kind.name(),
                &object.object,
            )
    }

    /// Whether objects of a namespace can be selected, as far as the selector says.
    fn looks_in(&self, namespace: &str) -> bool {
        let namespaces = self.selector.namespaces.as_ref();
        match namespaces
            .map(|namespaces| namespaces.from)
            .unwrap_or_default()
        {
            NamespaceFrom::Same => namespace == &*self.policy.object.namespace,
            NamespaceFrom::All => true,
            NamespaceFrom::Selector => namespaces
                .and_then(|namespaces| namespaces.selector.as_ref())
                .is_some_and(|selector| {
                    let labels = listeners::namespace_labels(namespace, self.reader);
                    let requirements = selector.match_expressions.as_deref().unwrap_or_default();
                    selects(
                        selector.match_labels.as_ref(),
                        expressions(requirements),
                        &labels,
                    )
                }),
        }
    }
}

fn expressions(requirements: &[LabelSelectorRequirement]) -> impl Iterator<Item = Expression<'_>> {
    requirements.iter().map(|requirement| Expression {
        key: &requirement.key,
        operator: &requirement.operator,
        values: requirement.values.as_deref().unwrap_or_default(),
    })
}

/// Whether the target has the section that is named; `None` where the target itself is missing.
pub(super) fn has_section(target: &Target, reader: &Reader<'_>) -> Option<bool> {
    let (namespace, name) = (&target.key.object.namespace, &target.key.object.name);
    let section = target.section.as_deref();
    if target.key.kind == Kind::Gateway {
        let gateway = reader.get::<Gateway>(namespace, name)?;
        let mut listeners = gateway.spec.listeners.iter();
        return Some(
            section.is_none_or(|section| listeners.any(|listener| listener.name == section)),
        );
    }
    let route = reader.get::<HttpRoute>(namespace, name)?;
    let mut rules = route.spec.rules.iter().flatten();
    Some(section.is_none_or(|section| rules.any(|rule| rule.name.as_deref() == Some(section))))
}

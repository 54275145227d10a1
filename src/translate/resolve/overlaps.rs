//! Overlaps: which policies stand instead of a wider one, or are merged into it, as their owners are
//! told.
//!
//! In: who has which target, and the parents of routes. Out: for a policy at one of its ancestors
//! the conditions Merged and Overridden, in Envoy Gateway's words.

use std::collections::BTreeSet;

use super::ancestors::{Claim, ParentsByRoute};
use super::policies::{Policies, Sections};
use crate::resource::{Key, Kind, ObjectName};
use crate::status::reasons::{self, kind};
use crate::status::{Condition, ParentRef};

/// What a policy has to do with others at one ancestor.
#[derive(Debug, Default)]
pub(super) struct Overlaps {
    /// The policies that it is merged into.
    with: BTreeSet<String>,
    /// Where others are merged into it.
    merged: Scopes,
    /// Where others stand instead of it.
    overridden: Scopes,
}

/// Parts of Gateways and routes.
#[derive(Debug, Default)]
struct Scopes {
    listeners: BTreeSet<String>,
    routes: BTreeSet<String>,
    rules: BTreeSet<String>,
}

impl Overlaps {
    /// Adds what `claim` has to do with others at `ancestor`.
    pub(super) fn add(
        &mut self,
        policies: &Policies,
        claim: &Claim,
        ancestor: &ParentRef,
        parents: &ParentsByRoute,
    ) {
        if claim.target.kind == Kind::Gateway {
            self.add_gateway(policies, claim, parents);
            return;
        }
        let Some(own) = policies.sections(&claim.target) else {
            return;
        };
        if claim.section.is_none() {
            self.overridden.add_rules(&claim.target, own);
        }
        if policies.merges(own, claim.section.as_deref()) {
            let gateway = gateway(ancestor);
            let into = policies.at(&gateway, ancestor.section_name.as_deref());
            self.with
                .extend(into.map(|policy| policy.object.to_string()));
        }
    }

    fn add_gateway(&mut self, policies: &Policies, claim: &Claim, parents: &ParentsByRoute) {
        let listener = claim.section.as_deref();
        let Some(own) = policies.sections(&claim.target) else {
            return;
        };
        if listener.is_none() {
            let names = own.named.keys();
            let names = names.map(|name| format!("{}/{name}", claim.target.object));
            self.overridden.listeners.extend(names);
        }
        for (route, sections) in policies.routes() {
            let mut attached = parents.get(&route.object).into_iter().flatten();
            let reaches = attached.any(|(parent, _)| {
                let section = parent.section_name.as_deref();
                let has_own = section.is_some_and(|section| own.named.contains_key(section));
                gateway(parent) == claim.target
                    && match listener {
                        None => !has_own,
                        Some(listener) => section.is_none_or(|section| section == listener),
                    }
            });
            if !reaches {
                continue;
            }
            if sections.whole.is_some() {
                let scopes = self.scopes(policies.merges(sections, None));
                scopes.routes.insert(route.object.to_string());
            }
            for rule in sections.named.keys() {
                let scopes = self.scopes(policies.merges(sections, Some(rule)));
                scopes.rules.insert(format!("{}/{rule}", route.object));
            }
        }
    }

    fn scopes(&mut self, merges: bool) -> &mut Scopes {
        if merges {
            &mut self.merged
        } else {
            &mut self.overridden
        }
    }

    /// The conditions that say so.
    pub(super) fn conditions(&self) -> Vec<Condition> {
        let mut merged: Vec<String> = Vec::new();
        if !self.with.is_empty() {
            let with: Vec<&str> = self.with.iter().map(String::as_str).collect();
            merged.push(format!("Merged with policy {}", with.join(", ")));
        }
        if let Some(scopes) = self.merged.said() {
            merged.push(format!(
                "This policy is being merged by other backendTrafficPolicies for {scopes}"
            ));
        }
        let merged = (!merged.is_empty())
            .then(|| Condition::yes(kind::MERGED, reasons::MERGED, merged.join(". ")));
        let overridden = self.overridden.said().map(|scopes| {
            let message = format!(
                "This policy is being overridden by other backendTrafficPolicies for {scopes}"
            );
            Condition::yes(kind::OVERRIDDEN, reasons::OVERRIDDEN, message)
        });
        merged.into_iter().chain(overridden).collect()
    }
}

impl Scopes {
    fn add_rules(&mut self, route: &Key, sections: &Sections) {
        let names = sections.named.keys();
        self.rules
            .extend(names.map(|name| format!("{}/{name}", route.object)));
    }

    fn said(&self) -> Option<String> {
        let parts = [
            ("these gateway listeners", &self.listeners),
            ("these routes", &self.routes),
            ("these route rules", &self.rules),
        ];
        let said = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let said = said.map(|(what, names)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("{what}: [{}]", names.join(" "))
        });
        let said: Vec<String> = said.collect();
        (!said.is_empty()).then(|| said.join(" and "))
    }
}

fn gateway(parent: &ParentRef) -> Key {
    let namespace = parent.namespace.as_deref().unwrap_or_default();
    Key {
        kind: Kind::Gateway,
        object: ObjectName::new(namespace, &parent.name),
    }
}

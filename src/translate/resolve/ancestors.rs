//! Statuses of policies: an entry for each ancestor, which is a Gateway, or a parent of a route as
//! the route says it.
//!
//! In: what became of each policy at each target, and the parents of the routes. Out: the policies'
//! statuses.

use std::collections::BTreeMap;

use crate::resource::{Key, Kind, ObjectName};
use crate::status::{AncestorStatus, Condition, ParentRef, Status, StatusBody, Statuses};

/// Gateway API allows so many ancestors in a status; those with something wrong come first.
const MAX_ANCESTORS: usize = 16;

/// What became of a policy at one of its targets.
pub(super) struct Claim {
    pub policy: Key,
    pub generation: Option<i64>,
    pub target: Key,
    pub section: Option<String>,
    pub condition: Condition,
}

/// A parent that Locum serves, with the controller it is served as.
pub(super) type Ancestor = (ParentRef, String);

/// The parents of each route.
pub(super) type ParentsByRoute = BTreeMap<ObjectName, Vec<Ancestor>>;

/// Adds the statuses of policies. `controller` says as what a Gateway is served, nothing for one
/// that is not.
pub(super) fn add_statuses(
    claims: &[Claim],
    parents: &ParentsByRoute,
    controller: impl Fn(&ObjectName) -> Option<String>,
    statuses: &mut Statuses,
) {
    let mut entries: BTreeMap<&Key, (Option<i64>, BTreeMap<Ancestor, &Condition>)> =
        BTreeMap::new();
    for claim in claims {
        let ancestors = match claim.target.kind {
            Kind::Gateway => {
                let served = controller(&claim.target.object);
                served
                    .map(|controller| (gateway_ref(claim), controller))
                    .into_iter()
                    .collect()
            }
            Kind::HttpRoute => parents
                .get(&claim.target.object)
                .cloned()
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        let entry = entries
            .entry(&claim.policy)
            .or_insert_with(|| (claim.generation, BTreeMap::new()));
        for ancestor in ancestors {
            // Two targets may share an ancestor: what is wrong counts.
            let known = entry.1.entry(ancestor).or_insert(&claim.condition);
            if known.holds {
                *known = &claim.condition;
            }
        }
    }
    for (policy, (generation, ancestors)) in entries {
        let mut ancestors: Vec<AncestorStatus> = ancestors
            .into_iter()
            .map(|((ancestor, controller_name), condition)| AncestorStatus {
                ancestor,
                controller_name,
                conditions: vec![condition.clone()],
            })
            .collect();
        ancestors
            .sort_by_key(|ancestor| ancestor.conditions.iter().all(|condition| condition.holds));
        ancestors.truncate(MAX_ANCESTORS);
        if !ancestors.is_empty() {
            let status = Status {
                observed_generation: generation,
                body: StatusBody::Policy(ancestors),
            };
            statuses.insert(policy.clone(), status);
        }
    }
}

fn gateway_ref(claim: &Claim) -> ParentRef {
    ParentRef {
        group: Kind::Gateway.group().into(),
        kind: Kind::Gateway.name().into(),
        namespace: Some(claim.target.object.namespace.to_string()),
        name: claim.target.object.name.to_string(),
        section_name: claim.section.clone(),
        port: None,
    }
}

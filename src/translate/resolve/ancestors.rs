//! Statuses of policies: an entry for each ancestor, which is a Gateway, or a parent of a route as
//! the route says it. Of what routes send requests to, the ancestors are the Gateways of these
//! routes.
//!
//! In: what became of each policy at each target, the parents of the routes and what stands against
//! their failover, and who refers to whom.
//! Out: the policies' statuses.

use std::collections::BTreeMap;

use super::overlaps::Overlaps;
use super::policies::Policies;
use super::readiness::Readiness;
use super::routes::Placed;
use crate::resource::{HttpRoute, Key, Kind, ObjectName};
use crate::status::reasons::{self, kind};
use crate::status::{AncestorStatus, Condition, ParentRef, Status, StatusBody, Statuses};
use crate::translate::read::Reader;

/// Gateway API allows so many ancestors in a status; those with something wrong come first.
const MAX_ANCESTORS: usize = 16;

/// What became of a policy at one of its targets.
pub(super) struct Claim {
    pub policy: Key,
    pub generation: Option<i64>,
    pub target: Key,
    pub section: Option<String>,
    pub condition: Condition,
    /// What else its owner should know.
    pub warning: Option<Condition>,
}

impl Claim {
    /// Whether the policy has its target, accepted or not.
    fn holds_somewhere(&self) -> bool {
        let lost = [reasons::CONFLICTED, reasons::TARGET_NOT_FOUND];
        self.policy.kind == Kind::BackendTrafficPolicy && !lost.contains(&self.condition.reason)
    }
}

/// A parent that Locum serves, with the controller it is served as.
pub(super) type Ancestor = (ParentRef, String);

/// The parents of each route.
pub(super) type ParentsByRoute = BTreeMap<ObjectName, Vec<Ancestor>>;

/// Adds the statuses of policies, whose routes are `placed`. `controller` says as what a Gateway is served, nothing for one
/// that is not.
pub(super) fn add_statuses(
    claims: &[Claim],
    policies: &Policies,
    reader: &Reader<'_>,
    placed: &Placed,
    controller: impl Fn(&ObjectName) -> Option<String>,
    statuses: &mut Statuses,
) {
    let parents = &placed.parents;
    let mut entries: BTreeMap<&Key, (Option<i64>, BTreeMap<Ancestor, Entry<'_>>)> = BTreeMap::new();
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
            _ => gateways_of_referrers(&claim.target, reader, parents),
        };
        let entry = entries
            .entry(&claim.policy)
            .or_insert_with(|| (claim.generation, BTreeMap::new()));
        for ancestor in ancestors {
            let parent = ancestor.0.clone();
            let known = entry.1.entry(ancestor).or_insert_with(|| Entry::new(claim));
            // Two targets may share an ancestor: what is wrong counts.
            if known.accepted.holds {
                known.accepted = &claim.condition;
            }
            if claim.holds_somewhere() {
                known.overlaps.add(policies, claim, &parent, parents);
            }
        }
    }
    for (policy, (generation, ancestors)) in entries {
        let ready = placed.readiness.get(policy);
        let mut ancestors: Vec<AncestorStatus> = ancestors
            .into_iter()
            .map(|(ancestor, entry)| {
                let readiness = ready.and_then(|ready| ready.get(&ancestor));
                let ready = readiness.and_then(Readiness::condition);
                let (ancestor, controller_name) = ancestor;
                AncestorStatus {
                    ancestor,
                    controller_name,
                    conditions: entry.conditions().into_iter().chain(ready).collect(),
                }
            })
            .collect();
        ancestors
            .sort_by_key(|ancestor| ancestor.conditions.iter().all(|condition| condition.holds));
        cut(&mut ancestors);
        if !ancestors.is_empty() {
            let status = Status {
                observed_generation: generation,
                body: StatusBody::Policy(ancestors),
            };
            statuses.insert(policy.clone(), status);
        }
    }
}

/// What became of a policy at one ancestor.
struct Entry<'c> {
    accepted: &'c Condition,
    warning: Option<&'c Condition>,
    overlaps: Overlaps,
}

impl<'c> Entry<'c> {
    fn new(claim: &'c Claim) -> Self {
        Self {
            accepted: &claim.condition,
            warning: claim.warning.as_ref(),
            overlaps: Overlaps::default(),
        }
    }

    fn conditions(&self) -> Vec<Condition> {
        let said = [self.accepted].into_iter().chain(self.warning).cloned();
        said.chain(self.overlaps.conditions()).collect()
    }
}

/// Cuts the ancestors to those that a status has room for; its last one says how many are missing.
fn cut(ancestors: &mut Vec<AncestorStatus>) {
    let all = ancestors.len();
    if all <= MAX_ANCESTORS {
        return;
    }
    ancestors.truncate(MAX_ANCESTORS);
    let message = format!(
        "{MAX_ANCESTORS} of {all} ancestors are shown: a status has no room for more. Those with \
         something wrong come first."
    );
    let last = &mut ancestors[MAX_ANCESTORS - 1];
    let condition = Condition::yes(kind::AGGREGATED, reasons::AGGREGATED, message);
    last.conditions.push(condition);
}

/// The Gateways of the routes that refer to a backend, as the API defines the ancestors of a policy
/// for backends (BackendTLSPolicy, `status.ancestors`): whole Gateways, whatever the routes' sections.
fn gateways_of_referrers(
    backend: &Key,
    reader: &Reader<'_>,
    parents: &ParentsByRoute,
) -> Vec<Ancestor> {
    let routes = reader.referrers::<HttpRoute>(backend);
    let parents = routes.filter_map(|route| {
        let key = Key::of(Kind::HttpRoute, &route.metadata);
        parents.get(&key.object)
    });
    let whole = parents.flatten().map(|(parent, controller)| {
        let gateway = ParentRef {
            section_name: None,
            port: None,
            ..parent.clone()
        };
        (gateway, controller.clone())
    });
    whole.collect()
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

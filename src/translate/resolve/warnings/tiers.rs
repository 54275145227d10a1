//! Tiers that could not take over, and those that share an endpoint.

use std::collections::BTreeMap;

use super::super::refs::Reference;
use super::Subject;
use crate::model::{Address, Tier};
use crate::problem::Problem;
use crate::status::reasons;

/// What is wrong with the tiers themselves.
pub(super) fn of(subject: &Subject<'_>) -> Vec<Problem> {
    let mut problems = drained(subject);
    problems.extend(nothing_serves(subject));
    problems.extend(without_endpoints(subject));
    let shared = in_two_tiers(&subject.chain.tiers).map(|message| {
        of_route(subject, reasons::ENDPOINT_IN_TWO_TIERS, message)
            .with_mend("Take it out of one of the two.")
    });
    problems.extend(shared);
    problems
}

fn of_route(subject: &Subject<'_>, reason: &'static str, message: String) -> Problem {
    let field = format!("{}.backendRefs", subject.rule);
    Problem::warning(subject.route, &field, reason, message)
}

fn drained(subject: &Subject<'_>) -> Vec<Problem> {
    let Some(order) = subject.order else {
        return Vec::new();
    };
    let tiers = (0..subject.draft.tiers.len()).filter(|tier| subject.draft.is_drained(*tier));
    let drained = tiers.map(|tier| {
        let message = format!(
            "Tier {} of chain {} is drained: it does not take over.",
            subject.draft.tier_name(tier).unwrap_or_default(),
            subject.name.0
        );
        let field = format!("spec.tiers[{tier}].drain");
        Problem::note(&order.policy, &field, reasons::TIER_DRAINED, message)
    });
    drained.collect()
}

/// A chain of which every tier is drained, or has nothing that could serve.
fn nothing_serves(subject: &Subject<'_>) -> Option<Problem> {
    let order = subject.order?;
    let mut tiers = subject.draft.tiers.iter().enumerate();
    let serves = tiers.any(|(index, tier)| {
        !subject.draft.is_drained(index) && tier.iter().any(Reference::can_serve)
    });
    let is_drained = (0..subject.draft.tiers.len()).any(|tier| subject.draft.is_drained(tier));
    if serves || !is_drained {
        return None;
    }
    let status = order.last_resort.as_ref().map_or(503, |last| last.status);
    let message = format!(
        "Every tier of chain {} is drained or has nothing that could serve: all requests are answered {status}.",
        subject.name.0
    );
    let field = "spec.tiers";
    let found = Problem::warning(&order.policy, field, reasons::NOTHING_SERVES, message);
    Some(found.with_mend("Take drain out of a tier that can serve."))
}

/// Tiers without anything that could serve. It knows no probe's result: an address that does not
/// answer counts as an endpoint.
fn without_endpoints(subject: &Subject<'_>) -> Vec<Problem> {
    let tiers = subject.draft.tiers.iter().enumerate();
    let empty = tiers.filter(|(index, tier)| {
        !subject.draft.is_drained(*index) && !tier.iter().any(Reference::can_serve)
    });
    let found = empty.map(|(index, tier)| {
        let (what, reason, then) = if index == 0 {
            ("first tier", reasons::ACTIVE_WITHOUT_ENDPOINTS, "")
        } else {
            let then = ": it does not take over";
            ("standby", reasons::STANDBY_WITHOUT_ENDPOINTS, then)
        };
        let message = format!(
            "The {what} of chain {} ({}) has no endpoint that could serve{then}.",
            subject.name.0,
            members(tier)
        );
        of_route(subject, reason, message)
    });
    found.collect()
}

/// The members of a tier, each with why it has nothing, where that is known.
fn members(tier: &[Reference]) -> String {
    let members = tier.iter().map(|member| {
        let name = format!("{} {}", member.kind, member.object);
        match &member.missing_service {
            Some(service) => format!("{name}: Service {service} does not exist"),
            None => name,
        }
    });
    members.collect::<Vec<_>>().join(", ")
}

/// Which endpoint stands in more than one tier: when it dies, both are short of it.
fn in_two_tiers(tiers: &[Tier]) -> Option<String> {
    let mut seen: BTreeMap<&Address, usize> = BTreeMap::new();
    for (index, tier) in tiers.iter().enumerate() {
        for endpoint in tier.members.iter().flat_map(|member| &member.endpoints) {
            let first = *seen.entry(&endpoint.address).or_insert(index);
            if first != index {
                return Some(format!(
                    "Endpoint {} is in tier {first} and in tier {index}: it cannot stand in for itself.",
                    endpoint.address
                ));
            }
        }
    }
    None
}

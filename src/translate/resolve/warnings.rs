//! Warnings about chains: those that serve now but cannot fail over when they must.
//!
//! In: a chain, its retries and whose it is. Out: problems of the route or of the policy that
//! shaped it.

use std::collections::BTreeMap;

use super::order::Order;
use crate::model::{Address, Chain, ChainName, OutlierDetection, Probe, Protocol, Retry, Tier};
use crate::problem::Problem;
use crate::resource::Key;
use crate::status::reasons;

/// A chain and who can mend it.
pub(super) struct Subject<'a> {
    pub name: &'a ChainName,
    pub chain: &'a Chain,
    pub retry: &'a Retry,
    pub route: &'a Key,
    /// The rule's field in the route.
    pub field: &'a str,
    pub policy: Option<&'a Key>,
    /// What a FailoverPolicy says of it.
    pub order: Option<&'a Order>,
}

/// What keeps a chain of more than one tier from failing over without a loss.
pub(super) fn warnings(subject: &Subject<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let tiers = &subject.chain.tiers;
    if let Some(policy) = subject.policy {
        problems.extend(unsendable_probe(subject, policy));
        problems.extend(idle_probe(subject, policy));
    }
    if let Some(order) = subject.order {
        let check = subject.chain.settings.health_check.as_ref();
        problems.extend(order.idle_probing(check).map(|(field, why)| {
            let message = format!("{why}, so this does nothing in chain {}.", subject.name.0);
            Problem::warning(&order.policy, &field, reasons::NOT_PROBED, message)
        }));
    }
    if tiers.len() < 2 {
        return problems;
    }
    let of_route =
        |reason, message| Problem::warning(subject.route, subject.field, reason, message);
    if tiers[1..].iter().all(|tier| endpoints(tier) == 0) {
        let message = format!(
            "No standby of chain {} has endpoints: nothing takes over.",
            subject.name.0
        );
        problems.push(of_route(reasons::STANDBY_WITHOUT_ENDPOINTS, message));
    }
    if let Some(message) = in_two_tiers(tiers) {
        problems.push(of_route(reasons::ENDPOINT_IN_TWO_TIERS, message));
    }
    if let Some(policy) = subject.policy {
        problems.extend(detection(subject, policy));
    }
    let counting = subject.order.filter(|order| order.counts_attempts());
    match (counting, subject.policy) {
        (Some(order), _) => {
            problems.extend(retries(subject, &order.policy, "spec.retry.attempts"));
        }
        (None, Some(policy)) => {
            problems.extend(retries(subject, policy, "spec.retry.numRetries"));
        }
        (None, None) => {}
    }
    problems
}

/// What the policy sets that keeps endpoints in that have failed.
fn detection(subject: &Subject<'_>, policy: &Key) -> Vec<Problem> {
    let settings = &subject.chain.settings;
    let detection = &settings.outlier_detection;
    let name = &subject.name.0;
    let mut found = Vec::new();
    let mut warn = |field: &str, reason, message| {
        found.push(Problem::warning(policy, field, reason, message));
    };
    if settings.health_check.is_none() {
        if never_ejects(detection) {
            let message =
                format!("Nothing is watched for: no endpoint of chain {name} is ever taken out.");
            warn("spec.healthCheck.passive", reasons::DETECTION_OFF, message);
        } else if let Some(message) = limit_too_low(subject, detection) {
            warn(
                "spec.healthCheck.passive.maxEjectionPercent",
                reasons::EJECTION_LIMIT_TOO_LOW,
                message,
            );
        }
    }
    found
}

/// Why the retries that a policy counts in `field` do not reach the last tier.
fn retries(subject: &Subject<'_>, policy: &Key, field: &str) -> Option<Problem> {
    let name = &subject.name.0;
    let tiers = subject.chain.tiers.len();
    let before_last = u32::try_from(tiers - 1).unwrap_or(u32::MAX);
    let needed = subject
        .retry
        .attempts_per_tier
        .unwrap_or(1)
        .saturating_mul(before_last);
    let message = if subject.retry.retries == 0 {
        format!(
            "Requests are not tried again, so those under way when a tier of {name} dies are lost."
        )
    } else if subject.retry.retries < needed {
        format!(
            "{} retries do not reach the last tier of {name}: that takes {needed}.",
            subject.retry.retries
        )
    } else {
        return None;
    };
    let reason = reasons::RETRIES_DO_NOT_REACH_STANDBY;
    Some(Problem::warning(policy, field, reason, message))
}

/// A gRPC probe that cannot be sent because the endpoints speak HTTP/1. Emission leaves it out:
/// Envoy would refuse the whole cluster.
fn unsendable_probe(subject: &Subject<'_>, policy: &Key) -> Option<Problem> {
    let probe = &subject.chain.settings.health_check.as_ref()?.probe;
    let mut served = subject
        .chain
        .tiers
        .iter()
        .flat_map(|tier| &tier.members)
        .filter(|member| !member.endpoints.is_empty());
    let is_unsendable = matches!(probe, Probe::Grpc { .. })
        && served.any(|member| member.protocol == Protocol::Http1);
    is_unsendable.then(|| {
        let message = format!(
            "A gRPC probe needs HTTP/2, and endpoints of chain {} are spoken to in HTTP/1: they are not probed. Give \
             their Service's port appProtocol kubernetes.io/h2c, or their Backend gateway.envoyproxy.io/h2c.",
            subject.name.0
        );
        let field = "spec.healthCheck.active.type";
        Problem::error(policy, field, reasons::UNSUPPORTED_VALUE, message)
    })
}

/// A probe of endpoints that nobody knows before there is a request.
fn idle_probe(subject: &Subject<'_>, policy: &Key) -> Option<Problem> {
    subject.chain.settings.health_check.as_ref()?;
    let mut served = subject.chain.members().flat_map(|member| &member.endpoints);
    let is_resolver = served.any(|endpoint| endpoint.address == Address::OfRequest);
    is_resolver.then(|| {
        let message = format!(
            "Where requests of chain {} go, each says itself: there is nothing to probe.",
            subject.name.0
        );
        let field = "spec.healthCheck.active";
        Problem::warning(policy, field, reasons::NOT_PROBED, message)
    })
}

fn endpoints(tier: &Tier) -> usize {
    tier.members
        .iter()
        .map(|member| member.endpoints.len())
        .sum()
}

/// Whether no threshold can ever be reached. Envoy counts from 1, so 0 is never; local failures
/// count by themselves only where they are told from answers, and as 5xx otherwise.
fn never_ejects(detection: &OutlierDetection) -> bool {
    let off = |threshold: Option<u32>| threshold.is_none_or(|threshold| threshold == 0);
    off(detection.consecutive_5xx)
        && off(detection.consecutive_gateway_errors)
        && (off(detection.consecutive_local_origin_failures)
            || !detection.split_external_local_origin_errors)
        && off(detection.failure_percentage_threshold)
}

/// Why the ejection limit keeps the first tier from being taken out whole. Envoy counts all tiers
/// together.
fn limit_too_low(subject: &Subject<'_>, detection: &OutlierDetection) -> Option<String> {
    let tiers = &subject.chain.tiers;
    let all: usize = tiers.iter().map(endpoints).sum();
    let first = endpoints(&tiers[0]);
    let limit = usize::try_from(detection.max_ejection_percent).unwrap_or(usize::MAX);
    if first == 0 || first * 100 <= limit.saturating_mul(all) {
        return None;
    }
    let needed = (first * 100).div_ceil(all);
    Some(format!(
        "With maxEjectionPercent {limit} the first tier of {} ({first} of {all} endpoints) cannot be taken out: \
         that takes {needed}, and more while a standby is out too. Leave it out for 100.",
        subject.name.0
    ))
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

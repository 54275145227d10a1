//! What keeps endpoints in that have failed, and takes out those that have not.

use std::fmt::Write as _;

use super::{Subject, endpoints};
use crate::model::{OutlierDetection, Probing, Tier};
use crate::problem::Problem;
use crate::status::reasons;
use crate::translate::emit::{Layout, layout, turns};

/// What Envoy Gateway's definition of the policy fills in.
const ENVOY_GATEWAYS_LIMIT: u32 = 10;

/// So many addresses are named.
const NAMED: usize = 5;

/// What is wrong with the detection of a chain.
pub(super) fn of(subject: &Subject<'_>) -> Vec<Problem> {
    let detection = &subject.chain.settings.outlier_detection;
    let mut found = Vec::new();
    if never_ejects(detection) {
        found.extend(off(subject));
    } else {
        found.extend(limit_too_low(subject, detection));
        found.extend(limit_left_out(subject, detection));
    }
    found.extend(threshold_of_one(subject, detection));
    found
}

/// Whether no threshold can ever be reached. Envoy counts from 1, so 0 is never; local failures
/// count by themselves only where they are told from answers, and as 5xx otherwise.
pub(super) fn never_ejects(detection: &OutlierDetection) -> bool {
    is_off(detection.consecutive_5xx)
        && is_off(detection.consecutive_gateway_errors)
        && (is_off(detection.consecutive_local_origin_failures)
            || !detection.split_external_local_origin_errors)
        && is_off(detection.failure_percentage_threshold)
}

/// Whether a threshold is never reached.
pub(super) fn is_off(threshold: Option<u32>) -> bool {
    threshold.is_none_or(|threshold| threshold == 0)
}

/// Whether a tier's endpoints are asked how they are.
pub(super) fn is_probed(subject: &Subject<'_>, tier: &Tier) -> bool {
    subject.chain.settings.health_check.is_some() && tier.probing != Probing::Off
}

/// Passive detection is off: the tiers that nothing else watches.
fn off(subject: &Subject<'_>) -> Vec<Problem> {
    let name = &subject.name.0;
    let mend = "Write consecutive5XxErrors or consecutiveGatewayErrors of 1 or more there, or healthCheck.active.";
    if subject.chain.settings.health_check.is_none() {
        let message =
            format!("Nothing is watched for: no endpoint of chain {name} is ever taken out.");
        let field = "spec.healthCheck.passive";
        let found = subject.of_policy(field, reasons::DETECTION_OFF, message);
        return found
            .into_iter()
            .map(|found| found.with_mend(mend))
            .collect();
    }
    let Some(order) = subject.order else {
        return Vec::new();
    };
    let tiers = subject.chain.tiers.iter().enumerate();
    let unwatched = tiers.filter(|(_, tier)| !is_probed(subject, tier));
    let found = unwatched.map(|(index, _)| {
        let message = format!(
            "In chain {name} nothing is watched for but probes, and {} is not probed: none of its endpoints is ever \
             taken out.",
            subject.tier(index)
        );
        let field = format!("spec.tiers[{index}].healthCheck.disabled");
        Problem::warning(&order.policy, &field, reasons::DETECTION_OFF, message)
            .with_mend("Take it out, or write healthCheck.passive in the route's BackendTrafficPolicy.")
    });
    found.collect()
}

fn limit_too_low(subject: &Subject<'_>, detection: &OutlierDetection) -> Option<Problem> {
    let kept = kept_in(subject, detection, detection.max_ejection_percent)?;
    let message = format!(
        "maxEjectionPercent {} {kept}",
        detection.max_ejection_percent
    );
    let field = "spec.healthCheck.passive.maxEjectionPercent";
    let found = subject.of_policy(field, reasons::EJECTION_LIMIT_TOO_LOW, message)?;
    Some(found.with_mend("Write maxEjectionPercent: 100."))
}

/// Here a limit that is left out is none. The same manifest means something else where Envoy
/// Gateway's definition fills it in.
fn limit_left_out(subject: &Subject<'_>, detection: &OutlierDetection) -> Option<Problem> {
    if !subject.limit_left_out {
        return None;
    }
    let kept = kept_in(subject, detection, ENVOY_GATEWAYS_LIMIT)?;
    let message = format!(
        "maxEjectionPercent is left out: Locum takes 100, but Envoy Gateway's definition of the policy fills in \
         {ENVOY_GATEWAYS_LIMIT}, which {kept}"
    );
    let field = "spec.healthCheck.passive.maxEjectionPercent";
    let found = subject.of_policy(field, reasons::EJECTION_LIMIT_LEFT_OUT, message)?;
    Some(found.with_mend("Write maxEjectionPercent: 100, which means the same everywhere."))
}

/// The rest of a sentence that begins with a limit: what it keeps in of the first tier that it does
/// not let go whole. Envoy counts all endpoints of a cluster together and lets one go if the share is
/// not above the limit with it. In one cluster there are two tiers at most.
fn kept_in(subject: &Subject<'_>, detection: &OutlierDetection, percent: u32) -> Option<String> {
    let chain = subject.chain;
    let is_aggregate = matches!(layout(chain), Layout::Aggregate(_));
    let serving: Vec<usize> = turns(chain)
        .filter(|tier| !chain.tiers[*tier].drained && endpoints(&chain.tiers[*tier]) > 0)
        .collect();
    let (_, before_last) = serving.split_last()?;
    let count = |tier: &usize| endpoints(&chain.tiers[*tier]);
    let together: usize = serving.iter().map(count).sum();
    let percent = usize::try_from(percent).unwrap_or(usize::MAX);
    before_last.iter().find_map(|tier| {
        let own = count(tier);
        let all = if is_aggregate { own } else { together };
        let least = usize::from(detection.always_eject_one);
        let can = (percent.saturating_mul(all) / 100).max(least);
        let is_kept = own > can && !is_probed(subject, &chain.tiers[*tier]);
        is_kept.then(|| said(subject, *tier, [can, all, own - can, own]))
    })
}

fn said(subject: &Subject<'_>, tier: usize, [can, all, kept, own]: [usize; 4]) -> String {
    let where_counted = match all == own {
        true => subject.tier(tier),
        false => "all tiers together".into(),
    };
    let mut said = format!(
        "lets {can} of {all} endpoints of chain {} ({where_counted}) be out at once, so ",
        subject.name.0
    );
    let name = subject.tier(tier);
    let _ = match (kept, own) {
        (1, 1) => write!(said, "the one of {name}"),
        (kept, own) if kept == own => write!(said, "the {own} of {name}"),
        (kept, own) => write!(said, "{kept} of the {own} of {name}"),
    };
    let members = subject.chain.tiers[tier].members.iter();
    let mut addresses = members
        .flat_map(|member| &member.endpoints)
        .map(|endpoint| endpoint.address.to_string());
    let named: Vec<String> = addresses.by_ref().take(NAMED).collect();
    let more = if addresses.next().is_some() {
        ", ..."
    } else {
        ""
    };
    let _ = write!(said, " ({}{more}) cannot be ejected.", named.join(", "));
    said
}

/// A threshold that one answer of 500 reaches, which may be one URL's. Where nothing else counts
/// failed connections, it is how they are found at once, so only noted.
fn threshold_of_one(subject: &Subject<'_>, detection: &OutlierDetection) -> Option<Problem> {
    if detection.consecutive_5xx != Some(1) {
        return None;
    }
    let finds_connections = !detection.split_external_local_origin_errors
        && is_off(detection.consecutive_gateway_errors)
        && is_off(detection.failure_percentage_threshold);
    let message = format!(
        "One answer of 500, by the application itself and for a single URL, takes an endpoint of chain {} out, and \
         the next one in its place.",
        subject.name.0
    );
    let field = "spec.healthCheck.passive.consecutive5XxErrors";
    let found = subject.of_policy(field, reasons::THRESHOLD_OF_ONE, message)?;
    if finds_connections {
        let mend = "To count failed connections, 502, 503 and 504 alone, write consecutiveGatewayErrors: 1 and \
                    consecutive5XxErrors: 0.";
        return Some(
            Problem {
                severity: crate::problem::Severity::Note,
                ..found
            }
            .with_mend(mend),
        );
    }
    Some(found.with_mend("Write consecutive5XxErrors: 0, for never, or 5."))
}

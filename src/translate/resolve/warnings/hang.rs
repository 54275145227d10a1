//! Endpoints that take connections and never answer: what finds them, and when.

use std::time::Duration;

use super::Subject;
use super::detection::{is_off, is_probed, never_ejects};
use crate::problem::Problem;
use crate::status::reasons;

/// Envoy's time limit of a request where none is said.
const ENVOYS_TIMEOUT: Duration = Duration::from_secs(15);

const MEND: &str = "Write timeouts.backendRequest in the rule, or retry.perRetry.timeout or healthCheck.active in a \
                    BackendTrafficPolicy.";

/// Nothing finds an endpoint that hangs.
pub(super) fn never(subject: &Subject<'_>) -> Option<Problem> {
    if !is_left_to_time_limits(subject) {
        return None;
    }
    let detection = &subject.chain.settings.outlier_detection;
    let name = &subject.name.0;
    let counts = match detection.split_external_local_origin_errors {
        true => !is_off(detection.consecutive_local_origin_failures),
        false => true,
    };
    if !counts {
        let message = format!(
            "Failed connections and time limits take no endpoint of chain {name} out: they are counted on their own, \
             up to 0. So one that hangs is never found."
        );
        let field = "spec.healthCheck.passive.consecutiveLocalOriginFailures";
        let found = subject.of_policy(field, reasons::HANG_NOT_FOUND, message)?;
        return Some(found.with_mend(
            "Write consecutiveLocalOriginFailures of 1 or more, or healthCheck.active.",
        ));
    }
    if subject.retry.per_try_timeout.is_some() || limit(subject) != Some(Duration::ZERO) {
        return None;
    }
    let message = format!(
        "A request may take for ever, so nothing finds an endpoint of chain {name} that hangs."
    );
    let found = match (subject.timeouts.0, subject.policy) {
        (None, Some(policy)) => {
            let field = "spec.timeout.http.requestTimeout";
            Problem::warning(policy, field, reasons::HANG_NOT_FOUND, message)
        }
        _ => {
            let field = format!("{}.timeouts.request", subject.rule);
            Problem::warning(subject.route, &field, reasons::HANG_NOT_FOUND, message)
        }
    };
    Some(found.with_mend(MEND))
}

/// Only the time limit of a whole request finds it.
pub(super) fn late(subject: &Subject<'_>) -> Option<Problem> {
    let is_late = is_left_to_time_limits(subject)
        && never(subject).is_none()
        && subject.retry.per_try_timeout.is_none();
    is_late.then(|| {
        let after = limit(subject).unwrap_or(ENVOYS_TIMEOUT);
        let message = format!(
            "An endpoint of chain {} that hangs is found when requests to it have taken {after:?}, and these are \
             lost.",
            subject.name.0
        );
        Problem::note(subject.route, subject.rule, reasons::HANG_FOUND_LATE, message)
            .with_mend(MEND)
    })
}

/// Whether some tier is watched by what becomes of requests alone.
fn is_left_to_time_limits(subject: &Subject<'_>) -> bool {
    let mut tiers = subject.chain.tiers.iter();
    !never_ejects(&subject.chain.settings.outlier_detection)
        && subject.chain.tiers.len() > 1
        && tiers.any(|tier| !is_probed(subject, tier))
}

/// The longest a request may take, where anything says it.
fn limit(subject: &Subject<'_>) -> Option<Duration> {
    subject.timeouts.0.or(subject.timeouts.1)
}

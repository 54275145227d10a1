//! Circuit breakers that open when a tier dies: everything under way is tried again at once.

use super::{Subject, served};
use crate::model::Protocol;
use crate::problem::Problem;
use crate::status::reasons;

/// What is wrong with the limits that a policy sets.
pub(super) fn of(subject: &Subject<'_>) -> Vec<Problem> {
    let breaker = &subject.chain.settings.circuit_breaker;
    if subject.retry.retries == 0 {
        return Vec::new();
    }
    let name = &subject.name.0;
    let under_way = under_way(subject);
    let mut found = Vec::new();
    let mut warn = |field: &str, reason, message, mend: String| {
        let field = format!("spec.circuitBreaker.{field}");
        let problem = subject.of_policy(&field, reason, message);
        found.extend(problem.map(|problem| problem.with_mend(mend)));
    };
    let all =
        format!("When a tier of {name} dies, up to {under_way} requests are tried again at once");
    let mut retries = breaker.max_parallel_retries;
    if let Some((percent, least)) = breaker.retry_budget {
        retries = under_budget(under_way, percent, least);
        if retries < under_way {
            let message = format!("{all}, and the retry budget lets about {retries} of them.");
            let mend = "Write percent: {numerator: 100}.".to_owned();
            let reason = reasons::BREAKER_BELOW_RETRIES;
            warn("retryBudget.percent", reason, message, mend);
        }
    } else if retries == 0 {
        let message = format!(
            "No request is tried again, so those under way when a tier of {name} dies are lost."
        );
        let mend = format!("Write maxParallelRetries: {under_way}.");
        warn("maxParallelRetries", reasons::RETRIES_OFF, message, mend);
    } else if retries < under_way {
        let message = format!("{all}, and maxParallelRetries lets {retries} of them.");
        let mend = format!("Write maxParallelRetries: {under_way}.");
        let reason = reasons::BREAKER_BELOW_RETRIES;
        warn("maxParallelRetries", reason, message, mend);
    }
    let waiting = retries.min(under_way);
    let pending = breaker.max_pending_requests;
    if pending < waiting {
        let message = format!(
            "{all}; the standby has no connection yet, and maxPendingRequests lets {pending} wait for one."
        );
        let mend = format!("Write maxPendingRequests: {waiting}.");
        let reason = reasons::BREAKER_BELOW_RETRIES;
        warn("maxPendingRequests", reason, message, mend);
    }
    found
}

/// How many requests may be under way: as many as connections where each has one of its own.
fn under_way(subject: &Subject<'_>) -> u32 {
    let settings = &subject.chain.settings;
    let breaker = &settings.circuit_breaker;
    let one_each = !settings.use_client_protocol
        && served(subject.chain).all(|protocol| protocol == Protocol::Http1);
    match one_each {
        true => breaker.max_parallel_requests.min(breaker.max_connections),
        false => breaker.max_parallel_requests,
    }
}

/// How many of `requests` a retry budget lets be tried again.
fn under_budget(requests: u32, percent: f64, least: u32) -> u32 {
    let share = (f64::from(requests) * percent / 100.0).floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is held between 0 and a u32"
    )]
    let share = share.clamp(0.0, f64::from(u32::MAX)) as u32;
    share.max(least)
}

//! Retries that are off, or do not come to the last tier.

use super::super::order::Order;
use super::Subject;
use crate::problem::Problem;
use crate::resource::Key;
use crate::status::reasons;

/// What is wrong with the retries that a policy asks for.
pub(super) fn of(subject: &Subject<'_>) -> Option<Problem> {
    let counting = subject.order.filter(|order| order.counts_attempts());
    match (counting, subject.policy) {
        (Some(order), _) => counted(subject, &order.policy, "spec.retry.attempts"),
        (None, _) if subject.rule_counts => None,
        (None, Some(policy)) => counted(subject, policy, "spec.retry.numRetries"),
        (None, None) => None,
    }
}

/// What is wrong with the retries that a rule asks for itself.
pub(super) fn of_rule(subject: &Subject<'_>) -> Option<Problem> {
    let holds = subject.rule_counts
        && subject.chain.tiers.len() > 1
        && !subject.order.is_some_and(Order::counts_attempts);
    let field = format!("{}.retry.attempts", subject.rule);
    holds
        .then(|| counted(subject, subject.route, &field))
        .flatten()
}

/// Why the retries that an object counts in `field` do not reach the last tier.
fn counted(subject: &Subject<'_>, object: &Key, field: &str) -> Option<Problem> {
    let name = &subject.name.0;
    let retry = subject.retry;
    let serving = subject.chain.tiers.iter().filter(|tier| !tier.drained);
    let before_last = u32::try_from(serving.count().saturating_sub(1)).unwrap_or(u32::MAX);
    let per_tier = retry.attempts_per_tier.unwrap_or(1);
    let needed = per_tier.saturating_mul(before_last);
    if retry.retries == 0 {
        let message = format!(
            "Requests are not tried again, so those under way when a tier of {name} dies are lost."
        );
        let said = field.rsplit('.').next().unwrap_or(field);
        let found = Problem::warning(object, field, reasons::RETRIES_OFF, message);
        let least = needed.max(1);
        return Some(found.with_mend(format!("Write {said}: {least}, or leave it out.")));
    }
    let reason = reasons::RETRIES_DO_NOT_REACH_STANDBY;
    if retry.attempts_per_tier.is_none() && before_last > 0 {
        let message = format!(
            "Attempts stay in a tier of {name} until that is taken out: nothing says after how many they go to \
             the next."
        );
        let field = "spec.retry.numAttemptsPerPriority";
        let found = subject.of_policy(field, reason, message)?;
        return Some(found.with_mend("Write numAttemptsPerPriority: 1, or leave it out for 2."));
    }
    (retry.retries < needed).then(|| {
        let message = format!(
            "{} retries do not reach the last tier of {name}: that takes {needed}, {per_tier} for each tier before it.",
            retry.retries
        );
        let said = field.rsplit('.').next().unwrap_or(field);
        let mend = format!("Write {said}: {needed}, or leave it out.");
        Problem::warning(object, field, reason, message).with_mend(mend)
    })
}

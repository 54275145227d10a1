//! How a policy's `retry` and the defaults come together, field by field.
//!
//! What the policy says holds for every method. What is added for the methods that may be repeated
//! (`reset`) stays: a time limit of one attempt moves a request on only with it.

use super::super::defaults;
use super::{Refusals, positive, refuse};
use crate::model::{BackOff, Retry};
use crate::resource::traffic_policy::{self as api, Trigger};

/// Refuses what Envoy would.
pub(super) fn check(retry: &api::Retry, refusals: &mut Refusals) {
    let Some(per_retry) = &retry.per_retry else {
        return;
    };
    if let Some(timeout) = per_retry.timeout {
        positive(timeout.0, "retry.perRetry.timeout", refusals);
    }
    let Some(back_off) = &per_retry.back_off else {
        return;
    };
    let (base, max) = (back_off.base_interval, back_off.max_interval);
    if let Some(base) = base {
        positive(base.0, "retry.perRetry.backOff.baseInterval", refusals);
    }
    if let Some(max) = max
        && max.0 < base.map_or(defaults::BACK_OFF.base, |base| base.0)
    {
        refuse(
            refusals,
            "retry.perRetry.backOff.maxInterval",
            "must not be less than baseInterval",
        );
    }
}

/// What the policy asks for, for a chain of `tiers` tiers.
pub(super) fn retry(spec: &api::Retry, tiers: usize) -> Retry {
    let mut retry = defaults::retry(tiers);
    if let Some(attempts) = spec.num_attempts_per_priority {
        retry.attempts_per_tier = Some(attempts).filter(|attempts| *attempts > 0);
    }
    retry.retries = spec
        .num_retries
        .unwrap_or_else(|| defaults::retries(tiers, retry.attempts_per_tier.unwrap_or(1)));
    if let Some(on) = &spec.retry_on {
        if !on.triggers.is_empty() {
            retry.on = on.triggers.iter().map(|trigger| trigger.word()).collect();
        }
        if !on.http_status_codes.is_empty() {
            retry.on.insert(Trigger::RetriableStatusCodes.word());
        }
        retry.status_codes.clone_from(&on.http_status_codes);
    }
    if let Some(per_retry) = &spec.per_retry {
        retry.per_try_timeout = per_retry.timeout.map(Into::into);
        if let Some(back_off) = &per_retry.back_off {
            let base = back_off
                .base_interval
                .map_or(retry.back_off.base, |base| base.0);
            let max = back_off.max_interval.map(|max| max.0);
            // Without a maximum Envoy takes ten times the base.
            retry.back_off = BackOff { base, max };
        }
    }
    retry
}

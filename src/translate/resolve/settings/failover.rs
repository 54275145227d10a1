//! How a FailoverPolicy's `retry` goes over what holds without it, field by field.

use super::super::defaults;
use crate::model::Retry;
use crate::resource::failover_policy::{self as api, NextTier};
use crate::resource::traffic_policy::Trigger;

/// Sets what the policy says, for a chain of `tiers` tiers. `is_counted` where another policy says
/// how often a request is tried again.
pub(super) fn apply(spec: &api::Retry, tiers: usize, is_counted: bool, retry: &mut Retry) {
    if let Some(next) = spec.next_tier {
        let attempts = match next {
            NextTier::Immediately => 1,
            NextTier::AfterSameTier => defaults::ATTEMPTS_PER_TIER,
        };
        retry.attempts_per_tier = (tiers > 1).then_some(attempts);
        if !is_counted {
            retry.retries = defaults::retries(tiers, attempts);
        }
    }
    if let Some(attempts) = spec.attempts {
        retry.retries = attempts;
    }
    if !spec.codes.is_empty() {
        let word = Trigger::RetriableStatusCodes.word();
        retry.on.remove(word);
        retry.on_repeatable.insert(word);
        retry.status_codes.clone_from(&spec.codes);
    }
    if let Some(limit) = spec.body_limit {
        retry.body_limit = limit.0;
    }
}

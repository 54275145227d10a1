//! What of a policy's `rateLimit` a rate limit service counts.

use super::{Refusals, rate_limit, refuse};
use crate::model::GlobalLimit;
use crate::resource::ObjectName;
use crate::resource::traffic_policy::{self as api, LimitUnit, RateLimitType};

/// The limits of a policy called `policy`; `has_service` where there is who counts.
pub(super) fn global(
    spec: &api::RateLimit,
    policy: &ObjectName,
    has_service: bool,
    refusals: &mut Refusals,
) -> Vec<GlobalLimit> {
    if spec.r#type == Some(RateLimitType::Local) {
        return Vec::new();
    }
    let Some(global) = &spec.global else {
        if spec.r#type == Some(RateLimitType::Global) {
            refuse(
                refusals,
                "rateLimit.global",
                "must be set, since type is Global",
            );
        }
        return Vec::new();
    };
    if !has_service {
        let why =
            "needs a rate limit service: name it to Locum with --rate-limit-service, or use local";
        refuse(refusals, "rateLimit.global", why);
    }
    let rules = global.rules.iter().enumerate();
    rules
        .map(|(index, rule)| {
            let field = format!("rateLimit.global.rules[{index}]");
            let mut refuse = |below: &str, why| refuse(refusals, &format!("{field}.{below}"), why);
            if rule.limit.unit == LimitUnit::Week {
                refuse(
                    "limit.unit",
                    "cannot be Week: a rate limit service counts by Second, Minute, Hour, Day, Month or Year",
                );
            }
            if rule.limit.from_metadata.is_some() {
                let why = "is not supported: nothing writes metadata";
                refuse("limit.fromMetadata", why);
            }
            if rule.shadow_mode == Some(true) {
                let why = "is not supported for global limits: a rate limit service is told a limit, not \
                           whether to keep it";
                refuse("shadowMode", why);
            }
            let of_answer = rule.cost.as_ref().and_then(|cost| cost.response.as_ref());
            let answer_cost = of_answer.and_then(|cost| {
                rate_limit::cost(cost, &format!("{field}.cost.response"), refusals)
            });
            GlobalLimit {
                rule: rate_limit::rule(rule, &field, refusals),
                answer_cost,
                shared_by: (rule.shared == Some(true)).then(|| policy.clone()),
            }
        })
        .collect()
}

//! When a request is tried again.

use super::NO_TIME;
use crate::reference::{Row, below, time, value};
use crate::translate::resolve::defaults;

/// Where Envoy is told when to try again.
macro_rules! retry {
    ($field:literal) => {
        concat!("Route.route.retry_policy.", $field)
    };
}

pub(super) fn rows() -> Vec<Row> {
    let retry = defaults::retry(2);
    let triggers = retry.on.iter().map(value).collect::<Vec<_>>().join(", ");
    let more = retry
        .on_repeatable
        .iter()
        .map(value)
        .collect::<Vec<_>>()
        .join(", ");
    let attempts = retry.attempts_per_tier.unwrap_or_default();
    let rows = vec![
        Row::words("", "what is left out of it has the defaults below")
            .absent("every field has the default below"),
        Row::envoy("numRetries", &[retry!("num_retries")])
            .absent(format!("{attempts} for each tier")),
        Row::envoy("numAttemptsPerPriority", &["PreviousPrioritiesConfig.update_frequency"])
            .absent(format!("{}, with more tiers than one", value(attempts))),
        Row::envoy("retryOn.triggers", &[retry!("retry_on")]).absent(format!(
            "{triggers}; for GET, HEAD, OPTIONS, TRACE, PUT and DELETE, whatever is said here, also {more}"
        )),
        Row::envoy("retryOn.httpStatusCodes", &[retry!("retriable_status_codes")])
            .absent("none"),
        Row::envoy("perRetry.timeout", &[retry!("per_try_timeout")])
            .absent("`timeouts.backendRequest` of the rule, or no limit")
            .but("`0s`", NO_TIME),
        Row::envoy(
            "perRetry.backOff.baseInterval",
            &[retry!("retry_back_off.base_interval")],
        )
        .absent(time(retry.back_off.base))
        .but("`0s`", NO_TIME),
        Row::envoy(
            "perRetry.backOff.maxInterval",
            &[retry!("retry_back_off.max_interval")],
        )
        .absent(format!(
            "ten times `baseInterval`; {} where that is left out too",
            retry.back_off.max.map(time).unwrap_or_default()
        ))
        .but("less than `baseInterval`", "must not be less than baseInterval"),
    ];
    below("retry", rows)
}

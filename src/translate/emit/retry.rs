//! Retries: another host of the same tier first, then the next tier; more triggers for the methods
//! that may be repeated than for those that may not.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::config::route::v3::RetryPolicy;
use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RetryBackOff, RetryHostPredicate, RetryPriority, retry_host_predicate, retry_priority,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;
use envoy_types::pb::google::protobuf::UInt64Value;
use envoy_types::util::pack_any;

use crate::model::Retry;
use crate::xds::wire::{duration, uint32};

/// How often a host is chosen anew because it was tried already. Each is a draw among the tier's
/// hosts: with two of them five draws miss the other one in 3 %, and then the host is tried again.
const HOST_SELECTION_ATTEMPTS: i64 = 5;

/// The methods that RFC 9110 calls idempotent.
const REPEATABLE_METHODS: [&str; 6] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];

/// The retry policy of a route; none where nothing is tried again.
pub(super) fn policy(retry: &Retry) -> Option<RetryPolicy> {
    if retry.retries == 0 {
        return None;
    }
    Some(RetryPolicy {
        retry_on: words(&retry.on),
        num_retries: Some(uint32(retry.retries)),
        per_try_timeout: retry.per_try_timeout.map(duration),
        retriable_status_codes: retry.status_codes.iter().copied().map(u32::from).collect(),
        retry_back_off: Some(RetryBackOff {
            base_interval: Some(duration(retry.back_off.base)),
            max_interval: retry.back_off.max.map(duration),
        }),
        retry_host_predicate: vec![RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".into(),
            config_type: Some(retry_host_predicate::ConfigType::TypedConfig(pack_any(
                PreviousHostsPredicate {},
            ))),
        }],
        host_selection_retry_max_attempts: HOST_SELECTION_ATTEMPTS,
        retry_priority: retry.attempts_per_tier.map(tiers_tried),
        ..RetryPolicy::default()
    })
}

/// What is kept of a request's body; by itself Envoy keeps what the listener's connections may have
/// waiting.
pub(super) fn body_limit(retry: &Retry) -> Option<UInt64Value> {
    let value = retry.body_limit;
    (retry.retries > 0).then_some(UInt64Value { value })
}

fn tiers_tried(attempts_per_tier: u32) -> RetryPriority {
    let config = PreviousPrioritiesConfig {
        update_frequency: i32::try_from(attempts_per_tier).unwrap_or(i32::MAX),
    };
    RetryPriority {
        name: "envoy.retry_priorities.previous_priorities".into(),
        config_type: Some(retry_priority::ConfigType::TypedConfig(pack_any(config))),
    }
}

/// The request header that adds the triggers for methods that may be repeated. Envoy's router takes
/// it up into the route's own policy and takes it off, so that no upstream sees it; for other
/// methods it is empty, and an empty header is not added. Clients' own are taken off by the
/// listener.
pub(super) fn triggers_by_method(retry: &Retry) -> Option<HeaderValueOption> {
    let more: BTreeSet<_> = retry.on_repeatable.difference(&retry.on).copied().collect();
    if retry.retries == 0 || more.is_empty() {
        return None;
    }
    let methods = REPEATABLE_METHODS
        .map(|method| format!("'{method}'"))
        .join(", ");
    let words = words(&more);
    Some(HeaderValueOption {
        header: Some(HeaderValue {
            key: "x-envoy-retry-on".into(),
            value: format!("%CEL(request.method in [{methods}] ? '{words}' : '')%"),
            ..HeaderValue::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    })
}

fn words(triggers: &BTreeSet<&'static str>) -> String {
    triggers.iter().copied().collect::<Vec<_>>().join(",")
}

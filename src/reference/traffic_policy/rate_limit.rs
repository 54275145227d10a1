//! How many requests are taken in a time.

use super::NO_EXPRESSION;
use crate::reference::{Row, below, value};

/// The messages that a route has for each way of counting.
const LOCAL: &str = "LocalRateLimit";
const GLOBAL: &str = "RateLimitPerRoute";

const NO_METADATA: &str = "metadata is not supported: nothing writes metadata";
const COST: &str = "must be at most 1000000000";

pub(super) fn rows() -> Vec<Row> {
    let own = vec![
        Row::words(
            "type",
            "with Local `global` has no effect, with Global `local` has none",
        )
        .absent("both"),
    ];
    let rows = [
        own,
        below("local.rules[]", local()),
        below("local.rules[].clientSelectors[]", selector(LOCAL)),
        below("global.rules[]", global()),
        below("global.rules[].clientSelectors[]", selector(GLOBAL)),
    ];
    below("rateLimit", rows.into_iter().flatten().collect())
}

fn local() -> Vec<Row> {
    vec![
        Row::envoy(
            "limit.requests",
            &[
                "LocalRateLimit.token_bucket.max_tokens",
                "LocalRateLimit.descriptors.token_bucket.max_tokens",
            ],
        ),
        Row::envoy(
            "limit.unit",
            &[
                "LocalRateLimit.token_bucket.fill_interval",
                "LocalRateLimit.descriptors.token_bucket.fill_interval",
            ],
        )
        .but(
            "what is no multiple of the unit of the rule without clientSelectors",
            "must be a multiple of the unit of the rule without clientSelectors",
        ),
        Row::refused(
            "limit.fromMetadata",
            "limit fromMetadata is not supported for Local Rate Limits",
        ),
        Row::words(
            "cost.request.from",
            "with Number `number` counts; with Metadata `metadata` would",
        ),
        Row::envoy(
            "cost.request.number",
            &["LocalRateLimit.rate_limits.hits_addend.number"],
        )
        .absent(value(1))
        .but("more than 1000000000", COST),
        Row::refused("cost.request.metadata", NO_METADATA),
        Row::refused(
            "cost.response",
            "response cost is not supported for Local Rate Limits",
        ),
        Row::words("shared", "each route has the limit for itself")
            .absent(value(false))
            .but(
                "`true`",
                "shared is not supported: a proxy counts each route on its own",
            ),
        Row::envoy("shadowMode", &["LocalRateLimit.descriptors.shadow_mode"]).absent(value(false)),
        Row::envoy(
            "xRateLimitHeaders",
            &["LocalRateLimit.rate_limits.x_ratelimit_option"],
        )
        .absent("as the rule without clientSelectors says, or `DraftVersion03`"),
    ]
}

fn global() -> Vec<Row> {
    vec![
        Row::envoy(
            "limit.requests",
            &["RateLimitPerRoute.rate_limits.limit.rate_limit.requests_per_unit"],
        )
        .but(
            "any, without `--rate-limit-service`",
            "global needs a rate limit service",
        ),
        Row::envoy(
            "limit.unit",
            &["RateLimitPerRoute.rate_limits.limit.rate_limit.unit"],
        )
        .but("`Week`", "unit cannot be Week"),
        Row::refused(
            "limit.fromMetadata",
            "fromMetadata is not supported: nothing writes metadata",
        ),
        Row::words(
            "cost.request.from",
            "with Number `number` counts; with Metadata `metadata` would",
        ),
        Row::envoy(
            "cost.request.number",
            &["RateLimitPerRoute.rate_limits.hits_addend.number"],
        )
        .absent(value(1))
        .but("more than 1000000000", COST),
        Row::refused("cost.request.metadata", NO_METADATA),
        Row::words(
            "cost.response.from",
            "with Number `number` counts; with Metadata `metadata` would",
        ),
        Row::envoy(
            "cost.response.number",
            &[
                "RateLimitPerRoute.rate_limits.apply_on_stream_done",
                "RateLimitPerRoute.rate_limits.hits_addend.number",
            ],
        )
        .absent("an answer counts nothing")
        .but("more than 1000000000", COST),
        Row::refused("cost.response.metadata", NO_METADATA),
        Row::envoy(
            "shared",
            &["RateLimitPerRoute.rate_limits.actions.generic_key"],
        )
        .absent(value(false)),
        Row::words("shadowMode", "every limit is kept")
            .absent(value(false))
            .but("`true`", "shadowMode is not supported for global limits"),
        Row::envoy(
            "xRateLimitHeaders",
            &["RateLimitPerRoute.rate_limits.x_ratelimit_option"],
        )
        .absent(value("DraftVersion03")),
    ]
}

/// `message` is what says of a route which requests a rule is for.
fn selector(message: &str) -> Vec<Row> {
    let action = |field: &str| format!("{message}.rate_limits.actions.{field}");
    let (header, query) = (
        action("header_value_match"),
        action("query_parameter_value_match"),
    );
    let path = vec![
        Row::envoy("type", &[&header]),
        Row::envoy("value", &[&action("header_value_match.headers")]).but(
            "with type RegularExpression: other expressions than RE2's",
            NO_EXPRESSION,
        ),
        Row::envoy("invert", &[&action("header_value_match.expect_match")]),
    ];
    let methods = vec![
        Row::envoy("value", &[&action("header_value_match.headers")]),
        Row::envoy("invert", &[&action("header_value_match.expect_match")]),
    ];
    let source = vec![
        Row::envoy("type", &[&action("remote_address")]),
        Row::envoy(
            "value",
            &[&action("remote_address_match.address_matcher.ranges")],
        )
        .but(
            "what is no range",
            "is no range of addresses, such as 192.168.0.0/24",
        ),
        Row::envoy(
            "invert",
            &[&action("remote_address_match.address_matcher.invert_match")],
        ),
    ];
    let parts = [
        below(
            "headers[]",
            values(&header, &action("header_value_match.expect_match")),
        ),
        below(
            "queryParams[]",
            values(&query, &action("query_parameter_value_match.expect_match")),
        ),
        below("path", path),
        below("methods[]", methods),
        below("sourceCIDR", source),
    ];
    parts.into_iter().flatten().collect()
}

/// A header or a query parameter with some value.
fn values(field: &str, expected: &str) -> Vec<Row> {
    vec![
        Row::envoy("type", &[field]),
        Row::envoy("name", &[field]),
        Row::envoy("value", &[field])
            .absent("none, with type Distinct")
            .but(
                "with type RegularExpression: other expressions than RE2's",
                NO_EXPRESSION,
            ),
        Row::envoy("invert", &[expected]),
    ]
}

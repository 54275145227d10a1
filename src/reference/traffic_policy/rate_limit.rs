//! How many requests are taken in a time.

use super::NO_EXPRESSION;
use crate::reference::{Row, below, value};

/// Where Envoy is told which requests a rule is for.
macro_rules! action {
    ($field:literal) => {
        concat!("LocalRateLimit.rate_limits.actions.", $field)
    };
}

const HEADER: &str = action!("header_value_match");
const QUERY: &str = action!("query_parameter_value_match");

pub(super) fn rows() -> Vec<Row> {
    let own = vec![
        Row::words(
            "type",
            "with Local `global` has no effect, with Global `local` has none",
        )
        .absent("both"),
        Row::refused(
            "global",
            "global needs a rate limit service, which Locum does not talk to. Use local",
        ),
    ];
    let rows = [
        own,
        below("local.rules[]", rule()),
        below("local.rules[].clientSelectors[]", selector()),
    ];
    below("rateLimit", rows.into_iter().flatten().collect())
}

fn rule() -> Vec<Row> {
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
        .but("more than 1000000000", "must be at most 1000000000"),
        Row::refused(
            "cost.request.metadata",
            "metadata is not supported: nothing writes metadata",
        ),
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

fn selector() -> Vec<Row> {
    let path = vec![
        Row::envoy("type", &[HEADER]),
        Row::envoy("value", &[action!("header_value_match.headers")]).but(
            "with type RegularExpression: other expressions than RE2's",
            NO_EXPRESSION,
        ),
        Row::envoy("invert", &[action!("header_value_match.expect_match")]),
    ];
    let methods = vec![
        Row::envoy("value", &[action!("header_value_match.headers")]),
        Row::envoy("invert", &[action!("header_value_match.expect_match")]),
    ];
    let source = vec![
        Row::envoy("type", &[action!("remote_address")]),
        Row::envoy(
            "value",
            &[action!("remote_address_match.address_matcher.ranges")],
        )
        .but(
            "what is no range",
            "is no range of addresses, such as 192.168.0.0/24",
        ),
        Row::envoy(
            "invert",
            &[action!("remote_address_match.address_matcher.invert_match")],
        ),
    ];
    let parts = [
        below(
            "headers[]",
            values(HEADER, action!("header_value_match.expect_match")),
        ),
        below(
            "queryParams[]",
            values(QUERY, action!("query_parameter_value_match.expect_match")),
        ),
        below("path", path),
        below("methods[]", methods),
        below("sourceCIDR", source),
    ];
    parts.into_iter().flatten().collect()
}

/// A header or a query parameter with some value.
fn values(field: &'static str, expected: &'static str) -> Vec<Row> {
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

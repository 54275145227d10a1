//! Limits that a proxy counts for itself, as one filter on a route.

use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::RuntimeFractionalPercent;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::rate_limit::action::{
    ActionSpecifier, HeaderValueMatch, QueryParameterValueMatch, QueryParameters, RemoteAddress,
    RemoteAddressMatch, RequestHeaders,
};
use envoy_types::pb::envoy::config::route::v3::rate_limit::{Action, HitsAddend, XRateLimitOption};
use envoy_types::pb::envoy::config::route::v3::{QueryParameterMatcher, RateLimit as Actions};
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::{
    LocalRateLimitDescriptor, XRateLimitHeadersRfcVersion,
};
use envoy_types::pb::envoy::extensions::filters::http::local_ratelimit::v3::LocalRateLimit;
use envoy_types::pb::envoy::r#type::matcher::v3::AddressMatcher;
use envoy_types::pb::envoy::r#type::v3::{
    FractionalPercent, TokenBucket, fractional_percent::DenominatorType,
};
use envoy_types::pb::google::protobuf::UInt64Value;
use envoy_types::pb::xds::core::v3::CidrRange;

use super::route;
use crate::model::{Limit, LimitMatch, LimitRule, RateLimit};
use crate::xds::wire::{boolean, duration, uint32};

/// What Envoy calls the entry of a client's address.
const CLIENT: &str = "remote_address";
/// How many values that have a limit of their own are remembered; the oldest are forgotten.
const MAX_VALUES: u32 = 10_000;

/// The filter where no route asks for it.
pub(super) fn nothing() -> LocalRateLimit {
    LocalRateLimit {
        stat_prefix: "http_local_rate_limiter".into(),
        max_dynamic_descriptors: Some(uint32(MAX_VALUES)),
        ..LocalRateLimit::default()
    }
}

/// The filter as a route has it. A request counts for each rule that it matches, and for the default
/// where it matches none.
pub(super) fn filter(limit: &RateLimit) -> LocalRateLimit {
    LocalRateLimit {
        token_bucket: Some(bucket(limit.default)),
        filter_enabled: Some(always()),
        filter_enforced: Some(always()),
        descriptors: (0..).zip(&limit.rules).map(descriptor).collect(),
        rate_limits: (0..).zip(&limit.rules).map(actions).collect(),
        always_consume_default_token_bucket: Some(boolean(false)),
        enable_x_ratelimit_headers: if limit.headers {
            XRateLimitHeadersRfcVersion::DraftVersion03.into()
        } else {
            XRateLimitHeadersRfcVersion::Off.into()
        },
        ..nothing()
    }
}

fn always() -> RuntimeFractionalPercent {
    RuntimeFractionalPercent {
        default_value: Some(FractionalPercent {
            numerator: 100,
            denominator: DenominatorType::Hundred.into(),
        }),
        runtime_key: String::new(),
    }
}

fn bucket(limit: Limit) -> TokenBucket {
    TokenBucket {
        max_tokens: limit.requests,
        // Envoy refuses to fill in nothing.
        tokens_per_fill: (limit.requests > 0).then(|| uint32(limit.requests)),
        fill_interval: Some(duration(limit.per)),
    }
}

/// What a request's entries are held against: those without a value stand for every value.
fn descriptor((number, rule): (usize, &LimitRule)) -> LocalRateLimitDescriptor {
    let entry = |(index, matched): (usize, &LimitMatch)| match matched {
        LimitMatch::EachSource => Entry {
            key: CLIENT.into(),
            value: String::new(),
        },
        LimitMatch::EachHeader(_) | LimitMatch::EachQuery(_) => Entry {
            key: key(number, index),
            value: String::new(),
        },
        _ => Entry {
            key: key(number, index),
            value: MATCHED.into(),
        },
    };
    LocalRateLimitDescriptor {
        entries: rule.matches.iter().enumerate().map(entry).collect(),
        token_bucket: Some(bucket(rule.limit)),
        shadow_mode: rule.shadow,
    }
}

/// The entries of a request; none, where one of them is missing.
pub(super) fn actions((number, rule): (usize, &LimitRule)) -> Actions {
    let matches = rule.matches.iter().enumerate();
    Actions {
        actions: matches
            .map(|(index, matched)| Action {
                action_specifier: Some(action(key(number, index), matched)),
            })
            .collect(),
        hits_addend: rule.cost.map(|cost| HitsAddend {
            number: Some(UInt64Value { value: cost }),
            ..HitsAddend::default()
        }),
        x_ratelimit_option: match rule.headers {
            None => XRateLimitOption::Unspecified,
            Some(true) => XRateLimitOption::DraftVersion03,
            Some(false) => XRateLimitOption::Off,
        }
        .into(),
        ..Actions::default()
    }
}

/// The value of an entry that says no more than that something matched.
const MATCHED: &str = "yes";

fn key(rule: usize, matched: usize) -> String {
    format!("rule/{rule}/match/{matched}")
}

fn action(key: String, matched: &LimitMatch) -> ActionSpecifier {
    match matched {
        LimitMatch::Header {
            name,
            value,
            invert,
        } => ActionSpecifier::HeaderValueMatch(HeaderValueMatch {
            descriptor_key: key,
            descriptor_value: MATCHED.into(),
            expect_match: Some(boolean(!invert)),
            headers: vec![route::header(name, value)],
            ..HeaderValueMatch::default()
        }),
        LimitMatch::EachHeader(name) => ActionSpecifier::RequestHeaders(RequestHeaders {
            header_name: name.clone(),
            descriptor_key: key,
            skip_if_absent: false,
        }),
        LimitMatch::Query {
            name,
            value,
            invert,
        } => ActionSpecifier::QueryParameterValueMatch(QueryParameterValueMatch {
            descriptor_key: key,
            descriptor_value: MATCHED.into(),
            expect_match: Some(boolean(!invert)),
            query_parameters: vec![QueryParameterMatcher {
                name: name.clone(),
                query_parameter_match_specifier: Some(QueryParameterMatchSpecifier::StringMatch(
                    route::string(value),
                )),
            }],
            ..QueryParameterValueMatch::default()
        }),
        LimitMatch::EachQuery(name) => ActionSpecifier::QueryParameters(QueryParameters {
            query_parameter_name: name.clone(),
            descriptor_key: key,
            skip_if_absent: false,
        }),
        LimitMatch::Source {
            address,
            bits,
            invert,
        } => ActionSpecifier::RemoteAddressMatch(RemoteAddressMatch {
            descriptor_key: key,
            descriptor_value: MATCHED.into(),
            address_matcher: Some(addresses(*address, *bits, *invert)),
            ..RemoteAddressMatch::default()
        }),
        LimitMatch::EachSource => ActionSpecifier::RemoteAddress(RemoteAddress {}),
    }
}

fn addresses(address: IpAddr, bits: u8, invert: bool) -> AddressMatcher {
    AddressMatcher {
        ranges: vec![CidrRange {
            address_prefix: address.to_string(),
            prefix_len: Some(uint32(bits.into())),
        }],
        invert_match: invert,
    }
}

//! How a policy's `rateLimit` counts requests.

use std::net::IpAddr;
use std::time::Duration;

use super::{Refusals, is_token, refuse};
use crate::model::{Limit, LimitMatch, LimitRule, RateLimit, StringMatch};
use crate::resource::traffic_policy::{
    self as api, ClientSelector, LimitUnit, LimitValue, MethodSelector, PathSelectorType,
    RateLimitHeaders, RateLimitRule, RateLimitType, SourceSelectorType, ValueSelectorType,
};
use crate::translate::resolve::expressions;

/// Envoy's largest cost of a request.
const MAX_COST: u64 = 1_000_000_000;

/// The limits that each proxy counts for itself.
pub(super) fn local(spec: &api::RateLimit, refusals: &mut Refusals) -> Option<RateLimit> {
    let counts = |which| spec.r#type.is_none_or(|one| one == which);
    if spec.r#type == Some(RateLimitType::Local) && spec.local.is_none() {
        refuse(
            refusals,
            "rateLimit.local",
            "must be set, since type is Local",
        );
    }
    let local = spec
        .local
        .as_ref()
        .filter(|_| counts(RateLimitType::Local))?;
    let mut limits = RateLimit {
        default: Limit {
            requests: u32::MAX,
            per: Duration::from_secs(1),
        },
        rules: Vec::new(),
        headers: true,
    };
    let mut has_default = false;
    for (index, rule) in local.rules.iter().enumerate() {
        let field = format!("rateLimit.local.rules[{index}]");
        if rule.shared == Some(true) {
            let why = "is not supported: a proxy counts each route on its own";
            refuse(refusals, &format!("{field}.shared"), why);
        }
        let found = self::rule(rule, &field, refusals);
        if !rule.client_selectors.is_empty() {
            limits.rules.push(found);
            continue;
        }
        if has_default {
            let why = "is the second without clientSelectors; one is for all that no other selects";
            refuse(refusals, &field, why);
        }
        has_default = true;
        limits.default = found.limit;
        limits.headers = found.headers.unwrap_or(true);
        if found.cost.is_some() || found.shadow {
            let why = "needs clientSelectors for a cost or shadowMode";
            refuse(refusals, &field, why);
        }
    }
    let per = limits.default.per.as_secs();
    for (index, rule) in local.rules.iter().enumerate() {
        if !time(rule.limit.unit).as_secs().is_multiple_of(per) {
            let field = format!("rateLimit.local.rules[{index}].limit.unit");
            let why = "must be a multiple of the unit of the rule without clientSelectors";
            refuse(refusals, &field, why);
        }
    }
    Some(limits)
}

pub(super) fn rule(rule: &RateLimitRule, field: &str, refusals: &mut Refusals) -> LimitRule {
    let cost = rule.cost.as_ref().and_then(|cost| cost.request.as_ref());
    let cost = cost.and_then(|cost| self::cost(cost, &format!("{field}.cost.request"), refusals));
    let mut matches = Vec::new();
    for (index, selector) in rule.client_selectors.iter().enumerate() {
        let field = format!("{field}.clientSelectors[{index}]");
        select(selector, &field, &mut matches, refusals);
    }
    if matches.is_empty() && !rule.client_selectors.is_empty() {
        // Every method, said in a roundabout way.
        matches.push(LimitMatch::Header {
            name: ":method".into(),
            value: StringMatch::Regex(".*".into()),
            invert: false,
        });
    }
    LimitRule {
        limit: limit(&rule.limit),
        matches,
        cost,
        shadow: rule.shadow_mode.unwrap_or(false),
        headers: rule
            .x_rate_limit_headers
            .map(|headers| headers == RateLimitHeaders::DraftVersion03),
    }
}

/// How much something counts; nothing where that is not said.
pub(super) fn cost(cost: &api::CostSpecifier, field: &str, refusals: &mut Refusals) -> Option<u64> {
    if cost.from == api::CostFrom::Metadata {
        let why = "is not supported: nothing writes metadata";
        refuse(refusals, &format!("{field}.metadata"), why);
    }
    if cost.number.is_some_and(|cost| cost > MAX_COST) {
        let why = "must be at most 1000000000";
        refuse(refusals, &format!("{field}.number"), why);
    }
    cost.number
}

fn limit(value: &LimitValue) -> Limit {
    Limit {
        requests: value.requests,
        per: time(value.unit),
    }
}

fn time(unit: LimitUnit) -> Duration {
    const DAY: u64 = 24 * 60 * 60;
    Duration::from_secs(match unit {
        LimitUnit::Second => 1,
        LimitUnit::Minute => 60,
        LimitUnit::Hour => 60 * 60,
        LimitUnit::Day => DAY,
        LimitUnit::Week => 7 * DAY,
        LimitUnit::Month => 30 * DAY,
        LimitUnit::Year => 365 * DAY,
    })
}

fn select(
    selector: &ClientSelector,
    field: &str,
    matches: &mut Vec<LimitMatch>,
    refusals: &mut Refusals,
) {
    for (index, header) in selector.headers.iter().enumerate() {
        let field = format!("{field}.headers[{index}]");
        if !is_token(&header.name) {
            refuse(refusals, &format!("{field}.name"), "is no name of a header");
        }
        let name = header.name.to_ascii_lowercase();
        match value(header, &field, refusals) {
            Some(value) => matches.push(LimitMatch::Header {
                name,
                value,
                invert: header.invert,
            }),
            None => matches.push(LimitMatch::EachHeader(name)),
        }
    }
    matches.extend(methods(&selector.methods));
    if let Some(path) = &selector.path {
        matches.push(self::path(path, &format!("{field}.path"), refusals));
    }
    if let Some(source) = &selector.source_cidr {
        match cidr(&source.value) {
            Some((address, bits)) => matches.push(LimitMatch::Source {
                address,
                bits,
                invert: source.invert,
            }),
            None => {
                let field = format!("{field}.sourceCIDR.value");
                refuse(
                    refusals,
                    &field,
                    "is no range of addresses, such as 192.168.0.0/24",
                );
            }
        }
        if source.r#type == SourceSelectorType::Distinct {
            matches.push(LimitMatch::EachSource);
        }
    }
    for (index, parameter) in selector.query_params.iter().enumerate() {
        let field = format!("{field}.queryParams[{index}]");
        let name = parameter.name.clone();
        match value(parameter, &field, refusals) {
            Some(value) => matches.push(LimitMatch::Query {
                name,
                value,
                invert: parameter.invert,
            }),
            None => matches.push(LimitMatch::EachQuery(name)),
        }
    }
}

fn path(path: &api::PathSelector, field: &str, refusals: &mut Refusals) -> LimitMatch {
    let value = match path.r#type {
        PathSelectorType::Exact => regex::escape(&path.value),
        PathSelectorType::PathPrefix => match path.value.trim_end_matches('/') {
            "" => "/.*".into(),
            prefix => format!("{}(/.*)?", regex::escape(prefix)),
        },
        PathSelectorType::RegularExpression => {
            expression(&path.value, &format!("{field}.value"), refusals);
            format!("({})", path.value)
        }
    };
    LimitMatch::Header {
        name: ":path".into(),
        // The header holds the query too.
        value: StringMatch::Regex(format!(r"{value}(\?.*)?")),
        invert: path.invert,
    }
}

/// The value that is looked for; nothing where each has a limit of its own.
fn value(
    selector: &api::ValueSelector,
    field: &str,
    refusals: &mut Refusals,
) -> Option<StringMatch> {
    if selector.r#type == ValueSelectorType::Distinct {
        if selector.invert || selector.value.is_some() {
            refuse(
                refusals,
                field,
                "with type Distinct has neither value nor invert",
            );
        }
        return None;
    }
    let value = selector.value.clone().unwrap_or_default();
    if selector.value.is_none() {
        refuse(refusals, &format!("{field}.value"), "must be set");
    }
    Some(match selector.r#type {
        ValueSelectorType::RegularExpression => {
            expression(&value, &format!("{field}.value"), refusals);
            StringMatch::Regex(value)
        }
        _ => StringMatch::Exact(value),
    })
}

fn expression(value: &str, field: &str, refusals: &mut Refusals) {
    if let Err(why) = expressions::check(value) {
        let why = format!("is no expression that can be used: {why}");
        refuse(refusals, field, &why);
    }
}

/// Any of the methods, each perhaps the other way round: nothing where that is every method.
fn methods(selectors: &[MethodSelector]) -> Option<LimitMatch> {
    let name = |selector: &MethodSelector| format!("{:?}", selector.value).to_ascii_uppercase();
    let of = |invert: bool| {
        let mut names: Vec<String> = selectors
            .iter()
            .filter(|selector| selector.invert == invert)
            .map(name)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let (is, is_not) = (of(false), of(true));
    let (value, invert) = match (&is[..], &is_not[..]) {
        ([], []) | (_, [_, _, ..]) => return None,
        (is, [other]) if is.contains(other) => return None,
        (_, [other]) => (StringMatch::Exact(other.clone()), true),
        ([only], []) => (StringMatch::Exact(only.clone()), false),
        (several, []) => (StringMatch::Regex(several.join("|")), false),
    };
    Some(LimitMatch::Header {
        name: ":method".into(),
        value,
        invert,
    })
}

fn cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let all = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        Some(bits) => bits.parse().ok()?,
        None => all,
    };
    (bits <= all).then_some((address, bits))
}

//! The rules of an HTTPRoute's filters, at a rule and at a backend.
//!
//! The two have types of their own that say the same, so the rules look at the JSON of either.

use gateway_api::apis::experimental::httproutes::{HttpRouteRules, HttpRouteRulesMatchesPathType};
use serde::Serialize;
use serde_json::Value;

use crate::resource::fault::{At, Faults, reason};
use crate::resource::names;
use crate::resource::rules::{check_length, check_port, check_text, check_unique};

const FILTER_LIMIT: usize = 16;
const HEADER_LIMIT: usize = 16;
/// Characters of a header's value.
const HEADER_VALUE_LIMIT: usize = 4096;
/// Characters of a path that stands in another's place.
const PATH_LIMIT: usize = 1024;

/// A filter's type, the field that belongs to it, and whether a rule may have it more than once.
const TYPES: [(&str, &str, bool); 8] = [
    ("RequestHeaderModifier", "requestHeaderModifier", false),
    ("ResponseHeaderModifier", "responseHeaderModifier", false),
    ("RequestMirror", "requestMirror", true),
    ("RequestRedirect", "requestRedirect", false),
    ("URLRewrite", "urlRewrite", false),
    ("ExtensionRef", "extensionRef", true),
    ("CORS", "cors", false),
    ("ExternalAuth", "externalAuth", true),
];

const REDIRECT_STATUSES: [i64; 5] = [301, 302, 303, 307, 308];

/// Checks the filters of a rule and of its backends.
pub(super) fn check_rule(rule: &HttpRouteRules, at: &At<'_>, faults: &mut Faults) {
    let takes_prefix = match rule.matches.as_deref() {
        Some([one]) => one
            .path
            .as_ref()
            .is_some_and(|path| path.r#type == Some(HttpRouteRulesMatchesPathType::PathPrefix)),
        _ => false,
    };
    let filters = rule.filters.as_deref().unwrap_or_default();
    let at_filters = at.field("filters");
    check_list(filters, takes_prefix, &at_filters, faults);
    let backends = rule.backend_refs.as_deref().unwrap_or_default();
    if !backends.is_empty() {
        let redirect = filters
            .iter()
            .position(|filter| filter.request_redirect.is_some());
        if let Some(index) = redirect {
            let message = "must not be used in a rule with backendRefs";
            faults.error(&at_filters.item(index), reason::CONFLICT, message);
        }
    }
    let at_backends = at.field("backendRefs");
    for (index, backend) in backends.iter().enumerate() {
        let filters = backend.filters.as_deref().unwrap_or_default();
        let at = at_backends.item(index);
        check_list(filters, takes_prefix, &at.field("filters"), faults);
    }
}

fn check_list(filters: &[impl Serialize], takes_prefix: bool, at: &At<'_>, faults: &mut Faults) {
    check_length(filters.len(), 0, FILTER_LIMIT, at, faults);
    let filters: Vec<Value> = filters
        .iter()
        .map(|filter| serde_json::to_value(filter).expect("a filter is JSON"))
        .collect();
    for (kind, _, may_repeat) in TYPES {
        let mut of_kind = filters
            .iter()
            .enumerate()
            .filter(|(_, filter)| filter["type"] == kind);
        if let (false, Some(_), Some((second, _))) = (may_repeat, of_kind.next(), of_kind.next()) {
            let message = format!("is a second {kind}: a rule can have one");
            faults.error(&at.item(second), reason::DUPLICATE, message);
        }
    }
    let is_there = |kind: &str| filters.iter().any(|filter| filter["type"] == kind);
    if is_there("RequestRedirect") && is_there("URLRewrite") {
        faults.error(
            at,
            reason::CONFLICT,
            "have both RequestRedirect and URLRewrite: choose one",
        );
    }
    for (index, filter) in filters.iter().enumerate() {
        check_filter(filter, takes_prefix, &at.item(index), faults);
    }
}

fn check_filter(filter: &Value, takes_prefix: bool, at: &At<'_>, faults: &mut Faults) {
    for (kind, field, _) in TYPES {
        let is_kind = filter["type"] == kind;
        if is_kind && filter[field].is_null() {
            let message = format!("is missing: a filter of type {kind} needs it");
            faults.error(&at.field(field), reason::REQUIRED, message);
        } else if !is_kind && !filter[field].is_null() {
            let message = format!("belongs to filters of type {kind}");
            faults.error(&at.field(field), reason::CONFLICT, message);
        }
    }
    for field in ["requestHeaderModifier", "responseHeaderModifier"] {
        check_headers(&filter[field], &at.field(field), faults);
    }
    for field in ["requestRedirect", "urlRewrite"] {
        check_rewrite(&filter[field], takes_prefix, &at.field(field), faults);
    }
    check_mirror(&filter["requestMirror"], &at.field("requestMirror"), faults);
    let reference = &filter["extensionRef"];
    if let Some(kind) = reference["kind"].as_str() {
        let at = at.field("extensionRef");
        names::KIND.check(kind, &at.field("kind"), faults);
        names::GROUP.check(text(reference, "group"), &at.field("group"), faults);
        names::OBJECT.check(text(reference, "name"), &at.field("name"), faults);
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn check_headers(modifier: &Value, at: &At<'_>, faults: &mut Faults) {
    for field in ["set", "add"] {
        let at = at.field(field);
        let headers = modifier[field]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        check_length(headers.len(), 0, HEADER_LIMIT, &at, faults);
        for (index, header) in headers.iter().enumerate() {
            let at = at.item(index);
            names::HEADER.check(text(header, "name"), &at.field("name"), faults);
            let value = text(header, "value");
            check_text(value, 1, HEADER_VALUE_LIMIT, &at.field("value"), faults);
        }
        check_unique(
            headers.iter().map(|header| text(header, "name")),
            "name",
            &at,
            faults,
        );
    }
    let at = at.field("remove");
    let removed = modifier["remove"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    check_length(removed.len(), 0, HEADER_LIMIT, &at, faults);
    check_unique(removed.iter().map(Value::as_str), "name", &at, faults);
}

/// A redirect and a rewrite write the path the same way.
fn check_rewrite(rewrite: &Value, takes_prefix: bool, at: &At<'_>, faults: &mut Faults) {
    if let Some(hostname) = rewrite["hostname"].as_str() {
        names::PRECISE_HOSTNAME.check(hostname, &at.field("hostname"), faults);
    }
    if let Some(port) = rewrite["port"].as_i64() {
        check_port(
            i32::try_from(port).unwrap_or(i32::MAX),
            &at.field("port"),
            faults,
        );
    }
    if let Some(status) = rewrite["statusCode"].as_i64()
        && !REDIRECT_STATUSES.contains(&status)
    {
        let message = format!("is {status}: must be 301, 302, 303, 307 or 308");
        faults.error(&at.field("statusCode"), reason::INVALID, message);
    }
    let at = at.field("path");
    let path = &rewrite["path"];
    for (kind, field) in [
        ("ReplaceFullPath", "replaceFullPath"),
        ("ReplacePrefixMatch", "replacePrefixMatch"),
    ] {
        let is_kind = path["type"] == kind;
        match path[field].as_str() {
            Some(value) if is_kind => check_text(value, 0, PATH_LIMIT, &at.field(field), faults),
            Some(_) => {
                let message = format!("belongs to type {kind}");
                faults.error(&at.field(field), reason::CONFLICT, message);
            }
            None if is_kind => {
                let message = format!("is missing: type {kind} needs it");
                faults.error(&at.field(field), reason::REQUIRED, message);
            }
            None => {}
        }
    }
    if path["replacePrefixMatch"].is_string() && !takes_prefix {
        let message = "needs a rule with exactly one match, by PathPrefix";
        faults.error(&at.field("replacePrefixMatch"), reason::CONFLICT, message);
    }
}

fn check_mirror(mirror: &Value, at: &At<'_>, faults: &mut Faults) {
    if mirror.is_null() {
        return;
    }
    if !mirror["percent"].is_null() && !mirror["fraction"].is_null() {
        faults.error(
            at,
            reason::CONFLICT,
            "has both percent and fraction: choose one",
        );
    }
    if mirror["percent"]
        .as_i64()
        .is_some_and(|percent| !(0..=100).contains(&percent))
    {
        faults.error(
            &at.field("percent"),
            reason::INVALID,
            "must be from 0 to 100",
        );
    }
    let numerator = mirror["fraction"]["numerator"].as_i64().unwrap_or(0);
    let denominator = mirror["fraction"]["denominator"].as_i64().unwrap_or(100);
    if numerator < 0 || denominator < 1 || numerator > denominator {
        let message = format!("is {numerator}/{denominator}: must be from 0 to 1");
        faults.error(&at.field("fraction"), reason::INVALID, message);
    }
    let backend = &mirror["backendRef"];
    let is_service = text(backend, "group").is_empty()
        && matches!(backend["kind"].as_str(), None | Some("Service"));
    if is_service && backend["port"].is_null() {
        let at = at.field("backendRef");
        let message = "is missing: a reference to a Service needs its port";
        faults.error(&at.field("port"), reason::REQUIRED, message);
    }
}

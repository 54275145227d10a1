//! The rules of an HTTPRoute's matches.

use gateway_api::apis::experimental::httproutes::{
    HttpRouteRulesMatches, HttpRouteRulesMatchesHeadersType, HttpRouteRulesMatchesPath,
    HttpRouteRulesMatchesPathType, HttpRouteRulesMatchesQueryParamsType,
};

use crate::resource::fault::{At, Faults, reason};
use crate::resource::names;
use crate::resource::rules::{check_length, check_text, check_unique};

const HEADER_LIMIT: usize = 16;
const QUERY_LIMIT: usize = 16;
/// Characters of a path.
const PATH_LIMIT: usize = 1024;
/// Characters of a header's value.
const HEADER_VALUE_LIMIT: usize = 4096;
/// Characters of a query parameter's value.
const QUERY_VALUE_LIMIT: usize = 1024;

/// What a path must not contain, unless it is a regular expression.
const FORBIDDEN: [&str; 6] = ["//", "/./", "/../", "%2f", "%2F", "#"];

/// The match of a rule that has none: everything.
pub(super) fn everything() -> HttpRouteRulesMatches {
    HttpRouteRulesMatches {
        path: Some(HttpRouteRulesMatchesPath::default()),
        ..HttpRouteRulesMatches::default()
    }
}

/// Fills in defaults and notes what an API server would refuse.
pub(super) fn complete(one: &mut HttpRouteRulesMatches, at: &At<'_>, faults: &mut Faults) {
    let path = one.path.get_or_insert_default();
    let kind = path
        .r#type
        .get_or_insert(HttpRouteRulesMatchesPathType::PathPrefix);
    let is_regex = *kind == HttpRouteRulesMatchesPathType::RegularExpression;
    let value = path.value.get_or_insert_with(|| "/".into());
    let at_path = at.field("path");
    check_path(value, is_regex, &at_path.field("value"), faults);
    let headers = one.headers.as_deref_mut().unwrap_or_default();
    let at_headers = at.field("headers");
    check_length(headers.len(), 0, HEADER_LIMIT, &at_headers, faults);
    for (index, header) in headers.iter_mut().enumerate() {
        let at = at_headers.item(index);
        header
            .r#type
            .get_or_insert(HttpRouteRulesMatchesHeadersType::Exact);
        names::HEADER.check(&header.name, &at.field("name"), faults);
        check_text(
            &header.value,
            1,
            HEADER_VALUE_LIMIT,
            &at.field("value"),
            faults,
        );
    }
    check_unique(
        headers.iter().map(|header| &header.name),
        "name",
        &at_headers,
        faults,
    );
    let query = one.query_params.as_deref_mut().unwrap_or_default();
    let at_query = at.field("queryParams");
    check_length(query.len(), 0, QUERY_LIMIT, &at_query, faults);
    for (index, parameter) in query.iter_mut().enumerate() {
        let at = at_query.item(index);
        parameter
            .r#type
            .get_or_insert(HttpRouteRulesMatchesQueryParamsType::Exact);
        names::HEADER.check(&parameter.name, &at.field("name"), faults);
        check_text(
            &parameter.value,
            1,
            QUERY_VALUE_LIMIT,
            &at.field("value"),
            faults,
        );
    }
    check_unique(
        query.iter().map(|parameter| &parameter.name),
        "name",
        &at_query,
        faults,
    );
}

fn check_path(value: &str, is_regex: bool, at: &At<'_>, faults: &mut Faults) {
    check_text(value, 0, PATH_LIMIT, at, faults);
    if is_regex {
        return;
    }
    if !value.starts_with('/') {
        let message = format!("is {value:?}: must begin with '/'");
        faults.error(at, reason::INVALID, message);
    }
    for forbidden in FORBIDDEN {
        if value.contains(forbidden) {
            let message = format!("is {value:?}: must not contain {forbidden:?}");
            faults.error(at, reason::INVALID, message);
        }
    }
    if value.ends_with("/..") || value.ends_with("/.") {
        let message = format!("is {value:?}: must not end with \"/.\" or \"/..\"");
        faults.error(at, reason::INVALID, message);
    }
    if !value.contains('#') && !has_path_characters(value) {
        let message = format!(
            "is {value:?}: must consist of letters, digits, /-._~!$&'()*+,;=:@ and escapes such as \
             %20"
        );
        faults.error(at, reason::INVALID, message);
    }
}

fn has_path_characters(value: &str) -> bool {
    let mut rest = value.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = match first {
            b'%' => match tail {
                [high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    tail
                }
                _ => return false,
            },
            _ if first.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(first) => tail,
            _ => return false,
        };
    }
    !value.is_empty()
}

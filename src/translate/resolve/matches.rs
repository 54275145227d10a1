//! Matches of HTTPRoute rules, and which of two matches a request is tried against first.
//!
//! In: a rule's `matches`. Out: [`RouteMatch`]es with their [`Precedence`]. An expression that
//! Envoy would refuse is a message for the rule's owner.

use std::cmp::Reverse;

use gateway_api::apis::experimental::httproutes::{
    HttpRouteRulesMatches, HttpRouteRulesMatchesHeadersType, HttpRouteRulesMatchesMethod as Method,
    HttpRouteRulesMatchesPathType as PathType, HttpRouteRulesMatchesQueryParamsType,
};
use k8s_openapi::jiff::Timestamp;

use super::expressions;
use crate::model::{PathMatch, RouteMatch, StringMatch};
use crate::resource::ObjectName;

/// The order in which a virtual host's routes are tried, by Gateway API's rules: what is less goes
/// first.
///
/// Gateway API leaves the place of regular expressions open; they stand between exact paths and
/// prefixes, as in Envoy Gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Precedence {
    pub specificity: Specificity,
    /// Objects from files have no creation time and count as older than any that has one.
    pub created: Option<Timestamp>,
    pub route: ObjectName,
    pub rule: usize,
    pub matched: usize,
}

/// How narrow a match is: what is less is narrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Specificity {
    path: PathClass,
    path_length: Reverse<usize>,
    method: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PathClass {
    Exact,
    Regex,
    Prefix,
}

/// An expression that cannot be used: the field under the match, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InvalidMatch {
    pub field: String,
    pub message: String,
}

/// What a match means. `None` stands for a rule without matches: every request.
pub(super) fn route_match(
    spec: Option<&HttpRouteRulesMatches>,
) -> Result<(Specificity, RouteMatch), InvalidMatch> {
    let path = path(spec)?;
    let headers = headers(spec)?;
    let query = query(spec)?;
    let method = spec.and_then(|spec| spec.method.as_ref()).map(method_name);
    let (class, length) = match &path {
        PathMatch::Exact(path) => (PathClass::Exact, path.len()),
        PathMatch::Regex(path) => (PathClass::Regex, path.len()),
        PathMatch::Prefix(path) => (PathClass::Prefix, path.len()),
    };
    let specificity = Specificity {
        path: class,
        path_length: Reverse(length),
        method: Reverse(method.is_some()),
        headers: Reverse(headers.len()),
        query: Reverse(query.len()),
    };
    let matches = RouteMatch {
        path,
        method: method.map(Into::into),
        headers,
        query,
    };
    Ok((specificity, matches))
}

fn path(spec: Option<&HttpRouteRulesMatches>) -> Result<PathMatch, InvalidMatch> {
    let path = spec.and_then(|spec| spec.path.as_ref());
    let value = path.and_then(|path| path.value.as_deref()).unwrap_or("/");
    match path
        .and_then(|path| path.r#type.as_ref())
        .unwrap_or(&PathType::PathPrefix)
    {
        PathType::Exact => Ok(PathMatch::Exact(value.into())),
        PathType::PathPrefix => {
            // `/a/` means what `/a` does: whole elements.
            let trimmed = value.trim_end_matches('/');
            Ok(PathMatch::Prefix(
                if trimmed.is_empty() { "/" } else { trimmed }.into(),
            ))
        }
        PathType::RegularExpression => {
            expression(value, || "path.value".into())?;
            Ok(PathMatch::Regex(value.into()))
        }
    }
}

fn headers(
    spec: Option<&HttpRouteRulesMatches>,
) -> Result<Vec<(String, StringMatch)>, InvalidMatch> {
    let mut headers: Vec<(String, StringMatch)> = Vec::new();
    let specs = spec
        .and_then(|spec| spec.headers.as_deref())
        .unwrap_or_default();
    for (index, header) in specs.iter().enumerate() {
        let name = header.name.to_ascii_lowercase();
        // Gateway API: of entries with one name only the first counts.
        if headers.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let is_regex = header.r#type == Some(HttpRouteRulesMatchesHeadersType::RegularExpression);
        let value = string_match(is_regex, &header.value, || {
            format!("headers[{index}].value")
        })?;
        headers.push((name, value));
    }
    Ok(headers)
}

fn query(spec: Option<&HttpRouteRulesMatches>) -> Result<Vec<(String, StringMatch)>, InvalidMatch> {
    let mut query: Vec<(String, StringMatch)> = Vec::new();
    let specs = spec
        .and_then(|spec| spec.query_params.as_deref())
        .unwrap_or_default();
    for (index, parameter) in specs.iter().enumerate() {
        if query.iter().any(|(known, _)| *known == parameter.name) {
            continue;
        }
        let is_regex =
            parameter.r#type == Some(HttpRouteRulesMatchesQueryParamsType::RegularExpression);
        let value = string_match(is_regex, &parameter.value, || {
            format!("queryParams[{index}].value")
        })?;
        query.push((parameter.name.clone(), value));
    }
    Ok(query)
}

fn string_match(
    is_regex: bool,
    value: &str,
    field: impl FnOnce() -> String,
) -> Result<StringMatch, InvalidMatch> {
    if !is_regex {
        return Ok(StringMatch::Exact(value.into()));
    }
    expression(value, field)?;
    Ok(StringMatch::Regex(value.into()))
}

fn expression(value: &str, field: impl FnOnce() -> String) -> Result<(), InvalidMatch> {
    expressions::check(value).map_err(|reason| InvalidMatch {
        field: field(),
        message: format!("{value:?} is not a valid regular expression: {reason}."),
    })
}

fn method_name(method: &Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
    }
}

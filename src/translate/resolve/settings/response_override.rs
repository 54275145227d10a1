//! Which answers a policy's `responseOverride` has given instead of others.

use std::sync::LazyLock;

use regex::Regex;

use super::{Refusals, refuse};
use crate::model::{AnswerHeader, Override, TextMatch};
use crate::resource::traffic_policy::{
    BodyType, CustomResponse, HeaderValue, ResponseMatch, ResponseOverride, ResponseSource,
    StatusCodeType, TextMatchType,
};
use crate::translate::resolve::expressions;

/// The status codes that HTTP has.
const STATUSES: std::ops::RangeInclusive<u32> = 100..=599;
/// Those that an answer may be given.
const ANSWERS: std::ops::RangeInclusive<u32> = 200..=599;

/// A text that Envoy can make an answer from. It would refuse all routes of the port for one whose
/// commands it does not know.
static FORMAT: LazyLock<Regex> = LazyLock::new(|| {
    let plain = [
        "DOWNSTREAM_REMOTE_ADDRESS",
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        "DURATION",
        "HOSTNAME",
        "LOCAL_REPLY_BODY",
        "PROTOCOL",
        "REQUEST_DURATION",
        "RESPONSE_CODE",
        "RESPONSE_CODE_DETAILS",
        "RESPONSE_FLAGS",
        "ROUTE_NAME",
        "START_TIME",
        "STREAM_ID",
        "UPSTREAM_HOST",
    ];
    let header = r"(REQ|RESP)\([A-Za-z0-9:_.-]+(\?[A-Za-z0-9:_.-]+)?\)(:[0-9]{1,4})?";
    let expression = format!(r"^([^%]|%%|%({}|{header})%)*$", plain.join("|"));
    Regex::new(&expression).expect("the expression is sound")
});

/// What is given instead of what; the first that matches counts.
pub(super) fn overrides(specs: &[ResponseOverride], refusals: &mut Refusals) -> Vec<Override> {
    let specs = specs.iter().enumerate();
    specs
        .map(|(index, spec)| one(spec, &format!("responseOverride[{index}]"), refusals))
        .collect()
}

fn one(spec: &ResponseOverride, field: &str, refusals: &mut Refusals) -> Override {
    if spec.redirect.is_some() {
        refuse(
            refusals,
            &format!("{field}.redirect"),
            "is not supported yet",
        );
    } else if spec.response.is_none() {
        refuse(refusals, &format!("{field}.response"), "must be set");
    }
    if !matches!(spec.source, None | Some(ResponseSource::All)) {
        let why = "is not supported but for All";
        refuse(refusals, &format!("{field}.source"), why);
    }
    let mut answer = Override {
        statuses: statuses(&spec.r#match, field, refusals),
        headers: headers(&spec.r#match, field, refusals),
        ..Override::default()
    };
    if let Some(response) = &spec.response {
        change(
            &mut answer,
            response,
            &format!("{field}.response"),
            refusals,
        );
    }
    answer
}

fn statuses(spec: &ResponseMatch, field: &str, refusals: &mut Refusals) -> Vec<(u32, u32)> {
    let codes = spec.status_codes.iter().enumerate();
    let codes = codes.map(|(index, code)| {
        let (first, last) = match (code.r#type, code.range) {
            (StatusCodeType::Range, Some(range)) => (range.start, range.end),
            _ => {
                let value = code.value.unwrap_or_default();
                (value, value)
            }
        };
        if !STATUSES.contains(&first) || !STATUSES.contains(&last) || last < first {
            let field = format!("{field}.match.statusCodes[{index}]");
            refuse(refusals, &field, "must be from 100 to 599");
        }
        (first, last)
    });
    codes.collect()
}

fn headers(spec: &ResponseMatch, field: &str, refusals: &mut Refusals) -> Vec<(String, TextMatch)> {
    let headers = spec.response_headers.iter().enumerate();
    let headers = headers.map(|(index, header)| {
        let value = header.value.value.clone();
        let matched = match header.value.r#type {
            TextMatchType::Exact => TextMatch::Exact(value),
            TextMatchType::Prefix => TextMatch::Prefix(value),
            TextMatchType::Suffix => TextMatch::Suffix(value),
            TextMatchType::RegularExpression => {
                if let Err(why) = expressions::check(&value) {
                    let field = format!("{field}.match.responseHeaders[{index}].value");
                    let why = format!("is no expression that can be used: {why}");
                    refuse(refusals, &field, &why);
                }
                TextMatch::Regex(value)
            }
        };
        (header.name.to_ascii_lowercase(), matched)
    });
    headers.collect()
}

fn change(answer: &mut Override, spec: &CustomResponse, field: &str, refusals: &mut Refusals) {
    if let Some(body) = &spec.body {
        if body.r#type == BodyType::ValueRef {
            let why = "is not supported yet: write the body inline";
            refuse(refusals, &format!("{field}.body.valueRef"), why);
        }
        answer.body = body.inline.clone().filter(|body| !body.is_empty());
        if let Some(body) = &answer.body {
            check_format(body, &format!("{field}.body.inline"), refusals);
        }
    }
    answer.status = spec.status_code;
    if answer
        .status
        .is_some_and(|status| !ANSWERS.contains(&status))
    {
        let field = format!("{field}.statusCode");
        refuse(refusals, &field, "must be from 200 to 599");
    }
    if let Some(kind) = spec.content_type.as_ref().filter(|kind| !kind.is_empty()) {
        check_header(kind, &format!("{field}.contentType"), refusals);
        answer.set.push(AnswerHeader {
            name: "content-type".into(),
            value: kind.clone(),
            added: false,
        });
    }
    let headers = spec.header.iter();
    for (values, name, added) in
        headers.flat_map(|headers| [(&headers.add, "add", true), (&headers.set, "set", false)])
    {
        for (index, header) in values.iter().enumerate() {
            let field = format!("{field}.header.{name}[{index}].value");
            check_header(&header.value, &field, refusals);
            answer.set.push(self::header(header, added));
        }
    }
}

fn header(header: &HeaderValue, added: bool) -> AnswerHeader {
    AnswerHeader {
        name: header.name.to_ascii_lowercase(),
        value: header.value.clone(),
        added,
    }
}

fn check_header(value: &str, field: &str, refusals: &mut Refusals) {
    check_format(value, field, refusals);
    if value.chars().any(char::is_control) {
        refuse(refusals, field, "has a character that no header may have");
    }
}

fn check_format(text: &str, field: &str, refusals: &mut Refusals) {
    if !FORMAT.is_match(text) {
        let why = "has a percent sign that begins no command that is known here: write %% for one";
        refuse(refusals, field, why);
    }
}

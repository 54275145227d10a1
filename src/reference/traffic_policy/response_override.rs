//! Answers that are given instead of others.

use super::NO_EXPRESSION;
use crate::reference::{Row, below, value};

const MATCHER: &str = "CustomResponse.custom_response_matcher.matcher_list.matchers.predicate";
const HEADERS: &str = "LocalResponsePolicy.response_headers_to_add";
const NO_COMMAND: &str = "has a percent sign that begins no command that is known here";

pub(super) fn rows() -> Vec<Row> {
    let own = vec![
        Row::refused("redirect", "redirect is not supported yet"),
        Row::words("source", "the proxy's answers and the endpoints'")
            .absent(value("All"))
            .but("`Local`, `Backend`", "source is not supported but for All"),
    ];
    let matched = vec![
        Row::envoy("statusCodes[].type", &[MATCHER]),
        Row::envoy("statusCodes[].value", &[MATCHER]).absent("none, with type Range"),
        Row::envoy("statusCodes[].range.start", &[MATCHER]),
        Row::envoy("statusCodes[].range.end", &[MATCHER]),
        Row::envoy(
            "responseHeaders[].name",
            &["HttpResponseHeaderMatchInput.header_name"],
        ),
        Row::envoy("responseHeaders[].value.type", &[MATCHER]),
        Row::envoy("responseHeaders[].value.value", &[MATCHER]).but(
            "with type RegularExpression: other expressions than RE2's",
            NO_EXPRESSION,
        ),
    ];
    let rows = [own, below("match", matched), below("response", response())];
    below("responseOverride[]", rows.into_iter().flatten().collect())
}

fn response() -> Vec<Row> {
    let header = |path: &str| {
        let rows = vec![
            Row::envoy("name", &[HEADERS]),
            Row::envoy("value", &[HEADERS]).but("unknown words between percent signs", NO_COMMAND),
        ];
        below(path, rows)
    };
    let own = vec![
        Row::envoy("contentType", &[HEADERS]).absent("as it is"),
        Row::envoy("statusCode", &["LocalResponsePolicy.status_code"])
            .absent("as it is")
            .but("others than 200 to 599", "must be from 200 to 599"),
        Row::words("body.type", "where the body stands"),
        Row::envoy(
            "body.inline",
            &[
                "LocalResponsePolicy.body",
                "LocalResponsePolicy.body_format",
            ],
        )
        .absent("as it is")
        .but("unknown words between percent signs", NO_COMMAND),
        Row::refused(
            "body.valueRef",
            "valueRef is not supported yet: write the body inline",
        ),
        Row::refused(
            "header.remove",
            "Remove is not supported for header in CustomResponse",
        ),
    ];
    [own, header("header.add[]"), header("header.set[]")]
        .into_iter()
        .flatten()
        .collect()
}

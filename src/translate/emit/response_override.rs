//! Answers that are given instead of others, as one filter on a route.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::substitution_format_string::Format;
use envoy_types::pb::envoy::config::core::v3::{
    DataSource, HeaderValue, HeaderValueOption, SubstitutionFormatString, data_source,
};
use envoy_types::pb::envoy::extensions::filters::http::custom_response::v3::CustomResponse;
use envoy_types::pb::envoy::extensions::http::custom_response::local_response_policy::v3::LocalResponsePolicy;
use envoy_types::pb::envoy::r#type::matcher::v3::{
    HttpResponseHeaderMatchInput, HttpResponseStatusCodeMatchInput,
};
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::predicate::{
    MatchType, PredicateList, SinglePredicate, single_predicate,
};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::matcher_list::{FieldMatcher, Predicate};
use envoy_types::pb::xds::r#type::matcher::v3::matcher::{
    MatcherList, MatcherType, OnMatch, on_match,
};
use envoy_types::pb::xds::r#type::matcher::v3::regex_matcher::{EngineType, GoogleRe2};
use envoy_types::pb::xds::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::xds::r#type::matcher::v3::{Matcher, RegexMatcher, StringMatcher};
use envoy_types::util::pack_any;

use crate::model::{AnswerHeader, Override, TextMatch};
use crate::xds::wire::uint32;

/// The filter as a route has it; the first that matches counts.
pub(super) fn filter(overrides: &[Override]) -> CustomResponse {
    let matchers = (0..).zip(overrides).map(|(number, given)| FieldMatcher {
        predicate: Some(predicate(given)),
        on_match: Some(OnMatch {
            on_match: Some(on_match::OnMatch::Action(typed(
                &format!("override/{number}"),
                answer(given),
            ))),
            ..OnMatch::default()
        }),
    });
    CustomResponse {
        custom_response_matcher: Some(Matcher {
            matcher_type: Some(MatcherType::MatcherList(MatcherList {
                matchers: matchers.collect(),
            })),
            ..Matcher::default()
        }),
    }
}

fn typed<M: prost::Message + prost::Name>(name: &str, config: M) -> TypedExtensionConfig {
    TypedExtensionConfig {
        name: name.to_owned(),
        typed_config: Some(pack_any(config)),
    }
}

fn predicate(given: &Override) -> Predicate {
    let status = (!given.statuses.is_empty()).then(|| {
        let input = typed("status", HttpResponseStatusCodeMatchInput {});
        let expression = given
            .statuses
            .iter()
            .map(|(first, last)| numbers(*first, *last));
        let expression = expression.collect::<Vec<_>>().join("|");
        single(input, safe_regex(&expression))
    });
    let headers = given.headers.iter().map(|(name, value)| {
        let input = HttpResponseHeaderMatchInput {
            header_name: name.clone(),
        };
        let pattern = match value {
            TextMatch::Exact(text) => MatchPattern::Exact(text.clone()),
            TextMatch::Prefix(text) => MatchPattern::Prefix(text.clone()),
            TextMatch::Suffix(text) => MatchPattern::Suffix(text.clone()),
            TextMatch::Regex(expression) => safe_regex(expression),
        };
        single(typed("header", input), pattern)
    });
    let mut all: Vec<Predicate> = status.into_iter().chain(headers).collect();
    if all.len() == 1 {
        return all.remove(0);
    }
    Predicate {
        match_type: Some(MatchType::AndMatcher(PredicateList { predicate: all })),
    }
}

fn single(input: TypedExtensionConfig, pattern: MatchPattern) -> Predicate {
    let text = StringMatcher {
        match_pattern: Some(pattern),
        ..StringMatcher::default()
    };
    Predicate {
        match_type: Some(MatchType::SinglePredicate(SinglePredicate {
            input: Some(input),
            matcher: Some(single_predicate::Matcher::ValueMatch(text)),
        })),
    }
}

fn safe_regex(expression: &str) -> MatchPattern {
    MatchPattern::SafeRegex(RegexMatcher {
        regex: expression.to_owned(),
        engine_type: Some(EngineType::GoogleRe2(GoogleRe2 {})),
    })
}

/// An expression for the numbers of three digits from `first` to `last`: whole hundreds and tens at
/// once.
fn numbers(first: u32, last: u32) -> String {
    let mut parts = Vec::new();
    let mut next = first;
    while next <= last {
        let whole = |size: u32| next.is_multiple_of(size) && next + size - 1 <= last;
        let (part, size) = if whole(100) {
            (format!("{}[0-9][0-9]", next / 100), 100)
        } else if whole(10) {
            (format!("{}[0-9]", next / 10), 10)
        } else {
            (next.to_string(), 1)
        };
        parts.push(part);
        next += size;
    }
    parts.join("|")
}

/// What is changed. A body without a percent sign is taken as it is.
fn answer(given: &Override) -> LocalResponsePolicy {
    let body = given.body.as_ref();
    let (format, literal) = match body {
        Some(body) if body.contains('%') => (Some(body), None),
        body => (None, body),
    };
    LocalResponsePolicy {
        body: literal.map(|body| DataSource {
            specifier: Some(data_source::Specifier::InlineString(body.clone())),
            ..DataSource::default()
        }),
        body_format: format.map(|body| SubstitutionFormatString {
            format: Some(Format::TextFormatSource(DataSource {
                specifier: Some(data_source::Specifier::InlineString(body.clone())),
                ..DataSource::default()
            })),
            ..SubstitutionFormatString::default()
        }),
        status_code: given.status.map(uint32),
        response_headers_to_add: given.set.iter().map(header).collect(),
        ..LocalResponsePolicy::default()
    }
}

fn header(header: &AnswerHeader) -> HeaderValueOption {
    let action = if header.added {
        HeaderAppendAction::AppendIfExistsOrAdd
    } else {
        HeaderAppendAction::OverwriteIfExistsOrAdd
    };
    HeaderValueOption {
        header: Some(HeaderValue {
            key: header.name.clone(),
            value: header.value.clone(),
            ..HeaderValue::default()
        }),
        append_action: action.into(),
        ..HeaderValueOption::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_by_hundreds_and_tens() {
        assert_eq!(numbers(404, 404), "404");
        assert_eq!(numbers(400, 599), "4[0-9][0-9]|5[0-9][0-9]");
        let expression = regex::Regex::new(&format!("^({})$", numbers(498, 512))).expect("sound");
        for number in 100..600_u32 {
            let is_in = (498..=512).contains(&number);
            assert_eq!(expression.is_match(&number.to_string()), is_in, "{number}");
        }
    }
}

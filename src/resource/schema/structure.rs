//! Checks a value against a schema's structure and says what is wrong, field by field.

use serde_json::{Map, Value};

use super::node::{Format, Node, Shape};
use crate::resource::fault::{At, Faults, reason};
use crate::resource::{backend, duration};

/// The longest text that a message quotes.
const QUOTE_LIMIT: usize = 60;

/// The longest list of known fields that a message gives.
const NAMES_LIMIT: usize = 24;

/// How alike two names must be for one to be taken for a slip of the other (1 is equal).
const LIKENESS: f64 = 0.75;

/// What is made of values that an API server treats differently by kind.
#[derive(Clone, Copy, Debug)]
pub struct Strictness {
    /// Else a warning.
    pub unknown_is_error: bool,
    /// Else an error.
    pub null_is_unset: bool,
    /// Else messages never show what stands in the object.
    pub quotes_values: bool,
}

/// Notes everything in `value` that `node` does not allow.
pub(super) fn check(
    node: &Node,
    value: &mut Value,
    at: &At<'_>,
    strictness: Strictness,
    faults: &mut Faults,
) {
    match (node.shape, &mut *value) {
        (Shape::Any, _) => {}
        (_, Value::Null) => faults.error(
            at,
            reason::WRONG_TYPE,
            format!(
                "is empty: expected {}; give it a value or remove the line",
                expected(node)
            ),
        ),
        (Shape::Object, Value::Object(map)) => check_object(node, map, at, strictness, faults),
        (Shape::List, Value::Array(items)) => {
            check_count(node, items.len() as u64, "element", at, faults);
            if let Some(inner) = &node.items {
                for (index, item) in items.iter_mut().enumerate() {
                    check(inner, item, &at.item(index), strictness, faults);
                }
            }
        }
        (Shape::Text, Value::String(text)) => check_text(node, text, at, strictness, faults),
        (Shape::IntOrString, Value::String(text)) => check_text(node, text, at, strictness, faults),
        (Shape::IntOrString, Value::Number(number)) if is_whole(number) => {}
        (Shape::Integer, Value::Number(number)) if is_whole(number) => {
            check_range(node, number, at, faults);
        }
        (Shape::Number, Value::Number(number)) => check_range(node, number, at, faults),
        (Shape::Bool, Value::Bool(_)) => {}
        (shape, other) => {
            // YAML reads y, no or off without quotes as one of these.
            let hint = match (shape, &*other) {
                (Shape::Text, Value::Bool(_)) => "; put it in quotes",
                _ => "",
            };
            let message = format!(
                "is {}: expected {}{hint}",
                quoted(other, strictness),
                expected(node)
            );
            faults.error(at, reason::WRONG_TYPE, message);
        }
    }
    check_options(node, value, at, strictness, faults);
}

fn check_object(
    node: &Node,
    map: &mut Map<String, Value>,
    at: &At<'_>,
    strictness: Strictness,
    faults: &mut Faults,
) {
    if strictness.null_is_unset {
        map.retain(|_, value| !value.is_null());
    }
    for name in &node.required {
        if !map.contains_key(name) {
            faults.error(&at.field(name), reason::REQUIRED, "is missing");
        }
    }
    for (name, value) in map.iter_mut() {
        if let Some(inner) = node.properties.get(name) {
            check(inner, value, &at.field(name), strictness, faults);
        } else if let Some(inner) = &node.entries {
            check(inner, value, &at.entry(name), strictness, faults);
        } else if !node.takes_any_field() {
            let message = unknown(name, node);
            if strictness.unknown_is_error {
                faults.error(&at.field(name), reason::UNKNOWN_FIELD, message);
            } else {
                faults.warning(&at.field(name), reason::UNKNOWN_FIELD, message);
            }
        }
    }
}

/// Says that a field is not known, and what may have been meant.
fn unknown(name: &str, node: &Node) -> String {
    let known = || node.properties.keys().map(String::as_str);
    let nearest = known()
        .map(|other| {
            (
                strsim::jaro_winkler(&name.to_lowercase(), &other.to_lowercase()),
                other,
            )
        })
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((_, nearest)) => format!("is not a known field: did you mean {nearest:?}?"),
        None if node.properties.len() <= NAMES_LIMIT => {
            let names: Vec<&str> = known().collect();
            format!("is not a known field; known here: {}", names.join(", "))
        }
        None => "is not a known field".into(),
    }
}

fn check_text(node: &Node, text: &str, at: &At<'_>, strictness: Strictness, faults: &mut Faults) {
    check_count(node, text.chars().count() as u64, "character", at, faults);
    if let Some(pattern) = &node.pattern
        && !pattern.is_match(text)
    {
        let shown = quoted(&Value::String(text.into()), strictness);
        let message = format!("is {shown}: must {}", in_words(pattern.as_str()));
        faults.error(at, reason::INVALID, message);
    }
    let is_well_formed = match node.format {
        Format::None => return,
        Format::Base64 => is_base64(text),
        Format::DateTime => text.parse::<jiff::Timestamp>().is_ok(),
    };
    if !is_well_formed {
        let form = match node.format {
            Format::Base64 => "text in base64",
            _ => "a time such as \"2026-01-31T12:00:00Z\"",
        };
        faults.error(at, reason::INVALID, format!("is not {form}"));
    }
}

/// What a pattern asks for, in words where it is one that readers meet.
fn in_words(pattern: &str) -> String {
    if pattern == duration::PATTERN {
        return "be a duration such as 10s, 500ms or 1m30s".into();
    }
    if pattern == backend::IP {
        return "be an IPv4 or IPv6 address".into();
    }
    format!("match {pattern}")
}

fn check_count(node: &Node, count: u64, unit: &str, at: &At<'_>, faults: &mut Faults) {
    let plural = |n: u64| if n == 1 { "" } else { "s" };
    if let Some(least) = node.least.filter(|least| count < *least) {
        let message = format!(
            "has {count} {unit}{}: at least {least} needed",
            plural(count)
        );
        faults.error(at, reason::INVALID, message);
    }
    if let Some(most) = node.most.filter(|most| count > *most) {
        let message = format!(
            "has {count} {unit}{}: at most {most} allowed",
            plural(count)
        );
        faults.error(at, reason::INVALID, message);
    }
}

fn check_range(node: &Node, number: &serde_json::Number, at: &At<'_>, faults: &mut Faults) {
    let value = number.as_f64().unwrap_or(f64::NAN);
    let is_low = node.minimum.is_some_and(|minimum| value < minimum);
    let is_high = node.maximum.is_some_and(|maximum| value > maximum);
    if !is_low && !is_high {
        return;
    }
    let range = match (node.minimum, node.maximum) {
        (Some(minimum), Some(maximum)) => format!("must be from {minimum} to {maximum}"),
        (Some(minimum), None) => format!("must be at least {minimum}"),
        (None, Some(maximum)) => format!("must be at most {maximum}"),
        (None, None) => return,
    };
    faults.error(at, reason::INVALID, format!("is {number}: {range}"));
}

fn check_options(
    node: &Node,
    value: &Value,
    at: &At<'_>,
    strictness: Strictness,
    faults: &mut Faults,
) {
    let is_scalar = matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
    if node.options.is_empty() || !is_scalar || node.options.contains(value) {
        return;
    }
    // A wrong type was said already.
    if std::mem::discriminant(&node.options[0]) != std::mem::discriminant(value) {
        return;
    }
    let options: Vec<String> = node.options.iter().map(ToString::to_string).collect();
    let shown = quoted(value, strictness);
    faults.error(
        at,
        reason::INVALID,
        format!("is {shown}: must be one of {}", options.join(", ")),
    );
}

fn expected(node: &Node) -> &'static str {
    match node.shape {
        Shape::Any => "anything",
        Shape::Object => "fields",
        Shape::List => "a list",
        Shape::Text => "text",
        Shape::Integer => "a whole number",
        Shape::Number => "a number",
        Shape::Bool => "true or false",
        Shape::IntOrString => "a whole number or text",
    }
}

fn quoted(value: &Value, strictness: Strictness) -> String {
    match value {
        Value::Object(_) => "a set of fields".into(),
        Value::Array(_) => "a list".into(),
        Value::Null => "empty".into(),
        _ if !strictness.quotes_values => "not what it should be".into(),
        Value::String(text) if text.chars().count() > QUOTE_LIMIT => {
            let start: String = text.chars().take(QUOTE_LIMIT).collect();
            format!("{:?}", start + "...")
        }
        Value::String(text) => format!("{text:?}"),
        Value::Number(number) => format!("the number {number}"),
        Value::Bool(truth) => truth.to_string(),
    }
}

fn is_whole(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_u64()
}

/// Standard base64 with padding, as Go's decoder takes it: line breaks do not count.
fn is_base64(text: &str) -> bool {
    let bytes: Vec<u8> = text
        .bytes()
        .filter(|b| !matches!(b, b'\r' | b'\n'))
        .collect();
    let padding = bytes.iter().rev().take_while(|b| **b == b'=').count();
    let body = &bytes[..bytes.len() - padding];
    bytes.len().is_multiple_of(4)
        && padding <= 2
        && body
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

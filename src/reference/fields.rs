//! Fields: what a definition says of each.

use serde_json::Value;

use super::text;
use crate::resource::{byte_size, duration};

/// The longest pattern that is shown to people.
const LONGEST_PATTERN: usize = 40;

/// One field of a kind.
#[derive(Clone, Debug, Default)]
pub struct Field {
    /// The way to it, `[]` after a list: `spec.tiers[].name`.
    pub path: String,
    /// Type and limits, in words.
    pub values: String,
    /// What is filled in where it is left out.
    pub default: Option<String>,
    pub is_required: bool,
    /// Whether it has no fields of its own.
    pub is_leaf: bool,
    pub description: String,
    /// What the definition's rules say.
    pub rules: Vec<String>,
}

impl Field {
    /// Whether it may be left out and nothing is filled in.
    pub(super) fn is_optional(&self) -> bool {
        !self.is_required && self.default.is_none()
    }

    /// Whether it is a field of that one, at any depth.
    pub(super) fn is_below(&self, path: &str) -> bool {
        let rest = self.path.strip_prefix(path);
        rest.is_some_and(|rest| rest.starts_with(['.', '[']))
    }
}

/// The spec itself and all fields in it, objects before what is in them.
pub(super) fn of(spec: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    note(spec, "spec".into(), true, &mut fields);
    fields
}

fn note(schema: &Value, path: String, is_required: bool, fields: &mut Vec<Field>) {
    let is_list = schema["items"].is_object();
    let object = if is_list { &schema["items"] } else { schema };
    let inner = object["properties"].as_object();
    let rules = [schema, object]
        .into_iter()
        .take(if is_list { 2 } else { 1 });
    let rules = rules.flat_map(|schema| schema["x-kubernetes-validations"].as_array());
    let default = &schema["default"];
    fields.push(Field {
        values: values(schema),
        default: (!default.is_null()).then(|| shown(default)),
        is_required,
        is_leaf: inner.is_none_or(serde_json::Map::is_empty),
        description: text(&schema["description"]),
        rules: rules.flatten().map(|rule| text(&rule["message"])).collect(),
        path: path.clone(),
    });
    let below = if is_list { path + "[]" } else { path };
    for (name, property) in inner.into_iter().flatten() {
        let required = object["required"].as_array();
        let is_required = required.is_some_and(|names| names.iter().any(|it| it == name));
        note(property, format!("{below}.{name}"), is_required, fields);
    }
}

/// A value as it is written in a manifest.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

/// Type and limits, in words.
fn values(schema: &Value) -> String {
    if let Some(options) = schema["enum"].as_array() {
        return options.iter().map(shown).collect::<Vec<_>>().join(", ");
    }
    if schema["pattern"] == byte_size::PATTERN {
        return "size in bytes, such as `32768`, `64Ki` or `20M`".into();
    }
    match schema["type"].as_str().unwrap_or_default() {
        "array" => {
            let of = values(&schema["items"]);
            let count = range(&schema["minItems"], &schema["maxItems"]);
            format!("list{count}: {of}")
        }
        "boolean" => "`true`, `false`".into(),
        "integer" => {
            let is_any = |most: &u64| [u32::MAX.into(), i64::MAX.unsigned_abs()].contains(most);
            let most = Some(&schema["maximum"])
                .filter(|most| !most.as_u64().is_some_and(|it| is_any(&it)));
            let limits = range(&schema["minimum"], most.unwrap_or(&Value::Null));
            format!("whole number{limits}")
        }
        "number" => "number".into(),
        "string" => string(schema),
        "object" if schema["additionalProperties"].is_object() => {
            format!("map: {}", values(&schema["additionalProperties"]))
        }
        _ => "fields".into(),
    }
}

fn string(schema: &Value) -> String {
    let form = match schema["format"].as_str() {
        Some("byte") => return "base64".into(),
        Some("date-time") => return "time, such as `2026-12-01T06:00:00Z`".into(),
        _ => schema["pattern"].as_str(),
    };
    let length = match range(&schema["minLength"], &schema["maxLength"]) {
        length if length.is_empty() => length,
        length => format!("{length} characters"),
    };
    match form {
        Some(duration::PATTERN) => "duration, such as `10s` or `250ms`".into(),
        Some(pattern) if pattern.len() <= LONGEST_PATTERN => {
            format!("text{length}, as `{pattern}`")
        }
        Some(_) => format!("text{length}, in the form that the definition says"),
        None => format!("text{length}"),
    }
}

/// ` from LEAST to MOST`, as far as there are limits.
fn range(least: &Value, most: &Value) -> String {
    let whole = |limit: &Value| limit.as_u64();
    match (whole(least).filter(|least| *least > 0), whole(most)) {
        (None, None) => String::new(),
        (Some(least), None) => format!(" from {least}"),
        (None, Some(most)) => format!(" up to {most}"),
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
    }
}

//! A schema in the form that is quick to check: what a Kubernetes structural schema says, a node
//! for each field.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

/// What a value must look like.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) shape: Shape,
    pub(super) properties: BTreeMap<String, Node>,
    pub(super) required: Vec<String>,
    /// The values of a map whose keys are the user's.
    pub(super) entries: Option<Box<Node>>,
    pub(super) items: Option<Box<Node>>,
    /// Empty: any.
    pub(super) options: Vec<Value>,
    pub(super) minimum: Option<f64>,
    pub(super) maximum: Option<f64>,
    /// Characters of a text, elements of a list.
    pub(super) least: Option<u64>,
    pub(super) most: Option<u64>,
    pub(super) pattern: Option<Regex>,
    pub(super) format: Format,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shape {
    /// Whatever it is.
    #[default]
    Any,
    Object,
    List,
    Text,
    Integer,
    Number,
    Bool,
    IntOrString,
}

/// What a text must be, beyond its pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    #[default]
    None,
    Base64,
    DateTime,
}

impl Node {
    /// The node of a structural schema. Patterns are those of Locum's own types and must compile.
    pub(super) fn new(schema: &Value) -> Self {
        let whole = |name: &str| schema[name].as_u64();
        let child = |name: &str| match &schema[name] {
            inner @ Value::Object(_) => Some(Box::new(Node::new(inner))),
            _ => None,
        };
        let entries = child("additionalProperties");
        let mut node = Self {
            shape: shape(schema),
            properties: BTreeMap::new(),
            required: Vec::new(),
            entries,
            items: child("items"),
            options: schema["enum"].as_array().cloned().unwrap_or_default(),
            minimum: schema["minimum"].as_f64(),
            maximum: schema["maximum"].as_f64(),
            least: whole("minLength").or_else(|| whole("minItems")),
            most: whole("maxLength").or_else(|| whole("maxItems")),
            pattern: schema["pattern"].as_str().map(|pattern| {
                Regex::new(pattern).expect("the patterns of the types are regular expressions")
            }),
            format: format(schema),
        };
        if let Some(properties) = schema["properties"].as_object() {
            for (name, property) in properties {
                node.properties.insert(name.clone(), Node::new(property));
            }
        }
        if let Some(required) = schema["required"].as_array() {
            node.required = required
                .iter()
                .filter_map(Value::as_str)
                .map(Into::into)
                .collect();
        }
        node
    }

    /// Whether fields that are not in the schema are left alone.
    pub(super) fn takes_any_field(&self) -> bool {
        self.properties.is_empty() && self.entries.is_none()
    }
}

fn shape(schema: &Value) -> Shape {
    if schema["x-kubernetes-int-or-string"] == true {
        return Shape::IntOrString;
    }
    match schema["type"].as_str() {
        Some("object") => Shape::Object,
        Some("array") => Shape::List,
        Some("string") => Shape::Text,
        Some("integer") => Shape::Integer,
        Some("number") => Shape::Number,
        Some("boolean") => Shape::Bool,
        _ => Shape::Any,
    }
}

fn format(schema: &Value) -> Format {
    match schema["format"].as_str() {
        Some("byte") => Format::Base64,
        Some("date-time") => Format::DateTime,
        _ => Format::None,
    }
}

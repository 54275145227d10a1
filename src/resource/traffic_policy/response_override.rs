//! Answers that are given instead of others.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An answer that is given instead of others.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
pub struct ResponseOverride {
    /// Instead of which.
    pub r#match: ResponseMatch,
    /// What of it is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<CustomResponse>,
    /// Not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::resource::schema::untyped")]
    pub redirect: Option<Value>,
    /// Whose answers; all, where nothing is said. Others are not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ResponseSource>,
}

/// Whose answers.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum ResponseSource {
    /// The proxy's and the endpoints'.
    All,
    /// The proxy's.
    Local,
    /// The endpoints'.
    Backend,
}

/// Which answers; all that is said must hold.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.statusCodes) || has(self.responseHeaders)")
        .message("at least one of statusCodes or responseHeaders must be specified")
)]
pub struct ResponseMatch {
    /// Status codes, any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 50))]
    pub status_codes: Vec<StatusCodeMatch>,
    /// Headers, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16))]
    pub response_headers: Vec<ResponseHeaderMatch>,
}

/// A status code, or a range of them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("(!has(self.type) || self.type == 'Value') ? has(self.value) : true")
        .message("value must be set for type Value"),
    validation = Rule::new("(has(self.type) && self.type == 'Range') ? has(self.range) : true")
        .message("range must be set for type Range")
)]
pub struct StatusCodeMatch {
    /// Which of the two below.
    #[serde(default)]
    pub r#type: StatusCodeType,
    /// The one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<u32>,
    /// The range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<StatusCodeRange>,
}

/// One status code or several.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum StatusCodeType {
    #[default]
    Value,
    Range,
}

/// Status codes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("self.end > self.start").message("end must be greater than start")
)]
pub struct StatusCodeRange {
    /// The first.
    pub start: u32,
    /// The last.
    pub end: u32,
}

/// A header of an answer.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct ResponseHeaderMatch {
    /// Its name.
    #[schemars(length(min = 1, max = 256), regex(pattern = HEADER))]
    pub name: String,
    /// Its value.
    pub value: TextMatch,
}

const HEADER: &str = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$";

/// A text.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct TextMatch {
    /// How it is looked at.
    #[serde(default)]
    pub r#type: TextMatchType,
    /// What is looked for.
    #[schemars(length(min = 1, max = 1024))]
    pub value: String,
}

/// How a text is looked at.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum TextMatchType {
    #[default]
    Exact,
    Prefix,
    Suffix,
    RegularExpression,
}

/// What of an answer is changed.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomResponse {
    /// What the body is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The body. Where it has no percent sign it is taken as it is, else as Envoy's format of access
    /// logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<CustomResponseBody>,
    /// The status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u32>,
    /// Headers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<ResponseHeaders>,
}

/// A body.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(!has(self.type) || self.type == 'Inline') ? has(self.inline) : true")
        .message("inline must be set for type Inline"),
    validation = Rule::new("(has(self.type) && self.type == 'ValueRef') ? has(self.valueRef) : true")
        .message("valueRef must be set for type ValueRef"),
    validation = Rule::new("has(self.valueRef) ? self.valueRef.kind == 'ConfigMap' : true")
        .message("only ConfigMap is supported for ValueRef")
)]
pub struct CustomResponseBody {
    /// Where it stands.
    #[serde(default)]
    pub r#type: BodyType,
    /// Here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inline: Option<String>,
    /// Not supported yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_ref: Option<BodyRef>,
}

/// Where a body stands.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum BodyType {
    #[default]
    Inline,
    ValueRef,
}

/// An object that holds a body.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct BodyRef {
    /// The API group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
}

/// Headers of an answer that are changed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("!has(self.remove) || size(self.remove) == 0")
        .message("Remove is not supported for header in CustomResponse")
)]
pub struct ResponseHeaders {
    /// Set, whatever they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub set: Vec<HeaderValue>,
    /// Added to what they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub add: Vec<HeaderValue>,
    /// Cannot be set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub remove: Vec<String>,
}

/// A header.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct HeaderValue {
    /// Its name.
    #[schemars(length(min = 1, max = 256), regex(pattern = HEADER))]
    pub name: String,
    /// Its value.
    #[schemars(length(min = 1, max = 4096))]
    pub value: String,
}

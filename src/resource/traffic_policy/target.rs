//! What a policy is for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::resource::key::GATEWAY_API;

const GROUP: &str = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const KIND: &str = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$";
const SECTION: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// One target, of the policy's own namespace.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// The API group.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: String,
    /// The kind.
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: String,
    /// The name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// A listener of a Gateway, a rule of a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = SECTION))]
    pub section_name: Option<String>,
}

/// Targets by their labels.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.group) || self.group == 'gateway.networking.k8s.io'")
        .message("group must be gateway.networking.k8s.io")
)]
pub struct TargetSelector {
    /// The API group.
    #[serde(default = "gateway_group")]
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: String,
    /// The kind.
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: String,
    /// In which namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<SelectorNamespaces>,
    /// Labels that a target has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// What else holds of a target's labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

fn gateway_group() -> String {
    GATEWAY_API.into()
}

/// In which namespaces targets are looked for.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[x_kube(
    validation = Rule::new("self.from != 'Selector' || has(self.selector)")
        .message("selector must be specified when from is Selector")
)]
pub struct SelectorNamespaces {
    /// The policy's own, all, or those that `selector` picks.
    #[serde(default)]
    pub from: NamespaceFrom,
    /// Picks namespaces by their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

/// Which namespaces.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum NamespaceFrom {
    #[default]
    Same,
    All,
    Selector,
}

/// How a route's policy is merged into its Gateway's.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum MergeType {
    StrategicMerge,
    #[serde(rename = "JSONMerge")]
    JsonMerge,
}

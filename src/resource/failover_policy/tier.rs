//! A tier and the references in it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::Duration;

const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const GROUP: &str = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Host names as a BackendTrafficPolicy takes them in `hostname`.
const HOSTNAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const KIND: &str = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$";

/// Backends that serve together, by the weights that their rule gives them.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tier {
    /// What the tier is called, unlike the others of the policy.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAME))]
    pub name: String,
    /// Which of the rule's backendRefs are in it. Each must be one of the rule's, and may be in one
    /// tier only.
    #[schemars(length(min = 1, max = 16))]
    pub backend_refs: Vec<TierRef>,
    /// Whether the tier gets no new request, even if nothing else can serve. What is under way is
    /// finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<bool>,
    /// How long a connection may take to come about, where the tier needs another time than the
    /// others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<Duration>,
    /// How the tier is probed, where that differs from the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<TierHealthCheck>,
}

/// What differs for a tier from the active health check of the BackendTrafficPolicy. There must be
/// one.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!has(self.disabled) || !self.disabled || !(has(self.path) || has(self.port) \
         || has(self.hostname))"
    )
    .message("a health check that is disabled has nothing else to say")
)]
pub struct TierHealthCheck {
    /// Whether the tier is not probed at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// The path that an HTTP probe asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = r"^/[!-~]*$"))]
    pub path: Option<String>,
    /// The port that is probed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// The host that an HTTP probe asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = HOSTNAME))]
    pub hostname: Option<String>,
}

/// One of a rule's backendRefs, named by the same fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.group != '' || self.kind != 'Service' || has(self.port)")
        .message("a Service needs its port")
        .field_path(".port")
)]
pub struct TierRef {
    /// The API group; empty for a Service.
    #[serde(default)]
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: String,
    /// The kind.
    #[serde(default = "service")]
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: String,
    /// The name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The namespace, where it is not the policy's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// The port, which tells two ports of a Service apart. A Backend's is not looked at, since its
    /// endpoints have their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

fn service() -> String {
    "Service".into()
}

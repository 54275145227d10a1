//! Which tier is preferred for a while.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A tier that serves first, whatever its place. While it cannot serve, the others do, in their
/// order.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// The tier's name.
    #[schemars(length(min = 1, max = 63))]
    pub tier: String,
    /// When the pin ends by itself; nothing said: when it is taken away. By the clock of each
    /// replica of the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Why, for whoever reads the policy or its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub reason: Option<String>,
}

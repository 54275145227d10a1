//! ServiceImport (multicluster.x-k8s.io/v1alpha1): a Service that other clusters export. Its
//! endpoints are EndpointSlices, as a Service's are, with a label of their own.
//!
//! Only what Locum reads of it is here; the definition is the Multi-Cluster Services API's.

use k8s_openapi::api::core::v1::ServicePort;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is imported.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[kube(
    group = "multicluster.x-k8s.io",
    version = "v1alpha1",
    kind = "ServiceImport",
    namespaced,
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct ServiceImportSpec {
    /// Its ports, called as those of its EndpointSlices.
    pub ports: Vec<ServicePort>,
    /// `ClusterSetIP` or `Headless`.
    pub r#type: String,
    /// Its own addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<String>,
    /// The families of its addresses, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_families: Vec<String>,
    /// Whether a client is to stay with an endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<String>,
}

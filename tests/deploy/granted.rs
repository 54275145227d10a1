//! What the shipped roles grant to Locum. The tests on a cluster compare the same with what it asks
//! for there.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

/// The file with the ClusterRole and the Role.
const ROLES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/deploy/control-plane/roles.yaml"
);

/// One rule for one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Grant {
    /// `ClusterRole` or `Role`.
    pub(crate) role: String,
    pub(crate) verb: String,
    /// With its subresource and group: `gateways/status.gateway.networking.k8s.io`.
    pub(crate) resource: String,
    /// The objects that it is limited to; none for all.
    pub(crate) names: Vec<String>,
}

/// Everything that the roles grant.
///
/// # Panics
///
/// When the file cannot be read.
pub(crate) fn granted() -> BTreeSet<Grant> {
    let text = fs::read_to_string(ROLES).expect("the roles are shipped");
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect("the roles are YAML");
    let mut granted = BTreeSet::new();
    for document in &documents {
        for rule in document["rules"].as_array().into_iter().flatten() {
            for verb in texts(&rule["verbs"]) {
                for resource in texts(&rule["resources"]) {
                    for group in texts(&rule["apiGroups"]) {
                        granted.insert(Grant {
                            role: document["kind"].as_str().unwrap_or_default().to_owned(),
                            verb: verb.to_owned(),
                            resource: format!("{resource}.{group}"),
                            names: texts(&rule["resourceNames"]).map(Into::into).collect(),
                        });
                    }
                }
            }
        }
    }
    granted
}

fn texts(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

//! Reads a policy that guards: what it is called, what it targets, and whether it keeps something
//! out.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Parsed, metadata};
use crate::resource::fault::{At, Faults, reason};
use crate::resource::guard::{Guard, GuardKind, GuardTarget};
use crate::resource::{Key, Kind, Object};

/// A reference to a target as every policy writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    #[serde(default)]
    group: String,
    kind: String,
    name: String,
    #[serde(default)]
    section_name: Option<String>,
}

/// Reads the policy `map`. Of its spec, only the targets are looked at.
pub(super) fn parse(
    policy: GuardKind,
    map: &mut Map<String, Value>,
    default_namespace: &str,
) -> Parsed {
    let mut faults = Faults::default();
    let metadata = metadata::take(map, Kind::Guard, false, default_namespace, &mut faults);
    let spec = map.get("spec").cloned().unwrap_or_default();
    let namespace = metadata
        .as_ref()
        .and_then(|metadata| metadata.namespace.clone());
    let targets = targets(&spec, &namespace.clone().unwrap_or_default(), &mut faults);
    let has_selectors = spec["targetSelectors"]
        .as_array()
        .is_some_and(|selectors| !selectors.is_empty());
    if targets.is_empty() && !has_selectors && !faults.refuse() {
        let at = At::Root.field("spec");
        faults.warning(
            &at,
            reason::NOT_SUPPORTED,
            "targets nothing that Locum serves",
        );
    }
    let closes = policy != GuardKind::ClientTrafficPolicy
        || ["clientIPDetection", "headers"]
            .into_iter()
            .any(|name| !spec[name].is_null())
        || !spec["tls"]["clientValidation"].is_null();
    let name = metadata.as_ref().and_then(|metadata| metadata.name.clone());
    let key = name.map(|name| Key::guard(policy, &namespace.unwrap_or_default(), &name));
    let object = metadata.filter(|_| !faults.refuse()).map(|metadata| {
        Object::Guard(Arc::new(Guard {
            metadata,
            policy,
            targets,
            has_selectors,
            closes,
        }))
    });
    Parsed {
        key,
        object,
        faults: faults.0,
    }
}

fn targets(spec: &Value, namespace: &str, faults: &mut Faults) -> Vec<GuardTarget> {
    let at_spec = At::Root.field("spec");
    let mut targets = Vec::new();
    let mut read = |value: &Value, at: &At<'_>| match Reference::deserialize(value) {
        Ok(reference) => targets.extend(target(reference, namespace)),
        Err(error) => faults.error(at, reason::INVALID, format!("names no target: {error}")),
    };
    if let Some(one) = spec.get("targetRef") {
        read(one, &at_spec.field("targetRef"));
    }
    let at_many = at_spec.field("targetRefs");
    for (index, value) in spec["targetRefs"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        read(value, &at_many.item(index));
    }
    targets
}

fn target(reference: Reference, namespace: &str) -> Option<GuardTarget> {
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| kind.group() == reference.group && kind.name() == reference.kind)?;
    Some(GuardTarget {
        key: Key::new(kind, namespace, &reference.name),
        section: reference.section_name,
    })
}

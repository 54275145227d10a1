//! An object's metadata: its names checked and its namespace filled in.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

use crate::resource::Kind;
use crate::resource::fault::{At, Faults, reason};
use crate::resource::names;
use crate::resource::schema::Schema;

/// Takes the metadata out of an object. Faults are noted; a result may still be had for the
/// object's name. With `strict`, an unknown field is an error.
pub(super) fn take(
    map: &mut Map<String, Value>,
    kind: Kind,
    strict: bool,
    default_namespace: &str,
    faults: &mut Faults,
) -> Option<ObjectMeta> {
    static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::core::<ObjectMeta>(false));
    static STRICT: LazyLock<Schema> =
        LazyLock::new(|| Schema::core::<ObjectMeta>(false).with_unknown_as_error());
    let at = At::Root.field("metadata");
    let Some(mut value) = map.remove("metadata") else {
        faults.error(&at, reason::REQUIRED, "is missing");
        return None;
    };
    let schema: &Schema = if strict { &STRICT } else { &SCHEMA };
    schema.check(&mut value, &at, faults);
    // Enough to say whose faults these are, even where the rest cannot be typed.
    let field = |name: &str| value.get(name).and_then(Value::as_str).map(String::from);
    let known = ObjectMeta {
        name: field("name"),
        namespace: field("namespace"),
        ..ObjectMeta::default()
    };
    let mut metadata = serde_json::from_value::<ObjectMeta>(value).unwrap_or(known);
    complete(&mut metadata, kind, default_namespace, &at, faults);
    Some(metadata)
}

fn complete(
    metadata: &mut ObjectMeta,
    kind: Kind,
    default_namespace: &str,
    at: &At<'_>,
    faults: &mut Faults,
) {
    let at_name = at.field("name");
    match metadata.name.as_deref() {
        None | Some("") => faults.error(&at_name, reason::REQUIRED, "is missing"),
        Some(name) => {
            let form = match kind {
                Kind::Service => names::LABEL_1035,
                Kind::Namespace => names::LABEL,
                _ => names::SUBDOMAIN,
            };
            form.check(name, &at_name, faults);
        }
    }
    let at_namespace = at.field("namespace");
    if kind.is_cluster_scoped() {
        if metadata.namespace.take().is_some() {
            let message = format!("is ignored: a {kind} stands in no namespace");
            faults.warning(&at_namespace, reason::CONFLICT, message);
        }
    } else {
        let namespace = metadata
            .namespace
            .take()
            .filter(|namespace| !namespace.is_empty());
        let namespace = namespace.unwrap_or_else(|| default_namespace.into());
        names::LABEL.check(&namespace, &at_namespace, faults);
        metadata.namespace = Some(namespace);
    }
    let at_labels = at.field("labels");
    for (key, value) in metadata.labels.iter().flatten() {
        names::check_label(key, value, &at_labels.entry(key), faults);
    }
}

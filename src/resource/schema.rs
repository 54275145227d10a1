//! Schemas: what a kind's objects may look like, from the Rust types, checked the way an API server
//! checks.
//!
//! In: a type that knows its JSON schema. Out: [`Schema`], which fills in defaults and finds what
//! is wrong with a value. The steps are an API server's: defaults, then structure, then CEL rules
//! if the structure is sound.

mod node;
mod structure;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use kube_cel::{CompiledSchema, Validator, apply_defaults, compile_schema};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::fault::{At, Faults, reason};
use node::Node;
pub use structure::Strictness;

thread_local! {
    /// Evaluates CEL rules; it cannot be shared between threads.
    static CEL: Validator = Validator::new();
}

/// The compiled schema of a kind.
#[derive(Debug)]
pub struct Schema {
    root: Node,
    /// The schema itself and its CEL rules, where it has any defaults or rules.
    custom: Option<(Value, CompiledSchema)>,
    strictness: Strictness,
}

impl Schema {
    /// The schema of one of Locum's own CustomResources: defaults, structure and CEL rules; an
    /// unknown field is an error.
    pub fn custom_resource<K: CustomResourceExt>() -> Self {
        let schema = openapi_schema(&crd::<K>());
        Self {
            root: root(&schema),
            custom: Some((schema.clone(), compile_schema(&schema))),
            strictness: Strictness {
                unknown_is_error: true,
                null_is_unset: false,
                quotes_values: true,
            },
        }
    }

    /// The structure of a CustomResource of another project, whose rules stand elsewhere; an
    /// unknown field is a warning.
    pub fn foreign<K: CustomResourceExt>() -> Self {
        Self {
            root: root(&openapi_schema(&crd::<K>())),
            custom: None,
            strictness: Strictness {
                unknown_is_error: false,
                null_is_unset: false,
                quotes_values: true,
            },
        }
    }

    /// The structure of a kind of Kubernetes itself; an unknown field is a warning, a null is no
    /// value. Values are not quoted where `secret`.
    pub fn core<K: JsonSchema>(secret: bool) -> Self {
        let settings = SchemaSettings::openapi3().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let mut schema = settings
            .into_generator()
            .into_root_schema_for::<K>()
            .to_value();
        make_structural(&mut schema);
        Self {
            root: root(&schema),
            custom: None,
            strictness: Strictness {
                unknown_is_error: false,
                null_is_unset: true,
                quotes_values: !secret,
            },
        }
    }

    /// The same schema, for objects in which an unknown field is an error.
    #[must_use]
    pub fn with_unknown_as_error(mut self) -> Self {
        self.strictness.unknown_is_error = true;
        self
    }

    /// Whether an unknown field is an error.
    pub fn is_strict(&self) -> bool {
        self.strictness.unknown_is_error
    }

    /// Fills in the defaults of `value` and notes what is wrong with it. `at` is where the value
    /// stands.
    pub fn check(&self, value: &mut Value, at: &At<'_>, faults: &mut Faults) {
        if let Some((schema, _)) = &self.custom {
            *value = apply_defaults(schema, value);
        }
        let before = faults.0.len();
        structure::check(&self.root, value, at, self.strictness, faults);
        if faults.0.len() == before
            && let Some((_, rules)) = &self.custom
        {
            check_rules(rules, value, faults);
        }
    }
}

/// The node of a whole object, whose metadata are looked at elsewhere.
fn root(schema: &Value) -> Node {
    let mut node = Node::new(schema);
    node.required.retain(|name| name != "metadata");
    node
}

fn check_rules(rules: &CompiledSchema, value: &Value, faults: &mut Faults) {
    let Err(errors) = CEL.with(|cel| cel.validate_compiled(rules, value, None)) else {
        return;
    };
    for error in errors {
        let path = error.field_path.trim_start_matches('.');
        faults.error(&At::Root.field(path), reason::INVALID, error.message);
    }
}

/// The CustomResourceDefinition of a type, as an API server stores it: optional fields are left
/// out, not null; unsigned integers have their range.
pub fn crd<K: CustomResourceExt>() -> CustomResourceDefinition {
    let mut value = serde_json::to_value(K::crd()).expect("a CRD is JSON");
    make_structural(&mut value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    serde_json::from_value(value).expect("a CRD stays one")
}

/// A field that is known by name only: an object, carried as it is.
pub(super) fn untyped(_: &mut SchemaGenerator) -> schemars::Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Makes a list of conditions one that holds each type once, so that who applies one condition
/// leaves the others alone.
pub(super) fn one_for_each_type(schema: &mut schemars::Schema) {
    schema.insert("x-kubernetes-list-type".into(), json!("map"));
    schema.insert("x-kubernetes-list-map-keys".into(), json!(["type"]));
}

fn openapi_schema(crd: &CustomResourceDefinition) -> Value {
    let schema = crd.spec.versions[0].schema.as_ref();
    serde_json::to_value(schema.and_then(|schema| schema.open_api_v3_schema.as_ref()))
        .expect("a schema is JSON")
}

/// Rewrites what schemars says into what Kubernetes says.
fn make_structural(schema: &mut Value) {
    let Value::Object(map) = schema else {
        if let Value::Array(items) = schema {
            items.iter_mut().for_each(make_structural);
        }
        return;
    };
    map.remove("nullable");
    if let Some(format) = map.get("format").and_then(Value::as_str) {
        let max = match format {
            "uint8" => Some(u64::from(u8::MAX)),
            "uint16" => Some(u64::from(u16::MAX)),
            "uint32" => Some(u64::from(u32::MAX)),
            // Kubernetes' own integers end here.
            "uint64" | "uint" => Some(i64::MAX as u64),
            _ => None,
        };
        if let Some(max) = max {
            map.remove("format");
            map.entry("maximum").or_insert_with(|| max.into());
        }
    }
    if let Some(types) = map.get("type").and_then(Value::as_array)
        && let Some(one) = types.iter().find(|kind| *kind != "null").cloned()
    {
        map.insert("type".into(), one);
    }
    if let Some(Value::Array(values)) = map.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    flatten_optional(map);
    for (keyword, value) in map.iter_mut() {
        match keyword.as_str() {
            "default" | "enum" | "required" => {}
            _ => make_structural(value),
        }
    }
}

/// `anyOf: [T, null]` is what an optional T looks like: T remains.
fn flatten_optional(map: &mut serde_json::Map<String, Value>) {
    let Some(Value::Array(branches)) = map.get("anyOf") else {
        return;
    };
    let is_null = |branch: &Value| {
        branch["type"] == "null"
            || branch["enum"]
                .as_array()
                .is_some_and(|values| values.iter().all(Value::is_null))
    };
    let real: Vec<Value> = branches.iter().filter(|b| !is_null(b)).cloned().collect();
    if real.len() == branches.len() || real.len() != 1 {
        return;
    }
    map.remove("anyOf");
    if let Some(Value::Object(inner)) = real.into_iter().next() {
        for (keyword, value) in inner {
            map.entry(keyword).or_insert(value);
        }
    }
}

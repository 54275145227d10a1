//! Parsing: from the JSON value of one object to a typed [`Object`], or to what is wrong with it.
//!
//! An object is taken or refused as an API server with the kind's CRD would: defaults, structure,
//! rules. What an API server sets itself (`status`) is left out, except a Service's. Nothing here knows files or lines;
//! faults name field paths.

mod guard;
mod kinds;
mod metadata;

use std::sync::Arc;
use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::fault::{At, Fault, Faults, reason};
use super::rules;
use super::schema::Schema;
use super::{
    Backend, BackendTrafficPolicy, ConfigMap, EndpointSlice, FailoverPolicy, Gateway, GatewayClass,
    HttpRoute, Key, Kind, Namespace, Object, ReferenceGrant, Secret, Service, ServiceImport,
};
use crate::problem::Severity;
use kinds::Known;

/// What became of one object.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// What the object is called, as far as that could be read.
    pub key: Option<Key>,
    /// The object, unless it is refused or passed over.
    pub object: Option<Object>,
    pub faults: Vec<Fault>,
}

/// Reads one object. A namespace that is missing is `default_namespace`.
pub fn parse(value: Value, default_namespace: &str) -> Parsed {
    let Value::Object(mut map) = value else {
        return passed_over("is no Kubernetes object: passed over");
    };
    let (api_version, kind) = match (text(&map, "apiVersion"), text(&map, "kind")) {
        (Some(api_version), Some(kind)) => (api_version, kind),
        (None, None) => return passed_over("has no apiVersion and no kind: passed over"),
        (None, _) => return refused("apiVersion", reason::REQUIRED, "is missing or no text"),
        (_, None) => return refused("kind", reason::REQUIRED, "is missing or no text"),
    };
    match kinds::known(&api_version, &kind) {
        Known::Kind(kind) => object(kind, map, default_namespace),
        Known::Guard(policy) => guard::parse(policy, &mut map, default_namespace),
        Known::OtherVersion(expected) => {
            let message = format!("{kind} is not known in this version; use {expected}");
            refused("apiVersion", reason::INVALID, &message)
        }
        Known::Misspelled(meant) => {
            let message = format!("is {kind:?}: did you mean {meant}?");
            refused("kind", reason::INVALID, &message)
        }
        Known::NotSupported => {
            let message = format!("{kind} is not supported yet: nothing is served from it");
            verdict(Severity::Warning, "", reason::NOT_SUPPORTED, message)
        }
        Known::Foreign => passed_over(&format!(
            "{kind} ({api_version}) is not one of Locum's kinds: passed over"
        )),
    }
}

fn text(map: &Map<String, Value>, name: &str) -> Option<String> {
    map.get(name).and_then(Value::as_str).map(Into::into)
}

fn passed_over(message: &str) -> Parsed {
    verdict(Severity::Note, "", reason::PASSED_OVER, message.into())
}

fn refused(field: &str, reason: &'static str, message: &str) -> Parsed {
    verdict(Severity::Error, field, reason, message.into())
}

fn verdict(severity: Severity, field: &str, reason: &'static str, message: String) -> Parsed {
    Parsed {
        faults: vec![Fault {
            severity,
            field: field.into(),
            reason,
            message,
        }],
        ..Parsed::default()
    }
}

/// Reads an object of a kind that is typed.
fn object(kind: Kind, map: Map<String, Value>, default_namespace: &str) -> Parsed {
    match kind {
        Kind::GatewayClass => typed::<GatewayClass>(kind, map, default_namespace),
        Kind::Gateway => typed::<Gateway>(kind, map, default_namespace),
        Kind::HttpRoute => typed::<HttpRoute>(kind, map, default_namespace),
        Kind::ReferenceGrant => typed::<ReferenceGrant>(kind, map, default_namespace),
        Kind::Service => typed::<Service>(kind, map, default_namespace),
        Kind::ServiceImport => typed::<ServiceImport>(kind, map, default_namespace),
        Kind::EndpointSlice => typed::<EndpointSlice>(kind, map, default_namespace),
        Kind::Secret => typed::<Secret>(kind, map, default_namespace),
        Kind::ConfigMap => typed::<ConfigMap>(kind, map, default_namespace),
        Kind::Namespace => typed::<Namespace>(kind, map, default_namespace),
        Kind::Backend => typed::<Backend>(kind, map, default_namespace),
        Kind::BackendTrafficPolicy => typed::<BackendTrafficPolicy>(kind, map, default_namespace),
        Kind::FailoverPolicy => typed::<FailoverPolicy>(kind, map, default_namespace),
        Kind::Guard => refused("kind", reason::INVALID, "is no kind of a manifest"),
    }
}

/// A kind that has a schema and perhaps rules beyond it.
trait Parse: DeserializeOwned {
    /// The schema, compiled once.
    fn schema() -> &'static Schema;
    /// Fills in defaults and checks what the schema cannot say.
    fn complete(&mut self, _faults: &mut Faults) {}
    /// As the store holds it.
    fn into_object(self) -> Object;
}

macro_rules! parse {
    ($($kind:ident: $schema:expr $(, $complete:path)?;)*) => {$(
        impl Parse for $kind {
            fn schema() -> &'static Schema {
                static SCHEMA: LazyLock<Schema> = LazyLock::new(|| $schema);
                &SCHEMA
            }

            $(fn complete(&mut self, faults: &mut Faults) {
                $complete(self, faults);
            })?

            fn into_object(self) -> Object {
                Object::$kind(Arc::new(self))
            }
        }
    )*};
}

parse! {
    GatewayClass: Schema::foreign::<GatewayClass>(), rules::gateway_class::complete;
    Gateway: Schema::foreign::<Gateway>(), rules::gateway::complete;
    HttpRoute: Schema::foreign::<HttpRoute>(), rules::http_route::complete;
    ReferenceGrant: Schema::foreign::<ReferenceGrant>(), rules::reference_grant::complete;
    Service: Schema::core::<Service>(false), rules::service::complete;
    ServiceImport: Schema::foreign::<ServiceImport>();
    EndpointSlice: Schema::core::<EndpointSlice>(false), rules::endpoint_slice::complete;
    Secret: Schema::core::<Secret>(true);
    ConfigMap: Schema::core::<ConfigMap>(false);
    Namespace: Schema::core::<Namespace>(false);
    Backend: Schema::custom_resource::<Backend>();
    BackendTrafficPolicy: Schema::custom_resource::<BackendTrafficPolicy>();
    FailoverPolicy: Schema::custom_resource::<FailoverPolicy>();
}

fn typed<K: Parse>(kind: Kind, mut map: Map<String, Value>, default_namespace: &str) -> Parsed {
    let mut faults = Faults::default();
    let schema = K::schema();
    // Only an API server writes a status; one that was exported with an object is nothing the user
    // asks for. A Service's says where its load balancer is, which is a fact that others need.
    if kind != Kind::Service {
        map.remove("status");
    }
    let envelope = ["apiVersion", "kind"].map(|name| (name, map.remove(name)));
    let metadata = metadata::take(
        &mut map,
        kind,
        schema.is_strict(),
        default_namespace,
        &mut faults,
    );
    let key = metadata
        .as_ref()
        .filter(|metadata| metadata.name.is_some())
        .map(|metadata| Key::of(kind, metadata));
    let mut value = Value::Object(map);
    schema.check(&mut value, &At::Root, &mut faults);
    let mut object = None;
    if let (false, Some(metadata), Value::Object(mut map)) = (faults.refuse(), metadata, value) {
        for (name, value) in envelope {
            map.extend(value.map(|value| (name.to_owned(), value)));
        }
        map.insert(
            "metadata".into(),
            serde_json::to_value(metadata).expect("metadata is JSON"),
        );
        match serde_json::from_value::<K>(Value::Object(map)) {
            Ok(mut typed) => {
                typed.complete(&mut faults);
                object = (!faults.refuse()).then(|| typed.into_object());
            }
            Err(error) => faults.error(&At::Root, reason::INVALID, error.to_string()),
        }
    }
    Parsed {
        key,
        object,
        faults: faults.0,
    }
}

#[cfg(test)]
mod tests;

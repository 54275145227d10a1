//! Canonical protobuf JSON of Envoy resources, for people: `translate`, the debug endpoint, golden
//! files; and resources from such JSON, where they are written by hand.
//!
//! The form is that of Envoy's own `/config_dump`, so that the two can be compared and a part can
//! be pasted into an Envoy configuration: fields have their proto names (`outlier_detection`),
//! every `Any` is opened and says its `@type`, durations are `2s`, what has its default value is
//! left out. Keys are sorted.
//!
//! Never shows a secret: what Envoy's API marks as sensitive, and every inline value inside a
//! Secret, is replaced by [`REDACTED`].

use std::collections::HashSet;
use std::sync::LazyLock;

use prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, ReflectMessage as _, SerializeOptions, Value,
};

use crate::xds::descriptors;
use crate::xds::kind::Kind;
use crate::xds::resource::Resource;

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";

const SENSITIVE: &str = "udpa.annotations.sensitive";
const SECRET: &str = "envoy.extensions.transport_sockets.tls.v3.Secret";
const DATA_SOURCE: &str = "envoy.config.core.v3.DataSource";
const ANY: &str = "google.protobuf.Any";

/// Why a message has no JSON.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It may be a message of Envoy's API that is not among those that build.rs compiles.
    #[error("messages of type {0} are not among the compiled descriptors")]
    UnknownType(String),
    /// The bytes are no protobuf message, or one of another type.
    #[error("not a message of its type: {0}")]
    Encoding(#[from] prost::DecodeError),
    /// It has a value that protobuf's JSON cannot show, such as a duration out of range.
    #[error("no JSON form: {0}")]
    Json(#[from] serde_json::Error),
}

/// Why JSON is no resource.
#[derive(Debug, thiserror::Error)]
pub enum NoResource {
    /// It does not say what it is.
    #[error("`@type` is missing: the type URL of a Listener, a Cluster or another resource")]
    NoType,
    /// What it says it is is no resource.
    #[error("{0} is not the type URL of a resource that is served")]
    UnknownType(String),
    /// A field is not known or holds what it cannot, or the type of something packed is not known.
    #[error("{kind}: {source}")]
    Fields {
        /// What was to be read.
        kind: Kind,
        /// What is wrong and where.
        source: serde_json::Error,
    },
    /// Nothing can ask for it.
    #[error("the {0} has no name")]
    NoName(Kind),
}

/// The resource that protobuf's JSON says, as Envoy's documentation and files write it: `@type` says
/// which message it is, fields are named as in the proto files or in camel case. What it refers to
/// is found as in [`Resource::of`].
///
/// The same JSON always has the same version. It need not be that of the typed message: prost puts
/// the fields of a `oneof` elsewhere among the others, and both orders mean the same.
pub fn read(json: &serde_json::Value) -> Result<Resource, NoResource> {
    let mut json = json.clone();
    let type_url = json
        .as_object_mut()
        .and_then(|fields| fields.remove("@type"));
    let type_url = type_url.ok_or(NoResource::NoType)?;
    let type_url = type_url.as_str().unwrap_or_default();
    let kind = Kind::of_type_url(type_url);
    let kind = kind.ok_or_else(|| NoResource::UnknownType(type_url.to_owned()))?;
    let descriptor = descriptors::message(type_url).expect("every kind's message is compiled");
    let message = DynamicMessage::deserialize(descriptor, &json)
        .map_err(|source| NoResource::Fields { kind, source })?;
    let name = message.get_field_by_name(match kind {
        Kind::Endpoint => "cluster_name",
        _ => "name",
    });
    let name = name.as_deref().and_then(Value::as_str).unwrap_or_default();
    if name.is_empty() {
        return Err(NoResource::NoName(kind));
    }
    Ok(Resource::new(kind, name, &message).read())
}

/// The resources of a list, each as [`read`] takes it.
pub fn all(list: &serde_json::Value) -> Result<Vec<Resource>, NoResource> {
    match list {
        serde_json::Value::Array(list) => list.iter().map(read).collect(),
        one => Ok(vec![read(one)?]),
    }
}

/// A resource as `/config_dump` shows it, with its `@type`.
///
/// # Panics
///
/// If the resource was not made from a message of its kind, or packs a type that is not compiled;
/// [`message()`] says so instead.
pub fn resource(resource: &Resource) -> serde_json::Value {
    let type_url = resource.kind.type_url();
    let mut json = message(type_url, &resource.body)
        .expect("a resource was encoded from a message of its kind and holds compiled types only");
    if let Some(fields) = json.as_object_mut() {
        fields.insert("@type".into(), type_url.into());
    }
    json
}

/// The JSON of an encoded message of the type that `type_url` names.
pub fn message(type_url: &str, bytes: &[u8]) -> Result<serde_json::Value, Unreadable> {
    let mut message = decode(type_url, bytes)?;
    let is_secret = message.descriptor().full_name() == SECRET;
    redact(
        &mut message,
        Inside {
            sensitive: false,
            secret: is_secret,
        },
    );
    let options = SerializeOptions::new().use_proto_field_name(true);
    Ok(message.serialize_with_options(serde_json::value::Serializer, &options)?)
}

fn decode(type_url: &str, bytes: &[u8]) -> Result<DynamicMessage, Unreadable> {
    let descriptor = descriptors::message(type_url)
        .ok_or_else(|| Unreadable::UnknownType(type_url.to_owned()))?;
    Ok(DynamicMessage::decode(descriptor, bytes)?)
}

/// What the walk is inside of.
#[derive(Clone, Copy)]
struct Inside {
    /// A field that Envoy's API marks.
    sensitive: bool,
    /// A Secret.
    secret: bool,
}

/// The full names of all fields that Envoy's API marks as sensitive.
static SENSITIVE_FIELDS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let pool = descriptors::pool();
    let mark = pool
        .get_extension_by_name(SENSITIVE)
        .expect("Envoy's TLS protos import the annotation");
    pool.all_messages()
        .flat_map(|message| message.fields().collect::<Vec<_>>())
        .filter(|field| field.options().get_extension(&mark).as_bool() == Some(true))
        .map(|field| field.full_name().to_owned())
        .collect()
});

fn redact(message: &mut DynamicMessage, inside: Inside) {
    if message.descriptor().full_name() == ANY {
        redact_packed(message, inside);
        return;
    }
    let is_source = message.descriptor().full_name() == DATA_SOURCE;
    for (field, value) in message.fields_mut() {
        let sensitive = inside.sensitive
            || (inside.secret && is_source && is_inline(&field))
            || SENSITIVE_FIELDS.contains(field.full_name());
        redact_value(
            value,
            Inside {
                sensitive,
                ..inside
            },
        );
    }
}

/// A file's name tells nothing; what is written into the message does.
fn is_inline(field: &FieldDescriptor) -> bool {
    field.name().starts_with("inline_")
}

fn redact_value(value: &mut Value, inside: Inside) {
    match value {
        Value::String(text) if inside.sensitive => *text = REDACTED.into(),
        Value::Bytes(bytes) if inside.sensitive => *bytes = REDACTED.into(),
        Value::Message(message) => redact(message, inside),
        Value::List(values) => {
            for value in values {
                redact_value(value, inside);
            }
        }
        Value::Map(values) => {
            for value in values.values_mut() {
                redact_value(value, inside);
            }
        }
        _ => {}
    }
}

/// Redacts what an `Any` packs. What cannot be opened is emptied: it could be a secret.
fn redact_packed(any: &mut DynamicMessage, inside: Inside) {
    let url = any.get_field_by_name("type_url");
    let bytes = any.get_field_by_name("value");
    let (Some(url), Some(bytes)) = (
        url.as_deref().and_then(Value::as_str),
        bytes.as_deref().and_then(Value::as_bytes),
    ) else {
        return;
    };
    let redacted = decode(url, bytes)
        .map(|mut packed| {
            let is_secret = packed.descriptor().full_name() == SECRET;
            redact(
                &mut packed,
                Inside {
                    secret: inside.secret || is_secret,
                    ..inside
                },
            );
            packed.encode_to_vec()
        })
        .unwrap_or_default();
    any.set_field_by_name("value", Value::Bytes(redacted.into()));
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source::Specifier};
    use envoy_types::pb::envoy::extensions::clusters::aggregate::v3::ClusterConfig;
    use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
        Secret, TlsCertificate, secret,
    };
    use envoy_types::pb::google::protobuf::Duration;
    use envoy_types::util::pack_any;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_resource_looks_as_in_config_dump() {
        let options = ClusterConfig {
            clusters: vec!["a".into()],
        };
        let cluster = Cluster {
            name: "c".into(),
            connect_timeout: Some(Duration {
                seconds: 2,
                nanos: 500_000_000,
            }),
            typed_extension_protocol_options: [("o".to_owned(), pack_any(options))].into(),
            ..Cluster::default()
        };
        assert_eq!(
            resource(&Resource::new(Kind::Cluster, "c", &cluster)),
            json!({
                "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
                "name": "c",
                "connect_timeout": "2.500s",
                "typed_extension_protocol_options": {"o": {
                    "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
                    "clusters": ["a"],
                }},
            })
        );
    }

    #[test]
    fn what_is_shown_can_be_read_and_is_the_same_resource() {
        let cluster = Cluster {
            name: "c".into(),
            connect_timeout: Some(Duration {
                seconds: 2,
                nanos: 500_000_000,
            }),
            ..Cluster::default()
        };
        let made = Resource::of(&cluster);
        let found = read(&resource(&made)).unwrap();
        assert_eq!(resource(&found), resource(&made));
        assert_eq!((found.kind, found.name), (made.kind, made.name));
    }

    #[test]
    fn what_is_no_resource_says_why() {
        let cluster = Kind::Cluster.type_url();
        let options = "type.googleapis.com/envoy.config.core.v3.HttpProtocolOptions";
        for (json, words) in [
            (json!([]), "`@type` is missing"),
            (json!({"name": "c"}), "`@type` is missing"),
            (
                json!({"@type": options}),
                "HttpProtocolOptions is not the type",
            ),
            (
                json!({"@type": cluster, "name": ""}),
                "the cluster has no name",
            ),
            (
                json!({"@type": cluster, "nam": "c"}),
                "cluster: unrecognized field",
            ),
            (json!({"@type": cluster, "type": "SOME"}), "cluster: "),
        ] {
            let error = read(&json).unwrap_err().to_string();
            assert!(error.starts_with(words) || error.contains(words), "{error}");
        }
    }

    #[test]
    fn secrets_are_redacted_wherever_they_are() {
        let inline = |text: &str| {
            Some(DataSource {
                specifier: Some(Specifier::InlineBytes(text.as_bytes().to_vec())),
                watched_directory: None,
            })
        };
        let certificate = TlsCertificate {
            certificate_chain: inline("the-chain"),
            private_key: inline("the-key"),
            ..TlsCertificate::default()
        };
        let secret = Secret {
            name: "s".into(),
            r#type: Some(secret::Type::TlsCertificate(certificate.clone())),
        };
        let shown = resource(&Resource::new(Kind::Secret, "s", &secret)).to_string();
        for hidden in ["dGhlLWNoYWlu", "dGhlLWtleQ"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
        assert!(
            shown.contains("W3JlZGFjdGVkXQ==") && shown.contains("\"s\""),
            "{shown}"
        );

        let cluster = Cluster {
            typed_extension_protocol_options: [("o".to_owned(), pack_any(certificate))].into(),
            ..Cluster::default()
        };
        let shown = resource(&Resource::new(Kind::Cluster, "c", &cluster)).to_string();
        assert!(
            !shown.contains("dGhlLWtleQ") && shown.contains("dGhlLWNoYWlu"),
            "{shown}"
        );
    }
}

//! Which other resources a message names, and how a proxy gets ready to use it.
//!
//! In: an encoded resource. Out: its references and its readiness, which make before break goes by.
//! A reference is found wherever it stands, also inside an `Any` of a type whose descriptor is
//! compiled in (build.rs lists them); what another `Any` names is not seen. What a proxy gets from
//! elsewhere (endpoints from a file, a certificate from another server) is no reference. Locum's
//! own emission knows what it writes and says so itself; it does not come here.

use std::collections::BTreeSet;

use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};

use crate::xds::descriptors;
use crate::xds::kind::Kind;
use crate::xds::resource::{Readiness, Reference};
use crate::xds::virtual_hosts;

const ANY: &str = "google.protobuf.Any";
const CLUSTER: &str = "envoy.config.cluster.v3.Cluster";
const DNS_CLUSTER: &str = "envoy.extensions.clusters.dns.v3.DnsCluster";
const ROUTES: &str = "envoy.config.route.v3.RouteConfiguration";
const RDS: &str = "envoy.extensions.filters.network.http_connection_manager.v3.Rds";
const EXTENSION_SOURCE: &str = "envoy.config.core.v3.ExtensionConfigSource";
const SDS: &str = "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig";

/// `Cluster.DiscoveryType` in Envoy's API.
const STRICT_DNS: i32 = 1;
const LOGICAL_DNS: i32 = 2;
const EDS: i32 = 3;

/// Fields that hold the name of a cluster, or a list of names, each after the message it is in.
const CLUSTER_FIELDS: [(&str, &str); 8] = [
    ("envoy.config.core.v3.GrpcService.EnvoyGrpc", "cluster_name"),
    ("envoy.config.core.v3.HttpUri", "cluster"),
    ("envoy.config.route.v3.RouteAction", "cluster"),
    (
        "envoy.config.route.v3.RouteAction.RequestMirrorPolicy",
        "cluster",
    ),
    (
        "envoy.config.route.v3.WeightedCluster.ClusterWeight",
        "name",
    ),
    (
        "envoy.extensions.clusters.aggregate.v3.ClusterConfig",
        "clusters",
    ),
    (
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "cluster",
    ),
    (
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.WeightedCluster.ClusterWeight",
        "name",
    ),
];

/// What a message says of other resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mentions {
    /// The resources that it names.
    pub references: BTreeSet<Reference>,
    /// How a proxy gets ready to use it.
    pub readiness: Readiness,
}

/// What the encoded message `body`, a resource of `kind`, says of others. Bytes that are no such
/// message say nothing.
pub fn of(kind: Kind, body: &[u8]) -> Mentions {
    let mut mentions = Mentions {
        references: BTreeSet::new(),
        readiness: Readiness::Immediate,
    };
    if let Some(message) = decode(kind.type_url(), body) {
        mentions.read(&message);
    }
    mentions
}

fn decode(type_url: &str, bytes: &[u8]) -> Option<DynamicMessage> {
    DynamicMessage::decode(descriptors::message(type_url)?, bytes).ok()
}

impl Mentions {
    fn read(&mut self, message: &DynamicMessage) {
        let descriptor = message.descriptor();
        match descriptor.full_name() {
            ANY => {
                let packed = bytes(message, "value");
                if let Some(packed) = decode(&text(message, "type_url"), &packed) {
                    self.read(&packed);
                }
                return;
            }
            CLUSTER => self.read_cluster(message),
            DNS_CLUSTER => self.readiness = Readiness::Dns,
            ROUTES if has_virtual_hosts_apart(message) => {
                let every = virtual_hosts::every(&text(message, "name"));
                self.name(Kind::VirtualHost, &every);
            }
            RDS if is_of_the_stream(message, "config_source") => {
                self.name(Kind::Route, &text(message, "route_config_name"));
            }
            _ if is_discovered(message) => {
                self.name(Kind::Extension, &text(message, "name"));
            }
            SDS if is_of_the_stream(message, "sds_config") => {
                self.name(Kind::Secret, &text(message, "name"));
            }
            name => {
                let fields = CLUSTER_FIELDS.iter().filter(|(holder, _)| *holder == name);
                for (_, field) in fields {
                    self.name_clusters(message, field);
                }
            }
        }
        for (_, value) in message.fields() {
            self.read_value(value);
        }
    }

    fn read_value(&mut self, value: &Value) {
        match value {
            Value::Message(message) => self.read(message),
            Value::List(values) => values.iter().for_each(|value| self.read_value(value)),
            Value::Map(values) => values.values().for_each(|value| self.read_value(value)),
            _ => {}
        }
    }

    /// Endpoints that come over the stream are those of the service's name or, without one, of the
    /// cluster's.
    fn read_cluster(&mut self, cluster: &DynamicMessage) {
        let kind = cluster.get_field_by_name("type");
        let kind = kind.and_then(|kind| kind.as_enum_number());
        let is_set = cluster.has_field_by_name("type");
        match kind.filter(|_| is_set) {
            Some(STRICT_DNS | LOGICAL_DNS) => self.readiness = Readiness::Dns,
            Some(EDS) => {
                let Some(eds) = part(cluster, "eds_cluster_config") else {
                    return;
                };
                if !is_of_the_stream(&eds, "eds_config") {
                    return;
                }
                let service = text(&eds, "service_name");
                let own = text(cluster, "name");
                let name = if service.is_empty() { own } else { service };
                self.name(Kind::Endpoint, &name);
                self.readiness = match cluster.has_field_by_name("health_checks") {
                    false => Readiness::Endpoints,
                    true => Readiness::Checks,
                };
            }
            _ => {}
        }
    }

    fn name_clusters(&mut self, message: &DynamicMessage, field: &str) {
        if !message.has_field_by_name(field) {
            return;
        }
        match message.get_field_by_name(field).as_deref() {
            Some(Value::String(name)) => self.name(Kind::Cluster, name),
            Some(Value::List(names)) => {
                let names = names.iter().filter_map(Value::as_str);
                names.for_each(|name| self.name(Kind::Cluster, name));
            }
            _ => {}
        }
    }

    fn name(&mut self, kind: Kind, name: &str) {
        if !name.is_empty() {
            self.references.insert((kind, name.into()));
        }
    }
}

/// Whether a config source says that the resource comes over the stream that this one came over.
fn is_of_the_stream(message: &DynamicMessage, field: &str) -> bool {
    part(message, field)
        .is_some_and(|source| source.has_field_by_name("ads") || source.has_field_by_name("self"))
}

/// Whether more virtual hosts of a route configuration come over the stream (VHDS).
fn has_virtual_hosts_apart(routes: &DynamicMessage) -> bool {
    part(routes, "vhds").is_some_and(|vhds| is_of_the_stream(&vhds, "config_source"))
}

/// Whether this is a filter whose configuration is a resource of its own. It is called as the
/// filter is.
fn is_discovered(message: &DynamicMessage) -> bool {
    let source = part(message, "config_discovery");
    let source = source.filter(|source| source.descriptor().full_name() == EXTENSION_SOURCE);
    source.is_some_and(|source| is_of_the_stream(&source, "config_source"))
}

fn part(message: &DynamicMessage, field: &str) -> Option<DynamicMessage> {
    let is_there = message.has_field_by_name(field);
    let value = message.get_field_by_name(field).filter(|_| is_there)?;
    value.as_message().cloned()
}

fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    let text = value.as_deref().and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn bytes(message: &DynamicMessage, field: &str) -> Vec<u8> {
    let value = message.get_field_by_name(field);
    let bytes = value.as_deref().and_then(Value::as_bytes);
    bytes.map(|bytes| bytes.to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::xds::json;

    const PREFIX: &str = "type.googleapis.com/envoy";

    fn references(message: &Json) -> Vec<String> {
        let resource = json::read(message).unwrap();
        let references = resource.references.iter();
        references
            .map(|(kind, name)| format!("{kind} {name}"))
            .collect()
    }

    #[test]
    fn a_listener_names_its_routes_and_what_it_speaks_to_and_with() {
        let ads = json!({"ads": {}});
        let hcm = format!(
            "{PREFIX}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
        );
        let tcp = format!("{PREFIX}.extensions.filters.network.tcp_proxy.v3.TcpProxy");
        let tls = format!("{PREFIX}.extensions.transport_sockets.tls.v3.DownstreamTlsContext");
        let filter = |config: Json| json!({"filters": [{"name": "f", "typed_config": config}]});
        let mut http = filter(json!({
            "@type": hcm,
            "rds": {"route_config_name": "web", "config_source": ads},
        }));
        http["transport_socket"] = json!({"name": "tls", "typed_config": {
            "@type": tls,
            "common_tls_context": {"tls_certificate_sds_secret_configs": [
                {"name": "certificate", "sds_config": ads},
                {"name": "of a file", "sds_config": {"path_config_source": {"path": "/x"}}},
            ]},
        }});
        let split = json!({"clusters": [{"name": "a", "weight": 1}, {"name": "b", "weight": 1}]});
        let listener = json!({
            "@type": Kind::Listener.type_url(),
            "name": "edge",
            "filter_chains": [
                http,
                filter(json!({"@type": tcp, "stat_prefix": "t", "cluster": "database"})),
                filter(json!({"@type": tcp, "stat_prefix": "t", "weighted_clusters": split})),
            ],
            "api_listener": {"api_listener": {"@type": hcm, "route_config": {"virtual_hosts": [
                {"name": "v", "domains": ["*"], "routes": [
                    {"match": {"prefix": ""}, "route": {"cluster": "inline"}},
                ]},
            ]}}},
        });
        assert_eq!(
            references(&listener),
            [
                "secret certificate",
                "cluster a",
                "cluster b",
                "cluster database",
                "cluster inline",
                "route web"
            ]
        );
    }

    #[test]
    fn routes_name_every_cluster_that_they_may_send_to() {
        let routes = json!([
            {"match": {"prefix": "/a"}, "route": {
                "cluster": "one",
                "request_mirror_policies": [{"cluster": "mirror"}],
            }},
            {"match": {"prefix": "/b"}, "route": {"weighted_clusters": {"clusters": [
                {"name": "two", "weight": 1}, {"name": "three", "weight": 1},
            ]}}},
            {"match": {"prefix": "/c"}, "direct_response": {"status": 404}},
        ]);
        let route = json!({
            "@type": Kind::Route.type_url(),
            "name": "web",
            "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}],
        });
        assert_eq!(
            references(&route),
            [
                "cluster mirror",
                "cluster one",
                "cluster three",
                "cluster two"
            ]
        );
    }

    #[test]
    fn a_cluster_gets_ready_as_its_endpoints_are_found() {
        let ads = json!({"ads": {}});
        let aggregate = format!("{PREFIX}.extensions.clusters.aggregate.v3.ClusterConfig");
        let dns = format!("{PREFIX}.extensions.clusters.dns.v3.DnsCluster");
        let extension = |name: &str, config: Json| json!({"name": name, "typed_config": config});
        let cases = [
            (json!({"type": "STATIC"}), Readiness::Immediate, vec![]),
            (json!({"type": "STRICT_DNS"}), Readiness::Dns, vec![]),
            (
                json!({"cluster_type": extension("envoy.cluster.dns", json!({"@type": dns}))}),
                Readiness::Dns,
                vec![],
            ),
            (
                json!({"type": "EDS", "eds_cluster_config": {"eds_config": ads}}),
                Readiness::Endpoints,
                vec!["endpoint c"],
            ),
            (
                json!({
                    "type": "EDS",
                    "eds_cluster_config": {"eds_config": ads},
                    "health_checks": [{"tcp_health_check": {}}],
                }),
                Readiness::Checks,
                vec!["endpoint c"],
            ),
            (
                json!({"type": "EDS", "eds_cluster_config": {
                    "eds_config": {"self": {}}, "service_name": "s",
                }}),
                Readiness::Endpoints,
                vec!["endpoint s"],
            ),
            (
                json!({"type": "EDS", "eds_cluster_config": {
                    "eds_config": {"path_config_source": {"path": "/endpoints"}},
                }}),
                Readiness::Immediate,
                vec![],
            ),
            (
                json!({"cluster_type": extension(
                    "envoy.clusters.aggregate",
                    json!({"@type": aggregate, "clusters": ["b", "a"]}),
                )}),
                Readiness::Immediate,
                vec!["cluster a", "cluster b"],
            ),
        ];
        for (mut cluster, readiness, expected) in cases {
            cluster["@type"] = Kind::Cluster.type_url().into();
            cluster["name"] = "c".into();
            assert_eq!(references(&cluster), expected, "{cluster}");
            assert_eq!(
                json::read(&cluster).unwrap().readiness,
                readiness,
                "{cluster}"
            );
        }
    }

    #[test]
    fn bytes_that_are_no_message_name_nothing() {
        assert!(of(Kind::Cluster, b"\xff\xff").references.is_empty());
    }
}

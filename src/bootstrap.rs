//! The bootstrap: what an Envoy has to be told before it can ask Locum for the rest.
//!
//! In: which Gateway the proxy serves, where Locum's xDS server and the proxy's admin interface
//! are. Out: the text of a bootstrap file, with mutual TLS also of the two files that it names. It
//! names no route or backend; those come over the stream. Equal input gives equal text.

mod ready;
mod tls;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use envoy_types::pb::envoy::config::bootstrap::v3 as pb;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use envoy_types::pb::envoy::config::overload::v3::{
    OverloadManager, ResourceMonitor, resource_monitor,
};
use envoy_types::pb::envoy::extensions::resource_monitors::downstream_connections::v3::DownstreamConnectionsConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::google::protobuf::{Struct, Value, value};
use envoy_types::util::pack_any;
use prost::{Message as _, Name as _};
use serde::{Deserialize, Serialize};

use crate::model::MAX_EXPRESSION;
use crate::resource::ObjectName;
use crate::xds::json;
use crate::xds::message::Variant;
use crate::xds::wire::{ads, duration, packed, pipe, socket_address, spoken};

pub use ready::READY;
pub use tls::ProxyTls;

/// The name of the cluster that is Locum's xDS server.
pub const XDS_CLUSTER: &str = "locum";

/// How long a connection to the xDS server may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause before the stream is opened again: at first, and at most. Envoy's own reaches 30 s.
const RECONNECT_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How often the connection is asked for a sign of life, and how long that may take.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// A proxy waits for its clusters and listeners for ever: without them it is not ready, and says
/// so.
const CONFIGURATION_TIMEOUT: Duration = Duration::ZERO;
/// Client connections that one proxy holds at once; more are closed when they come.
const MAX_DOWNSTREAM_CONNECTIONS: i64 = 50_000;

/// Who may use a socket that Envoy makes.
const OWNER_ONLY: u32 = 0o600;

const DOWNSTREAM_CONNECTIONS: &str = "envoy.resource_monitors.global_downstream_max_connections";

/// What one proxy's bootstrap depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// The proxy's own name, `node.id`.
    pub node_id: String,
    /// The Gateway that it serves, `node.cluster`.
    pub gateway: ObjectName,
    /// Where it finds Locum.
    pub xds: XdsAddress,
    /// How it asks there.
    pub variant: Variant,
    /// How the two know each other; nothing for plaintext.
    pub tls: Option<ProxyTls>,
    pub admin: AdminAddress,
    /// A port at which everybody may ask whether the proxy is ready.
    pub ready_port: Option<u16>,
}

/// Where a proxy finds Locum's xDS server. In text an address or a name with a port, or `unix:` and a
/// path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum XdsAddress {
    Ip(SocketAddr),
    /// A name that the proxy looks up, and the port.
    Name(String, u16),
    /// A Unix socket's path.
    Unix(PathBuf),
}

/// Where a proxy's admin interface listens. Whoever reaches it controls the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    Ip(SocketAddr),
    /// A Unix socket's path; only its owner may use it.
    Unix(PathBuf),
}

impl fmt::Display for XdsAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(formatter),
            Self::Name(name, port) => write!(formatter, "{name}:{port}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

impl From<XdsAddress> for String {
    fn from(address: XdsAddress) -> Self {
        address.to_string()
    }
}

impl TryFrom<String> for XdsAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for XdsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Ip(address));
        }
        let parts = text.rsplit_once(':');
        let named = parts.and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?)));
        match named {
            Some((name, port)) if !name.is_empty() && !name.contains(':') && port != 0 => {
                Ok(Self::Name(name.to_owned(), port))
            }
            _ => Err("expected HOST:PORT, such as 127.0.0.1:18000, or unix:PATH".into()),
        }
    }
}

impl Bootstrap {
    /// The bootstrap as JSON, in the form of [`json`].
    pub fn json(&self) -> serde_json::Value {
        json::message(&pb::Bootstrap::type_url(), &self.message().encode_to_vec())
            .expect("a bootstrap holds compiled types only")
    }

    /// The bootstrap as a YAML document.
    pub fn yaml(&self) -> String {
        serde_saphyr::to_string(&self.json()).expect("JSON values can be written as YAML")
    }

    fn message(&self) -> pb::Bootstrap {
        pb::Bootstrap {
            node: Some(core::Node {
                id: self.node_id.clone(),
                cluster: self.gateway.to_string(),
                ..core::Node::default()
            }),
            static_resources: Some(pb::bootstrap::StaticResources {
                clusters: self.clusters(),
                listeners: self.ready_port.map(ready::listener).into_iter().collect(),
                ..Default::default()
            }),
            dynamic_resources: Some(pb::bootstrap::DynamicResources {
                ads_config: Some(core::ApiConfigSource {
                    api_type: api_type(self.variant).into(),
                    set_node_on_first_message_only: true,
                    ..to_locum()
                }),
                cds_config: Some(ads(CONFIGURATION_TIMEOUT)),
                lds_config: Some(ads(CONFIGURATION_TIMEOUT)),
                ..Default::default()
            }),
            cluster_manager: Some(pb::ClusterManager {
                // With thousands of clusters a start takes half the time and memory.
                enable_deferred_cluster_creation: true,
                load_stats_config: Some(core::ApiConfigSource {
                    api_type: core::api_config_source::ApiType::Grpc.into(),
                    ..to_locum()
                }),
                ..pb::ClusterManager::default()
            }),
            deferred_stat_options: Some(pb::bootstrap::DeferredStatOptions {
                enable_deferred_creation_stats: true,
            }),
            layered_runtime: Some(runtime()),
            overload_manager: Some(overload_manager()),
            admin: Some(pb::Admin {
                address: Some(self.admin_address(OWNER_ONLY)),
                ..pb::Admin::default()
            }),
            ..pb::Bootstrap::default()
        }
    }

    fn xds_cluster(&self) -> Cluster {
        let (discovery, address) = match &self.xds {
            XdsAddress::Ip(address) => (DiscoveryType::Static, ip_address(*address)),
            XdsAddress::Name(name, port) => {
                (DiscoveryType::StrictDns, socket_address(name, *port, false))
            }
            XdsAddress::Unix(path) => (DiscoveryType::Static, pipe(&path.to_string_lossy(), 0)),
        };
        Cluster {
            cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery.into())),
            typed_extension_protocol_options: packed(spoken(http2_with_pings(), None)),
            transport_socket: self.tls.as_ref().map(ProxyTls::socket),
            ..static_cluster(XDS_CLUSTER, address)
        }
    }

    fn clusters(&self) -> Vec<Cluster> {
        let admin = || ready::cluster(self.admin_address(0));
        [self.xds_cluster()]
            .into_iter()
            .chain(self.ready_port.map(|_| admin()))
            .collect()
    }

    /// `mode` is for a socket that Envoy makes.
    fn admin_address(&self, mode: u32) -> core::Address {
        match &self.admin {
            AdminAddress::Ip(address) => ip_address(*address),
            AdminAddress::Unix(path) => pipe(&path.to_string_lossy(), mode),
        }
    }
}

/// A cluster of one address.
fn static_cluster(name: &str, address: core::Address) -> Cluster {
    let endpoint = LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(address),
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    };
    Cluster {
        name: name.into(),
        connect_timeout: Some(duration(CONNECT_TIMEOUT)),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: name.into(),
            endpoints: vec![LocalityLbEndpoints {
                lb_endpoints: vec![endpoint],
                ..LocalityLbEndpoints::default()
            }],
            ..ClusterLoadAssignment::default()
        }),
        ..Cluster::default()
    }
}

fn api_type(variant: Variant) -> core::api_config_source::ApiType {
    match variant {
        Variant::Delta => core::api_config_source::ApiType::DeltaGrpc,
        Variant::StateOfTheWorld => core::api_config_source::ApiType::Grpc,
    }
}

/// Over gRPC to Locum, with quick attempts to come back.
fn to_locum() -> core::ApiConfigSource {
    let retry_policy = core::RetryPolicy {
        retry_back_off: Some(core::BackoffStrategy {
            base_interval: Some(duration(RECONNECT_PAUSE.0)),
            max_interval: Some(duration(RECONNECT_PAUSE.1)),
        }),
        ..core::RetryPolicy::default()
    };
    let service = core::grpc_service::EnvoyGrpc {
        cluster_name: XDS_CLUSTER.into(),
        retry_policy: Some(retry_policy),
        ..core::grpc_service::EnvoyGrpc::default()
    };
    core::ApiConfigSource {
        transport_api_version: core::ApiVersion::V3.into(),
        grpc_services: vec![core::GrpcService {
            target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(service)),
            ..core::GrpcService::default()
        }],
        ..core::ApiConfigSource::default()
    }
}

fn http2_with_pings() -> ProtocolConfig {
    ProtocolConfig::Http2ProtocolOptions(core::Http2ProtocolOptions {
        connection_keepalive: Some(core::KeepaliveSettings {
            interval: Some(duration(PING_INTERVAL)),
            timeout: Some(duration(PING_TIMEOUT)),
            ..core::KeepaliveSettings::default()
        }),
        ..core::Http2ProtocolOptions::default()
    })
}

/// Envoy's switches that have no field of their own.
fn runtime() -> pb::LayeredRuntime {
    let limit = Value {
        kind: Some(value::Kind::NumberValue(MAX_EXPRESSION.into())),
    };
    pb::LayeredRuntime {
        layers: vec![pb::RuntimeLayer {
            name: "locum".into(),
            layer_specifier: Some(pb::runtime_layer::LayerSpecifier::StaticLayer(Struct {
                fields: [("re2.max_program_size.error_level".to_owned(), limit)].into(),
            })),
        }],
    }
}

fn overload_manager() -> OverloadManager {
    let limit = DownstreamConnectionsConfig {
        max_active_downstream_connections: MAX_DOWNSTREAM_CONNECTIONS,
    };
    OverloadManager {
        resource_monitors: vec![ResourceMonitor {
            name: DOWNSTREAM_CONNECTIONS.into(),
            config_type: Some(resource_monitor::ConfigType::TypedConfig(pack_any(limit))),
        }],
        ..OverloadManager::default()
    }
}

fn ip_address(address: SocketAddr) -> core::Address {
    socket_address(&address.ip().to_string(), address.port(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locum_is_found_by_address_by_name_or_by_socket() {
        let read = str::parse::<XdsAddress>;
        let ip = XdsAddress::Ip("127.0.0.1:18000".parse().unwrap());
        let name = XdsAddress::Name("locum.system".into(), 18000);
        let socket = XdsAddress::Unix("/run/x".into());
        for (text, address) in [
            ("127.0.0.1:18000", ip),
            ("locum.system:18000", name),
            ("unix:/run/x", socket),
        ] {
            assert_eq!(address.to_string(), text);
            assert_eq!(read(text), Ok(address));
        }
        for text in ["locum.system", ":18000", "a:0", "unix:"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}

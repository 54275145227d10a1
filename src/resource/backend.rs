//! Backend (gateway.envoyproxy.io/v1alpha1): endpoints that are not a Service's, and whether they
//! stand by.
//!
//! Field names, limits and rules are those of Envoy Gateway's CRD, so that manifests keep their
//! meaning.

#![allow(
    unreachable_pub,
    reason = "KubeSchema copies the structs, with their `pub`, into functions"
)]
#![allow(
    clippy::duplicated_attributes,
    reason = "two columns of kubectl's table have types in common"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Host names as Envoy Gateway takes them in `hostname` and `sni`.
const HOSTNAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// The same, with a trailing dot allowed.
const FQDN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\.?$";

/// The pattern of an address, as the CRD has it.
pub(super) const IP: &str = r"^((25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.){3}(25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)$|^(([0-9a-fA-F]{1,4}:){1,7}[0-9a-fA-F]{1,4}|::|(([0-9a-fA-F]{1,4}:){0,5})?(:[0-9a-fA-F]{1,4}){1,2})$";

/// `System`, or a name with a domain before it.
const WELL_KNOWN: &str = r"^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]))$";

/// API groups, empty for Kubernetes' core group.
const GROUP: &str = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const KIND: &str = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$";

/// Where a backend is, how it is spoken to, and whether it stands by for others.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "gateway.envoyproxy.io",
    version = "v1alpha1",
    kind = "Backend",
    namespaced,
    status = "BackendStatus",
    shortname = "be",
    category = "envoy-gateway",
    derive = "PartialEq",
    doc = "Where requests can be sent that is not a Service of the cluster (names, IP addresses, Unix \
           sockets), how it is spoken to, and whether it stands by for others.",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Fallback", type_ = "boolean", json_path = ".spec.fallback"),
    printcolumn(
        name = "Endpoint",
        type_ = "string",
        description = "The first endpoint",
        json_path = ".spec.endpoints[*]['fqdn.hostname','ip.address','unix.path']"
    ),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Accepted")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Accepted")].reason"#,
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type != 'DynamicResolver' || !has(self.endpoints)")
        .message("DynamicResolver type cannot have endpoints specified"),
    validation = Rule::new(
        "self.type != 'DynamicResolver' || !has(self.tls) \
         || !has(self.tls.autoSNIFromEndpointHostname) || !self.tls.autoSNIFromEndpointHostname"
    )
    .message("DynamicResolver type cannot have autoSNIFromEndpointHostname set"),
    validation = Rule::new(
        "!has(self.tls) || !has(self.tls.autoSNIFromEndpointHostname) \
         || !self.tls.autoSNIFromEndpointHostname || !has(self.endpoints) \
         || self.endpoints.all(e, (!has(e.ip) && !has(e.unix)) || has(e.hostname))"
    )
    .message("with autoSNIFromEndpointHostname, ip and unix endpoints need a hostname")
)]
pub struct BackendSpec {
    /// Whether the endpoints are listed here or taken from each request's host.
    #[serde(default)]
    pub r#type: BackendType,
    /// Where requests are sent to. All by name, or none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(
        validation = Rule::new("self.all(f, has(f.fqdn)) || !self.exists(f, has(f.fqdn))")
            .message("fqdn addresses cannot be mixed with other address types")
    )]
    pub endpoints: Vec<BackendEndpoint>,
    /// What the endpoints speak; HTTP/1.1 where nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub app_protocols: Vec<AppProtocol>,
    /// Whether this backend stands by: it gets requests only while none that does not stand by can
    /// serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<bool>,
    /// TLS towards the endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<BackendTls>,
}

/// Where a Backend's endpoints come from.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum BackendType {
    /// From `endpoints`.
    #[default]
    Endpoints,
    /// From the host of each request.
    DynamicResolver,
}

/// One endpoint: exactly one of `fqdn`, `ip` and `unix`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.fqdn) || has(self.ip) || has(self.unix)")
        .message("one of fqdn, ip or unix must be specified"),
    validation = Rule::new(
        "!(has(self.fqdn) && has(self.ip)) && !(has(self.ip) && has(self.unix)) \
         && !(has(self.unix) && has(self.fqdn))"
    )
    .message("only one of fqdn, ip or unix can be specified")
)]
pub struct BackendEndpoint {
    /// The name to say to the endpoint where it is not its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = HOSTNAME))]
    pub hostname: Option<String>,
    /// By name, looked up in DNS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<FqdnEndpoint>,
    /// By IP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpEndpoint>,
    /// By Unix socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unix: Option<UnixSocket>,
    /// The zone the endpoint is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// A name and a port.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct FqdnEndpoint {
    /// A DNS name.
    #[schemars(length(min = 1, max = 253), regex(pattern = FQDN))]
    pub hostname: String,
    /// The port at that name.
    pub port: u16,
}

/// An IP address and a port.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct IpEndpoint {
    /// An IPv4 or IPv6 address.
    #[schemars(length(min = 3, max = 45), regex(pattern = IP))]
    pub address: String,
    /// The port at that address.
    pub port: u16,
}

/// A Unix domain socket.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixSocket {
    /// The path of the socket.
    #[x_kube(
        validation = Rule::new("size(self) <= 108")
            .message("unix domain socket path must not exceed 108 characters")
    )]
    pub path: String,
}

/// What an endpoint speaks.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum AppProtocol {
    /// HTTP/2; without TLS by prior knowledge.
    #[serde(rename = "gateway.envoyproxy.io/h2c")]
    H2c,
    /// WebSocket over HTTP/1.1.
    #[serde(rename = "gateway.envoyproxy.io/ws")]
    Ws,
    /// WebSocket over HTTP/1.1 with TLS.
    #[serde(rename = "gateway.envoyproxy.io/wss")]
    Wss,
}

/// TLS towards a backend.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "!(has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0 \
         && has(self.wellKnownCACertificates) && self.wellKnownCACertificates != '')"
    )
    .message("must not contain both CACertificateRefs and WellKnownCACertificates"),
    validation = Rule::new(
        "!((has(self.insecureSkipVerify) && self.insecureSkipVerify) \
         && ((has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0) \
         || (has(self.wellKnownCACertificates) && self.wellKnownCACertificates != '')))"
    )
    .message(
        "must not contain either CACertificateRefs or WellKnownCACertificates when \
         InsecureSkipVerify is enabled"
    ),
    validation = Rule::new(
        "!(has(self.sni) && has(self.autoSNIFromEndpointHostname) && self.autoSNIFromEndpointHostname)"
    )
    .message("sni and autoSNIFromEndpointHostname are mutually exclusive"),
    validation = Rule::new(
        "has(self.minVersion) && self.minVersion == '1.3' ? !has(self.ciphers) : true"
    )
    .message("setting ciphers has no effect if the minimum possible TLS version is 1.3"),
    validation = Rule::new(
        "has(self.minVersion) && has(self.maxVersion) \
         ? {'Auto':0,'1.0':1,'1.1':2,'1.2':3,'1.3':4}[self.minVersion] \
         <= {'1.0':1,'1.1':2,'1.2':3,'1.3':4,'Auto':5}[self.maxVersion] \
         : !has(self.minVersion) && has(self.maxVersion) \
         ? 3 <= {'1.0':1,'1.1':2,'1.2':3,'1.3':4,'Auto':5}[self.maxVersion] : true"
    )
    .message("minVersion must be smaller or equal to maxVersion")
)]
pub struct BackendTls {
    /// ConfigMaps or Secrets whose `ca.crt` the endpoint's certificate is checked against.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        rename = "caCertificateRefs"
    )]
    #[schemars(length(max = 8))]
    pub ca_certificate_refs: Vec<LocalObjectReference>,
    /// `System`: the authorities that the proxy's own system trusts, in
    /// `/etc/ssl/certs/ca-certificates.crt`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "wellKnownCACertificates"
    )]
    #[schemars(length(min = 1, max = 253), regex(pattern = WELL_KNOWN))]
    pub well_known_ca_certificates: Option<String>,
    /// Whether the endpoint's certificate is not checked at all.
    #[serde(default)]
    pub insecure_skip_verify: bool,
    /// The server name to say, which the certificate must be for. Where nothing is said, it is each
    /// endpoint's own name; an endpoint without one is asked for by none, and its certificate must be
    /// for its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = HOSTNAME))]
    pub sni: Option<String>,
    /// Whether the server name is the endpoint's own name, as it is without `sni` in any case.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        rename = "autoSNIFromEndpointHostname"
    )]
    pub auto_sni_from_endpoint_hostname: Option<bool>,
    /// A Secret of this namespace with the certificate that the proxy shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<SecretReference>,
    /// The oldest version spoken, 1.2 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<TlsVersion>,
    /// The newest version spoken, 1.3 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_version: Option<TlsVersion>,
    /// Cipher suites for TLS 1.0 to 1.2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ciphers: Vec<String>,
    /// Elliptic curves for the key exchange.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ecdh_curves: Vec<String>,
    /// Signature algorithms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signature_algorithms: Vec<String>,
    /// The protocols offered, `h2` and `http/1.1` where nothing is said: what is negotiated is spoken.
    /// With an empty list it is HTTP/1.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn_protocols: Option<Vec<String>>,
    /// TLS fingerprints; towards a backend they have no effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fingerprints: Vec<TlsFingerprint>,
}

/// A ConfigMap or Secret of the same namespace.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct LocalObjectReference {
    /// The API group, empty for ConfigMap and Secret.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: String,
    /// The kind.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = KIND)
    )]
    pub kind: String,
    /// The name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A Secret.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, JsonSchema)]
pub struct SecretReference {
    /// The API group, empty for a Secret.
    #[serde(default)]
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: String,
    /// The kind, `Secret`.
    #[serde(default = "secret_kind")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = KIND)
    )]
    pub kind: String,
    /// The name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The namespace, which must be the Backend's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub namespace: Option<String>,
}

fn secret_kind() -> String {
    "Secret".into()
}

/// A version of TLS.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum TlsVersion {
    /// The proxy's choice.
    Auto,
    #[serde(rename = "1.0")]
    V1_0,
    #[serde(rename = "1.1")]
    V1_1,
    #[serde(rename = "1.2")]
    V1_2,
    #[serde(rename = "1.3")]
    V1_3,
}

/// A TLS fingerprint.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum TlsFingerprint {
    Ja3,
    Ja4,
}

/// What Locum says about a Backend.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
pub struct BackendStatus {
    /// At most one for each type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), transform = crate::resource::schema::one_for_each_type)]
    pub conditions: Vec<Condition>,
}

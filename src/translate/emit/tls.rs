//! TLS towards members: a transport socket for each that wants it, and the secrets they name.
//!
//! Members of one cluster may each have TLS of their own, or none. Each member's endpoints say whose
//! they are in their metadata, and the cluster has a socket for each such member. Certificates and
//! authorities come as secrets of their own: a proxy that cannot read one (a system without
//! authorities) has a member that it cannot connect to, not a cluster that it refuses, and the next
//! tier serves.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::cluster::TransportSocketMatch;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as pb;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::{
    CombinedCertificateValidationContext, ValidationContextType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::tls_parameters::TlsProtocol;
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind as ValueKind};

use super::connection;
use crate::model::{
    ChainSettings, Member, Protocol, Secret, SecretContent, SecretName, ServerName, Tls, TlsVersion,
};
use crate::xds::wire::ads;

/// Where the systems that Envoy's images are made from, Debian's and their like, keep the
/// authorities they believe.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// How long a socket waits for its secrets before its cluster goes on without: connections then
/// fail.
const SECRETS_TIMEOUT: Duration = Duration::from_secs(15);

/// The part of an endpoint's metadata by which Envoy chooses its socket, and the field in it.
const MATCH: &str = "envoy.transport_socket_match";
const MEMBER: &str = "member";

/// What TLS calls the protocols that Envoy speaks.
pub(super) const HTTP1: &str = "http/1.1";
pub(super) const HTTP2: &str = "h2";

/// The sockets of one cluster.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    /// For endpoints that name no member.
    pub default: Option<core::TransportSocket>,
    pub matches: Vec<TransportSocketMatch>,
    /// The secrets that they name.
    pub secrets: BTreeSet<SecretName>,
}

impl Sockets {
    /// The one socket for all endpoints, where these cannot say whose they are.
    pub(super) fn for_all(mut self) -> Self {
        if let Some(only) = self.matches.pop() {
            self.default = only.transport_socket;
        }
        self.matches.clear();
        self
    }
}

/// The sockets of a cluster with these members, which are spoken to in `protocol`.
pub(super) fn sockets<'a>(
    members: impl Iterator<Item = &'a Member>,
    settings: &ChainSettings,
    protocol: Protocol,
) -> Sockets {
    let mut sockets = Sockets {
        default: connection::transport_socket(settings, None),
        ..Sockets::default()
    };
    let mut seen = BTreeSet::new();
    for member in members {
        let Some(tls) = member.tls.as_deref().filter(|_| seen.insert(&member.name)) else {
            continue;
        };
        let context = context(tls, settings, protocol);
        let inner = connection::socket("envoy.transport_sockets.tls", context);
        let socket = connection::transport_socket(settings, Some(inner));
        // Where the protocol is negotiated, Envoy takes no socket that cannot.
        if protocol == Protocol::Negotiated && sockets.matches.is_empty() {
            sockets.default.clone_from(&socket);
        }
        sockets.matches.push(TransportSocketMatch {
            name: member.name.clone(),
            r#match: Some(criterion(member)),
            transport_socket: socket,
        });
        sockets.secrets.extend(tls.secrets().cloned());
    }
    sockets
}

/// What says in an endpoint's metadata that it is of a member with TLS of its own.
pub(super) fn metadata(member: &Member) -> Option<core::Metadata> {
    member.tls.as_ref().map(|_| core::Metadata {
        filter_metadata: HashMap::from([(MATCH.to_owned(), criterion(member))]),
        ..core::Metadata::default()
    })
}

fn criterion(member: &Member) -> Struct {
    let name = Value {
        kind: Some(ValueKind::StringValue(member.name.clone())),
    };
    Struct {
        fields: HashMap::from([(MEMBER.to_owned(), name)]),
    }
}

fn context(tls: &Tls, settings: &ChainSettings, protocol: Protocol) -> pb::UpstreamTlsContext {
    let (sni, auto_host_sni) = match &tls.server_name {
        ServerName::Given(name) => (name.clone(), false),
        ServerName::OfEndpoint => (String::new(), true),
    };
    let secret = |name: &SecretName| pb::SdsSecretConfig {
        name: name.0.clone(),
        sds_config: Some(ads(SECRETS_TIMEOUT)),
    };
    let trust = tls.authorities.as_ref().map(|authorities| {
        let authorities = secret(authorities);
        if tls.addresses.is_empty() {
            return ValidationContextType::ValidationContextSdsSecretConfig(authorities);
        }
        ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
            default_validation_context: Some(pb::CertificateValidationContext {
                match_typed_subject_alt_names: addresses(tls),
                ..pb::CertificateValidationContext::default()
            }),
            validation_context_sds_secret_config: Some(authorities),
            ..CombinedCertificateValidationContext::default()
        })
    });
    pb::UpstreamTlsContext {
        sni,
        auto_host_sni,
        auto_sni_san_validation: trust.is_some(),
        common_tls_context: Some(pb::CommonTlsContext {
            tls_params: Some(parameters(tls)),
            tls_certificate_sds_secret_configs: tls.certificate.iter().map(secret).collect(),
            alpn_protocols: alpn(&tls.alpn, settings, protocol),
            validation_context_type: trust,
            ..pb::CommonTlsContext::default()
        }),
        ..pb::UpstreamTlsContext::default()
    }
}

/// The addresses that a certificate may be for. They count where no name is said; where one is, it
/// counts alone.
fn addresses(tls: &Tls) -> Vec<pb::SubjectAltNameMatcher> {
    let matcher = |address: String| pb::SubjectAltNameMatcher {
        san_type: SanType::IpAddress.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(address)),
            ..StringMatcher::default()
        }),
        ..pb::SubjectAltNameMatcher::default()
    };
    let addresses = tls.addresses.iter();
    addresses
        .map(|address| matcher(address.to_string()))
        .collect()
}

fn parameters(tls: &Tls) -> pb::TlsParameters {
    let version = |version| match version {
        TlsVersion::V1_0 => TlsProtocol::TlSv10,
        TlsVersion::V1_1 => TlsProtocol::TlSv11,
        TlsVersion::V1_2 => TlsProtocol::TlSv12,
        TlsVersion::V1_3 => TlsProtocol::TlSv13,
    };
    pb::TlsParameters {
        tls_minimum_protocol_version: version(tls.oldest).into(),
        tls_maximum_protocol_version: version(tls.newest).into(),
        cipher_suites: tls.ciphers.clone(),
        ecdh_curves: tls.curves.clone(),
        signature_algorithms: tls.signature_algorithms.clone(),
        ..pb::TlsParameters::default()
    }
}

/// What is offered, less what is not spoken to this cluster. Left empty, Envoy offers what is.
fn alpn(wanted: &[String], settings: &ChainSettings, protocol: Protocol) -> Vec<String> {
    let is_spoken = |name: &&String| match name.as_str() {
        HTTP1 | HTTP2 if settings.use_client_protocol => false,
        HTTP1 => protocol != Protocol::Http2,
        HTTP2 => protocol != Protocol::Http1,
        _ => true,
    };
    wanted.iter().filter(is_spoken).cloned().collect()
}

/// A secret as proxies get it.
pub(super) fn secret(name: &SecretName, secret: &Secret) -> pb::Secret {
    let inline = |text: &str| core::DataSource {
        specifier: Some(Specifier::InlineBytes(text.as_bytes().to_vec())),
        ..core::DataSource::default()
    };
    let trusting = |source| {
        Type::ValidationContext(pb::CertificateValidationContext {
            trusted_ca: Some(source),
            ..pb::CertificateValidationContext::default()
        })
    };
    let content = match &secret.content {
        SecretContent::SystemAuthorities => trusting(core::DataSource {
            specifier: Some(Specifier::Filename(SYSTEM_AUTHORITIES.to_owned())),
            ..core::DataSource::default()
        }),
        SecretContent::Authorities(text) => trusting(inline(text)),
        SecretContent::Certificate { chain, key } => Type::TlsCertificate(pb::TlsCertificate {
            certificate_chain: Some(inline(chain)),
            private_key: Some(inline(key.reveal())),
            ..pb::TlsCertificate::default()
        }),
    };
    pb::Secret {
        name: name.0.clone(),
        r#type: Some(content),
    }
}

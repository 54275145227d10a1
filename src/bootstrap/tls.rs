//! How a proxy and Locum know each other: the proxy's TLS context, and the two files it gets its
//! certificate and its trust through.
//!
//! Envoy re-reads certificates only when they come by SDS, and SDS from a file needs a file. So
//! there are two beside the bootstrap, whose text never changes: each names files in the
//! credentials' folder, which Envoy watches. A folder that a renewed Secret is mounted in is taken
//! over on a live proxy: connections that are open stay, the next one uses the new certificate.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
use envoy_types::util::pack_any;
use prost::Name as _;
use serde_json::{Value, json};
use tls::common_tls_context::ValidationContextType;
use tls::subject_alt_name_matcher::SanType;

use crate::trust::{CERTIFICATE, KEY, TRUST};

/// The secrets' names and those of their files.
const OWN: &str = "proxy-certificate";
const OWN_FILE: &str = "proxy-certificate.json";
const TRUSTED: &str = "locum-trust";
const TRUSTED_FILE: &str = "locum-trust.json";

/// What a proxy needs to know for mutual TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyTls {
    /// The folder with `tls.crt`, `tls.key` and `ca.crt`, as the proxy sees it.
    pub credentials: PathBuf,
    /// The folder with the files of [`ProxyTls::secrets`], as the proxy sees it.
    pub secrets: PathBuf,
    /// What Locum's certificate has to say: a DNS name, an address or a URI.
    pub server: String,
}

impl ProxyTls {
    /// The files that bring the secrets: their names and what stands in them, as JSON.
    pub fn secrets(&self) -> [(&'static str, Value); 2] {
        [
            (OWN_FILE, response(self.own())),
            (TRUSTED_FILE, response(self.trusted())),
        ]
    }

    /// The transport socket of connections to Locum.
    pub(super) fn socket(&self) -> core::TransportSocket {
        let context = tls::UpstreamTlsContext {
            common_tls_context: Some(tls::CommonTlsContext {
                tls_params: Some(tls::TlsParameters {
                    tls_minimum_protocol_version: tls::tls_parameters::TlsProtocol::TlSv13.into(),
                    tls_maximum_protocol_version: tls::tls_parameters::TlsProtocol::TlSv13.into(),
                    ..tls::TlsParameters::default()
                }),
                alpn_protocols: vec!["h2".into()],
                tls_certificate_sds_secret_configs: vec![self.secret(OWN, OWN_FILE)],
                validation_context_type: Some(
                    ValidationContextType::ValidationContextSdsSecretConfig(
                        self.secret(TRUSTED, TRUSTED_FILE),
                    ),
                ),
                ..tls::CommonTlsContext::default()
            }),
            sni: match san(&self.server) {
                SanType::Dns => self.server.clone(),
                _ => String::new(),
            },
            ..tls::UpstreamTlsContext::default()
        };
        core::TransportSocket {
            name: "envoy.transport_sockets.tls".into(),
            config_type: Some(core::transport_socket::ConfigType::TypedConfig(pack_any(
                context,
            ))),
        }
    }

    fn secret(&self, name: &str, file: &str) -> tls::SdsSecretConfig {
        let source = core::PathConfigSource {
            path: path(&self.secrets, file),
            ..core::PathConfigSource::default()
        };
        tls::SdsSecretConfig {
            name: name.into(),
            sds_config: Some(core::ConfigSource {
                resource_api_version: core::ApiVersion::V3.into(),
                config_source_specifier: Some(
                    core::config_source::ConfigSourceSpecifier::PathConfigSource(source),
                ),
                ..core::ConfigSource::default()
            }),
        }
    }

    fn own(&self) -> Value {
        json!({
            "name": OWN,
            "tls_certificate": {
                "certificate_chain": self.file(CERTIFICATE),
                "private_key": self.file(KEY),
                "watched_directory": self.watched(),
            },
        })
    }

    fn trusted(&self) -> Value {
        json!({
            "name": TRUSTED,
            "validation_context": {
                "trusted_ca": self.file(TRUST),
                "watched_directory": self.watched(),
                "match_typed_subject_alt_names": [{
                    "san_type": san(&self.server).as_str_name(),
                    "matcher": {"exact": self.server},
                }],
            },
        })
    }

    fn file(&self, name: &str) -> Value {
        json!({"filename": path(&self.credentials, name)})
    }

    fn watched(&self) -> Value {
        json!({"path": self.credentials})
    }
}

/// The form in which Envoy reads a secret from a file. It is written by hand because the canonical
/// form shows nothing of a secret, not even where it is.
fn response(mut secret: Value) -> Value {
    secret["@type"] = tls::Secret::type_url().into();
    json!({"resources": [secret]})
}

/// What kind of name this is.
fn san(name: &str) -> SanType {
    if name.contains("://") {
        SanType::Uri
    } else if name.parse::<IpAddr>().is_ok() {
        SanType::IpAddress
    } else {
        SanType::Dns
    }
}

fn path(folder: &Path, file: &str) -> String {
    folder.join(file).to_string_lossy().into_owned()
}

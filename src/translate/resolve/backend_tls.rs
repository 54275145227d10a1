//! TLS towards a Backend: what its `tls` says, with what it refers to.
//!
//! In: a Backend, ConfigMaps and Secrets. Out: how it is spoken to, and the secrets that proxies need
//! for it; or why it cannot be. A Backend with TLS is never spoken to without, and never in a way
//! that Envoy would refuse: one bad name of a cipher would cost its whole chain the cluster.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::ByteString;

use super::backends::Refusal;
use crate::model::{self, Secret, SecretContent, SecretName, ServerName, Tls};
use crate::problem::Problem;
use crate::resource::backend::{BackendEndpoint, BackendTls, LocalObjectReference, TlsVersion};
use crate::resource::{self, Backend, ConfigMap, Key, Kind, ObjectName};
use crate::status::reasons;
use crate::translate::{names, read::Reader};
use crate::trust::{self, CERTIFICATE, Certificate, Flaw, KEY, KeyPem, TRUST};

/// The one set of well-known authorities there is.
const SYSTEM: &str = "System";

/// What Envoy 1.40 takes as ciphers of TLS 1.2 and older.
const CIPHERS: [&str; 17] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-PSK-AES128-CBC-SHA",
    "ECDHE-PSK-AES256-CBC-SHA",
    "ECDHE-PSK-CHACHA20-POLY1305",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
];
/// The same of curves.
const CURVES: [&str; 5] = ["X25519", "P-256", "P-384", "P-521", "X25519MLKEM768"];
/// The same of signature algorithms.
const SIGNATURES: [&str; 12] = [
    "rsa_pkcs1_sha256",
    "rsa_pkcs1_sha384",
    "rsa_pkcs1_sha512",
    "ecdsa_secp256r1_sha256",
    "ecdsa_secp384r1_sha384",
    "ecdsa_secp521r1_sha512",
    "rsa_pss_rsae_sha256",
    "rsa_pss_rsae_sha384",
    "rsa_pss_rsae_sha512",
    "ed25519",
    "rsa_pkcs1_sha1",
    "ecdsa_sha1",
];

/// TLS towards one Backend.
#[derive(Debug)]
pub(super) struct Found {
    pub tls: Arc<Tls>,
    /// What it names.
    pub secrets: Vec<(SecretName, Secret)>,
}

/// What a Backend says of TLS, if it says anything.
pub(super) fn tls(backend: &Backend, reader: &Reader<'_>) -> Result<Option<Found>, Refusal> {
    let Some(spec) = &backend.spec.tls else {
        return Ok(None);
    };
    let key = Key::of(Kind::Backend, &backend.metadata);
    let lookup = Lookup { reader, key: &key };
    let authorities = lookup.authorities(spec)?;
    let certificate = lookup.certificate(spec)?;
    let (oldest, newest) = versions(spec)?;
    let tls = Tls {
        authorities: authorities.as_ref().map(|(name, _)| name.clone()),
        server_name: server_name(spec),
        addresses: addresses(backend, spec)?,
        certificate: certificate.as_ref().map(|(name, _)| name.clone()),
        oldest,
        newest,
        ciphers: known("ciphers", &spec.ciphers, is_cipher)?,
        curves: known("ecdhCurves", &spec.ecdh_curves, |name| {
            CURVES.contains(&name)
        })?,
        signature_algorithms: known("signatureAlgorithms", &spec.signature_algorithms, |name| {
            SIGNATURES.contains(&name)
        })?,
        alpn: alpn(spec)?,
    };
    Ok(Some(Found {
        tls: tls.into(),
        secrets: authorities.into_iter().chain(certificate).collect(),
    }))
}

/// What the owner of a Backend should know of its TLS, though it is served.
pub(super) fn notes(key: &Key, backend: &Backend) -> Vec<Problem> {
    let Some(spec) = &backend.spec.tls else {
        return Vec::new();
    };
    let mut notes = Vec::new();
    let mut idle = |field: &str, message: &str| {
        let note = Problem::warning(key, field, reasons::NO_EFFECT, message.into());
        notes.push(note);
    };
    if !spec.fingerprints.is_empty() {
        let message = "Fingerprints are of those who connect to the proxy: towards a backend they do nothing.";
        idle("spec.tls.fingerprints", message);
    }
    if spec.alpn_protocols.as_ref().is_some_and(Vec::is_empty) {
        let message =
            "Envoy always offers what it speaks: with an empty list that is http/1.1 alone.";
        idle("spec.tls.alpnProtocols", message);
    }
    if spec.sni.is_none() {
        let endpoints = backend.spec.endpoints.iter().enumerate();
        let nameless = endpoints.filter(|(_, endpoint)| address_alone(endpoint).is_some());
        notes.extend(nameless.map(|(index, _)| {
            let checked = match spec.insecure_skip_verify {
                true => "",
                false => ", and its certificate must be for its address",
            };
            let message = format!(
                "The endpoint has no name, so none is said in TLS{checked}. Say spec.tls.sni or the endpoint's hostname."
            );
            let field = format!("spec.endpoints[{index}].hostname");
            Problem::warning(key, &field, reasons::NO_SERVER_NAME, message)
        }));
    }
    notes
}

fn refuse(field: impl Into<String>, message: impl Into<String>) -> Refusal {
    Refusal::new(reasons::INVALID_BACKEND_TLS, field, message)
}

fn server_name(spec: &BackendTls) -> ServerName {
    match &spec.sni {
        Some(name) => ServerName::Given(name.clone()),
        None => ServerName::OfEndpoint,
    }
}

/// The addresses of endpoints that have nothing else to be called by.
fn addresses(backend: &Backend, spec: &BackendTls) -> Result<Vec<IpAddr>, Refusal> {
    if spec.sni.is_some() || spec.insecure_skip_verify {
        return Ok(Vec::new());
    }
    let endpoints = &backend.spec.endpoints;
    let is_nameless =
        |endpoint: &BackendEndpoint| endpoint.unix.is_some() && endpoint.hostname.is_none();
    if let Some(index) = endpoints.iter().position(is_nameless) {
        let message = "A Unix socket has no name that its certificate could be for. Say the endpoint's hostname, or \
                       spec.tls.sni.";
        return Err(refuse(format!("spec.endpoints[{index}].hostname"), message));
    }
    let addresses: BTreeSet<IpAddr> = endpoints.iter().filter_map(address_alone).collect();
    Ok(addresses.into_iter().collect())
}

/// The address of an endpoint that has no name.
fn address_alone(endpoint: &BackendEndpoint) -> Option<IpAddr> {
    let ip = endpoint
        .ip
        .as_ref()
        .filter(|_| endpoint.hostname.is_none())?;
    ip.address.parse().ok()
}

fn versions(spec: &BackendTls) -> Result<(model::TlsVersion, model::TlsVersion), Refusal> {
    use model::TlsVersion::{V1_0, V1_1, V1_2, V1_3};
    let version = |said: Option<TlsVersion>, default| match said {
        None | Some(TlsVersion::Auto) => default,
        Some(TlsVersion::V1_0) => V1_0,
        Some(TlsVersion::V1_1) => V1_1,
        Some(TlsVersion::V1_2) => V1_2,
        Some(TlsVersion::V1_3) => V1_3,
    };
    let newest = version(spec.max_version, V1_3);
    let oldest = version(spec.min_version, V1_2);
    if oldest > newest {
        let message = "minVersion (1.2 where it is not said) is newer than maxVersion.";
        return Err(refuse("spec.tls.maxVersion", message));
    }
    Ok((oldest, newest))
}

fn known(
    field: &str,
    names: &[String],
    is_known: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Refusal> {
    match names.iter().position(|name| !is_known(name)) {
        None => Ok(names.to_vec()),
        Some(index) => {
            let message = format!("Envoy knows no {:?} here.", names[index]);
            Err(refuse(format!("spec.tls.{field}[{index}]"), message))
        }
    }
}

/// A cipher, or several of equal rank: `[A|B]`.
fn is_cipher(name: &str) -> bool {
    let group = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    match group {
        Some(group) => group.split('|').all(|name| CIPHERS.contains(&name)),
        None => CIPHERS.contains(&name),
    }
}

fn alpn(spec: &BackendTls) -> Result<Vec<String>, Refusal> {
    let offered = spec.alpn_protocols.as_deref().unwrap_or_default();
    match offered
        .iter()
        .position(|name| !(1..=255).contains(&name.len()))
    {
        None => Ok(offered.to_vec()),
        Some(index) => {
            let message = "A protocol's name has 1 to 255 bytes.";
            Err(refuse(format!("spec.tls.alpnProtocols[{index}]"), message))
        }
    }
}

/// Where a Backend's references are looked up.
struct Lookup<'a> {
    reader: &'a Reader<'a>,
    key: &'a Key,
}

impl Lookup<'_> {
    /// Whom the Backend's endpoints are believed by; nothing where nobody is asked.
    fn authorities(&self, spec: &BackendTls) -> Result<Option<(SecretName, Secret)>, Refusal> {
        let well_known = spec.well_known_ca_certificates.as_deref();
        let (name, content) = match well_known.filter(|name| !name.is_empty()) {
            Some(SYSTEM) => (
                names::system_authorities(),
                SecretContent::SystemAuthorities,
            ),
            Some(other) => {
                let message = format!("{other} is not supported; only {SYSTEM} is.");
                return Err(refuse("spec.tls.wellKnownCACertificates", message));
            }
            None if !spec.ca_certificate_refs.is_empty() => {
                let mut text = String::new();
                for (index, reference) in spec.ca_certificate_refs.iter().enumerate() {
                    let found = self.authority(reference).map_err(|message| {
                        refuse(format!("spec.tls.caCertificateRefs[{index}]"), message)
                    })?;
                    text.extend(found.iter().map(Certificate::pem));
                }
                let content = SecretContent::Authorities(text.into());
                (names::authorities(&self.key.object), content)
            }
            None if spec.insecure_skip_verify => return Ok(None),
            None => {
                let message = "It does not say whose certificates are good. Say caCertificateRefs, \
                               wellKnownCACertificates: System, or insecureSkipVerify: true.";
                return Err(refuse("spec.tls", message));
            }
        };
        Ok(Some((name, self.secret(content))))
    }

    fn secret(&self, content: SecretContent) -> Secret {
        Secret {
            content,
            owners: BTreeSet::from([self.key.clone()]),
        }
    }

    fn authority(&self, reference: &LocalObjectReference) -> Result<Vec<Certificate>, String> {
        let LocalObjectReference { group, kind, name } = reference;
        let namespace = &self.key.object.namespace;
        let object = ObjectName::new(namespace, name);
        let text = match (group.as_str(), kind.as_str()) {
            ("", "ConfigMap") => {
                let found = self.reader.get::<ConfigMap>(namespace, name);
                let found = found.ok_or_else(|| missing("ConfigMap", &object))?;
                let text = found.data.as_ref().and_then(|data| data.get(TRUST));
                let binary = found.binary_data.as_ref().and_then(|data| data.get(TRUST));
                text.cloned().or_else(|| binary.and_then(utf8))
            }
            ("", "Secret") => {
                let found = self.reader.get::<resource::Secret>(namespace, name);
                part(found.ok_or_else(|| missing("Secret", &object))?, TRUST)
            }
            _ => {
                let shown = if group.is_empty() { "core" } else { group };
                return Err(format!(
                    "Kind {kind} of group {shown} is not supported; only ConfigMap and Secret are."
                ));
            }
        };
        let text = text.ok_or_else(|| format!("{kind} {object} has no {TRUST}."))?;
        Certificate::all(&text, TRUST).map_err(|flaw| flawed(kind, &object, &flaw))
    }

    /// What the proxy shows of itself.
    fn certificate(&self, spec: &BackendTls) -> Result<Option<(SecretName, Secret)>, Refusal> {
        let Some(reference) = &spec.client_certificate_ref else {
            return Ok(None);
        };
        let refuse = |message| refuse("spec.tls.clientCertificateRef", message);
        if (reference.group.as_str(), reference.kind.as_str()) != ("", Kind::Secret.name()) {
            return Err(refuse("Only a Secret can be referred to.".into()));
        }
        let own = &*self.key.object.namespace;
        let namespace = reference.namespace.as_deref().unwrap_or(own);
        if namespace != own {
            let message = format!(
                "The Secret must be in the Backend's own namespace {own}, not in {namespace}."
            );
            return Err(refuse(message));
        }
        let object = ObjectName::new(own, &reference.name);
        let found = self.reader.get::<resource::Secret>(own, &reference.name);
        let secret = found.ok_or_else(|| refuse(missing("Secret", &object)))?;
        let part = |name| {
            let missing = || refuse(format!("Secret {object} has no {name}."));
            part(secret, name).ok_or_else(missing)
        };
        let (chain, key) = (part(CERTIFICATE)?, KeyPem::new(part(KEY)?));
        let chain =
            trust::pair(&chain, &key).map_err(|flaw| refuse(flawed("Secret", &object, &flaw)))?;
        let chain: String = chain.iter().map(Certificate::pem).collect();
        let content = SecretContent::Certificate {
            chain: chain.into(),
            key,
        };
        Ok(Some((names::certificate(&object), self.secret(content))))
    }
}

fn missing(kind: &str, object: &ObjectName) -> String {
    format!("{kind} {object} does not exist or may not be read.")
}

fn flawed(kind: &str, object: &ObjectName, flaw: &Flaw) -> String {
    format!("{kind} {object}: {flaw}.")
}

/// A part of a Secret, as text.
fn part(secret: &resource::Secret, name: &str) -> Option<String> {
    let text = secret.string_data.as_ref().and_then(|data| data.get(name));
    let data = secret.data.as_ref().and_then(|data| data.get(name));
    text.cloned().or_else(|| data.and_then(utf8))
}

fn utf8(bytes: &ByteString) -> Option<String> {
    String::from_utf8(bytes.0.clone()).ok()
}

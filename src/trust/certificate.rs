//! Certificates and keys as they are given: PEM text, read and looked at.
//!
//! In: text from a Secret or a file. Out: what TLS and issuing need to know of it, or a [`Flaw`]
//! that says what is wrong with which part. No key is ever printed.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The names that a Secret of type `kubernetes.io/tls` gives its parts, and the files made of it.
pub const CERTIFICATE: &str = "tls.crt";
pub const KEY: &str = "tls.key";
/// The certificates of the CAs that the other side may be signed by.
pub const TRUST: &str = "ca.crt";

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// What is wrong with PEM text that was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("{part} is missing")]
    Missing { part: String },
    #[error("{part} holds no PEM certificate (-----BEGIN CERTIFICATE-----)")]
    NoCertificate { part: String },
    #[error("{part} holds a certificate that cannot be read: {why}")]
    Certificate { part: String, why: String },
    #[error("{part} holds no private key in PEM that can be read: {why}")]
    Key { part: String, why: String },
    #[error("{key} is not the key of the first certificate in {certificate}")]
    OtherKey { certificate: String, key: String },
    #[error("{part} is the certificate of no CA: its basicConstraints do not say CA:TRUE")]
    NoAuthority { part: String },
    #[error("{part} ran out on {}", at.date())]
    RunOut { part: String, at: OffsetDateTime },
    #[error("{0}")]
    Unusable(String),
}

/// A private key as PEM text.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPem(String);

impl KeyPem {
    /// Holds `text` without looking at it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The key itself, to be stored or used, never to be shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The key for TLS. `part` is what the text is called when it is wrong.
    pub(super) fn der(&self, part: &str) -> Result<PrivateKeyDer<'static>, Flaw> {
        PrivateKeyDer::from_pem_slice(self.0.as_bytes()).map_err(|error| Flaw::Key {
            part: part.to_owned(),
            why: error.to_string(),
        })
    }
}

impl fmt::Debug for KeyPem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KeyPem(redacted)")
    }
}

/// One certificate, read.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    pub(super) der: CertificateDer<'static>,
    pub not_before: OffsetDateTime,
    pub not_after: OffsetDateTime,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// Whether it names itself as who signed it.
    pub is_root: bool,
    /// Its number, in hexadecimal as Envoy shows it.
    pub serial: String,
    /// The names that it is for: DNS names and addresses.
    pub hosts: Vec<String>,
    /// The URIs that it is for.
    pub uris: Vec<String>,
    /// The public key, as it stands in the certificate.
    pub(super) public_key: Vec<u8>,
    subject: String,
    /// The PEM text.
    text: String,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Certificate({}, until {})",
            self.subject, self.not_after
        )
    }
}

impl Certificate {
    /// Reads one certificate in PEM; the error is in X.509's words.
    fn read(text: &str) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(text.as_bytes());
        let der = der.map_err(|error| error.to_string())?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
        let (hosts, uris) = names(&parsed);
        let validity = parsed.validity();
        Ok(Self {
            not_before: validity.not_before.to_datetime(),
            not_after: validity.not_after.to_datetime(),
            is_authority: parsed.is_ca(),
            is_root: parsed.subject() == parsed.issuer(),
            serial: parsed.serial.to_str_radix(16),
            hosts,
            uris,
            public_key: parsed.public_key().raw.to_vec(),
            subject: parsed.subject().to_string(),
            text: format!("{text}\n"),
            der,
        })
    }

    /// Every certificate in `text`, at least one. `part` is what the text is called when it is
    /// wrong.
    ///
    /// # Errors
    ///
    /// When there is none, or one cannot be read.
    pub fn all(text: &str, part: &str) -> Result<Vec<Self>, Flaw> {
        let unreadable = |why| Flaw::Certificate {
            part: part.to_owned(),
            why,
        };
        let found: Vec<Self> = blocks(text)
            .map(|block| Self::read(block).map_err(unreadable))
            .collect::<Result<_, _>>()?;
        if found.is_empty() {
            return Err(Flaw::NoCertificate {
                part: part.to_owned(),
            });
        }
        Ok(found)
    }

    /// The certificate as PEM text.
    pub fn pem(&self) -> String {
        self.text.clone()
    }

    /// When to put another in its place: after two thirds of its life, so that a third is left to
    /// notice that it does not work.
    pub fn due(&self) -> OffsetDateTime {
        self.not_before + (self.not_after - self.not_before) * 2 / 3
    }
}

/// The URIs in a certificate that a peer showed, and until when it holds; nothing when it cannot be
/// read.
pub(super) fn shown(der: &[u8]) -> (Vec<String>, Option<Timestamp>) {
    match X509Certificate::from_der(der) {
        Ok((_, read)) => (
            names(&read).1,
            moment(read.validity().not_after.to_datetime()),
        ),
        Err(_) => (Vec::new(), None),
    }
}

/// The same moment for what counts and prints; nothing past the year 9999, as some write "never".
pub(super) fn moment(at: OffsetDateTime) -> Option<Timestamp> {
    Timestamp::from_second(at.unix_timestamp()).ok()
}

/// The DNS names with the addresses, and the URIs.
fn names(certificate: &X509Certificate<'_>) -> (Vec<String>, Vec<String>) {
    let (mut hosts, mut uris) = (Vec::new(), Vec::new());
    for extension in certificate.extensions() {
        let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else {
            continue;
        };
        for name in &names.general_names {
            match name {
                GeneralName::DNSName(name) => hosts.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => hosts.extend(address(bytes)),
                GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                _ => {}
            }
        }
    }
    (hosts, uris)
}

fn address(bytes: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let address = four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    address.ok().map(|address| address.to_string())
}

/// PEM text of several certificates.
pub(super) fn pems<'a>(certificates: impl IntoIterator<Item = &'a Certificate>) -> String {
    certificates.into_iter().map(Certificate::pem).collect()
}

/// The parts of `text` that are certificates in PEM, one by one. What stands between them is
/// passed over, as the format asks.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(BEGIN)?;
        let length = rest[start..].find(END)? + END.len();
        let block = &rest[start..start + length];
        rest = &rest[start + length..];
        Some(block)
    })
}

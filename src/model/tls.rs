//! TLS towards members, and what proxies are given for it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::resource::Key;
use crate::trust::KeyPem;

/// How a member is spoken to in TLS. The secrets in it are named, not held: one that is renewed
/// changes nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Who must have signed the member's certificate. `None` is not looked at.
    pub authorities: Option<SecretName>,
    pub server_name: ServerName,
    /// Addresses that the certificate may be for, where an endpoint has no name to say.
    pub addresses: Vec<IpAddr>,
    /// What the proxy shows of itself.
    pub certificate: Option<SecretName>,
    pub oldest: TlsVersion,
    pub newest: TlsVersion,
    /// Of TLS 1.2 and older. Empty is Envoy's choice, here and below.
    pub ciphers: Vec<String>,
    pub curves: Vec<String>,
    pub signature_algorithms: Vec<String>,
    /// The protocols to offer; where empty, those that the member is spoken to in.
    pub alpn: Vec<String>,
}

impl Tls {
    /// The secrets that it names.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretName> {
        self.authorities.iter().chain(&self.certificate)
    }
}

/// The name that is said to a member, and that its certificate must be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// The same for every endpoint.
    Given(String),
    /// Each endpoint's own, where it has one.
    OfEndpoint,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V1_0,
    V1_1,
    V1_2,
    V1_3,
}

/// The name by which proxies ask for a secret; made in `translate::names` only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(pub String);

/// What a proxy is given by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    pub content: SecretContent,
    /// The resources it was made from or for.
    pub owners: BTreeSet<Key>,
}

/// A certificate and its key, or whom to believe.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretContent {
    /// The authorities that the proxy's own system believes.
    SystemAuthorities,
    /// These, as PEM text.
    Authorities(Arc<str>),
    /// As PEM text, the certificate with those above it.
    Certificate { chain: Arc<str>, key: KeyPem },
}

/// What kind of content it is: what it holds is for proxies alone.
impl fmt::Debug for SecretContent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SystemAuthorities => "SystemAuthorities",
            Self::Authorities(_) => "Authorities(redacted)",
            Self::Certificate { .. } => "Certificate(redacted)",
        })
    }
}

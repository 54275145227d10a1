//! Trust: mutual TLS between Locum and its proxies, and between its replicas.
//!
//! In: certificates, from Secrets that the leader makes and renews, or from files that somebody else
//! does; a folder that holds a CA. Out: connections whose other end is known by its certificate, and
//! certificates for proxies. A proxy gets what is for the Gateway that its certificate names, and
//! nothing else. No key is ever logged, or given to anyone but who asks for its certificate; nothing
//! here opens a stream or knows what is said in it.

mod authority;
mod certificate;
mod files;
pub mod folder;
mod handshake;
mod identity;
mod line;
mod metrics;
pub mod secrets;
mod tls;

#[cfg(test)]
mod tests;

pub use authority::{Authority, IssueError, Issued, PROXY_LIFE, SERVER_LIFE, ServerNames};
pub use certificate::{CERTIFICATE, Certificate, Flaw, KEY, KeyPem, TRUST};
pub use files::{Files, FilesError, Paths};
pub use handshake::HandshakeError;
pub use identity::{Domain, Identity, NAMESPACE, Peer, TRUST_DOMAIN};
pub use line::Line;
pub use metrics::register;
pub use tls::{Expiry, Renewal, Texts, Tls, TlsError, pair};

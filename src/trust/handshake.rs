//! Why a peer's handshake failed, and what to do about it.
//!
//! In: the error of a handshake. Out: its cause, in words for who runs the proxies.

use std::io;

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage};

/// What helps against credentials that do not fit Locum's.
const REMEDY: &str = "issue them again with `locum certs --gateway NAMESPACE/NAME`, or by \
                      cert-manager where it signs";

/// Why a peer could not make itself known.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error(
        "the peer does not believe the CA of Locum's certificate: its credentials are from before \
         the CA was made anew, or another CA's; {REMEDY}"
    )]
    Disbelieved,
    #[error(
        "Locum does not believe the CA of the peer's certificate: its credentials are from before \
         the CA was made anew, or another CA's; {REMEDY}"
    )]
    Unbelieved,
    #[error("the peer's certificate ran out{}; {REMEDY}", at(*.0))]
    RanOut(Option<Timestamp>),
    #[error("the peer shows no certificate; {REMEDY}")]
    NoCertificate,
    #[error("TLS handshake failed: the peer speaks no TLS")]
    Plaintext,
    #[error("TLS handshake failed: {0}")]
    Other(io::Error),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref();
        let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::AlertReceived(AlertDescription::UnknownCA)) => Self::Disbelieved,
            Some(rustls::Error::InvalidCertificate(flaw)) => match flaw {
                CertificateError::UnknownIssuer => Self::Unbelieved,
                CertificateError::Expired => Self::RanOut(None),
                CertificateError::ExpiredContext { not_after, .. } => {
                    Self::RanOut(moment(*not_after))
                }
                _ => Self::Other(error),
            },
            Some(rustls::Error::NoCertificatesPresented) => Self::NoCertificate,
            Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                Self::Plaintext
            }
            _ => Self::Other(error),
        }
    }
}

impl HandshakeError {
    /// The cause in one word, by which failures are counted.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Disbelieved => "peer_disbelieves_ca",
            Self::Unbelieved => "unknown_ca",
            Self::RanOut(_) => "expired",
            Self::NoCertificate => "no_certificate",
            Self::Plaintext => "plaintext",
            Self::Other(_) => "other",
        }
    }
}

fn moment(at: UnixTime) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(at.as_secs()).ok()?).ok()
}

/// When that was, if it is known.
fn at(moment: Option<Timestamp>) -> String {
    moment.map_or_else(String::new, |at| format!(" at {at}"))
}

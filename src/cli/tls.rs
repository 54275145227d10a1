//! Options for mutual TLS with the Envoys, where the certificates are files.

use std::path::PathBuf;

use clap::Args;

use super::options::Misuse;
use crate::resource::names;
use crate::trust::{Domain, Files, Paths, Tls};

/// How Locum and the Envoys know each other.
#[derive(Debug, Args)]
pub(super) struct TlsOptions {
    /// Locum's certificate in PEM; with it Envoys have to show one too. Renewed files are taken over
    #[arg(
        long,
        env = "LOCUM_TLS_CERT",
        value_name = "FILE",
        requires_all = ["tls_key", "tls_client_ca"]
    )]
    tls_cert: Option<PathBuf>,
    /// Its key
    #[arg(
        long,
        env = "LOCUM_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// The CAs that sign Envoys
    #[arg(
        long,
        env = "LOCUM_TLS_CLIENT_CA",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_client_ca: Option<PathBuf>,
    /// The SPIFFE trust domain of the Envoys' certificates
    #[arg(
        long,
        env = "LOCUM_TRUST_DOMAIN",
        value_name = "DOMAIN",
        default_value = "cluster.local"
    )]
    trust_domain: String,
}

impl TlsOptions {
    /// Mutual TLS from the files, if any are named, and what takes renewed ones over.
    pub(super) fn open(self) -> Result<Option<(Tls, Files)>, Misuse> {
        if let Some(flaw) = names::SUBDOMAIN.flaw(&self.trust_domain) {
            return Err(Misuse::new(format!("--trust-domain {flaw}")));
        }
        let (Some(certificate), Some(key), Some(client_ca)) =
            (self.tls_cert, self.tls_key, self.tls_client_ca)
        else {
            return Ok(None);
        };
        let domain = Domain {
            trust_domain: self.trust_domain,
            ..Domain::default()
        };
        let paths = Paths {
            certificate,
            key,
            client_ca,
        };
        let opened = Files::open(paths, domain);
        opened
            .map(Some)
            .map_err(|error| Misuse::new(error.to_string()))
    }
}

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
    /// The names in certificates, for a Locum in `namespace`.
    pub(super) fn domain(&self, namespace: &str) -> Result<Domain, Misuse> {
        if let Some(flaw) = names::SUBDOMAIN.flaw(&self.trust_domain) {
            return Err(Misuse::new(format!("--trust-domain {flaw}")));
        }
        Ok(Domain {
            trust_domain: self.trust_domain.clone(),
            namespace: namespace.to_owned(),
        })
    }

    /// Mutual TLS from the files, if any are named, and what takes renewed ones over.
    pub(super) fn open(self, domain: &Domain) -> Result<Option<(Tls, Files)>, Misuse> {
        let (Some(certificate), Some(key), Some(client_ca)) =
            (self.tls_cert, self.tls_key, self.tls_client_ca)
        else {
            return Ok(None);
        };
        let paths = Paths {
            certificate,
            key,
            client_ca,
        };
        let opened = Files::open(paths, domain.clone());
        opened
            .map(Some)
            .map_err(|error| Misuse::new(error.to_string()))
    }
}

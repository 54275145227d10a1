//! Options for how Locum and the Envoys know each other: by mutual TLS, or not at all.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::options::Misuse;
use crate::resource::names;
use crate::trust::{Domain, Files, Paths, TRUST_DOMAIN, Tls};

/// The option for what stands before the names in certificates.
#[derive(Debug, Args)]
pub(super) struct TrustDomain {
    /// The SPIFFE trust domain of the certificates
    #[arg(
        long,
        env = "LOCUM_TRUST_DOMAIN",
        value_name = "DOMAIN",
        default_value = TRUST_DOMAIN
    )]
    trust_domain: String,
}

impl TrustDomain {
    /// The names in certificates, for a Locum in `namespace`.
    pub(super) fn of(&self, namespace: &str) -> Result<Domain, Misuse> {
        if let Some(flaw) = names::SUBDOMAIN.flaw(&self.trust_domain) {
            return Err(Misuse::new(format!("--trust-domain {flaw}")));
        }
        Ok(Domain {
            trust_domain: self.trust_domain.clone(),
            namespace: namespace.to_owned(),
        })
    }
}

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
    #[command(flatten)]
    trust_domain: TrustDomain,
    /// Meet Envoys in plaintext, so that whoever reaches --xds-address is let in, and let
    /// --admin-address be reached from other machines. Without it files are served in plaintext to this
    /// machine alone, unless --tls-cert is given
    #[arg(
        long,
        env = "LOCUM_INSECURE",
        value_parser = BoolishValueParser::new(),
        conflicts_with = "tls_cert"
    )]
    insecure: bool,
}

/// How Envoys are known.
pub(super) enum Known {
    /// As nothing else was said.
    Unsaid,
    /// By certificates in files.
    Files(Tls, Box<Files>),
    /// Not at all, as the user wants it.
    Nobody,
}

impl TlsOptions {
    /// Whether plaintext beyond this machine is wanted.
    pub(super) fn insecure(&self) -> bool {
        self.insecure
    }

    /// The names in certificates, for a Locum in `namespace`.
    pub(super) fn domain(&self, namespace: &str) -> Result<Domain, Misuse> {
        self.trust_domain.of(namespace)
    }

    /// How Envoys are to be known.
    pub(super) fn known(self, domain: &Domain) -> Result<Known, Misuse> {
        if self.insecure {
            return Ok(Known::Nobody);
        }
        let (Some(certificate), Some(key), Some(client_ca)) =
            (self.tls_cert, self.tls_key, self.tls_client_ca)
        else {
            return Ok(Known::Unsaid);
        };
        let paths = Paths {
            certificate,
            key,
            client_ca,
        };
        let opened = Files::open(paths, domain.clone());
        opened
            .map(|(tls, files)| Known::Files(tls, Box::new(files)))
            .map_err(|error| Misuse::new(error.to_string()))
    }
}

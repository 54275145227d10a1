//! `locum certs`: certificates for proxies, and where Locum runs outside Kubernetes for everybody.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use clap::{Args, value_parser};
use time::OffsetDateTime;

use super::kubernetes::Kubeconfig;
use super::options::{GatewayName, Misuse};
use super::output::{FormatOption, write_document};
use super::tls::TrustDomain;
use crate::resource::{ObjectName, names};
use crate::trust::secrets::{self, AUTHORITY, SERVER};
use crate::trust::{Authority, Domain, NAMESPACE, PROXY_LIFE, ServerNames, folder};

/// The most days that can be asked for: more than any CA lives.
const MAX_DAYS: i64 = 36_500;

/// Issue certificates, by which Locum and its Envoys know each other
///
/// A proxy's certificate says which Gateway it may serve. It is signed by the CA that Locum made in
/// the cluster (Secret locum-ca), or by one in a folder. In the cluster the server's certificate is
/// made and renewed by Locum itself.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum certs --gateway default/eg | kubectl apply --server-side -f -
                                          a Secret eg-proxy-tls for the Envoys of a Gateway; run again,
                                          it renews them while they serve

Outside Kubernetes:
  locum certs --authority -d ca/          a CA; its key stays with you
  locum certs --server locum.example.com,10.0.0.5 --ca ca/ -d server/
                                          for locum serve --tls-cert --tls-key --tls-client-ca
  locum certs --gateway default/eg --ca ca/ -d proxy/
                                          for locum bootstrap --tls")]
#[group(id = "what", required = true, args = ["gateway", "server", "authority"])]
pub(super) struct Options {
    /// A certificate for the proxies of this Gateway
    #[arg(short, long, env = "LOCUM_GATEWAY", value_name = "NAMESPACE/NAME")]
    gateway: Option<GatewayName>,
    /// A certificate for a Locum that is found under these DNS names or addresses
    #[arg(long, env = "LOCUM_SERVER", value_name = "NAME", value_delimiter = ',')]
    server: Vec<String>,
    /// A new CA
    #[arg(
        long,
        env = "LOCUM_AUTHORITY",
        value_parser = BoolishValueParser::new(),
        conflicts_with_all = ["ca", "days"]
    )]
    authority: bool,
    /// Sign with the CA in this folder: tls.crt, tls.key, and ca.crt if others are to be believed
    /// too [default: the CA in the cluster]
    #[arg(long, env = "LOCUM_CA", value_name = "DIR")]
    ca: Option<PathBuf>,
    /// How many days a proxy's certificate is good for
    #[arg(
        long,
        env = "LOCUM_DAYS",
        value_name = "DAYS",
        default_value_t = PROXY_LIFE.whole_days(),
        value_parser = value_parser!(i64).range(1..=MAX_DAYS)
    )]
    days: i64,
    #[command(flatten)]
    trust_domain: TrustDomain,
    /// The namespace that Locum runs in
    #[arg(
        long,
        env = "LOCUM_SYSTEM_NAMESPACE",
        value_name = "NAME",
        default_value = NAMESPACE
    )]
    system_namespace: String,
    #[command(flatten)]
    kubeconfig: Kubeconfig,
    /// Write tls.crt, tls.key and ca.crt into this folder instead of printing a Secret
    #[arg(short, long, env = "LOCUM_DIRECTORY", value_name = "DIR")]
    directory: Option<PathBuf>,
    #[command(flatten)]
    form: FormatOption,
}

impl Options {
    /// Issues what was asked for, and writes or prints it.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let domain = self.domain()?;
        let now = OffsetDateTime::now_utc();
        let (secret, issued) = if let Some(GatewayName(gateway)) = &self.gateway {
            let name = format!("{}-proxy-tls", gateway.name);
            let life = time::Duration::days(self.days);
            let signer = self.signer(&domain, now).await?;
            let issued = signer.proxy(&domain, gateway, life, now)?;
            (ObjectName::new(&gateway.namespace, &name), issued)
        } else if self.authority {
            let issued = Authority::make(now)?.issued();
            (ObjectName::new(&domain.namespace, AUTHORITY), issued)
        } else {
            let names = ServerNames {
                hosts: self.server.clone(),
                uris: vec![domain.locum()],
            };
            let issued = self.signer(&domain, now).await?.server(&names, now)?;
            (ObjectName::new(&domain.namespace, SERVER), issued)
        };
        match &self.directory {
            Some(directory) if self.authority => folder::write_authority(directory, &issued)?,
            Some(directory) => folder::write(directory, &issued)?,
            None => {
                let secret = secrets::manifest(&secret, &issued);
                write_document(&serde_json::to_value(secret)?, self.form.output)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn domain(&self) -> Result<Domain, Misuse> {
        if let Some(flaw) = names::LABEL.flaw(&self.system_namespace) {
            return Err(Misuse::new(format!("--system-namespace {flaw}")));
        }
        self.trust_domain.of(&self.system_namespace)
    }

    /// The CA to sign with.
    async fn signer(&self, domain: &Domain, now: OffsetDateTime) -> anyhow::Result<Authority> {
        if let Some(folder) = &self.ca {
            return Ok(folder::read_authority(folder)?);
        }
        let otherwise = "give a CA in a folder with --ca";
        let client = self.kubeconfig.connect(otherwise).await?.client;
        Ok(secrets::signer(client, &domain.namespace, now).await?)
    }
}

//! `locum certs`: certificates for proxies, and where Locum runs outside Kubernetes for everybody.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, value_parser};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use time::OffsetDateTime;

use super::options::{GatewayName, Misuse};
use super::output::{Format, write_document};
use crate::resource::{ObjectName, names};
use crate::trust::secrets::{AUTHORITY, SERVER, read_authority};
use crate::trust::{
    Authority, CERTIFICATE, Certificate, Domain, Issued, KEY, KeyPem, ServerNames, TRUST,
};

/// How long the API server may take for one answer.
const ANSWER_BOUND: Duration = Duration::from_secs(10);
/// The days that a proxy's certificate is good for unless `--days` says otherwise.
const DAYS: u32 = 365;

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
    #[arg(long, env = "LOCUM_AUTHORITY", conflicts_with_all = ["ca", "days"])]
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
        default_value_t = DAYS,
        value_parser = value_parser!(u32).range(1..)
    )]
    days: u32,
    /// The SPIFFE trust domain
    #[arg(
        long,
        env = "LOCUM_TRUST_DOMAIN",
        value_name = "DOMAIN",
        default_value = "cluster.local"
    )]
    trust_domain: String,
    /// The namespace that Locum runs in
    #[arg(
        long,
        env = "LOCUM_SYSTEM_NAMESPACE",
        value_name = "NAME",
        default_value = "locum-system"
    )]
    system_namespace: String,
    /// The file that says where the cluster is [default: as kubectl finds it]
    #[arg(long, env = "LOCUM_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Write tls.crt, tls.key and ca.crt into this folder instead of printing a Secret
    #[arg(short, long, env = "LOCUM_DIRECTORY", value_name = "DIR")]
    directory: Option<PathBuf>,
    /// The form of the Secret that is printed
    #[arg(
        short,
        long,
        env = "LOCUM_OUTPUT",
        value_name = "FORMAT",
        default_value = "yaml"
    )]
    output: Format,
}

impl Options {
    /// Issues what was asked for, and writes or prints it.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let domain = self.domain()?;
        let now = OffsetDateTime::now_utc();
        let (secret, issued) = if let Some(GatewayName(gateway)) = &self.gateway {
            let name = format!("{}-proxy-tls", gateway.name);
            let life = time::Duration::days(self.days.into());
            let issued = self.signer(&domain, now).await?;
            let issued = issued.proxy(&domain, gateway, life, now)?;
            (ObjectName::new(&gateway.namespace, &name), issued)
        } else if self.authority {
            let made = Authority::make(now)?;
            let issued = Issued {
                certificate: made.certificate(),
                key: made.key(),
                trust: made.trust(),
            };
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
            Some(directory) => write(directory, &issued, self.authority)?,
            None => write_document(
                &serde_json::to_value(manifest(&secret, &issued))?,
                self.output,
            )?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn domain(&self) -> Result<Domain, Misuse> {
        if let Some(flaw) = names::SUBDOMAIN.flaw(&self.trust_domain) {
            return Err(Misuse::new(format!("--trust-domain {flaw}")));
        }
        if let Some(flaw) = names::LABEL.flaw(&self.system_namespace) {
            return Err(Misuse::new(format!("--system-namespace {flaw}")));
        }
        Ok(Domain {
            trust_domain: self.trust_domain.clone(),
            namespace: self.system_namespace.clone(),
        })
    }

    /// The CA to sign with.
    async fn signer(&self, domain: &Domain, now: OffsetDateTime) -> anyhow::Result<Authority> {
        match &self.ca {
            Some(folder) => from_folder(folder),
            None => from_cluster(self.kubeconfig.as_deref(), &domain.namespace, now).await,
        }
    }
}

fn from_folder(folder: &Path) -> anyhow::Result<Authority> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let trust = folder.join(TRUST).exists().then(|| read(TRUST));
    let key = KeyPem::new(read(KEY)?);
    Authority::from_pem(&read(CERTIFICATE)?, &key, trust.transpose()?.as_deref())
        .with_context(|| format!("the CA in {}", folder.display()))
}

async fn from_cluster(
    kubeconfig: Option<&Path>,
    namespace: &str,
    now: OffsetDateTime,
) -> anyhow::Result<Authority> {
    let client = client(kubeconfig).await?;
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let ask = async |name: &str| {
        let answer = tokio::time::timeout(ANSWER_BOUND, secrets.get_opt(name)).await;
        let bound = ANSWER_BOUND.as_secs();
        let answer = answer.map_err(|_| anyhow!("no answer from the cluster within {bound} s"))?;
        answer.with_context(|| format!("Secret {namespace}/{name} cannot be read"))
    };
    let Some(stored) = ask(AUTHORITY).await? else {
        bail!(
            "there is no Secret {namespace}/{AUTHORITY}: Locum makes it when it first runs there. \
             If another CA signed Secret {SERVER}, such as cert-manager's, that CA has to sign the \
             proxies too"
        );
    };
    let mut authority = read_authority(&stored)
        .with_context(|| format!("Secret {namespace}/{AUTHORITY} is of no use"))?;
    let server = ask(SERVER).await?.and_then(|server| server.data);
    if let Some(ByteString(trust)) = server.as_ref().and_then(|data| data.get(TRUST))
        && let Ok(others) = Certificate::all(&String::from_utf8_lossy(trust), TRUST)
    {
        authority.also_believe(others, now);
    }
    Ok(authority)
}

async fn client(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let config = match kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
        }
        None => Config::infer()
            .await
            .context("no cluster; give a CA in a folder with --ca, or a --kubeconfig")?,
    };
    Ok(Client::try_from(config)?)
}

/// The Secret as `kubectl apply` takes it.
fn manifest(name: &ObjectName, issued: &Issued) -> Secret {
    let parts = issued.files().map(|(part, text)| {
        let bytes = ByteString(text.as_bytes().to_vec());
        (part.to_owned(), bytes)
    });
    Secret {
        metadata: ObjectMeta {
            name: Some(name.name.to_string()),
            namespace: Some(name.namespace.to_string()),
            ..ObjectMeta::default()
        },
        type_: Some("kubernetes.io/tls".into()),
        data: Some(parts.into()),
        ..Secret::default()
    }
}

/// Writes the parts, each at once: an Envoy may be watching. A CA is never written over.
fn write(directory: &Path, issued: &Issued, is_authority: bool) -> anyhow::Result<()> {
    let failed = || format!("{} cannot be written", directory.display());
    if is_authority && directory.join(KEY).exists() {
        bail!(
            "{} holds a key already; a CA is never written over",
            directory.display()
        );
    }
    fs::create_dir_all(directory).with_context(failed)?;
    for (name, text) in issued.files() {
        let mode = if name == KEY { 0o600 } else { 0o644 };
        let unfinished = directory.join(format!(".{name}.new"));
        if unfinished.exists() {
            fs::remove_file(&unfinished).with_context(failed)?;
        }
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(mode);
        let mut file = file.open(&unfinished).with_context(failed)?;
        file.write_all(text.as_bytes()).with_context(failed)?;
        fs::rename(&unfinished, directory.join(name)).with_context(failed)?;
    }
    Ok(())
}

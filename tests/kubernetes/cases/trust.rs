//! Locum's own certificate in the Secrets of its namespace: made once whoever comes first, shared by
//! replicas, renewed, and left alone when it is somebody else's.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use locum::api::v1::WatchRequest;
use locum::api::v1::serving_client::ServingClient;
use locum::resource::ObjectName;
use locum::trust::secrets::{AUTHORITY, SERVER, Secrets, signer};
use locum::trust::{Authority, CERTIFICATE, Certificate, Domain, Issued, ServerNames, TRUST, Tls};
use locum::xds::server::{Listener, Shared, serve};
use serde_json::json;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;

use crate::bench::Bench;

/// How long credentials may take to be in use.
const LIMIT: Duration = Duration::from_secs(20);
/// What says that a Secret is Locum's to renew.
const OURS: (&str, &str) = ("locum.dev/renewed-by", "locum");

/// A replica, as far as its certificate goes.
struct Replica {
    tls: Tls,
    task: JoinHandle<()>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn domain(bench: &Bench) -> Domain {
    Domain {
        namespace: bench.namespace().into(),
        ..Domain::default()
    }
}

fn replica(bench: &Bench, may_write: bool) -> Replica {
    let (_, may_write) = watch::channel(may_write);
    let client = bench.client();
    let (tls, secrets) = Secrets::new(client, domain(bench), "cluster.local", may_write);
    let task = tokio::spawn(secrets.run());
    Replica { tls, task }
}

fn secrets(bench: &Bench) -> Api<Secret> {
    Api::namespaced(bench.client(), bench.namespace())
}

async fn ready(bench: &Bench, replica: &Replica) -> anyhow::Result<()> {
    let ready = bench.until_within(LIMIT, "credentials", async || {
        Ok(replica.tls.missing().is_none())
    });
    ready
        .await
        .with_context(|| format!("{:?}", replica.tls.missing()))
}

/// Whether one replica is let in by the other.
async fn asks(from: &Tls, to: &Tls) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let listener = Listener::Tls(listener, to.clone());
    let server = tokio::spawn(serve(listener, Shared::default(), std::future::pending()));
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let mut client = ServingClient::new(from.channel(&endpoint, address));
    let asked = tokio::time::timeout(LIMIT, client.watch(WatchRequest::default())).await;
    server.abort();
    asked.context("no answer")??;
    Ok(())
}

/// The texts of a Secret's parts.
async fn text(bench: &Bench, name: &str, part: &str) -> anyhow::Result<String> {
    let secret = secrets(bench).get(name).await?;
    let data = secret.data.unwrap_or_default();
    let ByteString(bytes) = data.get(part).context("the part is missing")?;
    Ok(String::from_utf8(bytes.clone())?)
}

async fn create(bench: &Bench, name: &str, issued: &Issued, ours: bool) -> anyhow::Result<()> {
    let mut secret = Secret::default();
    secret.metadata.name = Some(name.into());
    let ours = ours.then(|| [(OURS.0.to_owned(), OURS.1.to_owned())].into());
    secret.metadata.annotations = ours;
    let part = |(name, text): (&str, &str)| (name.to_owned(), ByteString(text.into()));
    secret.data = Some(issued.files().map(part).into());
    secrets(bench)
        .create(&PostParams::default(), &secret)
        .await?;
    Ok(())
}

/// Two that both think they may write, one that may not, and a Secret that is taken away.
pub(crate) async fn replicas_make_one_certificate(bench: &Bench) -> anyhow::Result<()> {
    let replicas = [true, true, false].map(|may_write| replica(bench, may_write));
    for replica in &replicas {
        ready(bench, replica).await?;
    }
    let [one, two, three] = &replicas;
    for (from, to) in [(one, two), (two, three), (three, one)] {
        asks(&from.tls, &to.tls).await?;
    }
    let before = text(bench, SERVER, CERTIFICATE).await?;
    bench.kubectl(&["delete", "secret", SERVER]).await?;
    let made = bench.until_within(LIMIT, "the Secret is made again", async || {
        Ok(text(bench, SERVER, CERTIFICATE).await? != before)
    });
    made.await?;
    asks(&one.tls, &three.tls).await?;

    // A proxy's certificate comes from the same authority.
    let gateway = format!("{}/eg", bench.namespace());
    let mut certs = Command::new(env!("CARGO_BIN_EXE_locum"));
    certs.args(["certs", "--gateway", &gateway]);
    certs.args(["--system-namespace", bench.namespace()]);
    let output = certs.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    bench.apply(&String::from_utf8(output.stdout)?).await?;
    let trust = text(bench, "eg-proxy-tls", TRUST).await?;
    ensure!(trust == text(bench, SERVER, TRUST).await?, "{trust}");
    Ok(())
}

/// As cert-manager leaves it: a server's certificate, and no authority in this namespace.
pub(crate) async fn a_certificate_of_somebody_else_is_left_alone(
    bench: &Bench,
) -> anyhow::Result<()> {
    let now = OffsetDateTime::now_utc();
    let names = ServerNames::in_cluster(&domain(bench), "cluster.local");
    let issued = Authority::make(now)?.server(&names, now)?;
    create(bench, SERVER, &issued, false).await?;
    let replica = replica(bench, true);
    ready(bench, &replica).await?;
    asks(&replica.tls, &replica.tls).await?;
    ensure!(secrets(bench).get_opt(AUTHORITY).await?.is_none());
    // What cannot be used is not used, nor mended.
    let broken = Patch::Merge(json!({"stringData": {CERTIFICATE: "broken"}}));
    let (secrets, parameters) = (secrets(bench), PatchParams::default());
    let patched = secrets.patch(SERVER, &parameters, &broken).await?;
    let version = patched.metadata.resource_version;
    let late = self::replica(bench, true);
    let seen = bench.until_within(
        LIMIT,
        "one that comes has seen the broken one",
        async || {
            let missing = late.tls.missing().unwrap_or_default();
            Ok(missing.contains("of no use"))
        },
    );
    seen.await?;
    asks(&replica.tls, &replica.tls).await?;
    let seen = secrets.get(SERVER).await?;
    ensure!(seen.metadata.resource_version == version, "it was changed");
    Ok(())
}

/// An authority that is due hands over, and who knows only the old one is let in and believes.
pub(crate) async fn an_authority_that_is_due_hands_over(bench: &Bench) -> anyhow::Result<()> {
    let now = OffsetDateTime::now_utc();
    let old = Authority::make(now - time::Duration::days(2500))?;
    create(bench, AUTHORITY, &old.issued(), true).await?;
    let replica = replica(bench, true);
    ready(bench, &replica).await?;
    let new = signer(bench.client(), bench.namespace(), now).await?;
    ensure!(new.not_after() > old.not_after());
    let trust = text(bench, SERVER, TRUST).await?;
    ensure!(Certificate::all(&trust, TRUST)?.len() == 2, "{trust}");
    // The old one's own replica: it believes nobody but the old one.
    let names = ServerNames::in_cluster(&domain(bench), "cluster.local");
    let (earlier, renewal) = Tls::waiting(domain(bench), "");
    renewal.renew(&old.server(&names, now)?.into())?;
    asks(&earlier, &replica.tls).await?;
    let gateway = ObjectName::new("default", "eg");
    let proxy = new.proxy(&domain(bench), &gateway, time::Duration::days(1), now)?;
    ensure!(proxy.trust == trust, "{}", proxy.trust);
    Ok(())
}

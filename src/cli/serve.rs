//! `locum serve`: the control plane alone, for Envoys that something else runs.
//!
//! With `-f` the resources come from files, else from Kubernetes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::mpsc;

use super::control_plane::{Prepared, Sockets, read, told};
use super::kubernetes::KubernetesOptions;
use super::log_changes::log_changes;
use super::options::{
    DefaultListen, Misuse, ServerAddresses, ServerOptions, SourceOptions, XdsListen, duration,
    every_address,
};
use super::replica::{DRAIN, Plan, Replica, ReplicaOptions};
use super::signals::Signals;
use super::tls::{Known, TlsOptions};
use crate::proxy::StateDir;
use crate::replicas;
use crate::resource::ObjectName;
use crate::source::Update;
use crate::source::files::Files;
use crate::source::kubernetes as source;
use crate::trust::NAMESPACE;
use crate::xds::server::Told;

/// The port where the kubelet and Prometheus ask.
const HEALTH_PORT: u16 = 18081;

/// Serve Envoys that run elsewhere, from Kubernetes or from files
///
/// Without -f the resources come from the cluster that kubectl would talk to, or from the one whose
/// Pod this runs in; then several replicas may serve, one of which writes statuses. An Envoy that
/// shall serve a Gateway calls itself NAMESPACE/NAME in its node.cluster; `locum bootstrap` prints a
/// configuration to start one with.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum serve
  locum serve --namespaces shop,blog --controller-name gateway.envoyproxy.io/gatewayclass-controller
  locum serve -f manifests/
  locum serve -f manifests/ --xds-address unix:/run/locum/xds.sock --xds-socket-mode 0660
  locum serve -f manifests/ --xds-address 0.0.0.0:18000 --tls-cert tls.crt --tls-key tls.key --tls-client-ca ca.crt")]
pub(super) struct Options {
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    servers: ServerOptions,
    /// Where /healthz, /readyz and /metrics are alone, for probes and Prometheus
    /// [default with resources of a cluster: every address, port 18081]
    #[arg(long, env = "LOCUM_HEALTH_ADDRESS", value_name = "ADDRESS:PORT")]
    health_address: Option<SocketAddr>,
    /// Over what time Envoys are let go one after another when Locum ends, to be taken by other
    /// replicas; where they are few it takes less
    /// [default: 10s with resources of a cluster, else 0s]
    #[arg(long, env = "LOCUM_DRAIN_TIME", value_name = "DURATION", value_parser = duration)]
    drain_time: Option<Duration>,
    /// Where Locum notes what Envoys with `api_type: GRPC` are told, so that a Locum that is started
    /// again takes nothing from them too early; those with DELTA_GRPC need no such thing
    /// [default: in memory alone]
    #[arg(long, env = "LOCUM_STATE_DIR", value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    #[command(flatten)]
    tls: TlsOptions,
    #[command(flatten)]
    kubernetes: KubernetesOptions,
    #[command(flatten)]
    replica: ReplicaOptions,
}

impl Options {
    /// Serves until a signal comes.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let signals = Signals::new()?;
        if self.source.has_files() {
            self.files(signals).await
        } else {
            self.kubernetes(signals).await
        }
    }

    async fn files(self, signals: Signals) -> anyhow::Result<ExitCode> {
        self.kubernetes.refuse()?;
        self.replica.refuse()?;
        let source = self.source.files(DefaultListen::Everywhere)?;
        let domain = self.tls.domain(NAMESPACE)?;
        let addresses = ServerAddresses {
            health: self.health_address,
            ..self.servers.local()?
        };
        let insecure = self.tls.insecure();
        addresses.admin_is_local(insecure)?;
        let known = self.tls.known(&domain)?;
        match (&known, &addresses.xds) {
            (Known::Files(..), XdsListen::Unix(_)) => return Err(tls_over_socket().into()),
            (Known::Files(..), XdsListen::Ip(_)) => {}
            _ => addresses.xds_is_local(insecure, GIVE_CERTIFICATES)?,
        }
        let (_state_dir, told) = told_in(self.state_dir.as_deref())?;
        let sockets = bind(addresses).await?;
        let files = Files::new(source.paths, source.namespace);
        let mut prepared = Prepared::new(sockets, source.translation);
        prepared.shared.told = told;
        // Nobody is known who could take the Envoys.
        prepared.shared.drain = self.drain_time.unwrap_or_default();
        if let Known::Files(tls, renewed) = known {
            prepared.over_tls(tls);
            // It ends with the process.
            tokio::spawn(renewed.run());
        }
        serve(prepared, |updates| read(files, updates), signals).await
    }

    async fn kubernetes(self, signals: Signals) -> anyhow::Result<ExitCode> {
        let translation = self.source.kubernetes()?;
        let member = self.replica.member()?;
        let domain = self.tls.domain(&member.namespace)?;
        let everywhere = SocketAddr::from((every_address(), HEALTH_PORT));
        let health = self.health_address.unwrap_or(everywhere);
        let addresses = self.servers.everywhere(health)?;
        addresses.admin_is_local(self.tls.insecure())?;
        if let XdsListen::Unix(_) = addresses.xds {
            let message = "--xds-address: replicas hear each other at it, so it has to be an address \
                           and a port; unix:PATH is for resources from files (-f)";
            return Err(Misuse::new(message.into()).into());
        }
        let known = self.tls.known(&domain)?;
        let controllers = translation.controller_names.clone();
        let (client, what) = self.kubernetes.connect(controllers).await?;
        let what = source::Options {
            own_service: Some(ObjectName::new(&member.namespace, replicas::SERVICE)),
            ..what
        };
        let (_state_dir, told) = told_in(self.state_dir.as_deref())?;
        let sockets = bind(addresses).await?;
        let plan = Plan {
            member,
            client,
            what,
            translation,
            domain,
            known,
            drain: self.drain_time.unwrap_or(DRAIN),
            told,
        };
        Replica::start(plan, sockets).serve(signals).await
    }
}

/// What to do instead of meeting Envoys in plaintext.
const GIVE_CERTIFICATES: &str =
    "give --tls-cert, --tls-key and --tls-client-ca, which `locum certs` makes";

fn tls_over_socket() -> Misuse {
    let message =
        "--tls-cert: over unix:PATH there is no TLS; who may come, --xds-socket-mode says";
    Misuse::new(message.into())
}

/// What proxies were told, in memory or in this directory, which is Locum's own as long as it is held.
fn told_in(state_dir: Option<&Path>) -> anyhow::Result<(Option<StateDir>, Arc<Told>)> {
    let Some(path) = state_dir else {
        return Ok((None, Arc::default()));
    };
    let state_dir = StateDir::open(path)?;
    let told = told(&state_dir)?;
    Ok((Some(state_dir), told))
}

async fn bind(addresses: ServerAddresses) -> anyhow::Result<Sockets> {
    let sockets = Sockets::bind(addresses, None).await?;
    let addresses = &sockets.addresses;
    tracing::info!(xds = %addresses.xds, admin = %addresses.admin, "serving");
    Ok(sockets)
}

/// Serves what `source` reads until a signal comes, and lets the Envoys go; a second signal ends it at
/// once.
async fn serve<S>(
    prepared: Prepared,
    source: impl FnOnce(mpsc::Sender<Update>) -> S,
    mut signals: Signals,
) -> anyhow::Result<ExitCode>
where
    S: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async {
        // An error means that the sender is gone, and then it is over too.
        let _ = stopped.await;
    };
    let mut control_plane = prepared.start(source, stopped);
    let states = control_plane.states.clone();
    tokio::select! {
        error = control_plane.failed() => return Err(error),
        () = log_changes(states) => {}
        () = signals.next() => {}
    }
    drop(stop);
    tokio::select! {
        () = control_plane.served() => {}
        () = signals.next() => {}
    }
    Ok(ExitCode::SUCCESS)
}

//! `locum run`: the control plane and an Envoy for each Gateway, in one process tree.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::control_plane::{Prepared, Sockets, read, told};
use super::options::{DefaultListen, ServerOptions, SourceOptions, duration};
use super::report::Reporter;
use super::signals::Signals;
use crate::proxy::{self, Binary, Fleet, Order, Plan, StateDir};
use crate::source::files::Files;

/// Serve manifests with Envoys of its own, and follow every change
///
/// For each Gateway an Envoy is started, watched, and started again if it dies. The files are
/// watched: a change is served without losing a request, and a mistake in one object takes nothing
/// from the others. SIGINT or SIGTERM lets requests that are under way finish and ends both; a
/// second signal ends at once. If Locum itself dies, its Envoys keep serving, and the next `locum
/// run` with the same state directory takes them over.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum run -f manifests/
  locum run -f gateway.yaml -f routes.yaml --listen 0.0.0.0
  locum run -f manifests/ --envoy ./envoy -- --concurrency 2")]
pub(super) struct Options {
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    servers: ServerOptions,
    /// The Envoy to start [default: the one in PATH, or what `make envoy` fetched]
    #[arg(long, env = "LOCUM_ENVOY", value_name = "BINARY")]
    envoy: Option<PathBuf>,
    /// Where Locum keeps what it needs to take over running Envoys
    /// [default: $XDG_STATE_HOME/locum or ~/.local/state/locum]
    #[arg(long, env = "LOCUM_STATE_DIR", value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Let --xds-address and --admin-address be reached in plaintext from other machines
    #[arg(long, env = "LOCUM_INSECURE", value_parser = BoolishValueParser::new())]
    insecure: bool,
    /// How long requests that are under way may take when an Envoy has to end
    #[arg(
        long,
        env = "LOCUM_DRAIN_TIMEOUT",
        value_name = "DURATION",
        default_value = "3s",
        value_parser = duration
    )]
    drain_timeout: Duration,
    /// Arguments for Envoy, after Locum's own
    #[arg(last = true, value_name = "ENVOY ARGS")]
    arguments: Vec<String>,
}

impl Options {
    /// Serves until a signal comes.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let source = self.source.files(DefaultListen::Loopback)?;
        let addresses = self.servers.local()?;
        addresses.admin_is_local(self.insecure)?;
        addresses.xds_is_local(
            self.insecure,
            "locum serve has --tls-cert for Envoys elsewhere",
        )?;
        let mut signals = Signals::new()?;
        let binary = Binary::find(self.envoy.as_deref()).await?;
        let path = match self.state_dir {
            Some(path) => path,
            None => proxy::default_path()?,
        };
        let state_dir = StateDir::open(&path)?;
        let sockets = Sockets::bind(addresses, state_dir.addresses()).await?;
        let addresses = sockets.addresses.clone();
        state_dir.note_addresses(&addresses)?;
        let listen = source.translation.listen;
        let files = Files::new(source.paths, source.namespace);
        let mut prepared = Prepared::new(sockets, source.translation);
        prepared.shared.told = told(&state_dir)?;
        let (order, ordered) = watch::channel(Order::Serve);
        let plan = Plan {
            binary: Arc::new(binary),
            state_dir,
            xds: addresses.xds.clone(),
            listen,
            arguments: self.arguments,
            drain_timeout: self.drain_timeout,
        };
        let (fleet, proxies) = Fleet::new(plan, prepared.states.clone(), ordered);
        prepared.proxies = Some(proxies.clone());
        let serving = prepared.serving();
        let (stop, mut stopped) = watch::channel(false);
        let stopped = async move {
            // An error means that the sender is gone, and then it is over too.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let mut control_plane = prepared.start(|updates| read(files, updates), stopped);
        let reporter = Reporter::new(
            addresses,
            listen,
            control_plane.states.clone(),
            proxies,
            serving,
        );
        let reporter = tokio::spawn(reporter.run());
        let mut fleet = tokio::spawn(fleet.run());
        let failure = tokio::select! {
            error = control_plane.failed() => Some(error),
            ended = &mut fleet => Some(anyhow::anyhow!("the Envoys' supervisor ended: {ended:?}")),
            () = signals.next() => None,
        };
        end(&order, fleet, &mut signals).await;
        stop.send_replace(true);
        reporter.await?;
        failure.map_or(Ok(ExitCode::SUCCESS), Err)
    }
}

/// Drains the Envoys and ends them; a second signal does so at once.
async fn end(order: &watch::Sender<Order>, mut fleet: JoinHandle<()>, signals: &mut Signals) {
    if fleet.is_finished() {
        return;
    }
    order.send_replace(Order::Drain);
    tokio::select! {
        _ = &mut fleet => return,
        () = signals.next() => {}
    }
    order.send_replace(Order::End);
    if let Err(error) = fleet.await {
        tracing::error!(%error, "the Envoys' supervisor failed");
    }
}

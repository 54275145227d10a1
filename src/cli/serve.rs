//! `locum serve`: the control plane alone, for Envoys that something else runs.

use std::process::ExitCode;

use clap::Args;

use super::control_plane::{Prepared, Sockets, read};
use super::log_changes::log_changes;
use super::options::{DefaultListen, Misuse, ServerOptions, SourceOptions};
use super::signals::Signals;
use crate::source::files::Files;

/// Serve Envoys that run elsewhere, from files
///
/// An Envoy that shall serve a Gateway calls itself NAMESPACE/NAME in its node.cluster; `locum
/// bootstrap` prints a configuration to start one with.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum serve -f manifests/
  locum serve -f manifests/ --xds-address 0.0.0.0:18000 --log-format json")]
pub(super) struct Options {
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    servers: ServerOptions,
}

impl Options {
    /// Serves until a signal comes.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        if !self.source.has_files() {
            let message = "serve needs -f PATH; Kubernetes as a source is not supported yet";
            return Err(Misuse::new(message.into()).into());
        }
        let source = self.source.files(DefaultListen::Everywhere)?;
        let mut signals = Signals::new()?;
        let sockets = Sockets::bind(self.servers.local(), None).await?;
        let addresses = sockets.addresses;
        tracing::info!(xds = %addresses.xds, admin = %addresses.admin, "serving");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async {
            // An error means that the sender is gone, and then it is over too.
            let _ = stopped.await;
        };
        let files = Files::new(source.paths, source.namespace);
        let prepared = Prepared::new(sockets, source.translation);
        let mut control_plane = prepared.start(|updates| read(files, updates), stopped);
        let states = control_plane.states.clone();
        tokio::select! {
            error = control_plane.failed() => return Err(error),
            () = log_changes(states) => {}
            () = signals.next() => {}
        }
        drop(stop);
        Ok(ExitCode::SUCCESS)
    }
}

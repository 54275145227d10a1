//! `locum serve`: the control plane alone, for Envoys that something else runs.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::sync::watch;

use super::control_plane::{Prepared, Sockets};
use super::options::{DefaultListen, Misuse, ServerOptions, SourceOptions};
use super::problems::counts;
use super::signals::Signals;
use crate::pipeline::{Located, State};
use crate::problem::Severity;

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
        let sockets = Sockets::bind(self.servers, None).await?;
        let addresses = sockets.addresses;
        tracing::info!(xds = %addresses.xds, admin = %addresses.admin, "serving");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let stopped = async {
            // An error means that the sender is gone, and then it is over too.
            let _ = stopped.await;
        };
        let mut control_plane = Prepared::new(sockets, source).start(None, stopped);
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

/// Logs each translation and each problem that is new.
async fn log_changes(mut states: watch::Receiver<Arc<State>>) {
    let mut told: BTreeSet<Located> = BTreeSet::new();
    while states.changed().await.is_ok() {
        let state = states.borrow_and_update().clone();
        let problems = state.located_problems();
        let gateways = state.snapshots.len();
        tracing::info!(
            revision = state.revision,
            gateways,
            problems = counts(&problems),
            "translated"
        );
        let problems: BTreeSet<Located> = problems.into_iter().collect();
        problems.difference(&told).for_each(log);
        told = problems;
    }
}

fn log(problem: &Located) {
    let json = problem.to_json();
    let file = json.file.as_ref().map(|file| file.display().to_string());
    let (kind, namespace, name) = (json.kind, json.namespace, json.name);
    let (line, field, reason) = (json.line, json.field, json.reason);
    let message = json.message;
    // The level of an event has to be known when Locum is compiled.
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(
                file,
                line,
                kind,
                namespace,
                name,
                field,
                reason,
                "{message}"
            )
        };
    }
    match problem.severity {
        Severity::Error => log!(error),
        Severity::Warning => log!(warn),
        Severity::Note => log!(debug),
    }
}

//! The echo backend as a process: its command line, for whichever program serves as one.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use super::{Echo, Identity};
use crate::tls::Certified;

/// A backend that says who it is, as echo-basic does.
#[derive(Debug, Parser)]
#[command(
    name = "locum-echo",
    version,
    after_help = "PUT /__control {\"status\": 503} makes every answer a 503; {} mends it."
)]
pub struct Options {
    /// Where to listen; port 0 means any free one, which is printed.
    #[arg(long, env = "LOCUM_ECHO_LISTEN", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The port, in place of that of the address: what echo-basic is told in its Pods.
    #[arg(long, env = "HTTP_PORT")]
    port: Option<u16>,
    /// The name it gives as its pod's.
    #[arg(long, env = "POD_NAME", default_value = "echo")]
    pod: String,
    /// The namespace it gives.
    #[arg(long, env = "NAMESPACE", default_value = "default")]
    namespace: String,
    /// Serves in TLS, with `tls.crt` and `tls.key` of this folder.
    #[arg(long, value_name = "FOLDER")]
    tls: Option<PathBuf>,
    /// Ends when standard input does, so that no backend outlives who started it.
    #[arg(long)]
    with_parent: bool,
}

impl Options {
    /// Serves until its task is ended, the process is asked to end or, with `--with-parent`, until
    /// standard input ends. It ends at once, whatever its connections carry: backends do.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, a certificate cannot be used, or standard output is closed.
    pub async fn run(self) -> anyhow::Result<()> {
        let identity = Identity {
            namespace: self.namespace,
            ..Identity::pod(&self.pod)
        };
        let port = self.port.unwrap_or(self.listen.port());
        let listen = SocketAddr::new(self.listen.ip(), port);
        // A container's first process is asked in vain to end unless it listens for it.
        let mut asked_to_end = signal(SignalKind::terminate())?;
        let certified = self.tls.as_deref().map(Certified::read).transpose()?;
        let tls = certified
            .map(|certified| certified.server(None))
            .transpose()?;
        let tls = tls.map(Arc::new);
        let echo = Echo::start_with(listen, identity, tls).await;
        let echo = echo.with_context(|| format!("cannot listen on {listen}"))?;
        writeln!(
            std::io::stdout().lock(),
            "{} on {}",
            self.pod,
            echo.address()
        )?;
        tokio::select! {
            () = echo.served() => {}
            _ = asked_to_end.recv() => {}
            () = parents_end(), if self.with_parent => {}
        }
        Ok(())
    }
}

/// Standard input is read on a thread of its own: a blocking read must not keep the process from
/// ending.
async fn parents_end() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // An error is an end too.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        // The receiver is gone only when the process ends anyway.
        let _ = ended.send(());
    });
    let _ = end.await;
}

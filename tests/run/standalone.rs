//! A `locum serve` and Envoys that something else starts: here, the test.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output};

use locum_demo::process::envoy;
use rustix::process::Signal;
use tempfile::{NamedTempFile, TempDir};

use crate::harness::{free_port, get, locum, signal, status, until};

/// A process that is killed when this is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `locum serve` at a port of its own, or at a socket.
pub(crate) struct Serve {
    pub(crate) xds: String,
    pub(crate) admin: SocketAddr,
    log: NamedTempFile,
    process: Process,
}

impl Serve {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(manifests: &Path, arguments: &[&str]) -> Self {
        Self::start_at(format!("127.0.0.1:{}", free_port()), manifests, arguments)
    }

    pub(crate) fn start_at(xds: String, manifests: &Path, arguments: &[&str]) -> Self {
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = locum();
        command.args(["serve", "--listen", "127.0.0.1", "-f"]);
        command.arg(manifests).args(arguments);
        command.args(["--xds-address", &xds]);
        command.args(["--admin-address", &admin.to_string()]);
        let log = NamedTempFile::new().unwrap();
        let process = Process(command.stderr(log.reopen().unwrap()).spawn().unwrap());
        until("locum serve is ready", || {
            get(admin, "/readyz").is_some_and(|(status, _)| status == 200)
        });
        Self {
            xds,
            admin,
            log,
            process,
        }
    }

    /// Ends it and waits until it has.
    pub(crate) fn terminate(mut self) {
        signal(self.process.0.id(), Signal::TERM);
        until("locum serve ends", || {
            self.process.0.try_wait().unwrap().is_some()
        });
    }

    /// Kills it without a word.
    pub(crate) fn kill(self) {
        drop(self.process);
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}

/// An Envoy that was started with what `locum bootstrap` wrote.
pub(crate) struct Envoy {
    pub(crate) admin: SocketAddr,
    pub(crate) ready: SocketAddr,
    folder: TempDir,
    process: Process,
}

impl Envoy {
    /// Starts one for a Gateway. It need not be ready.
    pub(crate) fn start(gateway: &str, xds: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [admin, ready] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
        let mut command = locum();
        command.args(["bootstrap", "--gateway", gateway, "-d"]);
        command.arg(folder.path()).args(arguments);
        command.args(["--xds-address", xds]);
        command.args(["--envoy-admin-address", &admin.to_string()]);
        command.args(["--ready-port", &ready.port().to_string()]);
        succeeds(&mut command);
        let log = File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(envoy().unwrap());
        command.arg("-c").arg(folder.path().join("envoy.yaml"));
        command.args(["--use-dynamic-base-id", "--concurrency", "2"]);
        let process = Process(command.stderr(log).spawn().unwrap());
        Self {
            admin,
            ready,
            folder,
            process,
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        status(self.ready, "/ready") == Some(200)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Ends it as a kubelet does after the preStop hook.
    pub(crate) fn terminate(mut self) {
        signal(self.process.0.id(), Signal::TERM);
        until("Envoy ends", || {
            self.process.0.try_wait().unwrap().is_some()
        });
    }
}

/// Runs a command that must succeed.
pub(crate) fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output
}

/// Runs a command that must fail, and returns its exit status and what it says.
pub(crate) fn fails(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{command:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap(), said)
}

//! Processes that end with the value that stands for them: backends, and Locum with its Envoy.

use std::env;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::ask;

/// How long a process may take to end when asked to; Locum promises five seconds.
const END_LIMIT: Duration = Duration::from_secs(6);
/// How long Locum may take from its start until it is ready; a thousand routes take a few seconds.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(10);

/// The Envoy to test with: the one that LOCUM_ENVOY names, or else the one that `make envoy` fetches.
pub fn envoy() -> anyhow::Result<PathBuf> {
    const FETCHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools/envoy-1.40.0/envoy");
    let path = env::var_os("LOCUM_ENVOY").unwrap_or_else(|| FETCHED.into());
    let path = PathBuf::from(path);
    ensure!(
        path.is_file(),
        "no Envoy at {}: get it with `make envoy`, or name one in LOCUM_ENVOY",
        path.display()
    );
    Ok(path)
}

/// A child process. When dropped it is asked to end, and ended if it does not.
#[derive(Debug)]
pub struct Process {
    child: Child,
    left: bool,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When it cannot be started; the error names the program.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Self { child, left: false })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard output, once, if it was piped.
    pub fn output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Sends a signal; to a process that has ended, none.
    pub fn signal(&mut self, signal: Signal) {
        if self.status().is_none() {
            send(self.child.id(), signal);
        }
    }

    /// How it ended, if it did.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Kills it as `kill -9` does; it is gone when this returns.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        // It ends at once: nothing can catch this signal.
        let _ = self.child.wait();
    }

    /// Asks it to end and says how it did; none if it did not within `limit`.
    pub fn end(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.status() {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Lets it run on when this value has gone.
    pub fn leave(&mut self) {
        self.left = true;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.left && self.end(END_LIMIT).is_none() {
            self.kill();
        }
    }
}

fn send(id: u32, signal: Signal) {
    // A process that has gone meanwhile needs no signal.
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// What `locum run` is started with.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub locum: PathBuf,
    pub manifests: PathBuf,
    pub state: PathBuf,
    /// The address on which Gateways listen.
    pub listen: IpAddr,
    /// Further options.
    pub options: Vec<String>,
}

/// A `locum run`, and the Envoys under it. All end when it is dropped.
#[derive(Debug)]
pub struct Locum {
    process: Process,
    launch: Launch,
    admin: SocketAddr,
}

/// What Locum notes of itself in its state directory.
#[derive(Deserialize)]
struct Addresses {
    admin: SocketAddr,
}

/// What it notes of each Envoy.
#[derive(Deserialize)]
struct EnvoyRecord {
    pid: u32,
}

impl Locum {
    /// Starts Locum and waits until it says that it is ready.
    ///
    /// # Errors
    ///
    /// When it ends before, or is not ready within half a minute; the error holds the end of its
    /// log.
    pub async fn start(launch: Launch) -> anyhow::Result<Self> {
        fs::create_dir_all(&launch.state).context("cannot make the state directory")?;
        let log = log_path(&launch.state);
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .context("cannot log")?;
        let mut command = Command::new(&launch.locum);
        command.arg("run").arg("-f").arg(&launch.manifests);
        command.arg("--state-dir").arg(&launch.state);
        command.args(["--listen", &launch.listen.to_string()]);
        command.args([
            "--xds-address",
            "127.0.0.1:0",
            "--admin-address",
            "127.0.0.1:0",
        ]);
        command.args(&launch.options);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut locum = Self {
            process: Process::start(&mut command)?,
            launch,
            admin: SocketAddr::from(([0, 0, 0, 0], 0)),
        };
        locum.await_readiness().await?;
        Ok(locum)
    }

    async fn await_readiness(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        loop {
            if let Some(admin) = ready(&self.launch.state).await {
                self.admin = admin;
                return Ok(());
            }
            if let Some(status) = self.process.status() {
                bail!("locum ended, {status}:\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!("locum is not ready in {READY_LIMIT:?}:\n{}", self.log());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The process itself: to signal, to end.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where its admin interface is.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The end of what it logged, its Envoys' lines with it.
    pub fn log(&self) -> String {
        log_end(&self.launch.state)
    }

    /// The process ids of its Envoys, as it noted them.
    pub fn envoys(&self) -> Vec<u32> {
        envoys(&self.launch.state)
    }

    /// The admin socket of a Gateway's Envoy.
    pub fn envoy_admin(&self, namespace: &str, gateway: &str) -> PathBuf {
        let folder = format!("{namespace}_{gateway}");
        self.launch.state.join(folder).join("admin.sock")
    }

    /// Starts it again after it was killed or has ended, with the same state directory.
    ///
    /// # Errors
    ///
    /// As [`Locum::start`].
    pub async fn restart(mut self) -> anyhow::Result<Self> {
        self.process.kill();
        let launch = self.launch.clone();
        // Its Envoys are the next one's to take over.
        self.launch.state = PathBuf::new();
        Self::start(launch).await
    }

    /// Lets it and its Envoys run on when this value has gone.
    pub fn leave(mut self) {
        self.process.leave();
        self.launch.state = PathBuf::new();
    }
}

impl Drop for Locum {
    fn drop(&mut self) {
        if self.launch.state.as_os_str().is_empty() {
            return;
        }
        // Asked to end it ends its Envoys; one that was killed left them.
        let _ = self.process.end(END_LIMIT);
        for pid in envoys(&self.launch.state) {
            send(pid, Signal::KILL);
        }
    }
}

async fn ready(state: &Path) -> Option<SocketAddr> {
    let addresses = fs::read(state.join("addresses.json")).ok()?;
    let addresses: Addresses = serde_json::from_slice(&addresses).ok()?;
    let answer = ask::get(addresses.admin, "localhost", "/readyz")
        .await
        .ok()?;
    answer.status.is_success().then_some(addresses.admin)
}

/// The Envoys noted in a state directory that are still running from there.
fn envoys(state: &Path) -> Vec<u32> {
    let folders = fs::read_dir(state).into_iter().flatten().flatten();
    let records = folders.filter_map(|folder| fs::read(folder.path().join("envoy.json")).ok());
    let records = records.filter_map(|text| serde_json::from_slice::<EnvoyRecord>(&text).ok());
    let ours = |pid: &u32| {
        // The id may be another process's by now: an Envoy of ours has its bootstrap in this
        // directory.
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&*state.to_string_lossy())
    };
    records.map(|record| record.pid).filter(ours).collect()
}

fn log_path(state: &Path) -> PathBuf {
    state.join("locum.log")
}

/// The last lines of the log, for an error message.
fn log_end(state: &Path) -> String {
    const LINES: usize = 30;
    let log = fs::read(log_path(state)).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// A backend as a process of its own; see `locum-echo`.
#[derive(Debug)]
pub struct Backend {
    process: Process,
    address: SocketAddr,
}

impl Backend {
    /// Starts a command that is or runs `locum-echo` and waits for the line that says where it
    /// listens.
    ///
    /// # Errors
    ///
    /// When it ends instead, the address being taken for example.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        use io::BufRead as _;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(command)?;
        let output = process.output().context("its output is not piped")?;
        let mut line = String::new();
        io::BufReader::new(output).read_line(&mut line)?;
        let address = line
            .split_whitespace()
            .last()
            .and_then(|address| address.parse().ok());
        let address = address.context("the backend did not start")?;
        Ok(Self { process, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process itself: to signal, to kill.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

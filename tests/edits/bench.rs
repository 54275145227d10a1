//! What runs: a `locum serve` that can be killed, an Envoy for each variant of xDS, backends.
//!
//! All of it is on loopback addresses of its own, 127.a.b.0/24, so that other programs do not meet
//! it, and ends with the bench.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use locum_demo::ask;
use locum_demo::echo::{Echo, Identity};
use locum_demo::manifests::Folder;
use locum_demo::process::{Process, envoy};
use serde_json::Value;

use crate::manifests::{Files, GATEWAYS, Place};

/// How long anything may take to start.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(10);
/// How long Envoy keeps a listener that it was told to remove.
const DRAIN_SECONDS: &str = "5";
const BACKEND_PORT: u16 = 3000;
const XDS_PORT: u16 = 18_000;
const ADMIN_PORT: u16 = 18_080;
const ENVOY_PORT: u16 = 19_000;

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Bench {
    locum: Option<Process>,
    envoys: Vec<Process>,
    /// They serve as long as they are here.
    backends: Vec<Echo>,
    folder: Folder,
    files: Files,
    state: tempfile::TempDir,
    network: [u8; 2],
}

impl Bench {
    /// A bench with nothing but a folder on it.
    pub(crate) fn new() -> anyhow::Result<Self> {
        // 127.192.0.0 to 127.254.255.255, by process: out of the way of people and other tests.
        let process = std::process::id();
        let first = u8::try_from(192 + process % 63)?;
        let second = u8::try_from(process / 63 % 256)?;
        Ok(Self {
            locum: None,
            envoys: Vec::new(),
            backends: Vec::new(),
            folder: Folder::new()?,
            files: Files::new(),
            state: tempfile::Builder::new().prefix("locum-edits-").tempdir()?,
            network: [first, second],
        })
    }

    fn address(&self, host: u8) -> IpAddr {
        let [first, second] = self.network;
        IpAddr::V4(Ipv4Addr::new(127, first, second, host))
    }

    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address(1), port)
    }

    /// Where a Gateway's port is.
    pub(crate) fn proxy(&self, port: u16) -> SocketAddr {
        self.at(port)
    }

    /// Starts so many pods, called `p0`, `p1`, ..., and says where they are.
    pub(crate) async fn pods(&mut self, count: usize) -> anyhow::Result<Vec<Place>> {
        let mut places = Vec::new();
        for pod in 0..count {
            let identity = || Identity::pod(&format!("p{pod}"));
            let address = SocketAddr::new(self.address(u8::try_from(pod + 2)?), BACKEND_PORT);
            let by_address = Echo::start(address, identity()).await?;
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let by_name = Echo::start(any, identity()).await?;
            places.push(Place {
                address,
                local_port: by_name.address().port(),
            });
            self.backends.extend([by_address, by_name]);
        }
        Ok(places)
    }

    /// Makes the folder hold these files, each of which appears, changes or goes in one step: what
    /// others refer to first, and last where it goes.
    pub(crate) fn write(&mut self, files: Files) -> anyhow::Result<()> {
        for (name, text) in &files {
            if self.files.get(name) != Some(text) {
                self.folder.write(name, text)?;
            }
        }
        let gone = self
            .files
            .keys()
            .rev()
            .filter(|name| !files.contains_key(*name));
        for name in gone {
            self.folder.remove(name)?;
        }
        self.files = files;
        Ok(())
    }

    /// Starts Locum, which need not be ready.
    pub(crate) fn start_locum(&mut self) -> anyhow::Result<()> {
        ensure!(self.locum.is_none(), "Locum runs already");
        let log = self.log("locum.log")?;
        let mut command = locum();
        command.args(["serve", "-f"]).arg(self.folder.path());
        command.args(["--listen", &self.address(1).to_string()]);
        command.args(["--xds-address", &self.at(XDS_PORT).to_string()]);
        command.args(["--admin-address", &self.admin().to_string()]);
        command
            .arg("--state-dir")
            .arg(self.state.path().join("locum"));
        command.stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        self.locum = Some(Process::start(&mut command)?);
        Ok(())
    }

    /// Kills Locum, without a word.
    pub(crate) fn kill_locum(&mut self) {
        if let Some(mut locum) = self.locum.take() {
            locum.kill();
        }
    }

    /// Whether Locum was started, and not killed since.
    pub(crate) fn has_locum(&self) -> bool {
        self.locum.is_some()
    }

    /// Waits until Locum is ready.
    pub(crate) async fn locum_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while !is_well(self.admin(), "/readyz").await {
            let status = self.locum.as_mut().and_then(Process::status);
            if let Some(status) = status {
                bail!("locum ended, {status}:\n{}", self.log_end("locum.log"));
            }
            ensure!(
                Instant::now() < deadline,
                "locum is not ready in {START_LIMIT:?}:\n{}",
                self.log_end("locum.log")
            );
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Starts an Envoy for each Gateway, in the variant of its name, and waits until all serve.
    /// With `trace` they log all that they are told.
    pub(crate) async fn start_envoys(&mut self, trace: bool) -> anyhow::Result<()> {
        let envoy = envoy()?;
        for (gateway, name) in GATEWAYS.iter().enumerate() {
            let folder = self.state.path().join(name);
            let mut command = locum();
            command.args(["bootstrap", "--gateway", &format!("default/{name}")]);
            command.args(["--xds-variant", name, "--node-id", name, "-d"]);
            command.arg(&folder);
            command.args(["--xds-address", &self.at(XDS_PORT).to_string()]);
            let admin = self.envoy_admin(gateway).to_string();
            command.args(["--envoy-admin-address", &admin]);
            let output = command.output()?;
            ensure!(output.status.success(), "{}", said(&output));
            let mut command = std::process::Command::new(&envoy);
            command.arg("-c").arg(folder.join("envoy.yaml"));
            command.args(["--use-dynamic-base-id", "--concurrency", "2"]);
            command.args(["--log-level", "warning"]);
            command.args(["--drain-time-s", DRAIN_SECONDS]);
            if trace {
                command.args(["--component-log-level", "config:trace,upstream:debug"]);
            }
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(self.log(&format!("{name}.log"))?);
            self.envoys.push(Process::start(&mut command)?);
        }
        let deadline = Instant::now() + START_LIMIT;
        for (gateway, name) in GATEWAYS.iter().enumerate() {
            while !is_well(self.envoy_admin(gateway), "/ready").await {
                let log = format!("{name}.log");
                ensure!(
                    Instant::now() < deadline,
                    "the Envoy of {name} is not ready in {START_LIMIT:?}:\n{}",
                    self.log_end(&log)
                );
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Whether the Envoys that were started still run.
    pub(crate) fn envoys_run(&mut self) -> anyhow::Result<()> {
        for (envoy, name) in self.envoys.iter_mut().zip(GATEWAYS) {
            let status = envoy.status();
            ensure!(
                status.is_none(),
                "the Envoy of {name} ended: {status:?}:\n{}",
                log_end(self.state.path(), &format!("{name}.log"))
            );
        }
        Ok(())
    }

    fn admin(&self) -> SocketAddr {
        self.at(ADMIN_PORT)
    }

    fn envoy_admin(&self, gateway: usize) -> SocketAddr {
        let number = u16::try_from(gateway).expect("there are two");
        self.at(ENVOY_PORT + number)
    }

    /// What Locum's admin interface answers; an error while there is no Locum.
    pub(crate) async fn ask_locum(&self, path: &str) -> anyhow::Result<String> {
        let answer = ask::get(self.admin(), "localhost", path).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        Ok(answer.text())
    }

    /// What an Envoy's admin interface answers.
    pub(crate) async fn ask_envoy(&self, gateway: usize, path: &str) -> anyhow::Result<String> {
        let answer = ask::get(self.envoy_admin(gateway), "localhost", path).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        Ok(answer.text())
    }

    /// What an Envoy is to be told, by what is in the folder now and nothing else: no Locum that
    /// runs is asked. Sorted.
    pub(crate) async fn due(&self, gateway: &str) -> anyhow::Result<Vec<String>> {
        let mut command = locum();
        command.args([
            "translate",
            "-o",
            "json",
            "-g",
            &format!("default/{gateway}"),
        ]);
        command.args(["--listen", &self.address(1).to_string(), "-f"]);
        command.arg(self.folder.path());
        let output = run(command).await?;
        // 1 says that problems were found: references that lead nowhere are among the edits.
        ensure!(
            matches!(output.status.code(), Some(0 | 1)),
            "locum translate: {}",
            said(&output)
        );
        let resources: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        Ok(sorted(resources.iter()))
    }

    /// What Locum tells an Envoy at present. Sorted.
    pub(crate) async fn told(&self, gateway: &str) -> anyhow::Result<Vec<String>> {
        let path = format!("/debug/xds?gateway=default/{gateway}");
        let answer: Value = serde_json::from_str(&self.ask_locum(&path).await?)?;
        let kinds = answer["gateways"][0]["resources"].as_object();
        let kinds = kinds.context("resources by kind")?.values();
        let resources = kinds.filter_map(Value::as_array).flatten();
        Ok(sorted(resources.map(|resource| &resource["resource"])))
    }

    /// What `locum debug xds --diff` finds between what Locum tells an Envoy and what that has, a
    /// line or more for each difference.
    pub(crate) async fn differences(&self, gateway: usize) -> anyhow::Result<Vec<String>> {
        let mut command = locum();
        command.args(["debug", "xds", "--diff"]);
        command.args(["--admin-address", &self.admin().to_string()]);
        let envoy = self.envoy_admin(gateway).to_string();
        command.args(["--envoy-admin-address", &envoy]);
        let output = run(command).await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() && text.contains("has what it is told") {
            return Ok(Vec::new());
        }
        ensure!(output.status.code() == Some(1), "{text}{}", said(&output));
        let mut differences = Vec::<String>::new();
        for line in text.lines() {
            match differences.last_mut() {
                Some(last) if line.starts_with(' ') => *last += &format!("\n{line}"),
                _ => differences.push(line.to_owned()),
            }
        }
        Ok(differences)
    }

    fn log(&self, name: &str) -> anyhow::Result<File> {
        let path = self.state.path().join(name);
        let mut options = File::options();
        let log = options.create(true).append(true).open(path);
        log.context("cannot log")
    }

    /// The end of a log.
    pub(crate) fn log_end(&self, name: &str) -> String {
        log_end(self.state.path(), name)
    }

    /// Leaves the manifests and the logs where they are, and says where.
    pub(crate) fn keep(self) -> String {
        let Self {
            folder,
            state,
            locum,
            envoys,
            ..
        } = self;
        drop((locum, envoys));
        let (folder, state) = (folder.keep(), state.keep());
        format!(
            "manifests in {}, logs in {}",
            folder.display(),
            state.display()
        )
    }
}

fn log_end(state: &Path, name: &str) -> String {
    const LINES: usize = 30;
    let log = std::fs::read(state.join(name)).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// The command under test.
fn locum() -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_locum"));
    command.env_clear();
    command
}

async fn run(command: std::process::Command) -> anyhow::Result<Output> {
    let mut command = tokio::process::Command::from(command);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(START_LIMIT, output).await;
    Ok(output.context("locum does not end")??)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn sorted<'a>(resources: impl Iterator<Item = &'a Value>) -> Vec<String> {
    let mut resources: Vec<_> = resources.map(Value::to_string).collect();
    resources.sort_unstable();
    resources
}

async fn is_well(address: SocketAddr, path: &str) -> bool {
    let answer = ask::get(address, "localhost", path).await;
    answer.is_ok_and(|answer| answer.status == 200)
}

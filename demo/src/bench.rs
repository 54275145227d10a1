//! What a test of failover works with: addresses of its own, a folder of manifests, backends, a
//! Locum with its Envoy, a load.
//!
//! Each bench has a network 127.a.b.0/24 of loopback addresses, so that tests and other programs do
//! not meet, and ports can be those that users write. Everything ends with the bench.
//!
//! A backend that is a process of its own is this very program, called with `echo` and the options
//! of [`crate::echo::Options`]: the tests' own `main` sees to that.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::ask;
use crate::echo::{Echo, Identity};
use crate::load::{Bound, Load, Pace, Request};
use crate::manifests::{Folder, HOST, PATH, PORT, endpoint_slice};
use crate::process::{Backend, Launch, Locum};
use crate::report::Report;
use crate::tls::Certified;

/// Kept connections that carry a load.
const CONNECTIONS: usize = 16;
/// The port of every backend.
pub const BACKEND_PORT: u16 = 3000;
/// The longest that a load runs.
const LOAD_LIMIT: Duration = Duration::from_secs(120);
/// How long a change of manifests, or a start, may take to be seen.
const SEEN_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(5);
/// The same where each look makes a report.
const REPORT_PAUSE: Duration = Duration::from_millis(20);
/// How many benches of one process have networks of their own.
const NETWORKS: usize = 128;

/// The world of one test.
#[derive(Debug)]
pub struct Bench {
    // Dropped first: it reads and writes the folders.
    locum: Option<Locum>,
    folder: Folder,
    state: tempfile::TempDir,
    program: PathBuf,
    network: [u8; 2],
}

impl Bench {
    /// A bench with nothing on it, for the Locum at `program`. The number tells it from others of
    /// this process.
    ///
    /// # Errors
    ///
    /// When its folders cannot be made.
    pub fn new(program: &Path, number: usize) -> anyhow::Result<Self> {
        // 127.64.0.0 to 127.191.255.255, by process and number: out of the way of what people use.
        let process = std::process::id();
        let number = u32::try_from(number % NETWORKS)?;
        let first = u8::try_from(64 + process % 128)?;
        let second = u8::try_from(process / 128 % 2 * 128 + number)?;
        Ok(Self {
            locum: None,
            folder: Folder::new()?,
            state: tempfile::Builder::new().prefix("locum-").tempdir()?,
            program: program.to_owned(),
            network: [first, second],
        })
    }

    /// An address of this bench's network.
    pub fn address(&self, host: u8) -> Ipv4Addr {
        let [first, second] = self.network;
        Ipv4Addr::new(127, first, second, host)
    }

    /// Where a backend on that address is.
    pub fn backend_address(&self, host: u8) -> SocketAddr {
        SocketAddr::new(self.address(host).into(), BACKEND_PORT)
    }

    /// Where the page's Gateway listens.
    pub fn proxy(&self) -> SocketAddr {
        SocketAddr::new(self.address(1).into(), PORT)
    }

    /// A backend of this process.
    ///
    /// # Errors
    ///
    /// When its address is taken.
    pub async fn echo(&self, pod: &str, host: u8) -> anyhow::Result<Echo> {
        Ok(Echo::start(self.backend_address(host), Identity::pod(pod)).await?)
    }

    /// The same, in TLS with this certificate where there is one.
    ///
    /// # Errors
    ///
    /// When its address is taken, or the certificate cannot be used.
    pub async fn echo_with(
        &self,
        pod: &str,
        host: u8,
        certified: Option<&Certified>,
    ) -> anyhow::Result<Echo> {
        let tls = certified.map(|certified| certified.server(None));
        let tls = tls.transpose()?.map(Arc::new);
        let (address, identity) = (self.backend_address(host), Identity::pod(pod));
        Ok(Echo::start_with(address, identity, tls).await?)
    }

    /// A backend that is a process of its own, so that it can be stopped.
    ///
    /// # Errors
    ///
    /// When its address is taken.
    pub fn echo_process(&self, pod: &str, host: u8) -> anyhow::Result<Backend> {
        self.echo_process_with(pod, host, None)
    }

    /// The same, in TLS with the certificate of this folder where there is one.
    ///
    /// # Errors
    ///
    /// When its address is taken, or the certificate cannot be used.
    pub fn echo_process_with(
        &self,
        pod: &str,
        host: u8,
        tls: Option<&Path>,
    ) -> anyhow::Result<Backend> {
        Backend::start(&mut echo_command(pod, self.backend_address(host), tls)?)
    }

    /// Where the manifests are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a manifest.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        self.folder
            .write(name, content)
            .with_context(|| name.to_owned())
    }

    /// Takes a manifest away.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn remove(&self, name: &str) -> anyhow::Result<()> {
        self.folder.remove(name).with_context(|| name.to_owned())
    }

    /// Writes the EndpointSlice of a Service, all ready.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_slice(&self, service: &str, endpoints: &[SocketAddr]) -> anyhow::Result<()> {
        let endpoints: Vec<_> = endpoints.iter().map(|endpoint| (*endpoint, true)).collect();
        self.write(&slice_file(service), &endpoint_slice(service, &endpoints))
    }

    /// Writes the EndpointSlice of a Service with one endpoint that is not ready.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_unready_slice(&self, service: &str, endpoint: SocketAddr) -> anyhow::Result<()> {
        self.write(
            &slice_file(service),
            &endpoint_slice(service, &[(endpoint, false)]),
        )
    }

    /// Takes the EndpointSlice of a Service away.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn remove_slice(&self, service: &str) -> anyhow::Result<()> {
        self.remove(&slice_file(service))
    }

    /// Starts Locum, with whatever the folder holds by now.
    ///
    /// # Errors
    ///
    /// When it runs already, or does not become ready.
    pub async fn run(&mut self) -> anyhow::Result<()> {
        ensure!(self.locum.is_none(), "Locum runs already");
        let launch = Launch {
            locum: self.program.clone(),
            manifests: self.folder.path().to_owned(),
            state: self.state.path().to_owned(),
            listen: IpAddr::V4(self.address(1)),
            options: Vec::new(),
        };
        self.locum = Some(Locum::start(launch).await?);
        Ok(())
    }

    /// The Locum of this bench.
    ///
    /// # Errors
    ///
    /// When it was not started.
    pub fn locum(&mut self) -> anyhow::Result<&mut Locum> {
        self.locum.as_mut().context("Locum does not run")
    }

    /// Starts Locum again after it was killed, as the same command would.
    ///
    /// # Errors
    ///
    /// When it was not started, or does not become ready.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let locum = self.locum.take().context("Locum does not run")?;
        self.locum = Some(locum.restart().await?);
        Ok(())
    }

    /// What Envoy's admin interface answers.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub async fn envoy(&mut self, path: &str) -> anyhow::Result<String> {
        let socket = self.locum()?.envoy_admin("default", "eg");
        let answer = ask::get_unix(&socket, path).await;
        Ok(answer
            .with_context(|| format!("{}: {path}", socket.display()))?
            .text())
    }

    /// Waits until a request is answered by this backend.
    ///
    /// # Errors
    ///
    /// When none is in time.
    pub async fn until_served_by(&mut self, pod: &str) -> anyhow::Result<()> {
        self.until_answer(|answer| answer.pod().is_some_and(|by| by == pod))
            .await
            .with_context(|| format!("served by {pod}"))
    }

    /// Waits until the answer to a request is as wanted.
    ///
    /// # Errors
    ///
    /// When none is in time; the error holds the last one and the end of Locum's log.
    pub async fn until_answer(
        &mut self,
        mut wanted: impl FnMut(&ask::Answer) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + SEEN_LIMIT;
        loop {
            let answer = ask::get(self.proxy(), HOST, PATH).await;
            if answer.as_ref().is_ok_and(&mut wanted) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let log = self.locum()?.log();
                bail!(
                    "not the wanted answer in {SEEN_LIMIT:?} but {answer:?}; Locum's log:\n{log}"
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// GET requests to the page's path.
    pub fn request(&self) -> Request {
        Request::get(self.proxy(), HOST, PATH)
    }

    /// An open loop of so many requests a second.
    ///
    /// # Errors
    ///
    /// When the request has no path.
    pub fn load_at(&self, request: Request, rate: u32) -> anyhow::Result<Load> {
        let pace = Pace::Open {
            rate,
            connections: CONNECTIONS,
        };
        let bound = Bound {
            requests: u64::MAX,
            time: LOAD_LIMIT,
        };
        Ok(Load::start(request, pace, bound)?)
    }

    /// Waits until the load says so.
    ///
    /// # Errors
    ///
    /// When it does not in time.
    pub async fn until(
        &self,
        load: &Load,
        limit: Duration,
        what: &str,
        reached: impl Fn(&Report) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let report = load.so_far();
            if reached(&report) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "not in {limit:?}: {what}; {} requests, {} lost {:?}, by {:?}",
                    report.requests(),
                    report.lost(),
                    report.losses(),
                    report.by_pod()
                );
            }
            tokio::time::sleep(REPORT_PAUSE).await;
        }
    }
}

/// This program as a backend that ends with its parent.
pub(crate) fn echo_command(
    pod: &str,
    listen: SocketAddr,
    tls: Option<&Path>,
) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let listen = listen.to_string();
    command.args(["echo", "--with-parent", "--pod", pod, "--listen", &listen]);
    if let Some(folder) = tls {
        command.arg("--tls").arg(folder);
    }
    Ok(command)
}

fn slice_file(service: &str) -> String {
    format!("6-{service}-endpoints.yaml")
}

/// Says that nothing was lost, or what was.
///
/// # Errors
///
/// When something was, or nothing was asked.
pub fn none_lost(report: &Report) -> anyhow::Result<()> {
    let lost = report.lost();
    ensure!(
        lost == 0,
        "{lost} of {} requests lost: {:?}",
        report.requests(),
        report.losses()
    );
    ensure!(report.requests() > 0, "no request was sent");
    Ok(())
}

//! What a case works with: addresses of its own, a folder of manifests, backends, a Locum with its
//! Envoy, a load.
//!
//! Each case has a network 127.a.b.0/24 of loopback addresses, so that cases and other programs do
//! not meet, and ports can be those that users write. Everything ends with the bench.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hyper::body::Bytes;
use locum_demo::ask;
use locum_demo::echo::{Echo, Identity};
use locum_demo::load::{Bound, Load, Pace, Request};
use locum_demo::manifests::{Folder, HOST, PAGE, PATH, PORT, endpoint_slice};
use locum_demo::process::{Backend, Launch, Locum};
use locum_demo::report::Report;

use crate::table::{self, Row};

/// Requests a second of every open loop.
pub(crate) const RATE: u32 = 200;
/// Kept connections that carry them.
const CONNECTIONS: usize = 16;
/// The port of every backend.
pub(crate) const BACKEND_PORT: u16 = 3000;
/// The longest that a case's load runs.
const LOAD_LIMIT: Duration = Duration::from_secs(120);
/// How long a change of manifests, or a start, may take to be seen.
const SEEN_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(5);
/// The same where each look makes a report.
const REPORT_PAUSE: Duration = Duration::from_millis(20);
/// How many benches of one process have networks of their own.
const NETWORKS: usize = 128;

/// The world of one case.
#[derive(Debug)]
pub(crate) struct Bench {
    // Dropped first: it reads and writes the folders.
    locum: Option<Locum>,
    folder: Folder,
    state: tempfile::TempDir,
    network: [u8; 2],
    case: String,
}

impl Bench {
    /// A bench with nothing on it. The number tells it from others of this process.
    pub(crate) fn new(case: &str, number: usize) -> anyhow::Result<Self> {
        // 127.64.0.0 to 127.191.255.255, by process and number: out of the way of what people use.
        let process = std::process::id();
        let number = u32::try_from(number % NETWORKS)?;
        let first = u8::try_from(64 + process % 128)?;
        let second = u8::try_from(process / 128 % 2 * 128 + number)?;
        Ok(Self {
            locum: None,
            folder: Folder::new()?,
            state: tempfile::Builder::new().prefix("locum-").tempdir()?,
            network: [first, second],
            case: case.to_owned(),
        })
    }

    /// An address of this bench's network.
    pub(crate) fn address(&self, host: u8) -> IpAddr {
        let [first, second] = self.network;
        IpAddr::V4(Ipv4Addr::new(127, first, second, host))
    }

    /// Where a backend on that address is.
    pub(crate) fn backend_address(&self, host: u8) -> SocketAddr {
        SocketAddr::new(self.address(host), BACKEND_PORT)
    }

    /// Where the page's Gateway listens.
    pub(crate) fn proxy(&self) -> SocketAddr {
        SocketAddr::new(self.address(1), PORT)
    }

    /// A backend of this process.
    pub(crate) async fn echo(&self, pod: &str, host: u8) -> anyhow::Result<Echo> {
        Ok(Echo::start(self.backend_address(host), Identity::pod(pod)).await?)
    }

    /// A backend that is a process of its own, so that it can be stopped.
    pub(crate) fn echo_process(&self, pod: &str, host: u8) -> anyhow::Result<Backend> {
        let mut command = Command::new(std::env::current_exe()?);
        let listen = self.backend_address(host).to_string();
        command.args(["echo", "--with-parent", "--pod", pod, "--listen", &listen]);
        Backend::start(&mut command)
    }

    /// Writes a manifest.
    pub(crate) fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        self.folder
            .write(name, content)
            .with_context(|| name.to_owned())
    }

    /// Takes a manifest away.
    pub(crate) fn remove(&self, name: &str) -> anyhow::Result<()> {
        self.folder.remove(name).with_context(|| name.to_owned())
    }

    /// Writes the page's manifests, its policy only if wanted.
    pub(crate) fn write_page(&self, policy: bool) -> anyhow::Result<()> {
        for (name, content) in PAGE {
            if policy || name != "4-policy.yaml" {
                self.write(name, content)?;
            }
        }
        Ok(())
    }

    /// The page as its reader runs it: its manifests, an `active` and a `passive` behind its names,
    /// Locum, all by `active`.
    pub(crate) async fn page(&mut self, policy: bool) -> anyhow::Result<(Echo, Echo)> {
        self.write_page(policy)?;
        self.pair().await
    }

    /// The same with whatever else the folder holds.
    pub(crate) async fn pair(&mut self) -> anyhow::Result<(Echo, Echo)> {
        let active = self.echo("active", 2).await?;
        let passive = self.echo("passive", 3).await?;
        self.write_slice("active", &[active.address()])?;
        self.write_slice("passive", &[passive.address()])?;
        self.run().await?;
        self.until_served_by("active").await?;
        Ok((active, passive))
    }

    /// Writes the EndpointSlice of a Service, all ready.
    pub(crate) fn write_slice(
        &self,
        service: &str,
        endpoints: &[SocketAddr],
    ) -> anyhow::Result<()> {
        let endpoints: Vec<_> = endpoints.iter().map(|endpoint| (*endpoint, true)).collect();
        self.write(&slice_file(service), &endpoint_slice(service, &endpoints))
    }

    /// Writes the EndpointSlice of a Service with one endpoint that is not ready.
    pub(crate) fn write_unready_slice(
        &self,
        service: &str,
        endpoint: SocketAddr,
    ) -> anyhow::Result<()> {
        self.write(
            &slice_file(service),
            &endpoint_slice(service, &[(endpoint, false)]),
        )
    }

    /// Starts Locum, with whatever the folder holds by now.
    pub(crate) async fn run(&mut self) -> anyhow::Result<()> {
        ensure!(self.locum.is_none(), "Locum runs already");
        let launch = Launch {
            locum: PathBuf::from(env!("CARGO_BIN_EXE_locum")),
            manifests: self.folder.path().to_owned(),
            state: self.state.path().to_owned(),
            listen: self.address(1),
            options: Vec::new(),
        };
        self.locum = Some(Locum::start(launch).await?);
        Ok(())
    }

    /// The Locum of this bench.
    pub(crate) fn locum(&mut self) -> anyhow::Result<&mut Locum> {
        self.locum.as_mut().context("Locum does not run")
    }

    /// Starts Locum again after it was killed, as the same command would.
    pub(crate) async fn restart(&mut self) -> anyhow::Result<()> {
        let locum = self.locum.take().context("Locum does not run")?;
        self.locum = Some(locum.restart().await?);
        Ok(())
    }

    /// What Envoy's admin interface answers.
    pub(crate) async fn envoy(&mut self, path: &str) -> anyhow::Result<String> {
        let socket = self.locum()?.envoy_admin("default", "eg");
        let answer = ask::get_unix(&socket, path).await;
        Ok(answer
            .with_context(|| format!("{}: {path}", socket.display()))?
            .text())
    }

    /// What `locum translate -t status` says of the manifests as they are now: conditions, then
    /// problems.
    pub(crate) fn verdict(&self) -> anyhow::Result<String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_locum"));
        let command = command
            .args(["translate", "-t", "status", "-f"])
            .arg(self.folder.path());
        let output = command.output().context("locum translate")?;
        let problems = String::from_utf8(output.stderr)?;
        // 1 says that problems were found, which is what this is asked for.
        ensure!(
            matches!(output.status.code(), Some(0 | 1)),
            "locum translate: {problems}"
        );
        Ok(String::from_utf8(output.stdout)? + &problems)
    }

    /// Waits until a request is answered by this backend.
    pub(crate) async fn until_served_by(&mut self, pod: &str) -> anyhow::Result<()> {
        self.until_answer(|answer| answer.pod().is_some_and(|by| by == pod))
            .await
            .with_context(|| format!("served by {pod}"))
    }

    /// Waits until the answer to a request is as wanted.
    pub(crate) async fn until_answer(
        &mut self,
        wanted: impl Fn(&ask::Answer) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + SEEN_LIMIT;
        loop {
            let answer = ask::get(self.proxy(), HOST, PATH).await;
            if answer.as_ref().is_ok_and(&wanted) {
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
    pub(crate) fn request(&self) -> Request {
        Request::get(self.proxy(), HOST, PATH)
    }

    /// A POST with a small body to the page's path.
    pub(crate) fn post(&self) -> Request {
        Request {
            method: http::Method::POST,
            body: Bytes::from_static(b"one more, and only one"),
            ..self.request()
        }
    }

    /// The open loop of GET requests that most cases run.
    pub(crate) fn load(&self) -> anyhow::Result<Load> {
        self.load_of(self.request())
    }

    /// An open loop.
    pub(crate) fn load_of(&self, request: Request) -> anyhow::Result<Load> {
        self.load_at(request, RATE)
    }

    /// An open loop of so many requests a second.
    pub(crate) fn load_at(&self, request: Request, rate: u32) -> anyhow::Result<Load> {
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
    pub(crate) async fn until(
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

    /// Lets so many seconds' worth of requests go by.
    pub(crate) async fn seconds(&self, load: &Load, seconds: u32) -> anyhow::Result<()> {
        self.requests(load, seconds * RATE).await
    }

    /// Lets so many requests go by.
    pub(crate) async fn requests(&self, load: &Load, requests: u32) -> anyhow::Result<()> {
        let due = load.count() + usize::try_from(requests)?;
        // Some may wait long for their answers: the limit is only for a load that stands still.
        let deadline = Instant::now() + Duration::from_secs(u64::from(requests / RATE) + 20);
        while load.count() < due {
            ensure!(
                Instant::now() < deadline,
                "the load stands still: {} of {due}",
                load.count()
            );
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Puts what a case counted into the table.
    pub(crate) fn record(&self, row: Row) {
        let case = self.case.clone();
        table::record(Row { case, ..row });
    }
}

fn slice_file(service: &str) -> String {
    format!("6-{service}-endpoints.yaml")
}

/// Says that nothing was lost, or what was.
pub(crate) fn none_lost(report: &Report) -> anyhow::Result<()> {
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

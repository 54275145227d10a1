//! Everything that runs during the demo: two backends, and a Locum with an Envoy under it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::ask;
use crate::manifests::{BROKEN, Folder, HOST, PAGE, PATH, PORT, endpoint_slice};
use crate::process::{Backend, Launch, Locum};

/// How long the first answer through the proxy may take after Locum is ready.
const FIRST_ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Between two attempts at it.
const PAUSE: Duration = Duration::from_millis(10);

const ACTIVE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const PASSIVE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
/// The page's port of both servers, and of the broken one. Any other does too, where one of these
/// is taken.
const WELL_PORT: u16 = 3000;
const BROKEN_PORT: u16 = 5000;

/// Where the programs are and where the Gateway listens.
#[derive(Clone, Debug)]
pub struct Place {
    /// The folder of the programs `locum` and `locum-echo`.
    pub programs: PathBuf,
    /// The address on which the Gateway listens.
    pub listen: IpAddr,
    /// Whether it may be left running at the end: backends then do not end with this process.
    pub keep: bool,
}

/// What runs. All of it ends when dropped, in this order: Locum before what it reads and writes.
#[derive(Debug)]
pub struct Stage {
    locum: Locum,
    folder: Folder,
    state: tempfile::TempDir,
    place: Place,
    /// Where `active` is when it is well, as its EndpointSlice says.
    active_address: SocketAddr,
    active: Backend,
    passive: Backend,
    /// From Locum's start to the first answer by a backend.
    first_answer: Duration,
}

impl Stage {
    /// Starts everything and waits for the first answer.
    ///
    /// # Errors
    ///
    /// When the Gateway's port is taken, or something does not start.
    pub async fn set(place: Place) -> anyhow::Result<Self> {
        let proxy = SocketAddr::new(place.listen, PORT);
        if let Err(error) = TcpListener::bind(proxy) {
            bail!(
                "{proxy}, where the page's Gateway listens, cannot be used: {error}. End what listens \
                 there (`ss -ltnp 'sport = :{PORT}'` names it), or choose another address with \
                 --listen 127.0.0.9"
            );
        }
        let folder = Folder::new().context("cannot make a folder for the manifests")?;
        for (name, content) in PAGE {
            folder.write(name, content)?;
        }
        let active = backend(&place, "active", ACTIVE, WELL_PORT)?;
        let passive = backend(&place, "passive", PASSIVE, WELL_PORT)?;
        for (name, backend) in [("active", &active), ("passive", &passive)] {
            let slice = endpoint_slice(name, &[(backend.address(), true)]);
            folder.write(&format!("6-{name}-endpoints.yaml"), &slice)?;
        }
        let state = tempfile::Builder::new().prefix("locum-demo-").tempdir()?;
        let launched = Instant::now();
        let locum = Locum::start(Launch {
            locum: place.programs.join("locum"),
            manifests: folder.path().to_owned(),
            state: state.path().to_owned(),
            listen: place.listen,
            options: Vec::new(),
        });
        let locum = locum.await?;
        first_answer(proxy).await.with_context(|| locum.log())?;
        Ok(Self {
            place,
            folder,
            state,
            active_address: active.address(),
            active,
            passive,
            locum,
            first_answer: launched.elapsed(),
        })
    }

    /// Where requests go.
    pub fn proxy(&self) -> SocketAddr {
        SocketAddr::new(self.place.listen, PORT)
    }

    /// What was started, a line each.
    pub fn description(&self) -> String {
        format!(
            "active serves on {}, passive on {}\nlocum run -f {}: first answer after {:.2} s",
            self.active.address(),
            self.passive.address(),
            self.folder.path().display(),
            self.first_answer.as_secs_f64()
        )
    }

    /// Breaks `active` the page's way: the server that its Service names is gone, it is on another
    /// port now.
    ///
    /// # Errors
    ///
    /// When the server or the manifest cannot be put there.
    pub fn break_active(&mut self) -> anyhow::Result<()> {
        self.active.process().kill();
        self.active = backend(&self.place, "active", ACTIVE, BROKEN_PORT)?;
        Ok(self.folder.write(BROKEN.0, BROKEN.1)?)
    }

    /// Puts its server back where the Service says it is.
    ///
    /// # Errors
    ///
    /// When the server cannot be put there.
    pub fn mend_active(&mut self) -> anyhow::Result<()> {
        self.active.process().kill();
        self.active = start(&self.place, "active", self.active_address)?;
        Ok(self.folder.remove(BROKEN.0)?)
    }

    /// Leaves everything running and says how to play with it and how to end it.
    pub fn keep(mut self) -> String {
        let folder = self.folder.keep();
        let state = self.state.keep();
        let mut ids = vec![self.locum.process().id().to_string()];
        for backend in [&mut self.active, &mut self.passive] {
            ids.push(backend.process().id().to_string());
            backend.process().leave();
        }
        let admin = self.locum.admin();
        self.locum.leave();
        let proxy = SocketAddr::new(self.place.listen, PORT);
        format!(
            "Left running. Try:\n  \
               curl -s -H 'Host: {HOST}' http://{proxy}{PATH}        who answers\n  \
               curl -X PUT -d '{{\"status\": 503}}' http://{}/__control   active fails; '{{}}' mends it\n  \
               ls {}         the manifests: edit one and ask again\n  \
               curl -s http://{admin}/debug/xds                what Envoy is told\n  \
               less {}/locum.log\n\
             End it with: kill {}; rm -r {} {}",
            self.active_address,
            folder.display(),
            state.display(),
            ids.join(" "),
            folder.display(),
            state.display()
        )
    }
}

/// A backend on this port of its address or, where that is taken, on any other.
fn backend(place: &Place, pod: &str, address: IpAddr, port: u16) -> anyhow::Result<Backend> {
    let wanted = SocketAddr::new(address, port);
    let free = TcpListener::bind(wanted).is_ok();
    let listen = SocketAddr::new(address, if free { port } else { 0 });
    start(place, pod, listen)
}

fn start(place: &Place, pod: &str, listen: SocketAddr) -> anyhow::Result<Backend> {
    let mut command = Command::new(place.programs.join("locum-echo"));
    command.args(["--pod", pod, "--listen", &listen.to_string()]);
    if place.keep {
        // Whoever reads the demo's output must not wait for a backend that is left.
        command.stderr(Stdio::null());
    } else {
        command.arg("--with-parent");
    }
    Backend::start(&mut command).with_context(|| format!("backend {pod} on {listen}"))
}

/// Asks until a backend answers.
async fn first_answer(proxy: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + FIRST_ANSWER_LIMIT;
    loop {
        let answer = ask::get(proxy, HOST, PATH).await;
        if answer.as_ref().is_ok_and(|answer| answer.pod().is_some()) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let last = answer.map(|answer| format!("{}: {}", answer.status, answer.text()));
            bail!("no backend answered in {FIRST_ANSWER_LIMIT:?}; last: {last:?}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

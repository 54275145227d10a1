//! A Locum on a stage of its own: manifests, state directory, backends; and the questions tests ask
//! it.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use locum_demo::process::envoy;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The longest that anything here is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);
/// A request for this path is answered after [`SLOW_ANSWER`].
pub(crate) const SLOW_PATH: &str = "/slow";
pub(crate) const SLOW_ANSWER: Duration = Duration::from_millis(700);

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        thread::sleep(PAUSE);
    }
}

/// A port that was free just now, and that only this test's process gives away.
///
/// It is below those that the kernel chooses for outgoing connections (from 32768 on): one of these
/// may be taken by another test's load before it is bound here.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    loop {
        let next = GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(next < COUNT, "no port is free");
        let port = FIRST + (start + next) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The command under test.
pub(crate) fn locum() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_locum"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Manifests and what Locum keeps.
pub(crate) struct Stage {
    folder: TempDir,
}

impl Stage {
    /// Nothing there yet.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("manifests")).unwrap();
        Self { folder }
    }

    /// A Gateway `default/eg` on `port` that sends everything to a backend which answers `hello`.
    pub(crate) fn with_backend(port: u16) -> Self {
        let stage = Self::empty();
        stage.write("class.yaml", CLASS);
        stage.write("eg.yaml", &gateway("eg", port, backend("hello")));
        stage
    }

    pub(crate) fn manifests(&self) -> PathBuf {
        self.folder.path().join("manifests")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.manifests().join(name), text).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.manifests().join(name)).unwrap();
    }

    /// `locum run` with this stage's directories and free ports of its own.
    pub(crate) fn command(&self) -> Command {
        self.command_at("127.0.0.1:0")
    }

    /// The same with another address for xDS.
    fn command_at(&self, xds: &str) -> Command {
        let mut command = locum();
        command.arg("run").arg("-f").arg(self.manifests());
        command.arg("--state-dir").arg(self.state());
        command.arg("--envoy").arg(envoy().unwrap());
        command.args(["--xds-address", xds]);
        command.args(["--admin-address", "127.0.0.1:0"]);
        command
    }

    /// Starts Locum and waits until it is ready.
    pub(crate) fn run(&self) -> Locum<'_> {
        self.run_with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn run_with(&self, arguments: &[&str]) -> Locum<'_> {
        self.start(arguments).when_ready()
    }

    /// The same with another address for xDS.
    pub(crate) fn run_at(&self, xds: &str) -> Locum<'_> {
        self.started(&mut self.command_at(xds)).when_ready()
    }

    /// Starts Locum and waits until its admin interface answers.
    pub(crate) fn start(&self, arguments: &[&str]) -> Locum<'_> {
        self.started(self.command().args(arguments))
    }

    fn started(&self, command: &mut Command) -> Locum<'_> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Output::of(child.stdout.take().unwrap());
        let errors = Output::of(child.stderr.take().unwrap());
        let mut admin = None;
        until("its addresses", || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("locum ended: {status}: {}", errors.text());
            }
            admin = self.admin(child.id());
            admin.is_some()
        });
        let admin = admin.unwrap();
        until("its admin interface", || get(admin, "/healthz").is_some());
        Locum {
            stage: self,
            child,
            admin,
            output,
            errors,
        }
    }

    /// Where the Locum with this process id says that its admin interface is.
    fn admin(&self, pid: u32) -> Option<SocketAddr> {
        let text = fs::read(self.state().join("addresses.json")).ok()?;
        let addresses: Value = serde_json::from_slice(&text).ok()?;
        if addresses["pid"] != pid {
            return None;
        }
        addresses["admin"].as_str()?.parse().ok()
    }

    /// The processes that have this stage's state directory on their command line, Locum itself
    /// aside.
    pub(crate) fn envoys(&self) -> Vec<u32> {
        let state = self.state().to_string_lossy().into_owned() + "/";
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter(|pid| {
                let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&command).contains(&state)
            })
            .collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for pid in self.envoys() {
            signal(pid, Signal::KILL);
        }
    }
}

/// A running `locum run`; killed when dropped.
pub(crate) struct Locum<'stage> {
    stage: &'stage Stage,
    child: Child,
    pub(crate) admin: SocketAddr,
    output: Output,
    errors: Output,
}

impl Locum<'_> {
    fn when_ready(self) -> Self {
        until("ready", || {
            let ready = self.get("/readyz");
            ready.is_some_and(|(status, _)| status == 200)
        });
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the admin interface.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.admin, path)
    }

    /// What the admin interface says at `path`, as JSON.
    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, text) = self.get(path).expect("an answer");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// The process of the one Envoy that runs.
    pub(crate) fn envoy(&self) -> u32 {
        let envoys = self.stage.envoys();
        assert_eq!(envoys.len(), 1, "one Envoy: {envoys:?}");
        envoys[0]
    }

    /// What it has written to standard output so far.
    pub(crate) fn output(&self) -> String {
        self.output.text()
    }

    pub(crate) fn signal(&self, which: Signal) {
        signal(self.child.id(), which);
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("locum ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Kills it without a word.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Locum<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("{}\n{}", self.output.text(), self.errors.text());
        }
    }
}

/// What a process writes, read as it comes.
struct Output(Arc<Mutex<String>>);

impl Output {
    fn of(stdout: impl io::Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let sink = text.clone();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let mut text = sink.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        });
        Self(text)
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

/// Sends a signal; a process that has gone meanwhile needs none.
pub(crate) fn signal(pid: u32, which: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _ = kill_process(pid, which);
}

/// Whether a process is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| &rest[..1]);
    state.is_some_and(|state| state != "Z" && state != "X")
}

/// Asks a server on this machine; nothing if it does not answer in full.
pub(crate) fn get(address: impl Into<SocketAddr>, path: &str) -> Option<(u16, String)> {
    exchange(address.into(), path).ok()
}

/// The status of the answer alone: an Envoy that drains answers at once, and ends the connection 6 s
/// later.
pub(crate) fn status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut line = String::new();
    let stream = request(address, path).ok()?;
    BufReader::new(stream).read_line(&mut line).ok()?;
    line.split(' ').nth(1)?.parse().ok()
}

fn request(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n"
    )?;
    Ok(stream)
}

fn exchange(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let mut stream = request(address, path)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let incomplete = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(incomplete)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(incomplete)?, body.to_owned()))
}

/// The answer of the Gateway that listens on `port`.
pub(crate) fn ask(port: u16, path: &str) -> Option<(u16, String)> {
    get(SocketAddr::from(([127, 0, 0, 1], port)), path)
}

/// Whether the Gateway that listens on `port` passes requests on.
pub(crate) fn serves(port: u16) -> bool {
    ask(port, "/").is_some_and(|(status, _)| status == 200)
}

/// A server that answers each request with `word`, for as long as the test's process lives.
pub(crate) fn backend(word: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(&stream, word));
        }
    });
    port
}

fn answer(mut stream: &TcpStream, word: &str) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next().unwrap_or_default();
    lines.find(String::is_empty);
    if first.contains(SLOW_PATH) {
        thread::sleep(SLOW_ANSWER);
    }
    let length = word.len();
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{word}"
    );
}

pub(crate) const CLASS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: locum}
spec: {controllerName: locum.dev/gatewayclass-controller}
";

/// A Gateway on `port`, its route and its one backend.
pub(crate) fn gateway(name: &str, port: u16, backend: u16) -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  gatewayClassName: locum
  listeners: [{{name: http, protocol: HTTP, port: {port}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: {name}}}]
  rules:
  - backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: {name}}}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: {name}}}
spec: {{endpoints: [{{ip: {{address: 127.0.0.1, port: {backend}}}}}]}}
"
    )
}

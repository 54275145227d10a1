//! A server in a process of its own, so that its processor time and its memory can be told from the
//! clients': Locum's, or the floor. It is told what to do line by line.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use locum::xds::kind::Kind;
use locum::xds::resource::Resource;
use locum::xds::server::{self, Listener, Shared};
use locum::xds::snapshot::Snapshot;
use prost::DecodeError;
use prost::bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;

use crate::content;
use crate::floor::{self, Floor};

/// The group that simulated proxies are of.
pub(crate) const GROUP: &str = "bench/edge";
/// Another one.
const OTHER_GROUP: &str = "bench/other";
/// Between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(1);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Floor,
    Locum,
}

impl Role {
    /// The first word of the arguments of a server's process.
    pub(crate) const COMMAND: &str = "serve";

    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Floor => "floor",
            Role::Locum => "locum",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Role::Floor, Role::Locum]
            .into_iter()
            .find(|role| role.name() == name)
    }
}

/// A server's process; it ends when this is dropped.
pub(crate) struct Server {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a server of so many clusters.
    pub(crate) async fn start(role: Role, clusters: usize) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([Role::COMMAND, role.name(), &clusters.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start a server")?;
        let input = process.stdin.take().context("its input is piped")?;
        let output = process.stdout.take().context("its output is piped")?;
        let mut output = BufReader::new(output).lines();
        let address = output.next_line().await?.context("the server ended")?;
        Ok(Self {
            process,
            input,
            output,
            address: address.parse()?,
        })
    }

    /// Has it do something that is not waited for.
    pub(crate) async fn tell(&mut self, what: &str) -> anyhow::Result<()> {
        self.input.write_all(format!("{what}\n").as_bytes()).await?;
        Ok(self.input.flush().await?)
    }

    /// Has it do something, and takes its answer.
    pub(crate) async fn ask(&mut self, what: &str) -> anyhow::Result<String> {
        self.tell(what).await?;
        let answer = self.output.next_line().await?;
        answer.with_context(|| format!("the server ended over {what}"))
    }

    /// The processor time that it has used.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(self.of_process("task")?)? {
            let times = fs::read_to_string(task?.path().join("schedstat"))?;
            let time = times.split(' ').next().unwrap_or_default();
            nanoseconds += time.parse::<u64>().context("schedstat")?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// The memory that it takes, in KiB.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(self.of_process("status")?)?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.context("no VmRSS")?;
        Ok(resident.trim().trim_end_matches(" kB").parse()?)
    }

    fn of_process(&self, file: &str) -> anyhow::Result<String> {
        let id = self.process.id().context("the server ended")?;
        Ok(format!("/proc/{id}/{file}"))
    }
}

/// What a server's process does: serves, and goes by the lines of its input until that ends.
pub(crate) async fn run(role: &str, clusters: &str) -> anyhow::Result<()> {
    let role = Role::of(role).context("which server?")?;
    let snapshot = content::snapshot(clusters.parse()?)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&listener.local_addr()?.to_string())?;
    let (sender, mut lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut lines = std::io::stdin().lines();
        while let Some(Ok(line)) = lines.next() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    let mut served = Served::start(role, listener, snapshot);
    while let Some(line) = lines.recv().await {
        let words: Vec<&str> = line.split(' ').collect();
        if let Some(answer) = served.act(&words).await? {
            say(&answer)?;
        }
    }
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}

enum Served {
    Floor {
        floor: Floor,
        /// Its changes, by the number of endpoints; each is made once.
        changes: BTreeMap<u32, Bytes>,
    },
    Locum {
        shared: Shared,
        snapshot: Snapshot,
        /// Of the endpoints that change.
        version: u32,
        revision: u64,
    },
}

impl Served {
    fn start(role: Role, listener: TcpListener, snapshot: Snapshot) -> Self {
        match role {
            Role::Floor => {
                let floor = Floor::new(&snapshot);
                tokio::spawn(floor.clone().serve(listener));
                Self::Floor {
                    floor,
                    changes: BTreeMap::new(),
                }
            }
            Role::Locum => {
                let shared = Shared::default();
                let revision = shared.board.publish(GROUP, snapshot.clone());
                shared.board.complete();
                let never = std::future::pending();
                tokio::spawn(server::serve(
                    Listener::Tcp(listener),
                    shared.clone(),
                    never,
                ));
                Self::Locum {
                    shared,
                    snapshot,
                    version: 0,
                    revision,
                }
            }
        }
    }

    /// Does what a line says; returns the answer, where there is one.
    async fn act(&mut self, words: &[&str]) -> anyhow::Result<Option<String>> {
        match *words {
            ["change", endpoints] => {
                self.change(endpoints.parse()?);
                return Ok(None);
            }
            ["unrelated"] => self.change_another(),
            ["equal"] => self.publish_equal(),
            ["settled", requests, behind] => {
                self.settled(requests.parse()?, behind.parse()?).await;
            }
            ["connected", streams] => self.connected(streams.parse()?).await,
            ["gone"] => self.connected(0).await,
            ["version"] => return Ok(Some(self.version().to_string())),
            ["encoded"] => return Ok(Some(ENCODED.load(Ordering::Relaxed).to_string())),
            _ => bail!("unknown: {words:?}"),
        }
        Ok(Some("done".into()))
    }

    /// Changes the endpoints of the first cluster; there are to be so many.
    fn change(&mut self, endpoints: u32) {
        let name = content::name(0);
        match self {
            Self::Floor { floor, changes } => {
                let change = changes.entry(endpoints).or_insert_with(|| {
                    let changed = content::endpoints(&name, endpoints, 1);
                    floor::response(Kind::Endpoint, &[&changed])
                });
                floor.send(vec![change.clone()]);
            }
            Self::Locum {
                shared,
                snapshot,
                version,
                revision,
            } => {
                *version += 1;
                let changed = Counted(content::assignment(&name, endpoints, *version));
                let changed = Resource::new(Kind::Endpoint, &name, &changed);
                *snapshot = std::mem::take(snapshot).with(changed);
                *revision = shared.board.publish(GROUP, snapshot.clone());
            }
        }
    }

    /// Changes what no client asks for: endpoints of no cluster, and another group's.
    fn change_another(&mut self) {
        if let Self::Locum {
            shared,
            snapshot,
            version,
            revision,
        } = self
        {
            *version += 1;
            let changed = content::endpoints("unrelated", 1, *version);
            *snapshot = std::mem::take(snapshot).with(changed.clone());
            *revision = shared.board.publish(GROUP, snapshot.clone());
            let other = Snapshot::default().with(changed);
            shared.board.publish(OTHER_GROUP, other);
        }
    }

    /// Publishes the same content once more, made anew.
    fn publish_equal(&mut self) {
        if let Self::Locum {
            shared, snapshot, ..
        } = self
        {
            let resources = Kind::ALL
                .into_iter()
                .flat_map(|kind| snapshot.of_kind(kind));
            let equal = Snapshot::new(resources.map(|one| (**one).clone()), None);
            shared.board.publish(GROUP, equal);
        }
    }

    /// Waits until the clients have been heard: the floor has got so many requests, all but so many
    /// of Locum's clients have acknowledged everything.
    async fn settled(&self, requests: u64, behind: usize) {
        let is_settled = || match self {
            Self::Floor { floor, .. } => floor.heard().requests() >= requests,
            Self::Locum {
                shared, revision, ..
            } => shared.clients.behind(GROUP, *revision).len() <= behind,
        };
        while !is_settled() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until so many streams are open.
    async fn connected(&self, streams: usize) {
        let open = || match self {
            Self::Floor { floor, .. } => floor.heard().streams(),
            Self::Locum { shared, .. } => shared.clients.count(GROUP),
        };
        while open() != streams {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// How often the endpoints were changed, which makes their content.
    fn version(&self) -> u32 {
        match self {
            Self::Floor { .. } => 0,
            Self::Locum { version, .. } => *version,
        }
    }
}

/// How often the changed endpoints were encoded.
static ENCODED: AtomicU64 = AtomicU64::new(0);

/// A message that counts how often it is encoded.
#[derive(Debug, Default)]
struct Counted(ClusterLoadAssignment);

impl prost::Message for Counted {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        ENCODED.fetch_add(1, Ordering::Relaxed);
        self.0.encode_raw(buffer);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        self.0.merge_field(tag, wire_type, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Raises the limit of open files for this process and its servers, and says how many there may be.
pub(crate) fn raise_open_files(wanted: u64) -> anyhow::Result<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let have = limit.current.unwrap_or(u64::MAX);
    if have >= wanted {
        return Ok(have);
    }
    let most = limit.maximum.unwrap_or(u64::MAX);
    let raise = |current: u64, maximum: u64| {
        let limit = Rlimit {
            current: Some(current),
            maximum: Some(maximum),
        };
        setrlimit(Resource::Nofile, limit).map(|()| current)
    };
    // Only root may go beyond the maximum.
    let raised = raise(wanted, most.max(wanted)).or_else(|_| raise(most, most))?;
    ensure!(raised >= have, "the limit of open files sank");
    Ok(raised)
}

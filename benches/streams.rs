//! What simulated proxies cost, by the thousand: how long a change takes to the last of them, the
//! server's processor time and memory for each, what a storm of those who come back costs, and
//! whether one that stops reading is felt by others.
//!
//! The floor is a server in the same form over the same transport that sends constant bytes. Both
//! have a process of their own and the same clients, and take turns round by round in one run, so
//! that a slow machine slows both.

mod client;
mod content;
mod floor;
mod server;

use std::future::Future;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use client::{Client, Reads, Tally};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use locum::xds::kind::Kind;
use locum::xds::snapshot::Snapshot;
use prost::Message as _;
use prost::bytes::Bytes;
use server::{GROUP, Role, Server};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long anything may take before the bench gives up.
const LIMIT: Duration = Duration::from_secs(120);
/// Rounds before those that count.
const WARM_UP: usize = 3;
/// The most clients that connect at once, so that no connection waits for a second SYN.
const AT_ONCE: usize = 64;
/// The responses of a greeting: clusters, endpoints, the listener, its routes.
const GREETING: usize = 4;
/// Files that a process has open besides its connections.
const OTHER_FILES: u64 = 200;

/// How much is measured.
struct Scale {
    streams: usize,
    /// Each with its endpoints; a listener and its routes come to that.
    clusters: usize,
    rounds: usize,
    reconnects: usize,
}

impl Scale {
    fn resources(&self) -> usize {
        2 * self.clusters + 2
    }
}

const SCALES: [Scale; 3] = [
    Scale {
        streams: 1_000,
        clusters: 9,
        rounds: 40,
        reconnects: 5,
    },
    Scale {
        streams: 10_000,
        clusters: 9,
        rounds: 10,
        reconnects: 3,
    },
    Scale {
        streams: 100,
        clusters: 4_999,
        rounds: 20,
        reconnects: 3,
    },
];

/// The scale of what is about one stream that stops reading.
const STALLED: Scale = Scale {
    streams: 1_000,
    clusters: 9,
    rounds: 5,
    reconnects: 0,
};
/// How often it is measured without that stream and with it.
const STALLED_BLOCKS: usize = 6;
/// Readers beside it when a large resource changes, how often that does and its endpoints, which
/// come to 100 KiB.
const LARGE_READERS: usize = 10;
const LARGE_CHANGES: usize = 1_000;
const LARGE_ENDPOINTS: u32 = 4_100;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, role, clusters] = &arguments[..]
        && command == Role::COMMAND
    {
        let runtime = tokio::runtime::Runtime::new()?;
        return runtime.block_on(server::run(role, clusters));
    }
    // The clients share one thread, so that they take no more than one of the processors.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(all(&arguments))
}

/// Measures everything, or what a number of streams among the arguments names.
async fn all(arguments: &[String]) -> anyhow::Result<()> {
    let named = |word: &str| {
        let mut words = arguments
            .iter()
            .filter(|word| !word.starts_with('-'))
            .peekable();
        words.peek().is_none() || words.any(|one| one == word)
    };
    for scale in &SCALES {
        if named(&scale.streams.to_string()) {
            let needed = 2 * scale.streams as u64 + OTHER_FILES;
            let files = server::raise_open_files(needed)?;
            let fitting = usize::try_from(files.saturating_sub(OTHER_FILES) / 2)?;
            if fitting < scale.streams {
                print(&format!(
                    "\n{fitting} streams in place of {}: {needed} open files are needed, {files} allowed\n",
                    scale.streams
                ))?;
            }
            let streams = scale.streams.min(fitting);
            measure(&Scale { streams, ..*scale }).await?;
        }
    }
    if named("stalled") {
        stalled(&STALLED).await?;
        stalled_over_large_changes().await?;
    }
    Ok(())
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

/// One server and its clients.
struct Side {
    server: Server,
    tally: Arc<Tally>,
    clients: JoinSet<()>,
}

impl Side {
    async fn start(role: Role, clusters: usize) -> anyhow::Result<Self> {
        Ok(Self {
            server: Server::start(role, clusters).await?,
            tally: Arc::default(),
            clients: JoinSet::new(),
        })
    }

    /// Connects so many clients, each of which takes in a greeting of so many responses; returns how
    /// long it takes until all have acknowledged all.
    async fn connect(
        &mut self,
        streams: usize,
        requests: &[Bytes],
        greeting: usize,
    ) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let (tally, address) = (&self.tally, self.server.address);
        let open = |id| async move {
            let reads = Reads::Everything;
            let mut client = Client::open(address, id, GROUP, requests, reads, tally).await?;
            client.take(greeting, tally).await?;
            anyhow::Ok(client)
        };
        let opened = stream::iter(0..streams).map(open).buffer_unordered(AT_ONCE);
        let opened: Vec<Client> = within(opened.try_collect()).await?;
        for mut client in opened {
            let tally = self.tally.clone();
            self.clients.spawn(async move {
                if let Err(error) = client.take(usize::MAX, &tally).await {
                    tally.broke(&error);
                }
            });
        }
        // Those who come back are sent nothing; the server says when it has heard them all.
        within(self.server.ask(&format!("connected {streams}"))).await?;
        self.settle(0).await?;
        Ok(started.elapsed())
    }

    /// Waits until the server has heard all, but for so many clients.
    async fn settle(&mut self, behind: usize) -> anyhow::Result<()> {
        let requests = self.tally.requests.load(Ordering::Acquire);
        let settled = format!("settled {requests} {behind}");
        within(self.server.ask(&settled)).await?;
        Ok(())
    }

    /// Changes a resource of so many endpoints; returns how long it takes to the last client, and
    /// the processor time of the server until it has heard all.
    async fn change(
        &mut self,
        streams: usize,
        endpoints: u32,
        behind: usize,
    ) -> anyhow::Result<(Duration, Duration)> {
        let cpu = self.server.cpu()?;
        self.tally.expect(streams as u64);
        let started = Instant::now();
        self.server.tell(&format!("change {endpoints}")).await?;
        let reached = within(self.tally.reached()).await?;
        self.settle(behind).await?;
        Ok((reached - started, self.server.cpu()? - cpu))
    }

    /// Ends every connection.
    async fn cut(&mut self) -> anyhow::Result<()> {
        self.clients.shutdown().await;
        within(self.server.ask("gone")).await?;
        Ok(())
    }
}

async fn within<T>(what: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    timeout(LIMIT, what).await.context("it takes too long")?
}

/// What an Envoy asks for when it starts, or when it comes back with all of a snapshot.
fn requests(snapshot: &Snapshot, comes_back: bool) -> Vec<Bytes> {
    let request = |kind: Kind| {
        let is_named = matches!(kind, Kind::Endpoint | Kind::Route);
        let names = snapshot.of_kind(kind).filter(|_| is_named);
        let versions = snapshot.of_kind(kind).filter(|_| comes_back);
        let request = DeltaDiscoveryRequest {
            type_url: kind.type_url().into(),
            resource_names_subscribe: names.map(|one| one.name.to_string()).collect(),
            initial_resource_versions: versions
                .map(|one| (one.name.to_string(), one.version.0.to_string()))
                .collect(),
            ..Default::default()
        };
        request.encode_to_vec().into()
    };
    let kinds = [Kind::Cluster, Kind::Endpoint, Kind::Listener, Kind::Route];
    kinds.into_iter().map(request).collect()
}

/// What was measured of one side.
#[derive(Default)]
struct Measured {
    changes: Vec<Duration>,
    cpu: Duration,
    memory: f64,
    start: Duration,
    reconnects: Vec<Duration>,
    reconnect_cpu: Duration,
    resent: u64,
    unrelated: u64,
    encoded: String,
}

async fn measure(scale: &Scale) -> anyhow::Result<()> {
    let snapshot = content::snapshot(scale.clusters)?;
    let mut sides = Vec::new();
    for role in [Role::Floor, Role::Locum] {
        let mut side = Side::start(role, scale.clusters).await?;
        let before = side.server.memory()?;
        let asked = requests(&snapshot, false);
        let start = side.connect(scale.streams, &asked, GREETING).await?;
        let measured = Measured {
            memory: (side.server.memory()? - before) / scale.streams as f64,
            start,
            ..Measured::default()
        };
        sides.push((side, measured));
    }
    for round in 0..WARM_UP + scale.rounds {
        for (side, measured) in &mut sides {
            let (last, cpu) = side.change(scale.streams, 1, 0).await?;
            if round >= WARM_UP {
                measured.changes.push(last);
                measured.cpu += cpu;
            }
        }
    }
    for (side, measured) in &mut sides {
        let before = side.tally.responses.load(Ordering::Acquire);
        side.server.ask("unrelated").await?;
        side.server.ask("equal").await?;
        side.change(scale.streams, 1, 0).await?;
        let after = side.tally.responses.load(Ordering::Acquire);
        measured.unrelated = after - before - scale.streams as u64;
        measured.encoded = side.server.ask("encoded").await?;
    }
    for _ in 0..scale.reconnects {
        for (side, measured) in &mut sides {
            reconnect(side, scale, measured).await?;
        }
    }
    let [(_, floor), (_, locum)] = &sides[..] else {
        return Ok(());
    };
    report(scale, floor, locum)
}

/// Has every client come back with all it has, and be sent one change.
async fn reconnect(side: &mut Side, scale: &Scale, measured: &mut Measured) -> anyhow::Result<()> {
    let changed: u32 = side.server.ask("version").await?.parse()?;
    let snapshot = content::snapshot(scale.clusters)?;
    let snapshot = snapshot.with(content::endpoints(&content::name(0), 1, changed));
    side.cut().await?;
    let before = side.tally.sent();
    let cpu = side.server.cpu()?;
    let asked = requests(&snapshot, true);
    let took = side.connect(scale.streams, &asked, 0).await?;
    measured.reconnects.push(took);
    measured.reconnect_cpu += side.server.cpu()? - cpu;
    side.change(scale.streams, 1, 0).await?;
    let after = side.tally.sent();
    let streams = scale.streams as u64;
    measured.resent += (after.1 - before.1 - streams).max(after.0 - before.0 - streams);
    Ok(())
}

fn report(scale: &Scale, floor: &Measured, locum: &Measured) -> anyhow::Result<()> {
    let (streams, changes) = (scale.streams as f64, scale.rounds as f64);
    let per_change = |measured: &Measured| measured.cpu.as_secs_f64() * 1e6 / streams / changes;
    let per_return = |measured: &Measured| {
        measured.reconnect_cpu.as_secs_f64() * 1e6 / streams / scale.reconnects as f64
    };
    print(&format!(
        "\n{} streams of {} resources, a connection each\n{:<38} {:>20} {:>20} {:>6}\n",
        scale.streams,
        scale.resources(),
        "",
        "constant bytes",
        "Locum",
        "ratio"
    ))?;
    let pairs = floor.changes.iter().zip(&locum.changes);
    let mut ratios: Vec<f64> = pairs
        .map(|(floor, locum)| locum.div_duration_f64(*floor))
        .collect();
    ratios.sort_unstable_by(f64::total_cmp);
    line(
        "a change to the last, ms (worst)",
        times(&floor.changes),
        times(&locum.changes),
        ratios[ratios.len() / 2],
    )?;
    let number = |what: &str, [floor, locum]: [f64; 2]| {
        line(
            what,
            format!("{floor:.1}"),
            format!("{locum:.1}"),
            locum / floor,
        )
    };
    let both = [floor, locum];
    number("CPU a stream and change, us", both.map(per_change))?;
    number("memory a stream, KiB", both.map(|one| one.memory))?;
    number(
        "start of all, ms",
        both.map(|one| one.start.as_secs_f64() * 1e3),
    )?;
    line(
        "all come back, ms (worst)",
        times(&floor.reconnects),
        times(&locum.reconnects),
        median(&locum.reconnects).div_duration_f64(median(&floor.reconnects)),
    )?;
    number("CPU a stream that comes back, us", both.map(per_return))?;
    let returned = scale.streams * scale.reconnects * scale.resources();
    print(&format!(
        "sent to those who came back: {} of {returned} resources\n\
         responses for unrelated or equal content: {}\n\
         encodes of the changed resource over {} changes: {}\n",
        locum.resent,
        locum.unrelated,
        WARM_UP + scale.rounds + 1,
        locum.encoded,
    ))
}

fn line(what: &str, floor: String, locum: String, ratio: f64) -> anyhow::Result<()> {
    print(&format!(
        "{what:<38} {floor:>20} {locum:>20} {ratio:>6.2}\n"
    ))
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

fn times(times: &[Duration]) -> String {
    let worst = times.iter().max().copied().unwrap_or_default();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    format!(
        "{:.1} ({:.1})",
        milliseconds(median(times)),
        milliseconds(worst)
    )
}

/// Whether others feel a stream that stops reading.
async fn stalled(scale: &Scale) -> anyhow::Result<()> {
    server::raise_open_files(2 * scale.streams as u64 + OTHER_FILES)?;
    let asked = requests(&content::snapshot(scale.clusters)?, false);
    let mut side = Side::start(Role::Locum, scale.clusters).await?;
    side.connect(scale.streams, &asked, GREETING).await?;
    let mut without = Vec::new();
    let mut with = Vec::new();
    for block in 0..STALLED_BLOCKS {
        for _ in 0..scale.rounds {
            let (last, _) = side.change(scale.streams, 1, 0).await?;
            if block > 0 {
                without.push(last);
            }
        }
        let stalled = open_stalled(&side, &asked).await?;
        for _ in 0..scale.rounds {
            let (last, _) = side.change(scale.streams, 1, 1).await?;
            if block > 0 {
                with.push(last);
            }
        }
        drop(stalled);
    }
    print(&format!(
        "\n{} streams, and one that stops reading\n\
         a change to the last of the others, ms (worst): without {}, with {}, ratio {:.2}\n",
        scale.streams,
        times(&without),
        times(&with),
        median(&with).div_duration_f64(median(&without)),
    ))
}

/// A client that has taken in its greeting and reads no more.
async fn open_stalled(side: &Side, requests: &[Bytes]) -> anyhow::Result<Client> {
    let tally = Tally::default();
    let address = side.server.address;
    let reads = Reads::Little;
    let client = Client::open(address, usize::MAX, GROUP, requests, reads, &tally);
    let mut client = within(client).await?;
    within(client.take(GREETING, &tally)).await?;
    Ok(client)
}

/// What a stream that stops reading costs while a large resource changes again and again.
async fn stalled_over_large_changes() -> anyhow::Result<()> {
    let body = content::endpoints(&content::name(0), LARGE_ENDPOINTS, 0)
        .body
        .len();
    ensure!(body >= 100 << 10, "the large resource has {body} bytes");
    let asked = requests(&content::snapshot(STALLED.clusters)?, false);
    let mut side = Side::start(Role::Locum, STALLED.clusters).await?;
    side.connect(LARGE_READERS, &asked, GREETING).await?;
    let mut grown = Vec::new();
    for stalls in [false, true] {
        let stalled = if stalls {
            // Its greeting has to fit into the little that it reads.
            side.change(LARGE_READERS, 1, 0).await?;
            Some(open_stalled(&side, &asked).await?)
        } else {
            None
        };
        let mut before = 0.0;
        for round in 0..LARGE_CHANGES {
            let behind = usize::from(stalls);
            side.change(LARGE_READERS, LARGE_ENDPOINTS, behind).await?;
            if round == 0 {
                before = side.server.memory()?;
            }
        }
        grown.push(side.server.memory()? - before);
        drop(stalled);
    }
    print(&format!(
        "memory of the server over {LARGE_CHANGES} changes of {} KiB, KiB more: without it {:.0}, with it {:.0}\n",
        body >> 10,
        grown[0],
        grown[1],
    ))
}

//! How long it takes from a change to an Envoy's acknowledgement, with endpoints and with a cluster.
//!
//! The floor is the same Envoy told the same by a server that sends constant bytes. There are two of
//! it, so that the ratio of one to the other shows what the machine makes of equal work. All take
//! turns round by round in one run.

mod content;
mod floor;

use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use floor::Floor;
use locum::xds::json;
use locum::xds::kind::Kind;
use locum::xds::resource::Resource;
use locum::xds::server::{Listener, Shared, serve};
use locum::xds::snapshot::Snapshot;
use locum_demo::process::{self, Process};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;

const GROUP: &str = "bench/edge";
/// Clusters, each with endpoints of its own.
const SCALES: [usize; 2] = [10, 1_000];
const ROUNDS: usize = 100;
/// Rounds before those that count.
const WARM_UP: usize = 10;
/// How long anything may take before the bench gives up.
const LIMIT: Duration = Duration::from_secs(60);
/// What a starting Envoy says at least: it asks for clusters and for endpoints, and takes both.
const START: u64 = 4;

/// What is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Endpoints,
    Cluster,
}

impl Change {
    /// The first cluster or its endpoints, in a form that differs from round to round. A changed
    /// cluster needs its endpoints again, so they go with it.
    fn resources(self, round: usize) -> anyhow::Result<Vec<Resource>> {
        let name = content::name(0);
        let revision = u32::try_from(round)?;
        Ok(match self {
            Change::Endpoints => vec![content::endpoints(&name, 1, revision)],
            Change::Cluster => {
                let mut cluster = content::eds_cluster(&name);
                cluster["connect_timeout"] = format!("{}s", 3 + round).into();
                vec![json::read(&cluster)?]
            }
        })
    }
}

/// A server and the Envoy that it tells.
enum Side {
    Floor(
        Floor,
        #[expect(dead_code, reason = "it runs as long as this")] Process,
    ),
    Locum {
        shared: Shared,
        snapshot: Snapshot,
        _envoy: Process,
    },
}

impl Side {
    async fn floor(snapshot: &Snapshot) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let envoy = envoy(listener.local_addr()?)?;
        let floor = Floor::new(snapshot);
        tokio::spawn(floor.clone().serve(listener));
        within(floor.heard().reached(START)).await?;
        Ok(Self::Floor(floor, envoy))
    }

    async fn locum(snapshot: &Snapshot) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let envoy = envoy(listener.local_addr()?)?;
        let shared = Shared::default();
        let revision = shared.board.publish(GROUP, snapshot.clone());
        let never = std::future::pending();
        tokio::spawn(serve(Listener::Tcp(listener), shared.clone(), never));
        within(shared.clients.caught_up(GROUP, revision)).await?;
        Ok(Self::Locum {
            shared,
            snapshot: snapshot.clone(),
            _envoy: envoy,
        })
    }

    /// How long it takes until Envoy has acknowledged a change.
    async fn change(&mut self, change: Change, round: usize) -> anyhow::Result<Duration> {
        match self {
            Self::Floor(floor, _) => {
                let mut messages = Vec::new();
                for resource in change.resources(round)? {
                    messages.push(floor::response(resource.kind, &[&resource]));
                }
                if change == Change::Cluster {
                    let endpoints = content::endpoints(&content::name(0), 1, 0);
                    messages.push(floor::response(Kind::Endpoint, &[&endpoints]));
                }
                let before = floor.heard().requests();
                let answers = messages.len() as u64;
                let started = Instant::now();
                floor.send(messages);
                within(floor.heard().reached(before + answers)).await?;
                Ok(started.elapsed())
            }
            Self::Locum {
                shared, snapshot, ..
            } => {
                let started = Instant::now();
                let mut next = std::mem::take(snapshot);
                for resource in change.resources(round)? {
                    next = next.with(resource);
                }
                *snapshot = next;
                let revision = shared.board.publish(GROUP, snapshot.clone());
                within(shared.clients.caught_up(GROUP, revision)).await?;
                Ok(started.elapsed())
            }
        }
    }
}

async fn within(what: impl Future<Output = ()>) -> anyhow::Result<()> {
    timeout(LIMIT, what).await.context("Envoy takes too long")
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(
        output,
        "{:<44} {:>17} {:>17} {:>6} {:>14}",
        "from a change to Envoy's ACK, ms (worst)",
        "constant bytes",
        "Locum",
        "ratio",
        "floor to floor"
    )?;
    for clusters in SCALES {
        let snapshot = content::snapshot(clusters)?;
        let snapshot = snapshot.without(Kind::Listener, content::ROUTES);
        let snapshot = snapshot.without(Kind::Route, content::ROUTES);
        let mut sides = [
            Side::floor(&snapshot).await?,
            Side::locum(&snapshot).await?,
            Side::floor(&snapshot).await?,
        ];
        for (change, what) in [
            (Change::Endpoints, "endpoints"),
            (Change::Cluster, "a cluster and its endpoints"),
        ] {
            let [floor, locum, again] = rounds(&mut sides, change).await?;
            writeln!(
                output,
                "{:<44} {:>17} {:>17} {:>6.2} {:>14.2}",
                format!("{clusters} clusters: {what}"),
                times(&floor),
                times(&locum),
                ratio(&locum, &floor),
                ratio(&again, &floor),
            )?;
        }
    }
    writeln!(output, "median of {ROUNDS} changes and of their ratios")?;
    Ok(())
}

async fn rounds(sides: &mut [Side; 3], change: Change) -> anyhow::Result<[Vec<Duration>; 3]> {
    let mut times = [const { Vec::new() }; 3];
    for round in 0..WARM_UP + ROUNDS {
        for (side, times) in sides.iter_mut().zip(&mut times) {
            let took = side.change(change, round + 1).await?;
            if round >= WARM_UP {
                times.push(took);
            }
        }
    }
    Ok(times)
}

fn times(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let milliseconds = |time: &Duration| time.as_secs_f64() * 1e3;
    let worst = times.last().map(milliseconds).unwrap_or_default();
    format!("{:.2} ({worst:.2})", milliseconds(&times[times.len() / 2]))
}

fn ratio(of: &[Duration], to: &[Duration]) -> f64 {
    let pairs = of.iter().zip(to);
    let mut ratios: Vec<f64> = pairs.map(|(of, to)| of.div_duration_f64(*to)).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

/// An Envoy that is told by this server.
fn envoy(server: SocketAddr) -> anyhow::Result<Process> {
    let mut command = Command::new(process::envoy()?);
    command
        .arg("--config-yaml")
        .arg(bootstrap(server).to_string());
    command.args([
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
        "--log-level",
        "error",
    ]);
    Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

fn bootstrap(server: SocketAddr) -> Value {
    let address = json!({"socket_address": {
        "address": server.ip(),
        "port_value": server.port(),
    }});
    json!({
        "node": {"id": "envoy", "cluster": GROUP},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "server"}}],
            },
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {"clusters": [{
            "name": "server",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                },
            },
            "load_assignment": {
                "cluster_name": "server",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
        }]},
    })
}

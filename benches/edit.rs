//! How long it takes until what a user asks for is served: from starting Locum to the first answer,
//! and from an edited manifest to the first answer by the new backend, with the page alone and with
//! a thousand routes beside it.
//!
//! The floor is the same Envoy told the same thing by a file of its own, with no control plane:
//! what Locum adds is the ratio. Both are measured in one run, so that a slow machine slows both.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use locum_demo::ask;
use locum_demo::echo::{Echo, Identity};
use locum_demo::load::{Bound, Load, Pace, Request};
use locum_demo::manifests::{Folder, HOST, PAGE, PATH, PORT, numbered_route};
use locum_demo::process::{Launch, Locum, Process, envoy};

const EDITS: usize = 10;
const ROUTES: usize = 1000;
/// How long anything may take before the bench gives up.
const LIMIT: Duration = Duration::from_secs(60);
/// Requests a second that go on meanwhile.
const RATE: u32 = 200;

/// Addresses of this bench; the proxy's and the two backends'.
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 63, 0, 1));
const BACKENDS: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 63, 0, 2)), 3000),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 63, 0, 2)), 5000),
];
const PODS: [&str; 2] = ["one", "two"];

/// What was measured in one setting.
struct Measured {
    start: Duration,
    /// Sorted.
    edits: Vec<Duration>,
    requests: usize,
    lost: usize,
}

impl Measured {
    fn edit(&self) -> Duration {
        self.edits[self.edits.len() / 2]
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut backends = Vec::new();
    for (address, pod) in BACKENDS.into_iter().zip(PODS) {
        backends.push(Echo::start(address, Identity::pod(pod)).await?);
    }
    let floor = envoy_alone().await.context("Envoy alone")?;
    let page = locum(0).await.context("the page")?;
    let many = locum(ROUTES).await.context("a thousand routes")?;
    let mut output = std::io::stdout().lock();
    writeln!(
        output,
        "{:<34} {:>10} {:>6} {:>10} {:>6} {:>13}",
        "", "start", "ratio", "edit", "ratio", "lost"
    )?;
    for (name, measured) in [
        ("Envoy told by a file (the floor)", &floor),
        ("Locum, the page", &page),
        ("Locum, the page and 1,000 routes", &many),
    ] {
        writeln!(
            output,
            "{name:<34} {:>7.1} ms {:>6.1} {:>7.1} ms {:>6.1} {:>5} of {:>4}",
            measured.start.as_secs_f64() * 1e3,
            measured.start.as_secs_f64() / floor.start.as_secs_f64(),
            measured.edit().as_secs_f64() * 1e3,
            measured.edit().as_secs_f64() / floor.edit().as_secs_f64(),
            measured.lost,
            measured.requests,
        )?;
    }
    writeln!(
        output,
        "start: to the first answer; edit: median of {EDITS}, to the first answer by the new backend"
    )?;
    Ok(())
}

/// Edits again and again under load; the first backend serves at first.
async fn edits(
    start: Duration,
    edit: impl Fn(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<Measured> {
    let request = Request::get(SocketAddr::new(PROXY, PORT), HOST, PATH);
    let pace = Pace::Open {
        rate: RATE,
        connections: 16,
    };
    let load = Load::start(
        request,
        pace,
        Bound {
            requests: u64::MAX,
            time: LIMIT,
        },
    )?;
    let mut edits = Vec::new();
    for turn in 1..=EDITS {
        let edited = Instant::now();
        edit(BACKENDS[turn % 2])?;
        served_by(PODS[turn % 2]).await?;
        edits.push(edited.elapsed());
    }
    edits.sort_unstable();
    let report = load.stop().await;
    Ok(Measured {
        start,
        edits,
        requests: report.requests(),
        lost: report.lost(),
    })
}

async fn served_by(pod: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let answer = ask::get(SocketAddr::new(PROXY, PORT), HOST, PATH).await;
        if answer
            .as_ref()
            .is_ok_and(|answer| answer.pod().as_deref() == Some(pod))
        {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{pod} does not serve: {answer:?}"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn locum(routes: usize) -> anyhow::Result<Measured> {
    let folder = Folder::new()?;
    for (name, content) in PAGE {
        folder.write(name, content)?;
    }
    let edit = |address: SocketAddr| {
        let backends = backend("active", false, address) + &backend("passive", true, BACKENDS[0]);
        Ok(folder.write("2-backends.yaml", &backends)?)
    };
    edit(BACKENDS[0])?;
    for number in 0..routes {
        folder.write(&format!("route-{number}.yaml"), &route(number))?;
    }
    let state = tempfile::tempdir()?;
    let launched = Instant::now();
    let launch = Launch {
        locum: PathBuf::from(env!("CARGO_BIN_EXE_locum")),
        manifests: folder.path().to_owned(),
        state: state.path().to_owned(),
        listen: PROXY,
        options: Vec::new(),
    };
    let _locum = Locum::start(launch).await?;
    served_by(PODS[0]).await?;
    edits(launched.elapsed(), edit).await
}

fn backend(name: &str, standby: bool, address: SocketAddr) -> String {
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\n\
         kind: Backend\n\
         metadata: {{name: {name}}}\n\
         spec:\n  fallback: {standby}\n  endpoints: [{{ip: {{address: {}, port: {}}}}}]\n---\n",
        address.ip(),
        address.port()
    )
}

/// A route with a host and a Backend of its own.
fn route(number: usize) -> String {
    let backend = backend(&format!("backend-{number}"), false, BACKENDS[0]);
    backend + &numbered_route(number)
}

/// Envoy with a configuration of its own, its endpoints in a file that it watches.
async fn envoy_alone() -> anyhow::Result<Measured> {
    let folder = tempfile::tempdir()?;
    let endpoints = folder.path().join("endpoints.yaml");
    let edit = |address: SocketAddr| {
        // Moved into its place, as Envoy's documentation asks.
        let next = folder.path().join("next.yaml");
        fs::write(&next, assignment(address))?;
        Ok(fs::rename(&next, &endpoints)?)
    };
    edit(BACKENDS[0])?;
    let config = folder.path().join("envoy.yaml");
    fs::write(&config, bootstrap(&endpoints))?;
    let launched = Instant::now();
    let mut command = Command::new(envoy()?);
    command
        .arg("-c")
        .arg(&config)
        .args(["--use-dynamic-base-id", "--log-level", "error"]);
    let _envoy = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    served_by(PODS[0]).await?;
    edits(launched.elapsed(), edit).await
}

fn assignment(address: SocketAddr) -> String {
    format!(
        "resources:\n\
         - \"@type\": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment\n  \
           cluster_name: backend\n  \
           endpoints:\n  \
           - lb_endpoints:\n    \
             - endpoint: {{address: {{socket_address: {{address: {}, port_value: {}}}}}}}\n",
        address.ip(),
        address.port()
    )
}

fn bootstrap(endpoints: &Path) -> String {
    format!(
        "static_resources:\n  \
           listeners:\n  \
           - address: {{socket_address: {{address: {PROXY}, port_value: {PORT}}}}}\n    \
             filter_chains:\n    \
             - filters:\n      \
               - name: http\n        \
                 typed_config:\n          \
                   \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n          \
                   stat_prefix: http\n          \
                   route_config:\n            \
                     virtual_hosts: [{{name: all, domains: [\"*\"], routes: [{{match: {{prefix: /}}, route: {{cluster: backend}}}}]}}]\n          \
                   http_filters:\n          \
                   - name: router\n            \
                     typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}\n  \
           clusters:\n  \
           - name: backend\n    \
             type: EDS\n    \
             eds_cluster_config: {{eds_config: {{path_config_source: {{path: {}}}}}}}\n\
         node: {{id: bench, cluster: bench}}\n",
        endpoints.display()
    )
}

//! What the Gateway's Envoys say of themselves, through a way that kubectl makes to each one's admin
//! interface.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use locum_demo::ask;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

use crate::bench::Bench;
use crate::install::ENVOYS;

/// Where the admin interface listens, inside the Pod.
const ADMIN_PORT: u16 = 19000;
/// How long the way may take to be there.
const LIMIT: Duration = Duration::from_secs(20);
const ACTIVE_CLUSTERS: &str = "cluster_manager.active_clusters";

/// How many clusters each Envoy of the bench's namespace holds, by Pod.
pub(crate) async fn clusters(bench: &Bench) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut clusters = BTreeMap::new();
    for pod in bench.ready_pods(ENVOYS).await? {
        let path = format!("/stats?filter=^{ACTIVE_CLUSTERS}$");
        let text = admin(bench, &pod, &path).await?;
        let value = text.trim().rsplit_once(' ');
        let (_, value) = value.with_context(|| format!("{pod}: {text}"))?;
        clusters.insert(pod, value.parse()?);
    }
    Ok(clusters)
}

/// An answer of a Pod's admin interface.
async fn admin(bench: &Bench, pod: &str, path: &str) -> anyhow::Result<String> {
    let mut forward = Command::new("kubectl")
        .args(["-n", bench.namespace(), "port-forward", pod])
        .arg(format!(":{ADMIN_PORT}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("kubectl port-forward")?;
    let stdout = forward.stdout.take().context("standard output is piped")?;
    // It stays open, or kubectl would end with its next line.
    let mut lines = BufReader::new(stdout).lines();
    let address = tokio::time::timeout(LIMIT, address(&mut lines)).await;
    let address = address.with_context(|| format!("no way to {pod} in {LIMIT:?}"))??;
    let answer = ask::get(address, "admin", path).await?;
    Ok(answer.text())
}

/// Where the way begins, which kubectl says in its first line: `Forwarding from 127.0.0.1:1 -> 2`.
async fn address(lines: &mut Lines<BufReader<ChildStdout>>) -> anyhow::Result<SocketAddr> {
    while let Some(line) = lines.next_line().await? {
        let address = line.strip_prefix("Forwarding from ");
        let address = address.and_then(|rest| rest.split(' ').next());
        if let Some(Ok(address)) = address.map(str::parse::<SocketAddr>)
            && address.is_ipv4()
        {
            return Ok(address);
        }
    }
    bail!("kubectl port-forward ended")
}

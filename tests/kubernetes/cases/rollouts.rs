//! Replicas that come and go, of Locum and of Envoy, under load: no request notices, and no proxy is
//! told again what it knows.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::witness;
use crate::bench::{Bench, by_deployment, none_lost};
use crate::install::{self, ENVOYS, REPLICAS};
use crate::metrics::resources_sent;
use crate::say;
use crate::stage::{ENVOY, Stage};

/// How long after the leader's death another replica writes: the Lease's duration, and what reading
/// and writing take.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(20);
/// How long requests go on after everything has settled.
const AFTERWARDS: u32 = 3;

pub(crate) async fn a_rollout_of_locum_is_not_noticed(bench: &Bench) -> anyhow::Result<()> {
    let stage = Stage::set(bench).await?;
    let system = bench.at(install::NAMESPACE);
    under_load(&stage, "Locum rolled out", async || {
        system
            .kubectl(&["rollout", "restart", "deployment/locum"])
            .await?;
        system.rolled_out("locum").await?;
        system.settled(REPLICAS).await
    })
    .await?;
    nothing_sent_again(&system).await
}

/// The leader's process is killed and its Pod goes with it, as with a node that dies: the Lease is
/// not handed over.
pub(crate) async fn the_leader_dies_and_another_writes(bench: &Bench) -> anyhow::Result<()> {
    let stage = Stage::set(bench).await?;
    let system = bench.at(install::NAMESPACE);
    let leader = system.leader().await?.context("nobody leads")?;
    under_load(&stage, "the leader killed", async || {
        let killed = Instant::now();
        system.kill_pod(&leader).await?;
        bench.apply(witness::ROUTE).await?;
        let written = async || witness::is_accepted(bench).await;
        let what = "the route has a status";
        bench.until_within(TAKEOVER_LIMIT, what, written).await?;
        say(&format!(
            "  the next leader wrote {:.1?} after the last one's death",
            killed.elapsed()
        ));
        system.rolled_out("locum").await
    })
    .await?;
    let next = system.leader().await?;
    ensure!(next.as_ref() != Some(&leader), "{leader} leads still");
    Ok(())
}

pub(crate) async fn a_rollout_of_envoy_loses_nothing(bench: &Bench) -> anyhow::Result<()> {
    let stage = Stage::set(bench).await?;
    let envoy = format!("deployment/{ENVOY}");
    under_load(&stage, "Envoy rolled out", async || {
        bench.kubectl(&["rollout", "restart", &envoy]).await?;
        bench.rolled_out(ENVOY).await?;
        bench.settled(ENVOYS).await
    })
    .await
}

pub(crate) async fn envoys_are_scaled_and_lose_nothing(bench: &Bench) -> anyhow::Result<()> {
    let stage = Stage::set(bench).await?;
    let envoy = format!("deployment/{ENVOY}");
    let scale = async |replicas: &str| {
        bench.kubectl(&["scale", &envoy, replicas]).await?;
        bench.rolled_out(ENVOY).await?;
        bench.settled(ENVOYS).await
    };
    scale("--replicas=1").await?;
    under_load(&stage, "Envoy scaled from 1 to 3 to 1", async || {
        scale("--replicas=3").await?;
        tokio::time::sleep(Duration::from_secs(AFTERWARDS.into())).await;
        scale("--replicas=1").await
    })
    .await
}

/// Does something under load and goes on for a while; no request may be lost.
async fn under_load(
    stage: &Stage,
    what: &str,
    done: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let load = stage.load()?;
    stage.bench.seconds(&load, 2).await?;
    done().await?;
    stage.bench.seconds(&load, AFTERWARDS).await?;
    let report = by_deployment(load.stop().await);
    say(&format!(
        "  {what}: {} requests, {} lost, worst {:.1?}",
        report.requests(),
        report.lost(),
        report.worst()
    ));
    none_lost(&report)?;
    let by_active = report.served_by("active");
    ensure!(by_active == report.requests(), "{:?}", report.by_pod());
    Ok(())
}

/// No replica that runs now has sent a proxy anything: all of them came with what they had.
async fn nothing_sent_again(system: &Bench) -> anyhow::Result<()> {
    let sent = resources_sent(system).await?;
    ensure!(!sent.is_empty(), "no replica tells what it sent");
    ensure!(sent.values().all(|sent| *sent == 0), "sent: {sent:?}");
    Ok(())
}

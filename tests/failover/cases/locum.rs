//! Locum itself dies and comes back.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::bench::{Bench, none_lost};
use crate::table::Row;

/// How long Envoy may take to ask the new Locum.
const RECONNECT_LIMIT: Duration = Duration::from_secs(15);

/// What Envoy was told, and how often.
#[derive(Debug)]
struct Told {
    config: serde_json::Value,
    updates: String,
}

pub(crate) async fn a_dead_locum_changes_nothing(mut bench: Bench) -> anyhow::Result<()> {
    let (mut active, _passive) = bench.page(true).await?;
    let load = bench.load()?;
    bench.seconds(&load, 2).await?;
    let envoys = bench.locum()?.envoys();
    let told = told(&mut bench).await?;
    bench.locum()?.process().kill();
    bench.seconds(&load, 1).await?;
    let failure = Instant::now();
    active.kill().await;
    bench.seconds(&load, 4).await?;
    bench.restart().await?;
    until_connected(&mut bench).await?;
    bench.seconds(&load, 3).await?;
    let told_then = self::told(&mut bench).await?;
    let envoys_then = bench.locum()?.envoys();
    let back = Instant::now();
    active.revive().await?;
    bench.seconds(&load, 12).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, Some(failure), Some(back)));
    none_lost(&report)?;
    ensure!(
        envoys.len() == 1 && envoys == envoys_then,
        "Envoys {envoys:?}, then {envoys_then:?}"
    );
    ensure!(
        told.updates == told_then.updates,
        "sent again: {}\nthen {}",
        told.updates,
        told_then.updates
    );
    ensure!(
        told.config == told_then.config,
        "Envoy's configuration was {}\nand is {}",
        told.config,
        told_then.config
    );
    ensure!(
        report.settled("active", back).is_some(),
        "not back on active: {:?}",
        report.by_pod()
    );
    Ok(())
}

async fn told(bench: &mut Bench) -> anyhow::Result<Told> {
    // As JSON: Envoy prints maps in any order.
    let config = serde_json::from_str(&bench.envoy("/config_dump").await?)?;
    // Every accepted update of listeners, routes, clusters and endpoints is counted.
    let updates = bench
        .envoy("/stats?filter=(cds|lds|rds|^cluster).*update_(success|rejected)")
        .await?;
    ensure!(
        updates.contains("update_success"),
        "Envoy counts no updates: {updates}"
    );
    Ok(Told { config, updates })
}

async fn until_connected(bench: &mut Bench) -> anyhow::Result<()> {
    let deadline = Instant::now() + RECONNECT_LIMIT;
    loop {
        let state = bench
            .envoy("/stats?filter=control_plane.connected_state")
            .await?;
        if state.trim_end().ends_with(": 1") {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "Envoy has not reconnected: {state}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

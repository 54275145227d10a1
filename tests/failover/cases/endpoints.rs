//! `active` is a Service, and Kubernetes says that its Pods are gone or not ready.

use std::time::{Duration, Instant};

use anyhow::ensure;
use locum_demo::manifests::{Ref, route};
use locum_demo::report::Report;

use crate::bench::{Bench, none_lost};
use crate::table::Row;

/// How soon a changed slice must be served.
const SEEN_LIMIT: Duration = Duration::from_secs(2);

pub(crate) async fn an_emptied_slice_loses_nothing(bench: Bench) -> anyhow::Result<()> {
    change_slice(bench, |bench| bench.write_slice("active", &[])).await
}

pub(crate) async fn pods_that_turn_unready_lose_nothing(bench: Bench) -> anyhow::Result<()> {
    change_slice(bench, |bench| {
        bench.write_unready_slice("active", bench.backend_address(2))
    })
    .await
}

async fn change_slice(
    mut bench: Bench,
    empty: impl Fn(&Bench) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    bench.write_page(true)?;
    let references = [Ref::Service("active"), Ref::Backend("passive")];
    bench.write("3-route.yaml", &route(&references, ""))?;
    let (active, _passive) = bench.pair().await?;
    let load = bench.load()?;
    bench.seconds(&load, 3).await?;
    let failure = Instant::now();
    empty(&bench)?;
    bench.seconds(&load, 4).await?;
    let back = Instant::now();
    bench.write_slice("active", &[active.address()])?;
    bench.seconds(&load, 4).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, Some(failure), Some(back)));
    none_lost(&report)?;
    let before = report.answered_by(failure);
    ensure!(
        before.served_by("passive") == 0,
        "before: {:?}",
        before.by_pod()
    );
    let away = report.between(failure + SEEN_LIMIT, back);
    ensure!(
        away.served_by("active") == 0,
        "without endpoints: {:?}",
        away.by_pod()
    );
    settled_soon(&report, back)
}

fn settled_soon(report: &Report, back: Instant) -> anyhow::Result<()> {
    let settled = report.settled("active", back);
    ensure!(
        settled.is_some_and(|settled| settled <= SEEN_LIMIT),
        "back after {settled:?}"
    );
    Ok(())
}

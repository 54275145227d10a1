//! `active` says nothing any more: its process hangs, or its packets vanish.

use std::time::{Duration, Instant};

use anyhow::ensure;
use locum_demo::manifests::{PASSIVE_CHECK, policy};
use locum_demo::namespace::FarBackend;
use locum_demo::report::Report;
use rustix::process::Signal;

use crate::bench::{Bench, none_lost};
use crate::table::Row;

/// How long `active` is silent, in seconds of load: longer than anyone waits.
const SILENT: u32 = 20;
/// What a request may take where no policy says: Envoy's 15 s for a whole exchange, and a second.
const WORST_LIMIT: Duration = Duration::from_secs(16);
/// How long the load waits, so that it sees what the proxy does.
const PATIENCE: Duration = Duration::from_secs(30);

fn timeout_per_try(bench: &Bench) -> anyhow::Result<()> {
    bench.write_page(false)?;
    let retry = "  retry:\n    perRetry: {timeout: 250ms}\n";
    bench.write("4-policy.yaml", &policy(&format!("{PASSIVE_CHECK}{retry}")))
}

pub(crate) async fn a_hang_with_a_timeout_per_try_loses_nothing(
    mut bench: Bench,
) -> anyhow::Result<()> {
    timeout_per_try(&bench)?;
    none_lost(&hang(&mut bench).await?)
}

pub(crate) async fn a_hang_with_no_policy_is_bounded(mut bench: Bench) -> anyhow::Result<()> {
    bench.write_page(false)?;
    bounded(&hang(&mut bench).await?)
}

pub(crate) async fn vanished_packets_with_a_timeout_per_try_lose_nothing(
    mut bench: Bench,
) -> anyhow::Result<()> {
    timeout_per_try(&bench)?;
    none_lost(&vanish(&mut bench).await?)
}

pub(crate) async fn vanished_packets_with_no_policy_are_bounded(
    mut bench: Bench,
) -> anyhow::Result<()> {
    bench.write_page(false)?;
    bounded(&vanish(&mut bench).await?)
}

/// What is promised without a policy: nobody waits for ever, and once it is noticed everything is
/// served.
fn bounded(report: &Report) -> anyhow::Result<()> {
    let (worst, lost) = (report.worst(), report.lost());
    ensure!(
        worst <= WORST_LIMIT,
        "a request waited {worst:?}; {lost} lost: {:?}",
        report.losses()
    );
    ensure!(
        report.served_by("passive") > 0,
        "the standby served nothing: {:?}",
        report.by_pod()
    );
    Ok(())
}

async fn hang(bench: &mut Bench) -> anyhow::Result<Report> {
    let mut active = bench.echo_process("active", 2)?;
    let passive = bench.echo("passive", 3).await?;
    bench.write_slice("active", &[active.address()])?;
    bench.write_slice("passive", &[passive.address()])?;
    bench.run().await?;
    bench.until_served_by("active").await?;
    silence(bench, |silent| {
        let signal = if silent { Signal::STOP } else { Signal::CONT };
        active.process().signal(signal);
        Ok(())
    })
    .await
}

async fn vanish(bench: &mut Bench) -> anyhow::Result<Report> {
    let mut active = FarBackend::start("active", 0, None)?;
    let passive = bench.echo("passive", 3).await?;
    bench.write_slice("active", &[active.address()])?;
    bench.write_slice("passive", &[passive.address()])?;
    bench.run().await?;
    bench.until_served_by("active").await?;
    silence(
        bench,
        |silent| if silent { active.cut() } else { active.join() },
    )
    .await
}

/// A load during which `active` is silent for a while.
async fn silence(
    bench: &Bench,
    mut silent: impl FnMut(bool) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    let mut request = bench.request();
    request.timeout = PATIENCE;
    let load = bench.load_of(request)?;
    bench.seconds(&load, 3).await?;
    let failure = Instant::now();
    silent(true)?;
    bench.seconds(&load, SILENT).await?;
    let back = Instant::now();
    silent(false)?;
    let settled = |report: &Report| report.settled("active", back).is_some();
    let returned = bench
        .until(&load, Duration::from_secs(30), "back on active", settled)
        .await;
    bench.seconds(&load, 2).await?;
    let report = load.stop().await;
    let row = Row::of(&report, Some(failure), Some(back));
    bench.record(row.note(report.losses_in_words()));
    returned?;
    Ok(report)
}

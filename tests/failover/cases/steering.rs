//! A FailoverPolicy comes, pins a tier, drains one, and goes: traffic moves, and nothing is lost.

use std::time::{Duration, Instant};

use anyhow::ensure;
use jiff::Timestamp;
use locum_demo::dns::{Dns, SECONDS_TO_LIVE};
use locum_demo::echo::Echo;
use locum_demo::load::Load;
use locum_demo::manifests::backend_fqdn;
use locum_demo::report::Report;

use crate::bench::{BACKEND_PORT, Bench, none_lost};
use crate::manifests::failover;
use crate::table::{Row, time};

/// How soon a changed policy must be served.
const SEEN_LIMIT: Duration = Duration::from_secs(5);
/// How often a policy comes and goes.
const ROUNDS: u32 = 4;
/// How long a pin lasts, in seconds.
const PIN: i64 = 4;
/// How late after its end all must be back: the time is written in whole seconds, and the change has
/// its way to Envoy.
const PIN_MARGIN: Duration = Duration::from_millis(1500);
/// How long shares are counted: less than the page's ejections last.
const SPILL_SECONDS: u32 = 6;
const FILE: &str = "7-failover.yaml";

/// Waits until the next answers are by this backend.
async fn until_by(bench: &Bench, load: &Load, pod: &str) -> anyhow::Result<Instant> {
    let since = Instant::now();
    let seen = |report: &Report| report.settled(pod, since).is_some();
    bench
        .until(load, SEEN_LIMIT, &format!("served by {pod}"), seen)
        .await?;
    Ok(since)
}

pub(crate) async fn a_policy_comes_and_goes(mut bench: Bench) -> anyhow::Result<()> {
    let _pair = bench.page(true).await?;
    come_and_go(&mut bench).await
}

pub(crate) async fn a_policy_over_names_comes_and_goes(mut bench: Bench) -> anyhow::Result<()> {
    let dns = names(&bench).await?;
    let _pair = bench.pair().await?;
    come_and_go(&mut bench).await?;
    drop(dns);
    Ok(())
}

/// The page with names that only DNS knows.
async fn names(bench: &Bench) -> anyhow::Result<Dns> {
    let dns = Dns::start(SECONDS_TO_LIVE).await?;
    let mut backends = String::new();
    for (pod, host) in [("active", 2), ("passive", 3)] {
        let name = format!("{pod}.example.net");
        dns.set(&name, bench.address(host), Duration::ZERO);
        backends += &backend_fqdn(pod, pod == "passive", &name, BACKEND_PORT);
    }
    bench.write_page(true)?;
    bench.write("2-backends.yaml", &backends)?;
    Ok(dns)
}

/// A policy that turns the order round comes and goes, then one that changes nothing.
async fn come_and_go(bench: &mut Bench) -> anyhow::Result<()> {
    let load = bench.load()?;
    bench.seconds(&load, 1).await?;
    for _ in 0..ROUNDS {
        bench.write(FILE, &failover(["passive", "active"], ""))?;
        until_by(bench, &load, "passive").await?;
        bench.seconds(&load, 1).await?;
        bench.remove(FILE)?;
        until_by(bench, &load, "active").await?;
        bench.seconds(&load, 1).await?;
    }
    let quiet = Instant::now();
    for _ in 0..ROUNDS {
        bench.write(FILE, &failover(["active", "passive"], ""))?;
        bench.seconds(&load, 1).await?;
        bench.remove(FILE)?;
        bench.seconds(&load, 1).await?;
    }
    let end = Instant::now();
    let report = load.stop().await;
    bench.record(Row::of(&report, None, None).note(format!("{ROUNDS} times with another order")));
    none_lost(&report)?;
    let quiet = report.between(quiet, end);
    ensure!(
        quiet.served_by("passive") == 0,
        "a policy of the same order: {:?}",
        quiet.by_pod()
    );
    Ok(())
}

pub(crate) async fn a_pin_ends_by_itself(mut bench: Bench) -> anyhow::Result<()> {
    bench.write(FILE, &failover(["active", "passive"], ""))?;
    let _pair = bench.page(true).await?;
    let load = bench.load()?;
    bench.seconds(&load, 1).await?;
    let second = Timestamp::now().as_second() + PIN;
    let until = Timestamp::from_second(second)?;
    let pin = format!("  pin: {{tier: passive, until: \"{until}\", reason: a trial}}\n");
    bench.write(FILE, &failover(["active", "passive"], &pin))?;
    until_by(&bench, &load, "passive").await?;
    // Nobody writes anything from here on.
    let left = Duration::try_from(until.duration_since(Timestamp::now()))?;
    let end = Instant::now() + left;
    let limit = left + PIN_MARGIN;
    let back = |report: &Report| report.settled("active", end).is_some();
    bench.until(&load, limit, "back on active", back).await?;
    bench.seconds(&load, 1).await?;
    let report = load.stop().await;
    let settled = report.settled("active", end);
    let note = format!("back {} after the pin's end", time(settled));
    bench.record(Row::of(&report, None, None).note(note));
    none_lost(&report)?;
    ensure!(
        settled.is_some_and(|settled| settled <= PIN_MARGIN),
        "back after {settled:?}"
    );
    let verdict = bench.verdict()?;
    let said = format!("The pin to tier passive ended at {until}: a trial.");
    ensure!(verdict.contains(&said), "no {said:?} in:\n{verdict}");
    Ok(())
}

pub(crate) async fn pinned_and_the_pinned_dies_with_locum(mut bench: Bench) -> anyhow::Result<()> {
    bench.write(FILE, &failover(["active", "passive"], ""))?;
    let (_active, passive) = bench.page(true).await?;
    pinned_dies(bench, passive).await
}

pub(crate) async fn pinned_names_and_the_pinned_dies_with_locum(
    mut bench: Bench,
) -> anyhow::Result<()> {
    let dns = names(&bench).await?;
    bench.write(FILE, &failover(["active", "passive"], ""))?;
    let (_active, passive) = bench.pair().await?;
    pinned_dies(bench, passive).await?;
    drop(dns);
    Ok(())
}

/// `passive` is pinned, Locum is killed, `passive` dies: `active` serves.
async fn pinned_dies(mut bench: Bench, mut passive: Echo) -> anyhow::Result<()> {
    let load = bench.load()?;
    bench.seconds(&load, 1).await?;
    for _ in 0..ROUNDS {
        let pin = "  pin: {tier: passive}\n";
        bench.write(FILE, &failover(["active", "passive"], pin))?;
        until_by(&bench, &load, "passive").await?;
        bench.write(FILE, &failover(["active", "passive"], ""))?;
        until_by(&bench, &load, "active").await?;
    }
    let pin = "  pin: {tier: passive}\n";
    bench.write(FILE, &failover(["active", "passive"], pin))?;
    until_by(&bench, &load, "passive").await?;
    bench.seconds(&load, 1).await?;
    bench.locum()?.process().kill();
    bench.seconds(&load, 1).await?;
    let failure = Instant::now();
    passive.kill().await;
    bench.seconds(&load, 3).await?;
    let report = load.stop().await;
    let first = report.first_answer("active", failure);
    let note = format!(
        "{} times pinned; active {} after passive's death",
        ROUNDS + 1,
        time(first)
    );
    bench.record(Row::of(&report, None, None).note(note));
    none_lost(&report)?;
    ensure!(
        report.settled("active", failure).is_some(),
        "not all by active: {:?}",
        report.by_pod()
    );
    Ok(())
}

pub(crate) async fn a_drained_tier_gets_nothing_whatever_dies(
    mut bench: Bench,
) -> anyhow::Result<()> {
    bench.write(FILE, &failover(["active", "passive"], ""))?;
    let (active, passive) = bench.page(true).await?;
    drained(bench, active, passive).await
}

pub(crate) async fn drained_names_get_nothing_whatever_dies(
    mut bench: Bench,
) -> anyhow::Result<()> {
    let dns = names(&bench).await?;
    bench.write(FILE, &failover(["active", "passive"], ""))?;
    let (active, passive) = bench.pair().await?;
    drained(bench, active, passive).await?;
    drop(dns);
    Ok(())
}

/// `active` is drained and served again, drained again, and then `passive` dies.
async fn drained(bench: Bench, active: Echo, mut passive: Echo) -> anyhow::Result<()> {
    let whole = failover(["active", "passive"], "");
    let drained = whole.replace("name: active,", "drain: true, name: active,");
    ensure!(drained.contains("drain: true"), "not drained: {drained}");
    let load = bench.load()?;
    bench.seconds(&load, 1).await?;
    for _ in 0..ROUNDS {
        bench.write(FILE, &drained)?;
        until_by(&bench, &load, "passive").await?;
        bench.write(FILE, &whole)?;
        until_by(&bench, &load, "active").await?;
    }
    bench.write(FILE, &drained)?;
    until_by(&bench, &load, "passive").await?;
    bench.seconds(&load, 1).await?;
    let failure = Instant::now();
    let asked = active.counts().requests;
    passive.kill().await;
    bench.seconds(&load, 3).await?;
    ensure!(
        active.counts().requests == asked,
        "a drained tier was asked {} times",
        active.counts().requests - asked
    );
    bench.write(FILE, &whole)?;
    until_by(&bench, &load, "active").await?;
    let report = load.stop().await;
    let note = format!("drained {} times, then passive died", ROUNDS + 1);
    bench.record(Row::of(&report, Some(failure), None).note(note));
    none_lost(&report.answered_by(failure))
}

/// Two of four endpoints die under a threshold of 70 %: 50 of every 70 requests stay (71 %), and the
/// other 20 go to the standby.
pub(crate) async fn a_tier_under_its_threshold_spills(mut bench: Bench) -> anyhow::Result<()> {
    bench.write_page(true)?;
    let mut active = Vec::new();
    for host in [2, 4, 5, 6] {
        active.push(bench.echo("active", host).await?);
    }
    let passive = bench.echo("passive", 3).await?;
    let addresses: Vec<_> = active.iter().map(Echo::address).collect();
    bench.write_slice("active", &addresses)?;
    bench.write_slice("passive", &[passive.address()])?;
    let spill = "  mode: Spill\n  threshold: 70\n";
    bench.write(FILE, &failover(["active", "passive"], spill))?;
    bench.run().await?;
    bench.until_served_by("active").await?;
    let load = bench.load()?;
    bench.seconds(&load, 1).await?;
    // Three of four are 75 %: over the threshold.
    active[0].kill().await;
    bench.seconds(&load, 2).await?;
    let over = load.so_far();
    ensure!(
        over.served_by("passive") == 0,
        "over the threshold: {:?}",
        over.by_pod()
    );
    active[1].kill().await;
    let spills = |report: &Report| report.served_by("passive") > 0;
    bench
        .until(&load, SEEN_LIMIT, "something spilt", spills)
        .await?;
    let begin = Instant::now();
    bench.seconds(&load, SPILL_SECONDS).await?;
    let end = Instant::now();
    let report = load.stop().await;
    let under = report.between(begin, end);
    let share = under.served_by("passive") * 100 / under.requests().max(1);
    let note = format!("{share} % on passive with 2 of 4 dead");
    bench.record(Row::of(&report, None, None).note(note));
    none_lost(&report)?;
    // Five standard deviations of so many draws.
    ensure!((22..=35).contains(&share), "{share} % on passive");
    Ok(())
}

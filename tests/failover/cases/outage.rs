//! `active` refuses connections, as a process that has ended does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use locum_demo::echo::{Behaviour, Echo};
use locum_demo::load::{Bound, Load, Pace};
use locum_demo::report::{Record, Report};

use crate::bench::{BACKEND_PORT, Bench, none_lost};
use crate::table::{Row, time};

/// How soon after the failure the standby must serve.
const SWITCH_LIMIT: Duration = Duration::from_millis(50);
/// How long `active` is away. Envoy ends ejections at a tick of half a second, so the first ends 10
/// to 10.5 s after the failure and the second as long after that: a return at 15 s is noticed 5 to
/// 6 s after it. (The longest wait, for a return just after a blind one, is ejection time and tick.)
const OUTAGE_SECONDS: u32 = 15;
/// How late after its return `active` may serve again: the page's ejection time and a second.
const RETURN_LIMIT: Duration = Duration::from_secs(11);
/// How soon after one of two dead backends returns requests must be served again.
const REVIVAL_LIMIT: Duration = Duration::from_secs(1);
/// Requests that may be lost after that: the dead one's ejection ends while the one that returned
/// is still ejected, and a request that comes in that moment spends its retries on the dead one.
const BLIND_LOSSES: usize = 2;
/// Connections of the closed loop.
const CROWD: usize = 64;
/// The longest that it may take.
const CROWD_LIMIT: Duration = Duration::from_secs(60);

pub(crate) async fn the_page_loses_nothing(mut bench: Bench) -> anyhow::Result<()> {
    let (active, _passive) = bench.page(true).await?;
    away_and_back(&bench, active).await
}

pub(crate) async fn no_policy_at_all_loses_nothing(mut bench: Bench) -> anyhow::Result<()> {
    let (active, _passive) = bench.page(false).await?;
    away_and_back(&bench, active).await
}

/// `active` away for 15 s of a load of some 40 s, and what must be seen whatever the policy.
async fn away_and_back(bench: &Bench, mut active: Echo) -> anyhow::Result<()> {
    let load = bench.load()?;
    bench.seconds(&load, 5).await?;
    let failure = Instant::now();
    active.kill().await;
    bench.seconds(&load, OUTAGE_SECONDS).await?;
    let back = Instant::now();
    active.revive().await?;
    let settled = |report: &Report| report.settled("active", back).is_some();
    let returned = bench
        .until(&load, RETURN_LIMIT, "back on active", settled)
        .await;
    bench.seconds(&load, 10).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, Some(failure), Some(back)));
    returned?;
    none_lost(&report)?;
    let before = report.answered_by(failure);
    ensure!(
        before.served_by("passive") == 0,
        "before the failure: {:?}",
        before.by_pod()
    );
    let first = report.first_answer("passive", failure);
    ensure!(
        first.is_some_and(|first| first <= SWITCH_LIMIT),
        "first passive after {first:?}"
    );
    let away = report.between(failure + SWITCH_LIMIT, back);
    ensure!(
        away.served_by("active") == 0,
        "while active was away: {:?}",
        away.by_pod()
    );
    let settled = report.settled("active", back);
    ensure!(
        settled.is_some_and(|settled| settled <= RETURN_LIMIT),
        "back after {settled:?}"
    );
    Ok(())
}

pub(crate) async fn a_post_is_lost_only_in_flight_and_never_executed_twice(
    mut bench: Bench,
) -> anyhow::Result<()> {
    let (mut active, passive) = bench.page(true).await?;
    // So that several are in flight at any time.
    let slow = Behaviour {
        delay_ms: 20,
        ..Behaviour::default()
    };
    active.behave(slow.clone());
    passive.behave(slow);
    let load = bench.load_of(bench.post())?;
    bench.seconds(&load, 3).await?;
    let failure = Instant::now();
    active.kill().await;
    let dead = Instant::now();
    bench.seconds(&load, OUTAGE_SECONDS).await?;
    let back = Instant::now();
    active.revive().await?;
    let settled = |report: &Report| report.settled("active", back).is_some();
    let returned = bench
        .until(&load, RETURN_LIMIT, "back on active", settled)
        .await;
    bench.seconds(&load, 2).await?;
    let report = load.stop().await;
    let under_way = |record: &&Record| {
        record.scheduled <= report.offset(dead) && record.answered() >= report.offset(failure)
    };
    let in_flight = report.records().iter().filter(under_way).count();
    let row = Row::of(&report, Some(failure), Some(back));
    bench.record(row.note(format!("POST, {in_flight} in flight at the failure")));
    returned?;
    let lost = |record: &&Record| !record.is_served();
    let mut others = report
        .records()
        .iter()
        .filter(lost)
        .filter(|record| !under_way(record));
    let other = others.next();
    ensure!(
        other.is_none(),
        "lost, though not in flight at the failure: {other:?}"
    );
    let mut executed = BTreeMap::<String, u32>::new();
    for (id, times) in active
        .counts()
        .by_id
        .into_iter()
        .chain(passive.counts().by_id)
    {
        *executed.entry(id).or_default() += times;
    }
    let twice: Vec<_> = executed.iter().filter(|(_, times)| **times > 1).collect();
    ensure!(twice.is_empty(), "executed more than once: {twice:?}");
    ensure!(
        executed.len() >= report.requests() - report.lost(),
        "{} executed",
        executed.len()
    );
    Ok(())
}

pub(crate) async fn one_of_three_dies_and_the_standby_gets_nothing(
    mut bench: Bench,
) -> anyhow::Result<()> {
    bench.write_page(true)?;
    let mut active = Vec::new();
    for host in [2, 4, 5] {
        active.push(bench.echo("active", host).await?);
    }
    let passive = bench.echo("passive", 3).await?;
    let addresses: Vec<_> = active.iter().map(Echo::address).collect();
    bench.write_slice("active", &addresses)?;
    bench.write_slice("passive", &[passive.address()])?;
    bench.run().await?;
    bench.until_served_by("active").await?;
    let load = bench.load()?;
    bench.seconds(&load, 3).await?;
    active[1].kill().await;
    bench.seconds(&load, 15).await?;
    active[1].revive().await?;
    bench.seconds(&load, 3).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, None, None));
    none_lost(&report)?;
    ensure!(report.served_by("passive") == 0, "{:?}", report.by_pod());
    let idle = active
        .iter()
        .position(|backend| backend.counts().requests == 0);
    ensure!(idle.is_none(), "endpoint {idle:?} got no request at all");
    Ok(())
}

pub(crate) async fn a_closed_loop_loses_nothing(mut bench: Bench) -> anyhow::Result<()> {
    let (mut active, _passive) = bench.page(true).await?;
    // Every connection has a request in flight when active dies.
    active.behave(Behaviour {
        delay_ms: 50,
        ..Behaviour::default()
    });
    let pace = Pace::Closed { connections: CROWD };
    let bound = Bound {
        requests: 20_000,
        time: CROWD_LIMIT,
    };
    let load = Load::start(bench.request(), pace, bound)?;
    bench
        .until(&load, CROWD_LIMIT, "2000 answers", |report| {
            report.requests() > 2000
        })
        .await?;
    let failure = Instant::now();
    active.kill().await;
    let served = |report: &Report| report.served_by("passive") > 2000;
    bench
        .until(&load, CROWD_LIMIT, "2000 answers by passive", served)
        .await?;
    let report = load.stop().await;
    let row = Row::of(&report, Some(failure), None);
    bench.record(row.note(format!("{CROWD} connections in a closed loop")));
    none_lost(&report)
}

pub(crate) async fn both_die_and_one_returns(mut bench: Bench) -> anyhow::Result<()> {
    let (mut active, mut passive) = bench.page(true).await?;
    ensure!(
        active.address().port() == BACKEND_PORT,
        "backends have the users' port"
    );
    let load = bench.load()?;
    bench.seconds(&load, 1).await?;
    active.kill().await;
    bench.seconds(&load, 3).await?;
    passive.kill().await;
    bench.seconds(&load, 3).await?;
    let passive_back = Instant::now();
    passive.revive().await?;
    bench.seconds(&load, 3).await?;
    let passive_dead = Instant::now();
    passive.kill().await;
    bench.seconds(&load, 3).await?;
    let active_back = Instant::now();
    active.revive().await?;
    bench.seconds(&load, 3).await?;
    let end = Instant::now();
    let report = load.stop().await;
    let by_passive = report.first_answer("passive", passive_back);
    let by_active = report.first_answer("active", active_back);
    let row = Row::of(&report, None, Some(active_back));
    let mut after = 0;
    for (from, to) in [(passive_back, passive_dead), (active_back, end)] {
        after += report.between(from + REVIVAL_LIMIT, to).lost();
    }
    bench.record(row.note(format!(
        "lost while both are dead, and {after} later than {} after a return; served {} after passive's, {} after \
         active's",
        time(Some(REVIVAL_LIMIT)),
        time(by_passive),
        time(by_active)
    )));
    for served in [by_passive, by_active] {
        ensure!(
            served.is_some_and(|served| served <= REVIVAL_LIMIT),
            "served after {served:?}"
        );
    }
    ensure!(
        after <= BLIND_LOSSES,
        "{after} lost after a return: {:?}",
        report.losses()
    );
    Ok(())
}

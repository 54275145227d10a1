//! Manifests are edited under load.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use locum_demo::echo::{Echo, Identity};
use locum_demo::manifests::{PASSIVE_CHECK, Ref, backend_ip, policy, route};
use locum_demo::report::Report;

use crate::bench::{Bench, none_lost};
use crate::table::{Row, time};

const EDITS: usize = 50;
/// How long an edit may take to be seen, for the case to go on.
const SEEN_LIMIT: Duration = Duration::from_secs(5);

pub(crate) async fn fifty_edits_lose_nothing(mut bench: Bench) -> anyhow::Result<()> {
    let (one, passive) = bench.page(true).await?;
    let two = bench.echo("active", 4).await?;
    let load = bench.load()?;
    for edit in 1..=EDITS {
        edit_something(&bench, edit, [one.address(), two.address()])?;
        // A fifth of a second's requests, so that each edit is served for a while.
        bench.requests(&load, 40).await?;
    }
    // The last edits are seen: the one that stays is the other backend.
    bench.write_slice("active", &[two.address()])?;
    let silent = one.counts().requests;
    bench.seconds(&load, 2).await?;
    let after = one.counts().requests;
    bench.seconds(&load, 1).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, None, None).note(format!("{EDITS} edits")));
    none_lost(&report)?;
    ensure!(
        report.served_by("active") == report.requests(),
        "{:?}",
        report.by_pod()
    );
    ensure!(
        passive.counts().requests == 0,
        "the standby got {}",
        passive.counts().requests
    );
    ensure!(
        two.counts().requests > 0 && silent > 0,
        "an endpoint was never served"
    );
    ensure!(
        one.counts().requests == after,
        "an endpoint that was taken away is still served"
    );
    Ok(())
}

/// Endpoints, weights, timeouts and policy in turn, each time otherwise than before.
fn edit_something(bench: &Bench, edit: usize, actives: [SocketAddr; 2]) -> anyhow::Result<()> {
    let odd = edit % 8 >= 4;
    match edit % 4 {
        0 => bench.write_slice("active", if odd { &actives } else { &actives[..1] }),
        1 => {
            let references = route(&[Ref::Backend("active"), Ref::Backend("passive")], "");
            let weight = format!("name: active, port: 3000, weight: {}", edit + 1);
            bench.write(
                "3-route.yaml",
                &references.replace("name: active, port: 3000", &weight),
            )
        }
        2 => {
            let timeout = format!("      timeouts: {{request: {}s}}\n", 5 + edit);
            let references = [Ref::Backend("active"), Ref::Backend("passive")];
            bench.write("3-route.yaml", &route(&references, &timeout))
        }
        _ => {
            let check = PASSIVE_CHECK.replace("10s", &format!("{}s", 5 + edit));
            bench.write("4-policy.yaml", &policy(&check))
        }
    }
}

pub(crate) async fn a_new_port_is_served_without_loss(mut bench: Bench) -> anyhow::Result<()> {
    let one = bench.echo("one", 2).await?;
    let other = SocketAddr::new(bench.address(2).into(), one.address().port() + 1);
    let two = Echo::start(other, Identity::pod("two")).await?;
    let passive = bench.echo("passive", 3).await?;
    bench.write_page(true)?;
    let standby = backend_ip("passive", true, &[passive.address()]);
    bench.write("5-standby.yaml", &standby)?;
    bench.write(
        "2-backends.yaml",
        &backend_ip("active", false, &[one.address()]),
    )?;
    bench.run().await?;
    bench.until_served_by("one").await?;
    let load = bench.load()?;
    bench.seconds(&load, 1).await?;
    let mut times = Vec::new();
    for edit in 0..10 {
        let (pod, address) = [("two", two.address()), ("one", one.address())][edit % 2];
        let edited = Instant::now();
        bench.write("2-backends.yaml", &backend_ip("active", false, &[address]))?;
        let seen = |report: &Report| report.first_answer(pod, edited).is_some();
        bench
            .until(&load, SEEN_LIMIT, "the new port served", seen)
            .await?;
        times.extend(load.so_far().first_answer(pod, edited));
    }
    let report = load.stop().await;
    times.sort_unstable();
    let median = times[times.len() / 2];
    let row = Row::of(&report, None, None);
    bench.record(row.note(format!(
        "10 edits of a port, served after {} (median)",
        time(Some(median))
    )));
    none_lost(&report)?;
    ensure!(report.served_by("passive") == 0, "{:?}", report.by_pod());
    ensure!(median < Duration::from_secs(1), "served after {times:?}");
    Ok(())
}

//! Two of three tiers die at the same moment: the third serves, as ever.

use std::time::{Duration, Instant};

use anyhow::ensure;
use locum_demo::echo::Echo;
use locum_demo::manifests::{Ref, failover, policy, route, service};
use locum_demo::report::Report;

use crate::bench::{Bench, none_lost};
use crate::table::Row;

const TIERS: [&str; 3] = ["active", "passive", "last"];
/// How often both die.
const ROUNDS: u32 = 5;
/// Requests a second: many are under way at the moment.
const RATE: u32 = 400;
/// How late after its return `active` may serve again: its next probe, and a busy machine.
const RETURN_LIMIT: Duration = Duration::from_secs(12);
/// So that it is back soon.
const CHECK: &str =
    "  healthCheck:\n    active: {type: HTTP, interval: 500ms, http: {path: /healthz}}\n";

pub(crate) async fn two_of_three_tiers_die_at_once(mut bench: Bench) -> anyhow::Result<()> {
    bench.write_page(false)?;
    bench.remove("1-workloads.yaml")?;
    bench.remove("2-backends.yaml")?;
    let mut servers: Vec<Echo> = Vec::new();
    for (name, host) in TIERS.into_iter().zip(2..) {
        let echo = bench.echo(name, host).await?;
        bench.write(&format!("1-{name}.yaml"), &service(name))?;
        bench.write_slice(name, &[echo.address()])?;
        servers.push(echo);
    }
    let references = TIERS.map(Ref::Service);
    bench.write("3-route.yaml", &route(&references, ""))?;
    bench.write("7-failover.yaml", &failover(&references, ""))?;
    bench.write("4-policy.yaml", &policy(CHECK))?;
    bench.run().await?;
    bench.until_served_by("active").await?;
    let load = bench.load_at(bench.request(), RATE)?;
    for _ in 0..ROUNDS {
        bench.seconds(&load, 1).await?;
        let (first, second) = servers.split_at_mut(1);
        tokio::join!(first[0].kill(), second[0].kill());
        bench.seconds(&load, 2).await?;
        let back = Instant::now();
        first[0].revive().await?;
        second[0].revive().await?;
        let settled = |report: &Report| report.settled("active", back).is_some();
        bench
            .until(&load, RETURN_LIMIT, "back on active", settled)
            .await?;
    }
    let report = load.stop().await;
    let row = Row::of(&report, None, None);
    let by_last = report.served_by("last");
    bench.record(row.note(format!("{ROUNDS} times, {by_last} on the third tier")));
    none_lost(&report)?;
    ensure!(by_last > 0, "{:?}", report.by_pod());
    Ok(())
}

//! Starting: with the page, and with a thousand routes.

use std::time::{Duration, Instant};

use anyhow::ensure;
use locum_demo::ask;
use locum_demo::manifests::backend_ip;
use locum_demo::manifests::numbered_route;

use crate::bench::{Bench, none_lost};
use crate::table::{Row, time};

/// Routes beside the page's.
const ROUTES: usize = 1000;
/// Far above what is measured (`benches/edit.rs`): a busy machine must not fail the test.
const START_LIMIT: Duration = Duration::from_secs(10);
const LARGE_START_LIMIT: Duration = Duration::from_secs(25);
const EDIT_LIMIT: Duration = Duration::from_secs(2);

pub(crate) async fn the_first_answer_comes_soon(mut bench: Bench) -> anyhow::Result<()> {
    let launched = Instant::now();
    let (_active, _passive) = bench.page(true).await?;
    let first = launched.elapsed();
    let load = bench.load()?;
    bench.seconds(&load, 1).await?;
    let report = load.stop().await;
    bench.record(
        Row::of(&report, None, None).note(format!("first answer after {}", time(Some(first)))),
    );
    none_lost(&report)?;
    ensure!(first < START_LIMIT, "first answer after {first:?}");
    Ok(())
}

pub(crate) async fn a_thousand_routes_start_and_change(mut bench: Bench) -> anyhow::Result<()> {
    for number in 0..ROUTES {
        bench.write(
            &format!("route-{number}.yaml"),
            &one_of_many(&bench, number),
        )?;
    }
    let launched = Instant::now();
    let (_active, passive) = bench.page(true).await?;
    let first = launched.elapsed();
    let load = bench.load()?;
    bench.seconds(&load, 1).await?;
    let edited = Instant::now();
    // A route that goes elsewhere: its backend is the standby's address from now on.
    let moved = backend_ip("backend-500", false, &[passive.address()]);
    bench.write("moved.yaml", &moved.replace("backend-500", "moved"))?;
    let route = one_of_many(&bench, 500).replace("name: backend-500, port", "name: moved, port");
    bench.write("route-500.yaml", &route)?;
    let limit = Instant::now() + LARGE_START_LIMIT;
    while ask::get(bench.proxy(), "host-500.example.com", "/")
        .await?
        .pod()
        .as_deref()
        != Some("passive")
    {
        ensure!(Instant::now() < limit, "the edited route is not served");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let change = edited.elapsed();
    bench.seconds(&load, 1).await?;
    let report = load.stop().await;
    let row = Row::of(&report, None, None);
    bench.record(row.note(format!(
        "{ROUTES} routes: first answer after {}, an edit after {}",
        time(Some(first)),
        time(Some(change))
    )));
    none_lost(&report)?;
    ensure!(first < LARGE_START_LIMIT, "first answer after {first:?}");
    ensure!(change < EDIT_LIMIT, "an edit was served after {change:?}");
    Ok(())
}

/// A Backend and a route to it with a host of its own.
fn one_of_many(bench: &Bench, number: usize) -> String {
    let backend = backend_ip(
        &format!("backend-{number}"),
        false,
        &[bench.backend_address(2)],
    );
    backend + &numbered_route(number)
}

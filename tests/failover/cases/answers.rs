//! `active` is there, and answers badly.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use locum_demo::echo::Behaviour;
use locum_demo::manifests::{PASSIVE_CHECK, policy};
use locum_demo::report::{Record, Report};

use crate::bench::{Bench, none_lost};
use crate::table::Row;

/// Requests that may be under way when the first bad answer comes: a few milliseconds' worth, and
/// those that a busy machine delays.
const IN_FLIGHT: usize = 5;
/// Losses further apart than this come from two returns.
const APART: Duration = Duration::from_secs(1);

fn unavailable() -> Behaviour {
    Behaviour {
        status: Some(503),
        ..Behaviour::default()
    }
}

/// `active` answers 503 to everything for 15 s: the report, and when it returned.
async fn fifteen_seconds_of_503(bench: &mut Bench) -> anyhow::Result<Report> {
    let (active, _passive) = bench.pair().await?;
    let load = bench.load()?;
    bench.seconds(&load, 3).await?;
    let failure = Instant::now();
    active.behave(unavailable());
    bench.seconds(&load, 15).await?;
    let back = Instant::now();
    active.behave(Behaviour::default());
    let settled = |report: &Report| report.settled("active", back).is_some();
    let returned = bench
        .until(&load, Duration::from_secs(15), "back on active", settled)
        .await;
    bench.seconds(&load, 2).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, Some(failure), Some(back)));
    returned?;
    Ok(report)
}

pub(crate) async fn active_answers_503(mut bench: Bench) -> anyhow::Result<()> {
    bench.write_page(true)?;
    let report = fifteen_seconds_of_503(&mut bench).await?;
    let lost = report.records().iter().filter(|record| !record.is_served());
    let lost: Vec<_> = lost.map(Record::answered).collect();
    let returns: Vec<_> = lost
        .chunk_by(|one, next| *next < *one + APART)
        .map(<[_]>::len)
        .collect();
    // Ejected for 10 s at a time, it is tried once or twice more while it is broken.
    ensure!(
        returns.len() <= 3,
        "lost at {} times: {lost:?}",
        returns.len()
    );
    ensure!(
        returns.iter().all(|count| *count <= IN_FLIGHT),
        "lost at a time: {returns:?}"
    );
    Ok(())
}

/// It takes every request and closes the connection in place of an answer, so a POST is not tried
/// again.
pub(crate) async fn active_breaks_off_and_is_taken_out(mut bench: Bench) -> anyhow::Result<()> {
    bench.write_page(false)?;
    let (active, _passive) = bench.pair().await?;
    let load = bench.load_of(bench.post())?;
    bench.seconds(&load, 2).await?;
    let failure = Instant::now();
    active.behave(Behaviour {
        drop: true,
        ..Behaviour::default()
    });
    bench.seconds(&load, 8).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, Some(failure), None));
    let lost = report.lost();
    // Three in a row take it out, for longer than this lasts.
    ensure!(
        lost > 0 && lost <= 3 + IN_FLIGHT,
        "{lost} lost: {:?}",
        report.losses()
    );
    Ok(())
}

pub(crate) async fn active_answers_503_which_is_retried(mut bench: Bench) -> anyhow::Result<()> {
    bench.write_page(false)?;
    let retry = "  retry:\n    retryOn:\n      triggers: [connect-failure, retriable-status-codes]\n      \
                 httpStatusCodes: [503]\n";
    bench.write("4-policy.yaml", &policy(&format!("{PASSIVE_CHECK}{retry}")))?;
    let report = fifteen_seconds_of_503(&mut bench).await?;
    none_lost(&report)
}

pub(crate) async fn one_bad_url_touches_no_other(mut bench: Bench) -> anyhow::Result<()> {
    bench.write_page(false)?;
    let report = one_bad_url(&mut bench).await?;
    ensure!(report.served_by("passive") == 0, "{:?}", report.by_pod());
    Ok(())
}

pub(crate) async fn one_bad_url_under_the_pages_policy_loses_no_other(
    mut bench: Bench,
) -> anyhow::Result<()> {
    bench.write_page(true)?;
    one_bad_url(&mut bench).await?;
    Ok(())
}

/// One URL in a hundred is answered 503 by both; no other may be lost.
async fn one_bad_url(bench: &mut Bench) -> anyhow::Result<Report> {
    let (active, passive) = bench.pair().await?;
    let paths = BTreeMap::from([("/test/0".to_owned(), 503)]);
    for backend in [&active, &passive] {
        backend.behave(Behaviour {
            paths: paths.clone(),
            ..Behaviour::default()
        });
    }
    let mut request = bench.request();
    request.paths = (0..100).map(|number| format!("/test/{number}")).collect();
    let load = bench.load_of(request)?;
    bench.seconds(&load, 20).await?;
    let report = load.stop().await;
    let (bad, others): (Vec<_>, Vec<_>) = report
        .records()
        .iter()
        .partition(|record| record.number % 100 == 0);
    let row = Row::of(&report, None, None);
    bench.record(row.note(format!("{} for the bad URL", bad.len())));
    let lost: Vec<_> = others.iter().filter(|record| !record.is_served()).collect();
    ensure!(
        lost.is_empty(),
        "{} others lost, the first {:?}",
        lost.len(),
        lost[0]
    );
    let served = bad.iter().filter(|record| record.is_served()).count();
    ensure!(
        served == 0,
        "{served} requests for the bad URL were served: the case shows nothing"
    );
    Ok(report)
}

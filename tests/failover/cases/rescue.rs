//! What a FailoverPolicy makes of requests that one tier cannot answer: they go on, with their
//! bodies, and at the end there is a last resort.

use std::time::Instant;

use anyhow::ensure;
use hyper::body::Bytes;
use locum_demo::ask;
use locum_demo::echo::Behaviour;
use locum_demo::load::Request;
use locum_demo::manifests::{HOST, PATH};

use crate::bench::{Bench, none_lost};
use crate::manifests::failover;
use crate::table::Row;

/// The largest body that is kept without any setting.
const BODY: usize = 1 << 20;
/// Uploads a second.
const UPLOADS: u32 = 20;
const FILE: &str = "7-failover.yaml";

pub(crate) async fn a_body_of_a_mebibyte_is_rescued(mut bench: Bench) -> anyhow::Result<()> {
    let (mut active, _passive) = bench.page(false).await?;
    let upload = Request {
        method: http::Method::PUT,
        body: Bytes::from(vec![b'x'; BODY]),
        ..bench.request()
    };
    let load = bench.load_at(upload, UPLOADS)?;
    bench.requests(&load, 2 * UPLOADS).await?;
    let failure = Instant::now();
    active.kill().await;
    bench.requests(&load, 4 * UPLOADS).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, Some(failure), None).note("PUT of 1 MiB"));
    none_lost(&report)?;
    ensure!(
        report.first_answer("passive", failure).is_some(),
        "{:?}",
        report.by_pod()
    );
    Ok(())
}

pub(crate) async fn answers_of_429_go_on_to_the_next_tier(mut bench: Bench) -> anyhow::Result<()> {
    let retry = "  retry: {nextTier: Immediately, codes: [429]}\n";
    bench.write(FILE, &failover(["active", "passive"], retry))?;
    let (active, _passive) = bench.page(true).await?;
    let load = bench.load()?;
    bench.seconds(&load, 1).await?;
    let failure = Instant::now();
    active.behave(Behaviour {
        status: Some(429),
        ..Behaviour::default()
    });
    bench.seconds(&load, 3).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, Some(failure), None).note("active answers 429"));
    none_lost(&report)?;
    // Once each, and never by itself: 429 ejects nobody.
    let asked = active.counts().requests;
    ensure!(
        asked >= u64::try_from(report.requests())?,
        "active was asked {asked} times for {} requests",
        report.requests()
    );
    let post = bench.load_at(bench.post(), UPLOADS)?;
    bench.requests(&post, UPLOADS).await?;
    let report = post.stop().await;
    ensure!(
        report.lost() == report.requests(),
        "what may not be repeated was: {:?}",
        report.by_pod()
    );
    Ok(())
}

pub(crate) async fn a_last_resort_is_answered_when_all_are_gone(
    mut bench: Bench,
) -> anyhow::Result<()> {
    let page = "<h1>100 % \u{e4}</h1>\n%REQ(:path)%";
    let last = format!(
        "  lastResort: {{status: 200, contentType: text/html, body: {}}}\n",
        serde_json::to_string(page)?
    );
    bench.write(FILE, &failover(["active", "passive"], &last))?;
    let (mut active, mut passive) = bench.page(true).await?;
    active.behave(Behaviour {
        status: Some(503),
        ..Behaviour::default()
    });
    let answer = ask::get(bench.proxy(), HOST, PATH).await?;
    ensure!(
        answer.status == 503 && answer.text() != page,
        "a backend's own answer was taken away: {answer:?}"
    );
    active.kill().await;
    passive.kill().await;
    bench
        .until_answer(|answer| answer.status == 200 && answer.text() == page)
        .await?;
    // Without endpoints too, which Envoy does not try.
    bench.write_slice("active", &[])?;
    bench.write_slice("passive", &[])?;
    let file = failover(["active", "passive"], &last.replace("100 %", "0 %"));
    bench.write(FILE, &file)?;
    let page = page.replace("100 %", "0 %");
    bench
        .until_answer(|answer| answer.status == 200 && answer.text() == page)
        .await
}

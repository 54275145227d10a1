//! The failover page in compose: `active` stopped and started under load.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use locum_demo::ask;
use locum_demo::load::{Bound, Load, Pace, Request};
use locum_demo::manifests::{HOST, PATH, PORT};
use locum_demo::report::Report;

use crate::docker::Docker;
use crate::{images, say};

/// Where compose publishes the page's Gateway.
const PROXY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), PORT);
/// Requests a second, and the kept connections that carry them.
const RATE: u32 = 200;
const CONNECTIONS: usize = 16;
/// The longest that the load runs.
const LOAD_LIMIT: Duration = Duration::from_secs(120);
/// How long until everything is up and `active` answers.
const UP_LIMIT: Duration = Duration::from_secs(30);
/// How long `active` is away, in seconds: enough for blind returns to a place where nobody is.
const AWAY: u32 = 25;
/// How late after its return `active` may serve again: the page's ejection time and a second.
const RETURN_LIMIT: Duration = Duration::from_secs(11);
/// How long each part of the load is looked at, in seconds.
const STEADY: u32 = 5;
/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(50);
/// The requests of the page's loop.
const LOOP: usize = 10;

pub(super) fn loses_nothing(docker: &Docker) -> anyhow::Result<()> {
    images::locum(docker)?;
    images::envoy(docker)?;
    images::echo(docker)?;
    docker.compose(&["up", "--no-build", "--detach"])?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let done = runtime.block_on(away_and_back(docker));
    let done = done.map_err(|error| {
        let logs = docker.compose(&["logs", "--no-color"]).unwrap_or_default();
        error.context(format!("the containers say:\n{logs}"))
    });
    docker.compose(&["down", "--timeout", "5"])?;
    done
}

async fn away_and_back(docker: &Docker) -> anyhow::Result<()> {
    until_served_by("active").await?;
    loop_served_by("active").await?;
    let pace = Pace::Open {
        rate: RATE,
        connections: CONNECTIONS,
    };
    let bound = Bound {
        requests: u64::MAX,
        time: LOAD_LIMIT,
    };
    let load = Load::start(Request::get(PROXY, HOST, PATH), pace, bound)?;
    seconds(&load, STEADY).await?;
    let failure = Instant::now();
    on_a_thread(|| docker.compose(&["stop", "active"]))?;
    loop_served_by("passive").await?;
    seconds(&load, AWAY).await?;
    on_a_thread(|| docker.compose(&["start", "active"]))?;
    let back = Instant::now();
    until_settled(&load, "active", back).await?;
    seconds(&load, STEADY).await?;
    loop_served_by("active").await?;
    let report = load.stop().await;
    let settled = report.settled("active", back);
    let again = settled.map_or("not".into(), |after| format!("after {after:.1?}"));
    say(&format!(
        "the page in compose: {}; active again {again}",
        in_words(&report)
    ));
    ensure!(report.lost() == 0, "{}", in_words(&report));
    let before = report.answered_by(failure);
    ensure!(
        before.served_by("passive") == 0,
        "before the failure: {}",
        in_words(&before)
    );
    ensure!(
        settled.is_some_and(|settled| settled <= RETURN_LIMIT),
        "active again after {settled:?}"
    );
    Ok(())
}

/// Lets so many seconds' worth of requests go by.
async fn seconds(load: &Load, seconds: u32) -> anyhow::Result<()> {
    let requests = usize::try_from(seconds * RATE)?;
    let expected = Duration::from_secs(seconds.into());
    Ok(load.more(requests, expected).await?)
}

/// Runs what waits for another process where nothing else waits for it.
fn on_a_thread<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

async fn until_served_by(pod: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + UP_LIMIT;
    loop {
        let answer = ask::get(PROXY, HOST, PATH).await;
        let by = answer.as_ref().ok().and_then(ask::Answer::pod);
        if by.as_deref() == Some(pod) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("not served by {pod} in {UP_LIMIT:?}: {answer:?}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The page's loop: ten requests, one after another.
async fn loop_served_by(pod: &str) -> anyhow::Result<()> {
    for number in 1..=LOOP {
        let answer = ask::get(PROXY, HOST, PATH).await?;
        let by = answer
            .pod()
            .with_context(|| format!("request {number}: {answer:?}"))?;
        ensure!(by == pod, "request {number} by {by}, not {pod}");
    }
    Ok(())
}

async fn until_settled(load: &Load, pod: &str, since: Instant) -> anyhow::Result<()> {
    let deadline = since + RETURN_LIMIT;
    loop {
        let report = load.so_far();
        if report.settled(pod, since).is_some() {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "not by {pod} in {RETURN_LIMIT:?}: {}",
            in_words(&report)
        );
        tokio::time::sleep(PAUSE).await;
    }
}

fn in_words(report: &Report) -> String {
    let by_pod = report.by_pod();
    let by_pod: Vec<String> = by_pod
        .iter()
        .map(|(pod, count)| format!("{count} by {pod}"))
        .collect();
    let mut words = format!(
        "{} requests, {} lost, {}",
        report.requests(),
        report.lost(),
        by_pod.join(", ")
    );
    if report.lost() > 0 {
        words += &format!(": {:?}", report.losses());
    }
    words
}

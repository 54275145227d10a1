//! The failover page, walked through on this machine: what the demo does, in the order in which it
//! does it.
//!
//! In: where the programs are. Out: a [`Verdict`], with lines on standard output on the way.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::ask;
use crate::load::{Bound, Load, Pace, Request};
use crate::manifests::{HOST, PATH};
use crate::report::Report;
use crate::stage::{Place, Stage};
use crate::view::View;

/// Requests a second of the steady load.
const RATE: u32 = 200;
/// Kept connections that carry it, so that every thread of Envoy has some.
const CONNECTIONS: usize = 16;
/// How many requests the page sends at a time.
const BY_HAND: usize = 10;
/// How long the load runs before the break, and after the return.
const CALM: Duration = Duration::from_secs(3);
/// How long `active` stays broken.
const BROKEN_FOR: Duration = Duration::from_secs(15);
/// How long the return to `active` may take: the page's ejection time, 10 s, and one second.
const RETURN_LIMIT: Duration = Duration::from_secs(11);
/// The longest that the load may run.
const LOAD_LIMIT: Duration = Duration::from_secs(55);
/// Between two looks at the load.
const TICK: Duration = Duration::from_millis(200);

/// What was seen, and whether it is what the page promises.
#[derive(Debug)]
pub struct Verdict {
    /// Name and value.
    pub table: Vec<(&'static str, String)>,
    pub promises: Vec<(&'static str, bool)>,
    /// How to play with what was left running, if it was.
    pub left: Option<String>,
}

impl Verdict {
    /// Whether every promise was kept.
    pub fn is_good(&self) -> bool {
        self.promises.iter().all(|(_, kept)| *kept)
    }
}

/// What the walk saw, for judging.
struct Sights {
    before: Vec<String>,
    after: Vec<String>,
    report: Report,
    broken: Instant,
    mended: Instant,
}

/// Walks through the page, and leaves everything running if the place says to keep it.
///
/// # Errors
///
/// When something cannot be started or standard output is closed; a promise that is not kept is no
/// error.
pub async fn walk(place: Place, view: &mut View) -> anyhow::Result<Verdict> {
    let keep = place.keep;
    let mut stage = Stage::set(place).await?;
    view.say(&stage.description())?;
    let sights = sights(&mut stage, view).await?;
    let mut verdict = judge(&sights);
    verdict.left = keep.then(|| stage.keep());
    Ok(verdict)
}

async fn sights(stage: &mut Stage, view: &mut View) -> anyhow::Result<Sights> {
    let before = by_hand(stage.proxy()).await;
    view.say(&format!(
        "ten requests before the break: {}",
        before.join(" ")
    ))?;
    view.say(&format!("{RATE} requests a second from now on"))?;
    let pace = Pace::Open {
        rate: RATE,
        connections: CONNECTIONS,
    };
    let bound = Bound {
        requests: u64::MAX,
        time: LOAD_LIMIT,
    };
    let load = Load::start(Request::get(stage.proxy(), HOST, PATH), pace, bound)?;
    watch(&load, view, CALM, |_| false).await?;

    let broken = Instant::now();
    stage.break_active()?;
    view.say("active is broken: its server is on another port (5-active-broken.yaml)")?;
    let after = by_hand(stage.proxy()).await;
    view.say(&format!(
        "ten requests after the break: {}",
        after.join(" ")
    ))?;
    watch(
        &load,
        view,
        BROKEN_FOR.saturating_sub(broken.elapsed()),
        |_| false,
    )
    .await?;

    stage.mend_active()?;
    let mended = Instant::now();
    view.say("active is mended: its server is back")?;
    let is_back = |report: &Report| report.first_answer("active", mended).is_some();
    watch(&load, view, RETURN_LIMIT, is_back).await?;
    watch(&load, view, CALM, |_| false).await?;
    let report = load.stop().await;
    Ok(Sights {
        before,
        after,
        report,
        broken,
        mended,
    })
}

/// Shows the load until a condition holds, or for so long.
async fn watch(
    load: &Load,
    view: &mut View,
    limit: Duration,
    enough: impl Fn(&Report) -> bool,
) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        let report = load.so_far();
        let now = Instant::now();
        view.show(&report, now)?;
        if now >= deadline || enough(&report) {
            return Ok(());
        }
        tokio::time::sleep(TICK.min(deadline - now)).await;
    }
}

/// The page's loop of ten requests: who answered each, or what came in place of an answer.
async fn by_hand(proxy: SocketAddr) -> Vec<String> {
    let mut pods = Vec::new();
    for _ in 0..BY_HAND {
        pods.push(match ask::get(proxy, HOST, PATH).await {
            Ok(answer) => answer.pod().unwrap_or_else(|| answer.status.to_string()),
            Err(error) => error.to_string(),
        });
    }
    pods
}

fn judge(sights: &Sights) -> Verdict {
    let report = &sights.report;
    let all = |pods: &[String], pod: &str| pods.len() == BY_HAND && pods.iter().all(|by| by == pod);
    let calm = report.answered_by(sights.broken);
    let first_passive = report.first_answer("passive", sights.broken);
    let back = report.settled("active", sights.mended);
    let mut table = vec![
        ("requests", report.requests().to_string()),
        ("lost", report.lost().to_string()),
    ];
    let by_pod = |pod| report.served_by(pod).to_string();
    table.push(("served by active", by_pod("active")));
    table.push(("served by passive", by_pod("passive")));
    table.push((
        "first answer by passive, after the break",
        time(first_passive),
    ));
    table.push(("all by active again, after its return", time(back)));
    table.push(("latency p50", time(Some(report.latency(0.5)))));
    table.push(("latency p99", time(Some(report.latency(0.99)))));
    table.extend(
        report
            .losses()
            .into_iter()
            .map(|(what, times)| ("lost to", format!("{times} x {what}"))),
    );
    let promises = vec![
        (
            "before the break, ten requests are answered by active",
            all(&sights.before, "active"),
        ),
        (
            "before the break, passive gets no request",
            calm.served_by("passive") == 0,
        ),
        (
            "after the break, ten requests are answered by passive",
            all(&sights.after, "passive"),
        ),
        (
            "active serves again within 11 s of its return",
            back.is_some_and(|back| back <= RETURN_LIMIT),
        ),
        (
            "no request is lost",
            report.lost() == 0 && report.requests() > 0,
        ),
    ];
    Verdict {
        table,
        promises,
        left: None,
    }
}

fn time(time: Option<Duration>) -> String {
    match time {
        None => "never".to_owned(),
        Some(time) if time < Duration::from_secs(1) => {
            format!("{:.1} ms", time.as_secs_f64() * 1e3)
        }
        Some(time) => format!("{:.2} s", time.as_secs_f64()),
    }
}

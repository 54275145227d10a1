//! One case, from start to return.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use locum_demo::bench::{Bench, none_lost};
use locum_demo::dns::Dns;
use locum_demo::load::Load;
use locum_demo::manifests::{PAGE, Ref, failover, policy, route};
use locum_demo::report::{Record, Report};

use crate::cover::Combination;
use crate::judge::Moments;
use crate::rows::Row;
use crate::stall::Stall;
use crate::tier::{NAMES, Tier};

/// Requests a second.
const RATE: u32 = 100;
/// How many in a row one tier has to answer for what went before to be over.
const STEADY: usize = 30;
/// How many go by in each quiet time: all on one tier.
const QUIET: usize = 150;
/// How late a fault may be noticed. The slowest way is a name that may be kept for a second, and the
/// refresh of a name at most once a second.
const SWITCH_LIMIT: Duration = Duration::from_secs(10);
/// How late after its return tier 0 may serve again.
const RETURN_LIMIT: Duration = Duration::from_secs(20);

/// The policy of all chains, as a user writes it who has all of these faults in mind: an attempt has
/// a time limit, so that what hangs is left; 503 is tried again; endpoints are asked and watched.
const POLICY: &str = "
  timeout: {tcp: {connectTimeout: 1s}}
  retry:
    retryOn: {httpStatusCodes: [503]}
    perRetry: {timeout: 1s}
  healthCheck:
    active:
      type: HTTP
      interval: 1s
      timeout: 1s
      http: {path: /healthz}
    passive:
      baseEjectionTime: 10s
      consecutiveGatewayErrors: 3
      maxEjectionPercent: 100
";

/// A case that runs.
struct Run<'a> {
    case: Combination,
    bench: Bench,
    dns: &'a Dns,
    tiers: Vec<Tier>,
}

/// What came of a case.
pub(crate) struct Done {
    pub(crate) row: Row,
    /// What is wrong, if anything is.
    pub(crate) verdict: anyhow::Result<()>,
}

/// Runs a case: what it counted, and what is wrong.
///
/// An error is one of what the case works with: nothing was counted.
pub(crate) async fn run(
    case: Combination,
    bench: Bench,
    number: usize,
    dns: &Dns,
) -> anyhow::Result<Done> {
    let mut tiers = Vec::new();
    for (index, kind) in case.kinds.into_iter().enumerate() {
        // Nothing happens to the last.
        let fault = Some(case.fault).filter(|_| index + 1 < case.kinds.len());
        tiers.push(Tier::start(&bench, dns, number, index, kind, fault).await?);
    }
    let references: Vec<Ref<'_>> = tiers.iter().map(Tier::reference).collect();
    bench.write(PAGE[0].0, PAGE[0].1)?;
    bench.write("3-route.yaml", &route(&references, ""))?;
    bench.write("4-policy.yaml", &policy(POLICY))?;
    bench.write("5-failover.yaml", &failover(&references, ""))?;
    let mut run = Run {
        case,
        bench,
        dns,
        tiers,
    };
    let early = run.start().await?;
    let stall = Stall::watch();
    let load = run.bench.load_at(run.bench.request(), RATE)?;
    let moments = run.faults(&load).await;
    let report = load.stop().await;
    Ok(run.judge(early, moments, &report, stall.longest()))
}

impl Run<'_> {
    /// Waits until tier 0 serves, and says how many answers others gave before.
    async fn start(&mut self) -> anyhow::Result<usize> {
        let mut early = 0;
        self.bench.run().await?;
        let by_first = self.bench.until_answer(|answer| {
            let pod = answer.pod();
            let is_first = pod.as_deref() == Some(NAMES[0]);
            early += usize::from(pod.is_some() && !is_first);
            is_first
        });
        by_first.await?;
        Ok(early)
    }

    /// The faults come and go.
    async fn faults(&mut self, load: &Load) -> anyhow::Result<Moments> {
        let fault = self.case.fault;
        quiet(load).await?;
        let first = Instant::now();
        self.tiers[0].fail(&self.bench, self.dns, fault).await?;
        let on_second = self.steady(load, 1, SWITCH_LIMIT).await?;
        quiet(load).await?;
        let second = Instant::now();
        self.tiers[1].fail(&self.bench, self.dns, fault).await?;
        let on_third = self.steady(load, 2, SWITCH_LIMIT).await?;
        quiet(load).await?;
        let mended = Instant::now();
        for tier in &mut self.tiers[..2] {
            tier.mend(&self.bench, self.dns, fault).await?;
        }
        let on_first = self.steady(load, 0, RETURN_LIMIT).await?;
        quiet(load).await?;
        Ok(Moments {
            first,
            on_second,
            second,
            on_third,
            mended,
            on_first,
        })
    }

    /// Waits until the last requests are all answered by this tier.
    async fn steady(&self, load: &Load, tier: usize, limit: Duration) -> anyhow::Result<Instant> {
        let since = Instant::now();
        let by_tier = |record: &Record| record.pod().is_some_and(|pod| **pod == *NAMES[tier]);
        let reached = |report: &Report| {
            let last = report.records().iter().rev().take(STEADY);
            let after = last.filter(|record| record.scheduled >= report.offset(since));
            after.filter(|record| by_tier(record)).count() == STEADY
        };
        let what = format!("all by {}", NAMES[tier]);
        self.bench.until(load, limit, &what, reached).await?;
        Ok(Instant::now())
    }

    fn judge(
        &self,
        early: usize,
        moments: anyhow::Result<Moments>,
        report: &Report,
        stall: Duration,
    ) -> Done {
        let moments = match moments {
            Ok(moments) => moments,
            Err(error) => {
                return Done {
                    row: Row::unfinished(self.case, report, stall),
                    verdict: Err(error),
                };
            }
        };
        let misplaced = moments.misplaced(report);
        let row = Row {
            case: self.case,
            requests: report.requests(),
            lost: report.lost(),
            misplaced: misplaced.len() + early,
            to_second: report.first_answer(NAMES[1], moments.first),
            to_third: report.first_answer(NAMES[2], moments.second),
            back: report.settled(NAMES[0], moments.mended),
            worst: report.worst(),
            stall,
            note: report.losses_in_words(),
        };
        let verdict = verdict(early, &misplaced, &moments, report);
        Done { row, verdict }
    }
}

/// What is wrong with the answers, if anything is.
fn verdict(
    early: usize,
    misplaced: &[&Record],
    moments: &Moments,
    report: &Report,
) -> anyhow::Result<()> {
    none_lost(report)?;
    ensure!(early == 0, "{early} answers by lower tiers at the start");
    ensure!(
        misplaced.is_empty(),
        "{} answers by a tier whose turn it was not: {}",
        misplaced.len(),
        said(misplaced, moments, report)
    );
    Ok(())
}

/// Lets some requests go by.
async fn quiet(load: &Load) -> anyhow::Result<()> {
    let expected = Duration::from_secs(1) * u32::try_from(QUIET)? / RATE;
    Ok(load.more(QUIET, expected).await?)
}

/// By whom and when these were answered, with what happened when.
fn said(misplaced: &[&Record], moments: &Moments, report: &Report) -> String {
    let mut by_tier = BTreeMap::<&str, Vec<Duration>>::new();
    for record in misplaced {
        let pod = record.pod().map_or("nobody", |pod| &**pod);
        by_tier.entry(pod).or_default().push(record.answered());
    }
    let at = |moment: Instant| report.offset(moment);
    format!(
        "{by_tier:.2?}; faults at {:.2?} and {:.2?}, noticed at {:.2?} and {:.2?}, mended at {:.2?}, back at {:.2?}",
        at(moments.first),
        at(moments.second),
        at(moments.on_second),
        at(moments.on_third),
        at(moments.mended),
        at(moments.on_first)
    )
}

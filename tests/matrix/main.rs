//! Chains of three tiers against faults, end to end: whatever the tiers are and whatever happens to
//! them, requests go to the first tier that can serve, none is lost, and tier 0 gets all when it is
//! back.
//!
//! A case is a kind for each tier (Service, Backend with an address, with a name that DNS knows, the
//! same in TLS, with the name of a Service inside the cluster), which a FailoverPolicy orders, and a
//! fault. It starts with all on tier 0; the fault hits that, and all must go to tier 1; it hits that
//! too, and all must go to tier 2; both are mended, and all must go back to tier 0. The load is an
//! open loop of 100 requests a second. `cover` says which kinds and faults there are and what they
//! mean together, `judge` which tier may answer when, and `run` has the one policy of all chains:
//! what a user writes who has all of these faults in mind. No request may be lost.
//!
//! Every pair of kinds and of a kind with a fault is in some case of the set that runs. A case runs
//! alone by its name, whether it is in that set or not: `cargo test --test matrix -- hang_ip_fqdn_ip`.
//! A case that fails while the machine stands still, longer than its time limits allow for, is tried
//! again, and says so.
//! `LOCUM_MATRIX=all` runs all combinations, a number so many more of them than the set has.
//!
//! The program puts itself into namespaces of its own at once, where it is the resolver and where
//! packets can vanish; it is also the backends that have to be processes (`echo`).

mod cover;
mod judge;
mod rows;
mod run;
mod stall;
mod tier;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;
use libtest_mimic::{Arguments, Failed, Trial};
use locum_demo::bench::Bench;
use locum_demo::dns::Dns;
use locum_demo::table::say;
use locum_demo::{echo, namespace};

use cover::Combination;

/// How many cases run at a time: each has an Envoy, a Locum and 100 requests a second.
const PARALLEL: usize = 4;
/// How long answers of the resolver may be kept: as short as Envoy heeds.
const SECONDS_TO_LIVE: u32 = 1;
/// Half of what the policy gives an attempt or a probe. Where nothing ran for longer, time limits passed
/// although all was well, and what is wrong says nothing.
const STALL_LIMIT: Duration = Duration::from_millis(500);
/// How often a case is tried of which that is true; the last one counts.
const TRIES: usize = 3;
/// Has no factor in common with the number of combinations, so that steps of it come by all.
const STEP: usize = 7919;

fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        Some("echo") => backend().map(|()| ExitCode::SUCCESS),
        Some("inside") => inside(),
        _ => outside(),
    };
    done.unwrap_or_else(|error| {
        say(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn backend() -> anyhow::Result<()> {
    let options = echo::Options::parse_from(std::env::args().skip(1));
    runtime()?.block_on(options.run())
}

/// Runs this program again, in namespaces.
fn outside() -> anyhow::Result<ExitCode> {
    // Checked out here, where whoever asks for help is answered.
    let _ = Arguments::from_args();
    let mut command = namespace::unshare(&std::env::current_exe()?);
    command.arg("inside").args(std::env::args().skip(1));
    let status = command.status();
    let status = status.context("unshare (apt-get install util-linux)")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Runs the cases, or those that the command line chooses, and shows the table.
fn inside() -> anyhow::Result<ExitCode> {
    namespace::enter()?;
    let mut arguments = Arguments::from_iter(std::env::args().skip(1));
    arguments.test_threads.get_or_insert(PARALLEL);
    let runtime = runtime()?;
    let dns = Arc::new(runtime.block_on(Dns::start(SECONDS_TO_LIVE))?);
    let mut trials = vec![Trial::test("every_pair_is_in_the_set", || {
        every_pair().map_err(|error| Failed::from(format!("{error:#}")))
    })];
    for (number, case) in chosen(arguments.filter.as_deref())?.into_iter().enumerate() {
        let dns = dns.clone();
        trials.push(Trial::test(case.to_string(), move || {
            one(case, number, &dns).map_err(|error| Failed::from(format!("{error:#}")))
        }));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    rows::show()?;
    Ok(conclusion.exit_code())
}

fn one(case: Combination, number: usize, dns: &Dns) -> anyhow::Result<()> {
    let locum = Path::new(env!("CARGO_BIN_EXE_locum"));
    for left in (0..TRIES).rev() {
        let bench = Bench::new(locum, number)?;
        let done = runtime()?.block_on(run::run(case, bench, number, dns))?;
        let stall = done.row.stall;
        let still = format!("the machine stood still for up to {stall:.1?}");
        // What was lost in a try stands in the table, whatever came of the next one.
        rows::record(done.row);
        if let (Err(error), true) = (&done.verdict, stall > STALL_LIMIT && left > 0) {
            say(&format!("{case} again: {still}; {error:#}"));
            continue;
        }
        return done.verdict.context(still);
    }
    unreachable!("the last try is judged")
}

/// The cases: the covering set, what `LOCUM_MATRIX` adds, and the one that is named.
fn chosen(name: Option<&str>) -> anyhow::Result<Vec<Combination>> {
    let all = cover::all();
    let mut chosen = cover::covering();
    let wanted = std::env::var("LOCUM_MATRIX").unwrap_or_default();
    let more = match wanted.as_str() {
        "" => 0,
        "all" => all.len(),
        number => number
            .parse()
            .context("LOCUM_MATRIX is `all` or a number")?,
    };
    let steps = (0..all.len()).map(|step| all[step * STEP % all.len()]);
    let others = steps.filter(|one| !chosen.contains(one)).take(more);
    let mut others: Vec<_> = others.collect();
    chosen.append(&mut others);
    let named = all.iter().find(|one| Some(&*one.to_string()) == name);
    chosen.extend(named.filter(|one| !chosen.contains(one)).copied());
    Ok(chosen)
}

/// What is said of the covering set.
fn every_pair() -> anyhow::Result<()> {
    let (all, set) = (cover::all(), cover::covering());
    let pairs = |of: &[Combination]| -> BTreeSet<cover::Pair> {
        of.iter().flat_map(|one| one.pairs()).collect()
    };
    let (wanted, there) = (pairs(&all), pairs(&set));
    let missing: Vec<_> = wanted.difference(&there).collect();
    ensure!(missing.is_empty(), "no case has {missing:?}");
    // Each kind meets each in any two tiers, and each fault in tier 2; in tiers 0 and 1 each fault
    // that can hit it.
    let kinds = cover::KINDS.len();
    let hits = cover::FAULTS.iter().map(|fault| {
        let kinds = cover::KINDS.iter();
        kinds.filter(|kind| fault.can_hit(**kind)).count()
    });
    let expected = 3 * kinds * kinds + 2 * hits.sum::<usize>() + cover::FAULTS.len() * kinds;
    ensure!(
        wanted.len() == expected,
        "{} pairs, not {expected}",
        wanted.len()
    );
    ensure!(set.iter().all(|one| all.contains(one)), "{set:?}");
    let names: BTreeSet<_> = all.iter().map(ToString::to_string).collect();
    ensure!(names.len() == all.len(), "two cases have the same name");
    say(&format!(
        "{} of {} combinations have all {expected} pairs",
        set.len(),
        all.len()
    ));
    Ok(())
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).enable_all().build()?)
}

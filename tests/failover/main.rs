//! Failover, end to end: a real Envoy under a real `locum run`, real backends, real faults, an
//! open-loop load, and every lost request counted.
//!
//! Each case is a function of `cases`; `bench` is what it works with. The cases run a few at a
//! time, those that need a network or a resolver of their own in a namespace (`namespace`), and
//! what each counted goes into one table, to standard output and to `failover.md` in the target
//! folder. `LOCUM_FAILOVER_ROUNDS=3` runs each three times.
//!
//! The program is also the processes that its cases need: `echo` is a backend, `inside` a case in
//! its namespace.

mod bench;
mod cases;
mod manifests;
mod namespace;
mod table;
mod tls;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use libtest_mimic::{Arguments, Failed, Trial};
use locum_demo::{echo, namespace as namespaces};

use bench::Bench;
use cases::Case;

/// How many cases run at a time: each has an Envoy, a Locum and 200 requests a second to share two
/// cores with.
const PARALLEL: usize = 3;

fn main() -> ExitCode {
    let role = std::env::args().nth(1);
    let done = match role.as_deref() {
        Some("echo") => runtime().and_then(|runtime| {
            let options = echo::Options::parse_from(std::env::args().skip(1));
            runtime.block_on(options.run())
        }),
        Some("inside") => inside(),
        _ => return everything(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            table::say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs all cases, or those that the command line chooses, and shows the table.
fn everything() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(PARALLEL);
    let rounds = std::env::var("LOCUM_FAILOVER_ROUNDS").ok();
    let rounds = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let mut trials = Vec::new();
    for round in 1..=rounds {
        for case in cases::all() {
            let name = match rounds {
                1 => case.name.to_owned(),
                _ => format!("{} ({round})", case.name),
            };
            let number = trials.len();
            trials.push(Trial::test(name.clone(), move || {
                run(&case, &name, number).map_err(|error| Failed::from(format!("{error:#}")))
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Err(error) = table::show() {
        table::say(&format!("the table cannot be written: {error:#}"));
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn run(case: &Case, name: &str, number: usize) -> anyhow::Result<()> {
    if case.inside {
        return namespace::run(case.name, name);
    }
    runtime()?.block_on((case.run)(Bench::new(name, number)?))
}

/// Runs one case in the namespace that this process was put into.
fn inside() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(2);
    let wanted = arguments.next().context("which case?")?;
    let name = arguments.next().context("under which name?")?;
    let case = cases::all().into_iter().find(|case| case.name == wanted);
    let case = case.context("there is no such case")?;
    namespaces::enter()?;
    table::forward();
    runtime()?.block_on((case.run)(Bench::new(&name, 0)?))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(2).enable_all().build()?)
}

//! Random edits, end to end: a real `locum serve` from files, a real Envoy in each variant of xDS,
//! an open loop of requests that always have a live backend, and every answer judged.
//!
//! Listeners, routes, matches, hosts, Backends, endpoints, standbys, weights, policies and
//! FailoverPolicies (tiers, pins, drains, mode, last resort) are edited all the time, Locum is killed and started again in between. Nothing may be refused by an
//! Envoy, and no request may be lost or answered by a backend that is not right for it (`history`
//! says what is right). At the end each Envoy has what Locum tells it, nothing else, nothing
//! warming.
//!
//! Each Gateway has an Envoy of its own, one in delta, one in the state of the world; all routes
//! are for both, so each edit reaches both variants at once, each under a load of its own.
//!
//! These variables say how much of it there is; `make soak` sets them for 10,000 edits:
//!
//! | variable | default | |
//! |---|---:|---|
//! | `LOCUM_EDITS` | 300 | edits |
//! | `LOCUM_EDITS_KILLS` | 2 | how often Locum is killed |
//! | `LOCUM_EDITS_PER_SECOND` | 20 | edits a second, while edits are made |
//! | `LOCUM_EDITS_REQUESTS` | 500 | requests a second to each Envoy |
//! | `LOCUM_EDITS_SEED` | 5 | decides all edits and kills, but for the microsecond |
//! | `LOCUM_EDITS_KEEP` | 0 | 1 leaves manifests and logs where they are |
//! | `LOCUM_EDITS_TRACE` | 0 | 1 has the Envoys log all that they are told |

mod bench;
mod edit;
mod history;
mod loads;
mod manifests;
mod order;
mod random;
mod run;
mod tally;
mod world;

use std::io::Write as _;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, ensure};
use libtest_mimic::{Arguments, Failed, Trial};

/// How much there is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) edits: usize,
    pub(crate) kills: usize,
    pub(crate) edits_per_second: u32,
    pub(crate) requests_per_second: u32,
    pub(crate) seed: u64,
    pub(crate) keep: bool,
    pub(crate) trace: bool,
}

impl Settings {
    fn of_environment() -> anyhow::Result<Self> {
        let settings = Self {
            edits: variable("LOCUM_EDITS", 300)?,
            kills: variable("LOCUM_EDITS_KILLS", 2)?,
            edits_per_second: variable("LOCUM_EDITS_PER_SECOND", 20)?,
            requests_per_second: variable("LOCUM_EDITS_REQUESTS", 500)?,
            seed: variable("LOCUM_EDITS_SEED", 5)?,
            keep: variable::<u8>("LOCUM_EDITS_KEEP", 0)? != 0,
            trace: variable::<u8>("LOCUM_EDITS_TRACE", 0)? != 0,
        };
        let is_some = settings.edits_per_second > 0 && settings.requests_per_second > 0;
        ensure!(
            is_some,
            "LOCUM_EDITS_PER_SECOND and LOCUM_EDITS_REQUESTS are at least 1"
        );
        Ok(settings)
    }
}

fn variable<T: FromStr>(name: &str, default: T) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().with_context(|| format!("{name}={text}")),
        _ => Ok(default),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trial = Trial::test("random_edits_lose_and_misplace_no_request", || {
        edits().map_err(|error| Failed::from(format!("{error:#}")))
    });
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn edits() -> anyhow::Result<()> {
    let settings = Settings::of_environment()?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build()?;
    runtime.block_on(run::run(settings))
}

/// Writes a line to standard output.
pub(crate) fn say(line: &str) {
    // Nobody is left to tell when it is closed.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

//! `locum simulate` against a real Envoy: random chains, emitted as Locum emits them and served to one
//! Envoy over xDS, and for each the share of its requests that each member got beside the share that the
//! simulation says.
//!
//! The chains have 1 to 4 tiers of members with weights, endpoints that are well, degraded, unready or
//! draining, every balancer, one cluster of addresses or of names, or an aggregate, the hard switch or a
//! spill, and three panic thresholds. No endpoint ever fails: what Envoy believes of each is what it is
//! told.
//!
//! Chance alone makes measured shares differ: with 2,000 requests the standard error of a share of one half
//! is 1.1 points. So each chain is asked so often that the tolerance, two points, is four standard errors of
//! the share that varies most: 10,000 times for one half, and never less than 2,000 times. Over the shares of
//! 200 chains chance still passes four standard errors once in some twenty runs. So a chain that is off by
//! more is asked three times as often again, and all its answers count: then two points are eight.
//!
//! | variable | default | |
//! |---|---:|---|
//! | `LOCUM_SIMULATE_CHAINS` | 200 | chains |
//! | `LOCUM_SIMULATE_SEED` | by the clock | decides all chains |

mod backends;
mod chains;
mod client;
mod envoy;
// The same choices from a seed on every machine.
#[path = "../edits/random.rs"]
mod random;
mod served;

use std::io::Write as _;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use locum::simulate::{self, Spread};

use backends::Backends;
use chains::Scene;
use client::Tally;
use random::Random;

/// How far a share may be from the simulation's, in points.
const TOLERANCE: f64 = 2.0;
/// How many standard errors that is.
const STANDARD_ERRORS: f64 = 4.0;
/// How much more a chain is asked that is further off than that.
const AGAIN: u32 = 3;
/// The fewest requests that a chain is asked with.
const MIN_REQUESTS: u32 = 2_000;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trial = Trial::test("shares_are_those_of_a_real_envoy", || {
        compare().map_err(|error| Failed::from(format!("{error:#}")))
    });
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn compare() -> anyhow::Result<()> {
    let chains = variable("LOCUM_SIMULATE_CHAINS", 200)?;
    let clock = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos();
    let seed = variable("LOCUM_SIMULATE_SEED", u64::from(clock))?;
    say(&format!("LOCUM_SIMULATE_SEED={seed}"));
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build()?;
    runtime
        .block_on(compare_all(chains, seed))
        .with_context(|| format!("with LOCUM_SIMULATE_SEED={seed}"))
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

async fn compare_all(count: usize, seed: u64) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut random = Random::new(seed);
    let backends = Backends::start().await?;
    let scenes: Vec<Scene> = (0..count)
        .map(|_| chains::random(&mut random, backends.addresses()))
        .collect();
    let envoy = envoy::Envoy::serving(&scenes).await?;
    let mut requests = 0_u64;
    let mut worst = Worst::default();
    let mut wrong = Vec::new();
    for (number, scene) in scenes.iter().enumerate() {
        let expected = simulate::spread(&scene.situation);
        let needed = needed(&expected);
        let mut tally = client::ask(envoy.listener, number, 0..needed, &backends).await?;
        let mut found = difference(scene, &expected, &tally, &backends);
        if found.0 > TOLERANCE {
            let again = needed..needed * (1 + AGAIN);
            tally += client::ask(envoy.listener, number, again, &backends).await?;
            found = difference(scene, &expected, &tally, &backends);
        }
        requests += u64::from(tally.requests());
        let (difference, what) = found;
        if difference > TOLERANCE {
            wrong.push(format!("chain {number}: {what}\n{scene}"));
        }
        worst.see(difference, || format!("chain {number}, {what}"));
    }
    say(&format!(
        "{count} chains, {requests} requests in {} s: largest difference of a share {:.2} points ({})",
        start.elapsed().as_secs(),
        worst.difference,
        worst.what
    ));
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The largest difference so far.
#[derive(Default)]
struct Worst {
    difference: f64,
    what: String,
}

impl Worst {
    fn see(&mut self, difference: f64, what: impl FnOnce() -> String) {
        if difference > self.difference {
            self.difference = difference;
            self.what = what();
        }
    }
}

/// So many requests that the tolerance is so many standard errors of every share.
fn needed(expected: &Spread) -> u32 {
    let variance = |percent: f64| percent / 100.0 * (1.0 - percent / 100.0);
    let members = expected.tiers.iter().flat_map(|tier| &tier.members);
    let shares = members.map(simulate::MemberSpread::share);
    let tiers = expected.tiers.iter().map(simulate::TierSpread::share);
    let shares = shares.chain(tiers).chain([expected.unserved]);
    let largest = shares.map(variance).fold(0.0, f64::max);
    let needed = largest * (STANDARD_ERRORS * 100.0 / TOLERANCE).powi(2);
    // It is at most 0.25 * 200 * 200.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let needed = needed.ceil() as u32;
    needed.max(MIN_REQUESTS)
}

/// The largest difference of a member's, a tier's or nobody's share, in points, and whose it is.
fn difference(
    scene: &Scene,
    expected: &Spread,
    tally: &Tally,
    backends: &Backends,
) -> (f64, String) {
    let mut worst = Worst::default();
    let mut see = |what: String, expected: f64, measured: f64| {
        worst.see((measured - expected).abs(), || {
            format!("{what}: {measured:.2} % instead of {expected:.2} %")
        });
    };
    see("nobody".into(), expected.unserved, tally.unserved());
    let measured = scene.measured(tally, backends);
    for ((tier, expected), measured) in scene
        .situation
        .tiers
        .iter()
        .zip(&expected.tiers)
        .zip(&measured)
    {
        let number = tier.number;
        see(
            format!("tier {number}"),
            expected.share(),
            measured.iter().sum(),
        );
        let members = tier.members.iter().zip(&expected.members).zip(measured);
        for ((member, expected), measured) in members {
            see(
                format!("{} of tier {number}", member.name),
                expected.share(),
                *measured,
            );
        }
    }
    (worst.difference, worst.what)
}

/// Writes a line to standard output.
fn say(line: &str) {
    // Nobody is left to tell when it is closed.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

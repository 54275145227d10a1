//! Locum in a real Kubernetes: its API server and controllers, Pods with networks of their own, a
//! stock Envoy, an open-loop load, and every lost request counted.
//!
//! Each case is a function of `cases`; `bench` is what it works with. The cluster is the project's
//! own (`make cluster`; see `tests/cluster`), whose network this program enters before anything
//! else, or with `LOCUM_TEST_CLUSTER=1` the one that KUBECONFIG names.
//!
//! It is no part of `cargo test`, which needs no cluster: `make test-cluster` runs it.

mod bench;
mod cases;
mod cluster;
mod diagnosis;
mod dns;
mod envoy;
#[path = "../deploy/granted.rs"]
mod granted;
mod install;
mod kubectl;
mod metrics;
mod stage;

use std::io::Write as _;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use bench::Bench;
use cases::{Case, Needs};
use cluster::Cluster;

/// One at a time: the node shares the machine's cores with everything, and what is said about
/// seconds and lost requests must not depend on which cases meet.
const PARALLEL: usize = 1;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(PARALLEL);
    let cluster = match Cluster::find() {
        Ok(cluster) => cluster,
        // What there is can be listed without a cluster.
        Err(_) if arguments.list => Cluster::yours(Vec::new()),
        Err(error) => {
            say(&format!("error: {error:#}"));
            return ExitCode::FAILURE;
        }
    };
    let trials = cases::all().into_iter().map(|case| {
        let cluster = cluster.clone();
        let left_out = case.needs == Needs::OwnCluster && cluster.own().is_err();
        let run = move || run(&case, cluster).map_err(|error| Failed::from(format!("{error:#}")));
        Trial::test(case.name, run).with_ignored_flag(left_out)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Runs a case; when it fails, the error holds what the cluster has to say too.
fn run(case: &Case, cluster: Cluster) -> anyhow::Result<()> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let bench = Bench::new(cluster, case.name).await?;
        let mut done = (case.run)(&bench).await;
        if let Err(error) = done {
            let cluster = diagnosis::of(&[bench.namespace(), install::NAMESPACE, "default"]).await;
            done = Err(error.context(format!("{}\n{cluster}", case.name)));
        }
        // So that it can be looked at.
        let is_kept = std::env::var("LOCUM_TEST_KEEP").is_ok_and(|value| value == "1");
        if !is_kept {
            bench.clear().await?;
        }
        done
    })
}

/// Writes a line to standard output.
fn say(line: &str) {
    // Nobody is left to tell when it is closed.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

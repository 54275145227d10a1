//! Locum in containers: the image that the Dockerfile makes, and the failover page in compose.
//!
//! The Docker here is one of its own: its daemon runs in namespaces of this program (network,
//! mounts, processes) and nothing of it reaches the machine's network or outlives the program. Each
//! case is a function of `cases`; `docker` is what it works with; `images` makes those images that
//! would be pulled, of what was built here.
//!
//! It is no part of `cargo test`: `make test-compose` runs it.

mod cases;
mod docker;
mod images;

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context, ensure};
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};

use docker::Docker;

/// Says, in its environment, that this process is in its namespaces.
const INSIDE: &str = "LOCUM_COMPOSE_INSIDE";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // What is said about lost requests must not depend on which cases meet.
    arguments.test_threads.get_or_insert(1);
    let done = if arguments.list {
        Ok(libtest_mimic::run(&arguments, trials(None)))
    } else if std::env::var_os(INSIDE).is_none() {
        Err(enter())
    } else {
        everything(&arguments)
    };
    match done {
        Ok(conclusion) => conclusion.exit_code(),
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Becomes this program again in namespaces of its own, whose processes all end with it; returns
/// only what went wrong.
fn enter() -> anyhow::Error {
    if !rustix::process::geteuid().is_root() {
        return anyhow::anyhow!("a Docker daemon needs root");
    }
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.into(),
    };
    let error = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    anyhow::Error::new(error).context("unshare (apt-get install util-linux)")
}

/// Runs the cases on one daemon.
fn everything(arguments: &Arguments) -> anyhow::Result<Conclusion> {
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    ensure!(
        up.context("ip (apt-get install iproute2)")?.success(),
        "no loopback"
    );
    let docker = Arc::new(Docker::start()?);
    let conclusion = libtest_mimic::run(arguments, trials(Some(docker.clone())));
    docker.end()?;
    Ok(conclusion)
}

fn trials(docker: Option<Arc<Docker>>) -> Vec<Trial> {
    let trial = |case: &cases::Case| {
        let (docker, run) = (docker.clone(), case.run);
        Trial::test(case.name, move || {
            let docker = docker.context("cases run on a daemon");
            docker
                .and_then(|docker| run(&docker))
                .map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    cases::ALL.iter().map(trial).collect()
}

/// Writes a line to standard output.
fn say(line: &str) {
    // Nobody is left to tell when it is closed.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

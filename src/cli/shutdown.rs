//! `locum shutdown`: the end of an Envoy without a lost request, as its Pod's preStop hook.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use anyhow::Context as _;
use clap::Args;

use super::options::{EnvoyAdmin, Misuse, duration};
use crate::proxy::{self, Activity, Bounds, Step};

/// Bring an Envoy to where it can be ended without a lost request
///
/// The Envoy says that it is not ready, so that nobody sends it more, and closes each connection
/// with its next answer; when no connection is left, or the time is over, the command ends. Then the
/// Envoy may be ended: its Pod's preStop hook is the place for this.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum shutdown                          as preStop hook: then no request is lost when the Pod ends
  locum shutdown --min-wait 10s --max-wait 50s
                                          behind a load balancer that is slow to hear of it; the Pod's
                                          terminationGracePeriodSeconds has to be longer, such as 60
  locum shutdown --install /run/envoy     in an init container: put this program where the Envoy's
                                          container finds it")]
pub(super) struct Options {
    #[command(flatten)]
    admin: EnvoyAdmin,
    /// Wait at least so long: load balancers and other proxies need it to hear of it
    #[arg(
        long,
        env = "LOCUM_MIN_WAIT",
        value_name = "TIME",
        default_value = "5s",
        value_parser = duration
    )]
    min_wait: Duration,
    /// Wait at most so long; less than the Pod's terminationGracePeriodSeconds, which is 30 unless
    /// it says otherwise
    #[arg(
        long,
        env = "LOCUM_MAX_WAIT",
        value_name = "TIME",
        default_value = "25s",
        value_parser = duration
    )]
    max_wait: Duration,
    /// Only copy this program there, a folder or a file name
    #[arg(
        long,
        env = "LOCUM_INSTALL",
        value_name = "PATH",
        conflicts_with_all = ["min_wait", "max_wait"]
    )]
    install: Option<PathBuf>,
}

impl Options {
    /// Waits for the end, or installs.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(path) = &self.install {
            install(path).with_context(|| format!("{} cannot be written", path.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.min_wait > self.max_wait {
            let message = "--min-wait is longer than --max-wait";
            return Err(Misuse::new(message.into()).into());
        }
        let bounds = Bounds {
            min: self.min_wait,
            max: self.max_wait,
        };
        let start = Instant::now();
        let say = |step| {
            // Nobody may be there to read it, and that must not end the wait.
            let _ = writeln!(
                io::stdout(),
                "{:5.1} s  {}",
                start.elapsed().as_secs_f32(),
                in_words(step, bounds)
            );
        };
        let left = proxy::shutdown(&self.admin.envoy_admin_address.0, bounds, say).await?;
        if left.requests > 0 {
            tracing::warn!(
                requests = left.requests,
                "requests are still under way at the end of --max-wait"
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn in_words(step: Step, bounds: Bounds) -> String {
    match step {
        Step::Unready(activity) => format!(
            "not ready any more, waiting {} s for everybody to hear of it: {}",
            bounds.min.as_secs_f32(),
            under_way(activity)
        ),
        Step::Waiting(activity) => format!("waiting for the last: {}", under_way(activity)),
        Step::Closed => "no new connections are taken; the Envoy can be ended".into(),
    }
}

fn under_way(activity: Activity) -> String {
    let Activity {
        connections,
        requests,
    } = activity;
    format!("{connections} connections, {requests} requests under way")
}

/// Copies this program; a copy that runs already is not touched, but replaced.
fn install(path: &Path) -> io::Result<()> {
    const EXECUTABLE: u32 = 0o755;
    let path = if path.is_dir() {
        path.join("locum")
    } else {
        path.to_owned()
    };
    let unfinished = path.with_extension("new");
    fs::copy(env::current_exe()?, &unfinished)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(EXECUTABLE))?;
    fs::rename(&unfinished, &path)
}

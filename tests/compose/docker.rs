//! A Docker daemon of this program's own, and its clients.
//!
//! Everything it writes is in one folder, which goes at the end; what an earlier run left when it
//! was killed goes at the start.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use locum_demo::process::Process;

/// How long the daemon may take to answer, and to end.
const START_LIMIT: Duration = Duration::from_secs(60);
const END_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(100);
/// The parent of the containers' cgroups, and compose's name for the project.
const NAME: &str = "locum-compose-test";
/// The client that comes with Debian's daemon and can do what it can. Another one in PATH may be
/// newer and need a plug-in to build.
const DEBIANS_CLIENT: &str = "/usr/bin/docker";

/// A daemon that runs.
#[derive(Debug)]
pub(crate) struct Docker {
    folder: PathBuf,
    daemon: Mutex<Process>,
}

impl Docker {
    /// Starts the daemon and waits until it answers.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compose");
        if folder.exists() {
            fs::remove_dir_all(&folder).context("what an earlier run left")?;
        }
        fs::create_dir_all(&folder)?;
        let log = File::create(folder.join("log"))?;
        let mut command = Command::new("dockerd");
        command
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("run"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket(&folder).display()))
            .args(["--cgroup-parent", NAME])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let daemon = Process::start(&mut command).context("apt-get install docker.io")?;
        let daemon = Mutex::new(daemon);
        let docker = Self { folder, daemon };
        docker.await_answer()?;
        Ok(docker)
    }

    fn await_answer(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while self.docker(&["version"]).is_err() {
            let ended = self.daemon().status();
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("dockerd does not answer ({ended:?}):\n{log}");
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn daemon(&self) -> std::sync::MutexGuard<'_, Process> {
        // A process is whole whatever its last user did.
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the daemon and takes away what it wrote.
    pub(crate) fn end(&self) -> anyhow::Result<()> {
        let ended = self.daemon().end(END_LIMIT);
        ensure!(ended.is_some(), "dockerd did not end in {END_LIMIT:?}");
        for hierarchy in fs::read_dir("/sys/fs/cgroup")? {
            // Where there is one hierarchy, its controllers' files are here too.
            let _ = fs::remove_dir(hierarchy?.path().join(NAME));
        }
        let _ = fs::remove_dir(Path::new("/sys/fs/cgroup").join(NAME));
        fs::remove_dir_all(&self.folder).context("the daemon's folder")
    }

    /// A folder for a case's own files.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Runs `docker` and gives what it prints.
    pub(crate) fn docker(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let debians = Path::new(DEBIANS_CLIENT).exists();
        let client = if debians { DEBIANS_CLIENT } else { "docker" };
        self.client(client, arguments)
    }

    /// Runs compose on the project's file and gives what it prints.
    pub(crate) fn compose(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let file = repository().join("deploy/compose/compose.yaml");
        let file = file.to_str().context("the project's path is text")?;
        let all = [&["-p", NAME, "-f", file], arguments].concat();
        self.client("docker-compose", &all)
            .context("apt-get install docker-compose")
    }

    fn client(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(program)
            .args(arguments)
            .env(
                "DOCKER_HOST",
                format!("unix://{}", socket(&self.folder).display()),
            )
            .env("DOCKER_BUILDKIT", "1")
            // Not the user's, with credentials and other daemons.
            .env("DOCKER_CONFIG", self.folder.join("client"))
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {program}"))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {arguments:?}: {errors}");
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("socket")
}

/// Where the project is.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

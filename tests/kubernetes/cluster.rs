//! Which cluster the cases run on, and what can be done to the project's own beyond what its API
//! offers: its components stopped and started, its audit log read.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, bail, ensure};
use locum_demo::load::TestNetwork;
use rustix::process::{Pid, Signal, kill_process};

/// The networks of the project's own cluster: Pods, Services, LoadBalancer addresses. They are
/// those of tests/cluster/settings.sh.
const OWN_NETWORKS: [&str; 3] = ["10.244.0.0/24", "10.96.0.0/16", "10.201.0.0/24"];
/// How long a killed component may take to be gone.
const END_LIMIT: Duration = Duration::from_secs(10);

/// The cluster that the cases run on.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    own: Option<Own>,
    networks: Vec<TestNetwork>,
}

/// The project's own cluster.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    state: PathBuf,
}

/// A component of the project's own cluster, such as `kube-apiserver`. It runs again when this
/// value goes, whatever a case did to it.
#[derive(Debug)]
pub(crate) struct Component {
    name: &'static str,
    pid_file: PathBuf,
}

impl Cluster {
    /// The cluster that the environment names. For the project's own this program is executed anew
    /// inside its network, unless it is there.
    pub(crate) fn find() -> anyhow::Result<Self> {
        if env::var("LOCUM_TEST_CLUSTER").is_ok_and(|value| value == "1") {
            ensure!(
                env::var_os("KUBECONFIG").is_some(),
                "LOCUM_TEST_CLUSTER=1 runs the tests on the cluster that KUBECONFIG names: set it"
            );
            let networks = env::var("LOCUM_TEST_NETWORKS").unwrap_or_default();
            let networks = networks.split(',').filter(|network| !network.is_empty());
            let networks = networks.map(str::parse).collect::<Result<_, _>>();
            return Ok(Self::yours(networks.context("LOCUM_TEST_NETWORKS")?));
        }
        let name = env::var("LOCUM_CLUSTER").unwrap_or_else(|_| "locum-cluster".to_owned());
        let state = Path::new("/var/lib").join(&name);
        ensure!(
            state.join("up").exists(),
            "no cluster runs: `make cluster` starts one (LOCUM_TEST_CLUSTER=1 with KUBECONFIG uses yours)"
        );
        let network = Path::new("/run/netns").join(&name);
        let here = fs::metadata("/proc/self/ns/net")?;
        let there = fs::metadata(&network).with_context(|| network.display().to_string())?;
        if (here.dev(), here.ino()) != (there.dev(), there.ino()) {
            return Err(enter(&network, &state));
        }
        let networks = OWN_NETWORKS.map(|network| network.parse().expect("they are private"));
        Ok(Self {
            own: Some(Own { state }),
            networks: networks.to_vec(),
        })
    }

    /// A cluster of the user's, where a load may go to these networks.
    pub(crate) fn yours(networks: Vec<TestNetwork>) -> Self {
        Self {
            own: None,
            networks,
        }
    }

    /// The project's own, where the cases run on that.
    pub(crate) fn own(&self) -> anyhow::Result<&Own> {
        self.own
            .as_ref()
            .context("the cluster is not the project's own")
    }

    /// Where a load may go.
    pub(crate) fn networks(&self) -> &[TestNetwork] {
        &self.networks
    }
}

/// Executes this program inside the cluster's network. Returns only when that fails.
fn enter(network: &Path, state: &Path) -> anyhow::Error {
    let program = match env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.into(),
    };
    let path = env::var("PATH").unwrap_or_default();
    let error = Command::new("nsenter")
        .arg(format!("--net={}", network.display()))
        .arg("--")
        .arg(program)
        .args(env::args_os().skip(1))
        .env("KUBECONFIG", state.join("admin.conf"))
        .env(
            "PATH",
            format!("{}:{path}", state.join("programs/bin").display()),
        )
        .exec();
    anyhow::Error::new(error).context("nsenter (apt-get install util-linux)")
}

impl Own {
    /// A component by its name.
    pub(crate) fn component(&self, name: &'static str) -> anyhow::Result<Component> {
        let pid_file = self.state.join("pid").join(name);
        let component = Component { name, pid_file };
        component.id()?;
        Ok(component)
    }

    /// What Locum asked of the API server since the cluster was started: a JSON object a line.
    pub(crate) fn audit_log(&self) -> anyhow::Result<String> {
        let path = self.state.join("log/audit.jsonl");
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// Kills every process of the Pod with this uid, as `kill -9` does.
    pub(crate) fn kill_processes(&self, uid: &str) -> anyhow::Result<()> {
        let cluster = self.state.file_name().context("the state has a name")?;
        let cgroups = Path::new("/sys/fs/cgroup");
        // Of v1's hierarchies any will do.
        let v1 = cgroups.join("pids").join(cluster);
        let cgroup = if v1.exists() {
            v1
        } else {
            cgroups.join(cluster)
        };
        let mut killed = false;
        for id in processes(&cgroup, &format!("pod{uid}"), false)? {
            killed |= kill_process(id, Signal::KILL).is_ok();
        }
        ensure!(killed, "the Pod {uid} has no process");
        Ok(())
    }
}

impl Component {
    /// It stands still, its connections open, until it is thawed.
    pub(crate) fn freeze(&self) -> anyhow::Result<()> {
        kill_process(self.id()?, Signal::STOP).with_context(|| self.name)
    }

    /// It goes on.
    pub(crate) fn thaw(&self) -> anyhow::Result<()> {
        kill_process(self.id()?, Signal::CONT).with_context(|| self.name)
    }

    /// It is gone when this returns, as after `kill -9`.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        let id = self.id()?;
        kill_process(id, Signal::KILL).with_context(|| self.name)?;
        let deadline = Instant::now() + END_LIMIT;
        while runs(id) {
            if Instant::now() > deadline {
                bail!("{} does not end", self.name);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// It is started again, as the cluster started it first. It is not ready yet when this returns.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        self.start_with(&[])
    }

    /// The same with further arguments.
    pub(crate) fn start_with(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/component.sh");
        let output = Command::new(script)
            .arg(self.name)
            .args(arguments)
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {errors}", self.name);
        Ok(())
    }

    fn id(&self) -> anyhow::Result<Pid> {
        let text = fs::read_to_string(&self.pid_file)
            .with_context(|| self.pid_file.display().to_string())?;
        let id = text.trim().parse().ok().and_then(Pid::from_raw);
        id.with_context(|| format!("no process id in {}", self.pid_file.display()))
    }
}

/// The processes of the cgroups below this one that are or are in one of this name.
fn processes(cgroup: &Path, name: &str, inside: bool) -> anyhow::Result<Vec<Pid>> {
    let mut ids = Vec::new();
    if inside {
        let text = fs::read_to_string(cgroup.join("cgroup.procs"))?;
        let numbers = text.lines().filter_map(|line| line.parse().ok());
        ids.extend(numbers.filter_map(Pid::from_raw));
    }
    for entry in fs::read_dir(cgroup)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let inside = inside || entry.file_name() == *name;
            ids.extend(processes(&entry.path(), name, inside)?);
        }
    }
    Ok(ids)
}

/// Whether there is such a process and it has not ended; one that nobody has buried has. Its first
/// thread may be dead while others still hold its sockets.
fn runs(id: Pid) -> bool {
    let process = PathBuf::from(format!("/proc/{}", id.as_raw_nonzero()));
    let status = fs::read_to_string(process.join("status"));
    let threads = fs::read_dir(process.join("task")).map_or(0, Iterator::count);
    status.is_ok_and(|status| threads > 1 || !status.contains("State:\tZ"))
}

impl Drop for Component {
    fn drop(&mut self) {
        // Thawing what is not frozen changes nothing, nor does starting what runs.
        let _ = self.thaw();
        let _ = self.start();
    }
}

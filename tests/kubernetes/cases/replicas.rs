//! Replicas as processes beside the cluster: one writes, whichever of them an Envoy is connected to,
//! and another one follows when it dies.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use locum_demo::process;
use serde_json::Value;

use crate::bench::{Bench, condition};
use crate::kubectl::Outside;
use crate::{install, say};

/// The Lease, and a second for a machine that has other things to do.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(11);
/// How long what needs no lease to run out may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Where the statuses are that the replicas of this test write, and nobody else.
const CONTROLLER: &str = "test.locum.dev/replicas";
const CLASS: &str = "test-replicas";

/// A process of the test's; it is killed when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = std::fs::File::create(log)?;
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.stderr(log).spawn()?))
    }
}

/// A replica and where Envoys find it.
struct Replica {
    process: Process,
    name: &'static str,
    port: u16,
}

/// Two replicas, what they have in common, and what they serve.
struct Stage<'a> {
    bench: &'a Bench,
    folder: tempfile::TempDir,
    address: IpAddr,
    _class: Outside,
}

impl<'a> Stage<'a> {
    async fn set(bench: &'a Bench) -> anyhow::Result<Self> {
        install::definitions().await?;
        let stage = Self {
            bench,
            folder: tempfile::tempdir()?,
            address: own_address()?,
            _class: Outside {
                kind: "gatewayclass",
                name: CLASS.into(),
            },
        };
        let manifests = format!(
            "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: {CLASS}}}
spec: {{controllerName: {CONTROLLER}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: eg}}
spec:
  gatewayClassName: {CLASS}
  listeners: [{{name: http, protocol: HTTP, port: 80}}]
---
apiVersion: v1
kind: Service
metadata:
  name: envoy-eg
  labels: {{gateway.networking.k8s.io/gateway-name: eg}}
spec:
  ports: [{{name: http, port: 80, targetPort: 10080}}]
---
apiVersion: v1
kind: Service
metadata: {{name: locum}}
spec:
  ports: [{{name: xds, port: 18000}}]
"
        );
        bench.apply(&manifests).await?;
        Ok(stage)
    }

    /// A replica, and the EndpointSlice that leads to it.
    async fn replica(&self, name: &'static str) -> anyhow::Result<Replica> {
        let port = TcpListener::bind((self.address, 0))?.local_addr()?.port();
        let address = self.address;
        let slice = format!(
            "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: locum-{name}
  labels: {{kubernetes.io/service-name: locum}}
addressType: IPv4
ports: [{{name: xds, port: {port}}}]
endpoints:
  - addresses: [{address}]
    conditions: {{ready: true}}
    targetRef: {{kind: Pod, name: {name}}}
"
        );
        self.bench.apply(&slice).await?;
        let mut locum = self.locum();
        locum.args(["serve", "--controller-name", CONTROLLER]);
        locum.args(["--namespaces", self.bench.namespace()]);
        locum.args(["--pod-name", name]);
        locum.args(["--pod-namespace", self.bench.namespace()]);
        locum.args(["--xds-address", &format!("{address}:{port}")]);
        locum.args(["--admin-address", "127.0.0.1:0"]);
        locum.args(["--health-address", "127.0.0.1:0"]);
        let process = Process::start(&mut locum, &self.log(name))?;
        Ok(Replica {
            process,
            name,
            port,
        })
    }

    /// An Envoy that is connected to this replica and no other.
    fn envoy(&self, replica: &Replica) -> anyhow::Result<Process> {
        let folder = self.folder.path();
        let gateway = format!("{}/eg", self.bench.namespace());
        let mut certs = self.locum();
        certs.args(["certs", "--gateway", &gateway]);
        certs.args(["--system-namespace", self.bench.namespace()]);
        certs.arg("--directory").arg(folder.join("certificates"));
        done(&mut certs)?;
        let mut bootstrap = self.locum();
        let (address, port) = (self.address, replica.port);
        bootstrap.args(["bootstrap", "--gateway", &gateway]);
        bootstrap.args(["--xds-address", &format!("{address}:{port}")]);
        bootstrap.arg("--tls").arg(folder.join("certificates"));
        let server = format!("locum.{}.svc", self.bench.namespace());
        bootstrap.args(["--tls-server-name", &server]);
        bootstrap.args(["--envoy-admin-address", "127.0.0.1:0"]);
        bootstrap.arg("--directory").arg(folder.join("envoy"));
        done(&mut bootstrap)?;
        let mut envoy = Command::new(process::envoy()?);
        envoy.arg("-c").arg(folder.join("envoy/envoy.yaml"));
        envoy.args(["--use-dynamic-base-id", "--concurrency", "1"]);
        Process::start(&mut envoy, &self.log("envoy"))
    }

    fn locum(&self) -> Command {
        Command::new(env!("CARGO_BIN_EXE_locum"))
    }

    fn log(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// Waits until this replica holds the Lease; how long that took.
    async fn leads(&self, replica: &Replica, limit: Duration) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let what = format!("{} leads", replica.name);
        let waited = self.bench.until_within(limit, &what, async || {
            Ok(self.bench.leader().await?.as_deref() == Some(replica.name))
        });
        self.with_logs(waited.await)?;
        Ok(begun.elapsed())
    }

    /// Waits until the newest generation of the Gateway is programmed, or is not.
    async fn programmed(&self, status: &str) -> anyhow::Result<()> {
        let path = self
            .bench
            .path("apis/gateway.networking.k8s.io/v1", "gateways/eg");
        let what = format!("Programmed is {status}");
        let waited = self.bench.until_within(LIMIT, &what, async || {
            let gateway = self.bench.read(&path).await?.context("no Gateway")?;
            let programmed = condition(&gateway["status"]["conditions"], "Programmed");
            let programmed = programmed.context("no condition Programmed")?;
            let generation: &Value = &gateway["metadata"]["generation"];
            ensure!(&programmed["observedGeneration"] == generation);
            ensure!(programmed["status"] == status, "{programmed}");
            Ok(true)
        });
        self.with_logs(waited.await)
    }

    /// Adds to an error what the processes have logged.
    fn with_logs(&self, done: anyhow::Result<()>) -> anyhow::Result<()> {
        let log = |name| {
            let text = std::fs::read_to_string(self.log(name)).unwrap_or_default();
            format!("--- {name}\n{text}")
        };
        done.with_context(|| ["first", "second", "envoy"].map(log).concat())
    }
}

/// Runs a command to its end.
fn done(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

/// An address of this machine that an EndpointSlice may hold: none of loopback's.
fn own_address() -> anyhow::Result<IpAddr> {
    // Nothing is sent: the kernel only says by which address it would go.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect("192.0.2.1:9")?;
    Ok(socket.local_addr()?.ip())
}

pub(crate) async fn the_leader_writes_what_another_replicas_envoy_acknowledged(
    bench: &Bench,
) -> anyhow::Result<()> {
    let stage = Stage::set(bench).await?;
    let first = stage.replica("first").await?;
    stage.leads(&first, LIMIT).await?;
    let second = stage.replica("second").await?;
    stage.programmed("False").await?;
    let _envoy = stage.envoy(&second)?;
    stage.programmed("True").await?;
    bench.add_listener().await?;
    stage.programmed("True").await?;
    ensure!(bench.leader().await?.as_deref() == Some("first"));
    Ok(())
}

pub(crate) async fn a_leader_that_is_killed_is_followed_within_its_lease(
    bench: &Bench,
) -> anyhow::Result<()> {
    let stage = Stage::set(bench).await?;
    let mut first = stage.replica("first").await?;
    stage.leads(&first, LIMIT).await?;
    let second = stage.replica("second").await?;
    let _envoy = stage.envoy(&second)?;
    stage.programmed("True").await?;
    first.process.0.kill()?;
    let took = stage.leads(&second, FOLLOWS_WITHIN).await?;
    say(&format!("followed after {:.1} s", took.as_secs_f32()));
    bench.add_listener().await?;
    stage.programmed("True").await
}

/// One that is told to end waits for nothing: the other one leads at once.
pub(crate) async fn a_leader_that_ends_hands_on(bench: &Bench) -> anyhow::Result<()> {
    let stage = Stage::set(bench).await?;
    let mut first = stage.replica("first").await?;
    stage.leads(&first, LIMIT).await?;
    let second = stage.replica("second").await?;
    let _envoy = stage.envoy(&second)?;
    stage.programmed("True").await?;
    let id = first.process.0.id().to_string();
    done(Command::new("kill").arg(&id))?;
    let took = stage.leads(&second, FOLLOWS_WITHIN / 3).await?;
    say(&format!("handed on after {:.1} s", took.as_secs_f32()));
    let ended = first.process.0.wait()?;
    ensure!(ended.success(), "{ended}");
    bench.add_listener().await?;
    stage.programmed("True").await
}

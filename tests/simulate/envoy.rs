//! The one Envoy, served by Locum's xDS server.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use locum::admin_client::{self, Limits};
use locum::bootstrap::{AdminAddress, Bootstrap, XdsAddress};
use locum::proxy::Binary;
use locum::resource::ObjectName;
use locum::xds::message::Variant;
use locum::xds::server::{self, Listener, Shared};
use serde_json::Value;
use tokio::net::{TcpStream, UnixListener};

use crate::chains::Scene;
use crate::served::{self, GATEWAY};

/// How long Envoy may take to have everything.
const BOUND: Duration = Duration::from_secs(30);
/// How often it is asked.
const INTERVAL: Duration = Duration::from_millis(50);
/// What its admin interface may take to answer.
const LIMITS: Limits = Limits {
    time: BOUND,
    size: 1 << 26,
};

/// It ends with its value.
pub(crate) struct Envoy {
    /// Where it serves.
    pub(crate) listener: SocketAddr,
    process: Child,
    folder: tempfile::TempDir,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Envoy {
    /// An Envoy that has every endpoint of every scene.
    pub(crate) async fn serving(scenes: &[Scene]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let xds = folder.path().join("xds");
        let socket = Listener::Unix(UnixListener::bind(&xds)?);
        let shared = Shared::default();
        let listener = free_address()?;
        let snapshot = served::snapshot(scenes, listener)?;
        let gateway = ObjectName::new(GATEWAY.0, GATEWAY.1);
        shared
            .board
            .publish(&gateway.to_string(), Arc::new(snapshot));
        tokio::spawn(server::serve(socket, shared, std::future::pending()));
        let bootstrap = Bootstrap {
            node_id: "simulate".into(),
            gateway,
            xds: XdsAddress::Unix(xds),
            variant: Variant::Delta,
            tls: None,
            admin: AdminAddress::Unix(folder.path().join("admin")),
            ready_port: None,
        };
        let file = folder.path().join("bootstrap.yaml");
        std::fs::write(&file, bootstrap.yaml())?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let named = std::env::var_os("LOCUM_ENVOY").map(PathBuf::from);
        let process = Command::new(Binary::find(named.as_deref()).await?.path)
            .args(["--disable-hot-restart", "--concurrency", "2"])
            .args(["--log-level", "warning", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let envoy = Self {
            listener,
            process,
            folder,
        };
        envoy.has(&served::clusters(scenes)).await?;
        Ok(envoy)
    }

    /// Waits until it serves, and has so many hosts in each of these clusters.
    async fn has(&self, clusters: &BTreeMap<String, usize>) -> anyhow::Result<()> {
        let deadline = Instant::now() + BOUND;
        loop {
            let serves = TcpStream::connect(self.listener).await.is_ok();
            let missing = match self.hosts().await {
                Ok(hosts) => clusters
                    .iter()
                    .map(|(name, count)| (name, *count, hosts.get(name).copied()))
                    .find(|(_, expected, found)| *found != Some(*expected)),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => clusters.iter().next().map(|(name, it)| (name, *it, None)),
            };
            match missing {
                None if serves => return Ok(()),
                _ if Instant::now() < deadline => tokio::time::sleep(INTERVAL).await,
                _ => bail!(
                    "after {BOUND:?}: listener open: {serves}; cluster, hosts expected, hosts found: {missing:?}\n{}",
                    self.log()
                ),
            }
        }
    }

    /// How many hosts each cluster has.
    async fn hosts(&self) -> anyhow::Result<BTreeMap<String, usize>> {
        let admin = AdminAddress::Unix(self.folder.path().join("admin"));
        let text = admin_client::get(&admin, "/clusters?format=json", LIMITS).await?;
        let document: Value = serde_json::from_str(&text)?;
        let clusters = document["cluster_statuses"].as_array();
        let clusters = clusters.into_iter().flatten().map(|cluster| {
            let name = cluster["name"].as_str().unwrap_or_default().to_owned();
            let hosts = cluster["host_statuses"].as_array();
            (name, hosts.map_or(0, Vec::len))
        });
        Ok(clusters.collect())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// An address that was free just now.
fn free_address() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

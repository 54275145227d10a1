//! One running Envoy that is served snapshots and asked what it has made of them.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use locum::bootstrap::{AdminAddress, Bootstrap, XdsAddress};
use locum::resource::ObjectName;
use locum::xds::clients::Detail;
use locum::xds::config_dump::{self, ConfigDump, Contents};
use locum::xds::message::Variant;
use locum::xds::server::{self, Listener, Shared};
use locum::xds::snapshot::Snapshot;
use locum_demo::process;
use tokio::net::{UnixListener, UnixStream};

/// How long Envoy may take to make a snapshot its own.
const BOUND: Duration = Duration::from_secs(20);
/// How often it is asked.
const INTERVAL: Duration = Duration::from_millis(20);

/// The Gateway that the Envoy believes to serve.
const GATEWAY: &str = "golden/envoy";

/// An Envoy and the xDS server that serves it. Ends with its value.
pub(crate) struct Envoy {
    process: Child,
    folder: tempfile::TempDir,
    shared: Shared,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Envoy {
    /// Starts an Envoy beside a server that has nothing for it yet.
    pub(crate) async fn start(variant: Variant) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let xds = folder.path().join("xds");
        let shared = Shared::default();
        let listener = Listener::Unix(UnixListener::bind(&xds).unwrap());
        tokio::spawn(server::serve(
            listener,
            shared.clone(),
            std::future::pending(),
        ));
        let bootstrap = Bootstrap {
            node_id: "golden".into(),
            gateway: ObjectName::new("golden", "envoy"),
            xds: XdsAddress::Unix(xds),
            variant,
            tls: None,
            admin: AdminAddress::Unix(folder.path().join("admin")),
            ready_port: None,
        };
        let file = folder.path().join("bootstrap.yaml");
        std::fs::write(&file, bootstrap.yaml()).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(process::envoy().unwrap())
            .args([
                "--disable-hot-restart",
                "--concurrency",
                "1",
                "--drain-time-s",
                "1",
            ])
            .args(["--log-level", "warning", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            process,
            folder,
            shared,
        }
    }

    /// Serves `snapshot` and waits until Envoy holds exactly that, with nothing refused and nothing
    /// warming; else says what is wrong.
    pub(crate) async fn takes(&self, snapshot: &Arc<Snapshot>) -> Result<(), String> {
        self.shared.board.publish(GATEWAY, snapshot.clone());
        let told = config_dump::told(snapshot);
        let deadline = Instant::now() + BOUND;
        loop {
            self.assert_nothing_refused()?;
            let late = Instant::now() > deadline;
            match self.holds(&told).await {
                Ok(()) => return Ok(()),
                Err(difference) if late => {
                    return Err(format!("after {BOUND:?}: {difference}\n{}", self.log()));
                }
                Err(_) => tokio::time::sleep(INTERVAL).await,
            }
        }
    }

    fn assert_nothing_refused(&self) -> Result<(), String> {
        for report in self.shared.clients.reports(Detail::Names) {
            for (kind, of_kind) in report.types {
                if let Some(nack) = of_kind.last_nack {
                    return Err(format!("{kind} refused: {}", nack.message));
                }
            }
        }
        Ok(())
    }

    async fn holds(&self, told: &Contents) -> Result<(), String> {
        let admin = self.folder.path().join("admin");
        let text = ask(&admin, config_dump::PATH).await?;
        let dump = ConfigDump::read(&text).map_err(|error| format!("its config_dump: {error}"))?;
        match &dump.differences(told)[..] {
            [] => Ok(()),
            differences => Err(format!("it differs: {differences:#?}")),
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

async fn ask(socket: &Path, path: &str) -> Result<String, String> {
    let exchange = async {
        let stream = UnixStream::connect(socket).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        let request = http::Request::get(path)
            .header("host", "admin")
            .body(Empty::<Bytes>::new())
            .map_err(std::io::Error::other)?;
        let answer = sender
            .send_request(request)
            .await
            .map_err(std::io::Error::other)?;
        let body = answer
            .into_body()
            .collect()
            .await
            .map_err(std::io::Error::other)?;
        Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
    };
    let exchange = tokio::time::timeout(BOUND, exchange);
    let answered: std::io::Result<String> = exchange.await.map_err(|_| "its admin is silent")?;
    answered.map_err(|error| format!("its admin: {error}"))
}

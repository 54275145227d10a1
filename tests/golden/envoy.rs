//! One running Envoy that is served snapshots and asked what it has made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use locum::bootstrap::{AdminAddress, Bootstrap, XdsAddress};
use locum::proxy::Binary;
use locum::resource::ObjectName;
use locum::xds::clients::Detail;
use locum::xds::kind::Kind;
use locum::xds::server::{self, Listener, Shared};
use locum::xds::snapshot::Snapshot;
use locum::xds::{descriptors, json};
use prost_reflect::DynamicMessage;
use prost_reflect::prost::Message as _;
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};

/// How long Envoy may take to make a snapshot its own.
const BOUND: Duration = Duration::from_secs(20);
/// How often it is asked.
const INTERVAL: Duration = Duration::from_millis(20);

/// The Gateway that the Envoy believes to serve.
const GATEWAY: &str = "golden/envoy";

/// What Envoy has or shall have: by kind and name.
pub(crate) type Contents = BTreeMap<(Kind, String), Value>;

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
    /// Starts an Envoy beside a server that has nothing for it yet. `make test` names the binary.
    pub(crate) async fn start() -> Self {
        let named = std::env::var_os("LOCUM_ENVOY").map(PathBuf::from);
        let binary = Binary::find(named.as_deref())
            .await
            .expect("this test needs Envoy; `make envoy` fetches it");
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
            tls: None,
            admin: AdminAddress::Unix(folder.path().join("admin")),
            ready_port: None,
        };
        let file = folder.path().join("bootstrap.yaml");
        std::fs::write(&file, bootstrap.yaml()).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(binary.path)
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
        let expected = sent(snapshot);
        let deadline = Instant::now() + BOUND;
        loop {
            self.assert_nothing_refused()?;
            let late = Instant::now() > deadline;
            match self.holds(&expected).await {
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

    async fn holds(&self, expected: &Contents) -> Result<(), String> {
        let dump = self.config_dump().await?;
        let held = held(&dump, &health_checked(expected))?;
        for (key, value) in expected {
            match held.get(key) {
                None => return Err(format!("it has no {} {}", key.0, key.1)),
                Some(other) if other != value => {
                    return Err(format!(
                        "its {} {} is not what was sent\nsent: {value:#}\nheld: {other:#}",
                        key.0, key.1
                    ));
                }
                Some(_) => {}
            }
        }
        // Envoy shows endpoints of clusters that get none over EDS, too.
        let is_shown_extra = |(kind, name): &(Kind, String)| {
            *kind == Kind::Endpoint && expected.contains_key(&(Kind::Cluster, name.clone()))
        };
        let mut left = held.keys().filter(|key| !expected.contains_key(key));
        match left.find(|key| !is_shown_extra(key)) {
            Some((kind, name)) => Err(format!("it still has {kind} {name}")),
            None => Ok(()),
        }
    }

    /// `/config_dump?include_eds`, read as the message that it is and written again, so that both
    /// sides of a comparison have been written by the same hand.
    async fn config_dump(&self) -> Result<Value, String> {
        let text = ask(
            &self.folder.path().join("admin"),
            "/config_dump?include_eds",
        )
        .await?;
        let descriptor = descriptors::message("envoy.admin.v3.ConfigDump").unwrap();
        let mut reader = serde_json::Deserializer::from_str(&text);
        let message = DynamicMessage::deserialize(descriptor, &mut reader)
            .map_err(|error| format!("its config_dump: {error}"))?;
        json::message("envoy.admin.v3.ConfigDump", &message.encode_to_vec())
            .map_err(|error| error.to_string())
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

/// What a snapshot holds, as a dump would show it.
fn sent(snapshot: &Snapshot) -> Contents {
    let mut contents: Contents = Kind::ALL
        .into_iter()
        .flat_map(|kind| snapshot.of_kind(kind))
        .map(|resource| {
            (
                (resource.kind, resource.name.to_string()),
                json::resource(resource),
            )
        })
        .collect();
    let checked = health_checked(&contents);
    for ((kind, name), shown) in &mut contents {
        if *kind == Kind::Endpoint {
            *shown = endpoints(shown, checked.contains(name));
        }
    }
    contents
}

/// The clusters whose hosts Envoy probes: their health is what it finds.
fn health_checked(contents: &Contents) -> BTreeSet<String> {
    contents
        .iter()
        .filter(|((kind, _), shown)| *kind == Kind::Cluster && !shown["health_checks"].is_null())
        .map(|((_, name), _)| name.clone())
        .collect()
}

/// What a dump shows as served. Something still warming is an error.
fn held(dump: &Value, checked: &BTreeSet<String>) -> Result<Contents, String> {
    let mut contents = Contents::new();
    for section in list(dump, "configs") {
        if let Some(warming) = list(section, "dynamic_warming_clusters").next() {
            return Err(format!("warming: {:#}", warming["cluster"]["name"]));
        }
        for entry in list(section, "dynamic_listeners") {
            if let Some(problem) = ["warming_state", "error_state"]
                .into_iter()
                .find(|state| !entry[*state].is_null())
            {
                return Err(format!("{problem}: {entry:#}"));
            }
        }
        let places = [
            (
                Kind::Cluster,
                "dynamic_active_clusters",
                "/cluster",
                "/name",
            ),
            (
                Kind::Listener,
                "dynamic_listeners",
                "/active_state/listener",
                "/name",
            ),
            (
                Kind::Route,
                "dynamic_route_configs",
                "/route_config",
                "/name",
            ),
            (
                Kind::Endpoint,
                "dynamic_endpoint_configs",
                "/endpoint_config",
                "/cluster_name",
            ),
        ];
        for (kind, field, resource, name) in places {
            for entry in list(section, field) {
                let Some(resource) = entry.pointer(resource) else {
                    continue;
                };
                let name = resource
                    .pointer(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let shown = match kind {
                    Kind::Endpoint => endpoints(resource, checked.contains(name)),
                    _ => resource.clone(),
                };
                contents.insert((kind, name.to_owned()), shown);
            }
        }
    }
    Ok(contents)
}

/// Endpoints as Envoy's dump can show them: it makes them up from its hosts, so a locality without
/// hosts is not there, and hosts have an order of their own.
fn endpoints(assignment: &Value, is_checked: bool) -> Value {
    let hosts: BTreeSet<String> = list(assignment, "endpoints")
        .flat_map(|locality| {
            list(locality, "lb_endpoints").map(move |host| {
                let endpoint = &host["endpoint"];
                let status = match host["health_status"].as_str() {
                    _ if is_checked => "as found",
                    // Nothing said against it.
                    None | Some("UNKNOWN") => "HEALTHY",
                    // Shown alike: neither gets a new request.
                    Some("DRAINING") => "UNHEALTHY",
                    Some(status) => status,
                };
                format!(
                    "priority {} locality {} weight {}: {} {} {}",
                    locality["priority"],
                    locality["locality"]["region"],
                    locality["load_balancing_weight"],
                    endpoint["address"],
                    endpoint["hostname"],
                    status,
                )
            })
        })
        .collect();
    serde_json::json!({
        "hosts": hosts,
        "overprovisioning_factor": assignment.pointer("/policy/overprovisioning_factor"),
    })
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

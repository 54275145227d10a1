//! The same protocol with the proxy it is for: a real Envoy takes what it is sent, and needs what
//! it is sent again. In both variants, which differ in how many resources are sent.

mod endpoints;
mod extensions;
mod owners;
mod reconnect;
mod refusals;
mod services;
mod sotw;
mod virtual_hosts;
mod warming;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use locum::admin_client::{self, Limits};
use locum::bootstrap::AdminAddress;
use locum::xds::clients::Detail;
use locum::xds::config_dump::{self, ConfigDump};
use locum::xds::descriptors;
use locum::xds::kind::Kind;
use locum::xds::resource::{Readiness, Resource};
use locum::xds::snapshot::Snapshot;
use locum_demo::process;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::harness::{BOUND, GATEWAY, Server};

/// How long Envoy waits for a resource it needs before it goes on without.
const INITIAL_FETCH_TIMEOUT: Duration = Duration::from_secs(15);

/// An Envoy of its own folder and admin port; it is killed when this is dropped.
pub(crate) struct Envoy {
    process: Child,
    folder: tempfile::TempDir,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The words by which a bootstrap chooses the variant.
pub(crate) const DELTA: &str = "DELTA_GRPC";
const SOTW: &str = "GRPC";

impl Envoy {
    fn start(server: SocketAddr, api_type: &str) -> Self {
        Self::start_with(&bootstrap(server, api_type))
    }

    pub(crate) fn start_with(bootstrap: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(process::envoy().unwrap())
            .arg("--config-yaml")
            .arg(bootstrap.to_string())
            .arg("--admin-address-path")
            .arg(folder.path().join("admin"))
            .args(["--use-dynamic-base-id", "--concurrency", "1", "-l", "info"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, folder }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) async fn admin(&self, path: &str) -> Option<String> {
        let address = std::fs::read_to_string(self.folder.path().join("admin")).ok()?;
        get(address.trim().parse().ok()?, path).await
    }

    /// What it says that it has.
    async fn dump(&self) -> ConfigDump {
        let address = std::fs::read_to_string(self.folder.path().join("admin")).unwrap();
        let address = AdminAddress::Ip(address.trim().parse().unwrap());
        let limits = Limits {
            time: BOUND,
            size: 1 << 24,
        };
        let text = admin_client::get(&address, config_dump::PATH, limits).await;
        let text = text.unwrap();
        ConfigDump::read(&text).unwrap()
    }

    pub(crate) async fn stat(&self, name: &str) -> Option<u64> {
        let text = self.admin(&format!("/stats?filter=^{name}$")).await?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Waits until a statistic has a value; returns how long that took.
    pub(crate) async fn awaits(&self, name: &str, value: u64) -> Duration {
        let start = Instant::now();
        let reached = timeout(BOUND, async {
            while self.stat(name).await != Some(value) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        if reached.await.is_err() {
            panic!(
                "{name} is {:?}, not {value}:\n{}",
                self.stat(name).await,
                self.log()
            );
        }
        start.elapsed()
    }
}

/// The body of what `address` answers to GET `path`, if it answers 200.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let (head, body) = ask(address, "test", path).await?;
    head.starts_with("HTTP/1.1 200").then_some(body)
}

/// A header of what `address` answers to GET `/`.
async fn header(address: SocketAddr, name: &str) -> Option<String> {
    let (head, _) = ask(address, "test", "/").await?;
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    let found = headers.find(|(header, _)| *header == name);
    found.map(|(_, value)| value.to_owned())
}

/// Head and body of what `address` answers to GET `path` for a host.
async fn ask(address: SocketAddr, host: &str, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

pub(crate) fn bootstrap(server: SocketAddr, api_type: &str) -> Value {
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    json!({
        "node": {"id": "envoy", "cluster": GATEWAY},
        "admin": {"address": address("127.0.0.1:0".parse().unwrap())},
        "cluster_manager": {"enable_deferred_cluster_creation": true},
        "dynamic_resources": {
            "ads_config": {
                "api_type": api_type,
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {
                    "cluster_name": "locum",
                    "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "0.5s"}},
                }}],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {"clusters": [{
            "name": "locum",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}},
                },
            },
            "load_assignment": assignment("locum", server),
        }]},
    })
}

fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn assignment(cluster: &str, endpoint: SocketAddr) -> Value {
    json!({
        "cluster_name": cluster,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(endpoint)}}]}],
    })
}

/// What Envoy is to serve: one listener, one route, one EDS cluster.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) listen: SocketAddr,
    backend: SocketAddr,
    pub(crate) connect_timeout: &'static str,
    /// Changes the listener without draining it.
    stat_prefix: &'static str,
    /// Changes the route.
    prefix: &'static str,
}

fn resource(kind: Kind, name: &str, message: &Value) -> Resource {
    let descriptor = descriptors::message(kind.type_url()).unwrap();
    let message = DynamicMessage::deserialize(descriptor, message).unwrap();
    Resource::new(kind, name, &message)
}

impl Edge {
    fn resources(&self) -> Vec<Resource> {
        let ads = json!({"ads": {}, "resource_api_version": "V3"});
        let mut cluster = resource(
            Kind::Cluster,
            "app",
            &json!({
                "name": "app",
                "type": "EDS",
                "connect_timeout": self.connect_timeout,
                "eds_cluster_config": {"eds_config": ads},
            }),
        );
        cluster.readiness = Readiness::Endpoints;
        cluster.references = [(Kind::Endpoint, "app".into())].into();
        let endpoint = resource(Kind::Endpoint, "app", &assignment("app", self.backend));
        let mut route = resource(
            Kind::Route,
            "web",
            &json!({
                "name": "web",
                "virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": self.prefix}, "route": {"cluster": "app"}}],
                }],
            }),
        );
        route.references = [(Kind::Cluster, "app".into())].into();
        let mut listener = resource(Kind::Listener, "edge", &self.listener());
        listener.references = [(Kind::Route, "web".into())].into();
        vec![cluster, endpoint, route, listener]
    }

    fn listener(&self) -> Value {
        let ads = json!({"ads": {}, "resource_api_version": "V3"});
        let hcm =
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
        let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
        json!({
            "name": "edge",
            "address": address(self.listen),
            "filter_chains": [{"filters": [{
                "name": "hcm",
                "typed_config": {
                    "@type": format!("type.googleapis.com/{hcm}"),
                    "stat_prefix": self.stat_prefix,
                    "rds": {"route_config_name": "web", "config_source": ads},
                    "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
                },
            }]}],
        })
    }
}

/// A backend that answers everything with `ok`, for as long as the test runs.
async fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

pub(crate) async fn edge() -> Edge {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Edge {
        listen: free.local_addr().unwrap(),
        backend: backend().await,
        connect_timeout: "1s",
        stat_prefix: "edge",
        prefix: "/",
    }
}

impl Server {
    /// Publishes and waits until Envoy has answered everything.
    pub(crate) async fn publishes(&self, resources: Vec<Resource>) -> Duration {
        let start = Instant::now();
        let snapshot = Arc::new(Snapshot::new(resources, None));
        self.shared.board.publish(GATEWAY, snapshot);
        self.is_caught_up().await;
        start.elapsed()
    }

    /// Waits until Envoy has answered everything that is published.
    async fn is_caught_up(&self) {
        let revision = self.shared.board.published(GATEWAY).revision;
        let caught_up = self.shared.clients.caught_up(GATEWAY, revision);
        let caught_up = timeout(BOUND, caught_up).await;
        caught_up.expect("Envoy answers everything");
    }

    pub(crate) async fn gives(&self, edge: &Edge) -> Duration {
        self.publishes(edge.resources()).await
    }

    /// Resources sent to and refusals of the one connected proxy.
    pub(crate) fn sent(&self) -> (u64, u64) {
        let report = self.shared.clients.reports(Detail::Counts).remove(0);
        let types = report.types.values();
        types.fold((0, 0), |(resources, nacks), of_type| {
            (
                resources + of_type.sent.resources,
                nacks + of_type.sent.nacks,
            )
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_serves_what_it_is_sent_and_takes_every_change() {
    takes_every_change(DELTA).await;
}

async fn takes_every_change(api_type: &str) {
    let server = Server::start().await;
    let mut edge = edge().await;
    let envoy = Envoy::start(server.address, api_type);
    server.gives(&edge).await;
    envoy
        .awaits("listener_manager.total_listeners_active", 1)
        .await;
    assert_eq!(
        get(edge.listen, "/").await.as_deref(),
        Some("ok"),
        "{}",
        envoy.log()
    );

    // Without its endpoints, sent once more, the changed cluster would warm until its initial fetch
    // timed out.
    edge.connect_timeout = "2s";
    let took = server.gives(&edge).await;
    assert!(took < INITIAL_FETCH_TIMEOUT, "{took:?}");
    envoy.awaits("cluster_manager.warming_clusters", 0).await;

    edge.stat_prefix = "other";
    server.gives(&edge).await;
    let name = "listener_manager.total_listeners_warming";
    let took = envoy.awaits(name, 0).await;
    assert!(took < INITIAL_FETCH_TIMEOUT, "{took:?}");

    edge.prefix = "/only";
    edge.backend = backend().await;
    server.gives(&edge).await;
    assert_eq!(get(edge.listen, "/").await, None);
    assert_eq!(get(edge.listen, "/only").await.as_deref(), Some("ok"));
    // Four at first, the changed cluster with its endpoints, the listener, the route, the
    // endpoints.
    assert_eq!(server.sent(), (9, 0));
}

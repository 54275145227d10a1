//! Mutual TLS: who is let in, what for, and renewal while a real Envoy serves.

mod expiry;
mod refused;

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use discovery::DeltaDiscoveryRequest;
use discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::envoy::service::load_stats::v3 as load_stats;
use load_stats::load_reporting_service_client::LoadReportingServiceClient;
use locum::api::v1::WatchRequest;
use locum::api::v1::serving_client::ServingClient;
use locum::bootstrap::{AdminAddress, Bootstrap, ProxyTls, XdsAddress};
use locum::resource::ObjectName;
use locum::trust::{
    Authority, Certificate, Domain, Files, Issued, PROXY_LIFE, Paths, Renewal, ServerNames, Texts,
    Tls,
};
use locum::xds::clients::Detail;
use locum::xds::message::Variant;
use locum::xds::proxy::Admission;
use locum::xds::server::{Listener, Shared};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_check_response::ServingStatus;

use crate::envoy::{Edge, Envoy, edge, get};
use crate::harness::{BOUND, GATEWAY, Server};
use crate::health::health;

const ANY_PORT: &str = "127.0.0.1:0";

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

fn authority() -> Authority {
    Authority::make(now()).unwrap()
}

fn server_of(authority: &Authority) -> Issued {
    let names = ServerNames::in_cluster(&Domain::default(), "cluster.local");
    authority.server(&names, now()).unwrap()
}

fn proxy_of(authority: &Authority, gateway: &str) -> Issued {
    proxy_since(authority, gateway, now())
}

fn proxy_since(authority: &Authority, gateway: &str, since: OffsetDateTime) -> Issued {
    let (namespace, name) = gateway.split_once('/').unwrap();
    let gateway = ObjectName::new(namespace, name);
    let issued = authority.proxy(&Domain::default(), &gateway, PROXY_LIFE, since);
    issued.unwrap()
}

fn tls(credentials: Issued) -> (Tls, Renewal) {
    let (tls, renewal) = Tls::waiting(Domain::default(), "");
    renewal.renew(&Texts::from(credentials)).unwrap();
    (tls, renewal)
}

/// A server that lets in whom `tls` knows.
async fn server_at(address: SocketAddr, tls: Tls) -> Server {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shared = Shared::with(Admission::LOCUM);
    Server::start_with(Listener::Tls(listener, tls), address, shared)
}

/// A server with a certificate of `authority`.
async fn server(authority: &Authority) -> Server {
    let (tls, _) = tls(server_of(authority));
    let address = ANY_PORT.parse().unwrap();
    server_at(address, tls).await
}

/// How one with these credentials reaches the server.
fn channel(credentials: Issued, server: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{server}")).unwrap();
    tls(credentials).0.channel(&endpoint, server)
}

fn node(gateway: &str) -> Option<Node> {
    Some(Node {
        id: "proxy".into(),
        cluster: gateway.into(),
        ..Node::default()
    })
}

/// How a stream ends, or that it is answered, for a proxy that says it is of `gateway`.
async fn discovery_for(gateway: &str, channel: Channel) -> Result<(), tonic::Status> {
    let request = DeltaDiscoveryRequest {
        node: node(gateway),
        type_url: locum::xds::kind::Kind::Cluster.type_url().into(),
        ..DeltaDiscoveryRequest::default()
    };
    // The stream ends with this sender.
    let (sender, receiver) = mpsc::channel(1);
    sender.send(request).await.unwrap();
    let requests = ReceiverStream::new(receiver);
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    let asked = async {
        let mut responses = client
            .delta_aggregated_resources(requests)
            .await?
            .into_inner();
        responses.message().await.map(|_| ())
    };
    let answer = timeout(BOUND, asked).await;
    drop(sender);
    answer.expect("an answer or an end")
}

/// The same for a proxy that reports its load.
async fn reports_for(gateway: &str, channel: Channel) -> Result<(), tonic::Status> {
    let report = load_stats::LoadStatsRequest {
        node: node(gateway),
        ..load_stats::LoadStatsRequest::default()
    };
    let reports = futures::stream::iter([report]);
    let mut client = LoadReportingServiceClient::new(channel);
    let mut answers = client.stream_load_stats(reports).await?.into_inner();
    answers.message().await.map(|_| ())
}

/// The same for one who watches who serves.
async fn watches(channel: Channel) -> Result<(), tonic::Status> {
    let mut client = ServingClient::new(channel);
    client.watch(WatchRequest::default()).await.map(|_| ())
}

#[tokio::test]
async fn a_proxy_gets_what_is_for_the_gateway_of_its_certificate() {
    let authority = authority();
    let server = server(&authority).await;
    server.serve(GATEWAY, "cluster a:1").await;
    let channel = channel(proxy_of(&authority, GATEWAY), server.address);
    discovery_for(GATEWAY, channel).await.unwrap();
}

#[tokio::test]
async fn a_proxy_with_another_gateways_certificate_is_refused_by_both_names() {
    let authority = authority();
    let server = server(&authority).await;
    server.serve(GATEWAY, "cluster a:1").await;
    let other = proxy_of(&authority, "default/other");
    // Each refusal is the last that is said on its connection.
    let channel = || channel(other.clone(), server.address);
    let refused = discovery_for(GATEWAY, channel()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    for name in [GATEWAY, "default/other"] {
        assert!(refused.message().contains(name), "{refused}");
    }
    // Nor does it report for the other, or see what the others do.
    let refused = reports_for(GATEWAY, channel()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = watches(channel()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_replica_watches_and_is_no_proxy() {
    let authority = authority();
    let server = server(&authority).await;
    let replica = server_of(&authority);
    let channel = || channel(replica.clone(), server.address);
    let refused = discovery_for(GATEWAY, channel()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    watches(channel()).await.unwrap();
}

#[tokio::test]
async fn whoever_is_let_in_may_ask_how_the_server_is() {
    let authority = authority();
    let server = server(&authority).await;
    server.serve(GATEWAY, "cluster a:1").await;
    for who in [proxy_of(&authority, GATEWAY), server_of(&authority)] {
        let channel = channel(who, server.address);
        assert_eq!(health(channel, "").await.unwrap(), ServingStatus::Serving);
    }
    let stranger = channel(strangers_own(&authority), server.address);
    health(stranger, "").await.unwrap_err();
}

/// A proxy whose certificate has run out, and a server that knows who signed it.
async fn run_out(known: &Authority) -> (Issued, Server) {
    let long_ago = now() - 2 * PROXY_LIFE;
    // An authority that was there already signed what has run out since.
    let old = Authority::make(long_ago).unwrap();
    let both = Issued {
        trust: known.trust() + &old.trust(),
        ..server_of(known)
    };
    let (tls, _) = tls(both);
    let server = server_at(ANY_PORT.parse().unwrap(), tls).await;
    let proxy = Issued {
        trust: known.trust(),
        ..proxy_since(&old, GATEWAY, long_ago)
    };
    (proxy, server)
}

/// A proxy that believes `known`, but that another authority has signed.
fn strangers_own(known: &Authority) -> Issued {
    Issued {
        trust: known.trust(),
        ..proxy_of(&authority(), GATEWAY)
    }
}

#[tokio::test]
async fn who_is_not_known_is_refused() {
    let known = authority();
    let server = server(&known).await;
    let (ran_out, patient) = run_out(&known).await;
    for (who, credentials, server) in [
        ("signed by another", strangers_own(&known), &server),
        ("ran out", ran_out, &patient),
    ] {
        let refused = discovery_for(GATEWAY, channel(credentials, server.address)).await;
        assert!(refused.is_err(), "{who}");
        let connected = server.shared.clients.reports(Detail::Counts);
        assert!(connected.is_empty(), "{who}");
    }
    in_plaintext(server.address).await.unwrap_err();
    assert_eq!(without_certificate(&known, server.address).await, None);
}

async fn in_plaintext(server: SocketAddr) -> Result<(), tonic::Status> {
    let plaintext = Endpoint::from_shared(format!("http://{server}")).unwrap();
    discovery_for(GATEWAY, plaintext.connect_lazy()).await
}

/// What a client that has no certificate hears after its handshake: nothing when it is refused.
async fn without_certificate(authority: &Authority, server: SocketAddr) -> Option<u8> {
    let mut roots = rustls::RootCertStore::empty();
    let trust = authority.trust();
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_slice(trust.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(server).await.unwrap();
    let name = ServerName::try_from("locum.locum-system.svc").unwrap();
    let mut stream = connector.connect(name, stream).await.ok()?;
    // A server of HTTP/2 speaks first.
    timeout(BOUND, stream.read_u8()).await.unwrap().ok()
}

#[tokio::test]
async fn proxies_are_let_in_as_soon_as_there_is_a_certificate() {
    let authority = authority();
    let (tls, renewal) = Tls::waiting(Domain::default(), "the Secret is not there yet");
    assert_eq!(
        tls.missing().as_deref(),
        Some("the Secret is not there yet")
    );
    let door = tls.clone();
    let address = ANY_PORT.parse().unwrap();
    let server = server_at(address, door).await;
    server.serve(GATEWAY, "cluster a:1").await;
    let channel = channel(proxy_of(&authority, GATEWAY), server.address);
    let asked = tokio::spawn(discovery_for(GATEWAY, channel));
    renewal.renew(&server_of(&authority).into()).unwrap();
    assert_eq!(tls.missing(), None);
    asked.await.unwrap().unwrap();
}

/// A folder into which files are put as a kubelet does: all at once, by a symbolic link.
struct Volume {
    folder: tempfile::TempDir,
    version: u32,
}

impl Volume {
    fn with(credentials: &Issued) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut volume = Self { folder, version: 0 };
        volume.put(credentials);
        for (name, _) in credentials.files() {
            symlink(Path::new("..data").join(name), volume.path(name)).unwrap();
        }
        volume
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&mut self, credentials: &Issued) {
        self.version += 1;
        let version = format!("..version_{}", self.version);
        std::fs::create_dir(self.path(&version)).unwrap();
        for (name, text) in credentials.files() {
            std::fs::write(self.path(&version).join(name), text).unwrap();
        }
        symlink(&version, self.path("..data_tmp")).unwrap();
        std::fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
    }

    /// Mutual TLS from these files, kept new.
    fn tls(&self) -> Tls {
        let paths = Paths {
            certificate: self.path("tls.crt"),
            key: self.path("tls.key"),
            client_ca: self.path("ca.crt"),
        };
        let (tls, files) = Files::open(paths, Domain::default()).unwrap();
        tokio::spawn(files.run());
        tls
    }

    /// An Envoy of [`GATEWAY`] with these credentials.
    fn envoy(&self, secrets: &Path, server: SocketAddr) -> Envoy {
        let tls = ProxyTls {
            credentials: self.folder.path().to_owned(),
            secrets: secrets.to_owned(),
            server: "locum.locum-system.svc".into(),
        };
        for (name, secret) in tls.secrets() {
            std::fs::write(secrets.join(name), secret.to_string()).unwrap();
        }
        let bootstrap = Bootstrap {
            node_id: "envoy".into(),
            gateway: ObjectName::new("default", "edge"),
            xds: XdsAddress::Ip(server),
            variant: Variant::Delta,
            tls: Some(tls),
            admin: AdminAddress::Ip(ANY_PORT.parse().unwrap()),
            ready_port: None,
        };
        Envoy::start_with(&bootstrap.json())
    }
}

/// Requests one after another, for as long as it is there.
struct Requests {
    running: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
}

impl Requests {
    fn to(edge: &Edge) -> Self {
        let requests = Self {
            running: Arc::new(AtomicBool::new(true)),
            answered: Arc::default(),
            lost: Arc::default(),
        };
        let (running, answered, lost) = (
            requests.running.clone(),
            requests.answered.clone(),
            requests.lost.clone(),
        );
        let address = edge.listen;
        tokio::spawn(async move {
            while running.load(Ordering::Relaxed) {
                let count = match get(address, "/").await {
                    Some(_) => &answered,
                    None => &lost,
                };
                count.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(5)).await;
            }
        });
        requests
    }

    fn stop(self) -> (u64, u64) {
        self.running.store(false, Ordering::Relaxed);
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.answered), count(&self.lost))
    }
}

fn serial(credentials: &Issued) -> String {
    let certificate = Certificate::all(&credentials.certificate, "tls.crt").unwrap();
    certificate[0].serial.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_on_a_live_stream() {
    let (first, second) = (authority(), authority());
    let mut of_server = Volume::with(&server_of(&first));
    let mut of_proxy = Volume::with(&proxy_of(&first, GATEWAY));
    let address = ANY_PORT.parse().unwrap();
    let door = of_server.tls();
    let server = server_at(address, door.clone()).await;
    let secrets = tempfile::tempdir().unwrap();
    let envoy = of_proxy.envoy(secrets.path(), server.address);
    let mut edge = edge().await;
    server.gives(&edge).await;
    envoy
        .awaits("listener_manager.total_listeners_active", 1)
        .await;
    let requests = Requests::to(&edge);

    // Both sides come to another authority at once. What is open stays open.
    of_server.put(&server_of(&second));
    let renewed = proxy_of(&second, GATEWAY);
    of_proxy.put(&renewed);
    let serial = serial(&renewed);
    let deadline = std::time::Instant::now() + BOUND;
    while !envoy.admin("/certs").await.unwrap().contains(&serial) {
        assert!(std::time::Instant::now() < deadline, "{}", envoy.log());
        sleep(Duration::from_millis(20)).await;
    }
    let newcomer = || discovery_for(GATEWAY, channel(proxy_of(&second, GATEWAY), server.address));
    let deadline = std::time::Instant::now() + BOUND;
    while newcomer().await.is_err() {
        assert!(std::time::Instant::now() < deadline, "{}", envoy.log());
    }
    edge.connect_timeout = "2s";
    server.gives(&edge).await;
    assert_eq!(envoy.stat("cluster.locum.upstream_cx_total").await, Some(1));

    // The next connection is made with what is new: nobody believes the first authority any more.
    let address = server.address;
    server.stop().await;
    let server = server_at(address, door).await;
    edge.connect_timeout = "3s";
    server.gives(&edge).await;
    let (answered, lost) = requests.stop();
    assert!(
        answered > 50 && lost == 0,
        "{answered} answered, {lost} lost"
    );
}

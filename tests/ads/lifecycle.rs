//! The end of a server: its proxies go to another one, not all at once, and are told nothing there.

use std::net::SocketAddr;
use std::time::Duration;

use discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use futures::future::join_all;
use locum::xds::clients::Detail;
use locum::xds::kind::Kind;
use locum::xds::server::{SHUTDOWN_BOUND, Shared};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::harness::{BOUND, GATEWAY, Server, any_port, eventually, resource};

const DRAIN: Duration = Duration::from_secs(2);
const PROXIES: usize = 200;

/// A server that lets its proxies go over [`DRAIN`].
async fn server() -> Server {
    let shared = Shared {
        drain: DRAIN,
        ..Shared::default()
    };
    Server::start_sharing(any_port(), shared).await
}

/// A proxy with a connection of its own, which takes over what it is told.
struct Proxy {
    node: String,
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
    /// The version of the one cluster that it has.
    has: Option<String>,
}

impl Proxy {
    /// Asks for all clusters; what it `has` it has from another server.
    async fn join(server: SocketAddr, node: String, has: Option<String>) -> Self {
        let mut client = AggregatedDiscoveryServiceClient::connect(format!("http://{server}"))
            .await
            .unwrap();
        let (requests, receiver) = mpsc::channel(4);
        let versions = has.iter().map(|version| ("a".into(), version.clone()));
        let first = DeltaDiscoveryRequest {
            node: Some(Node {
                id: node.clone(),
                cluster: GATEWAY.into(),
                ..Node::default()
            }),
            type_url: Kind::Cluster.type_url().into(),
            initial_resource_versions: versions.collect(),
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(first).await.unwrap();
        let stream = client.delta_aggregated_resources(ReceiverStream::new(receiver));
        let responses = stream.await.unwrap().into_inner();
        Self {
            node,
            requests,
            responses,
            has,
        }
    }

    /// Takes over what comes until the stream ends; when that was, and in which words.
    async fn until_the_end(&mut self) -> (Instant, Status) {
        loop {
            match self.responses.message().await {
                Ok(response) => {
                    self.take(response.expect("a server says why a stream ends"))
                        .await
                }
                Err(status) => return (Instant::now(), status),
            }
        }
    }

    async fn take(&mut self, response: DeltaDiscoveryResponse) {
        if let Some(cluster) = response.resources.last() {
            self.has = Some(cluster.version.clone());
        }
        let acknowledged = DeltaDiscoveryRequest {
            type_url: response.type_url,
            response_nonce: response.nonce,
            ..DeltaDiscoveryRequest::default()
        };
        // The stream may have ended meanwhile.
        let _ = self.requests.send(acknowledged).await;
    }
}

/// Proxies that have everything and take over what comes until they are let go; with each when that
/// was.
async fn proxies_of(server: &Server) -> Vec<tokio::task::JoinHandle<(Instant, Proxy)>> {
    let joined = (0..PROXIES).map(|n| Proxy::join(server.address, format!("proxy-{n}"), None));
    let joined = join_all(joined).await;
    let tasks = joined.into_iter().map(|mut proxy| {
        tokio::spawn(async move {
            let ended = timeout(2 * BOUND, proxy.until_the_end()).await;
            let (at, status) = ended.expect("the stream ends");
            assert_eq!(status.code(), Code::Unavailable, "{status}");
            (at, proxy)
        })
    });
    let tasks = tasks.collect();
    server.caught_up().await;
    tasks
}

impl Server {
    async fn caught_up(&self) {
        let clients = &self.shared.clients;
        eventually("all are connected", || clients.count(GATEWAY) == PROXIES).await;
        let revision = self.shared.board.published(GATEWAY).revision;
        let caught_up = timeout(BOUND, clients.caught_up(GATEWAY, revision));
        caught_up.await.expect("all acknowledge everything");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_move_one_by_one_and_are_sent_nothing_that_they_have() {
    let (leaving, staying) = (server().await, server().await);
    leaving.serve(GATEWAY, "cluster a:1").await;
    staying.serve(GATEWAY, "cluster a:1").await;
    let proxies = proxies_of(&leaving).await;

    let start = Instant::now();
    let address = leaving.address;
    let stopping = leaving.begin_to_stop();
    let moved = proxies.into_iter().map(async |proxy| {
        let (at, proxy) = proxy.await.unwrap();
        // The door is closed, so that nobody comes back here only to be sent away again.
        TcpStream::connect(address).await.unwrap_err();
        (
            at,
            Proxy::join(staying.address, proxy.node, proxy.has).await,
        )
    });
    let moved = join_all(moved).await;
    stopping.ended().await;
    assert!(start.elapsed() < DRAIN + SHUTDOWN_BOUND);

    // At even distances each tenth has a tenth; a machine that is busy may hold some up.
    let mut tenths = [0; 12];
    for (at, _) in &moved {
        let tenth = (at.duration_since(start).as_secs_f64() / (DRAIN / 10).as_secs_f64()) as usize;
        tenths[tenth.min(11)] += 1;
    }
    println!("ends in each tenth of {DRAIN:?}: {tenths:?}");
    assert!(
        tenths.iter().all(|ends| *ends <= PROXIES * 3 / 10),
        "{tenths:?}"
    );

    staying.caught_up().await;
    let reports = staying.shared.clients.reports(Detail::Counts);
    let sent = reports
        .iter()
        .map(|report| report.types["cluster"].sent.responses);
    assert_eq!(sent.sum::<u64>(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_those_that_have_not_moved_yet() {
    let server = server().await;
    server.serve(GATEWAY, "cluster a:1").await;
    let proxies = proxies_of(&server).await;
    let shared = server.shared.clone();
    let stopping = server.begin_to_stop();
    eventually("some have gone", || shared.clients.count(GATEWAY) < PROXIES).await;
    let changed = locum::xds::snapshot::Snapshot::new([resource(Kind::Cluster, "a:2")], None);
    let revision = shared.board.publish(GATEWAY, changed);
    timeout(BOUND, shared.clients.caught_up(GATEWAY, revision))
        .await
        .expect("who is left acknowledges it");
    let all_have_it = Instant::now();
    assert!(shared.clients.count(GATEWAY) > 0, "all went at once");

    let newest = resource(Kind::Cluster, "a:2").version.0.to_string();
    let mut later = 0;
    for proxy in proxies {
        let (at, proxy) = proxy.await.unwrap();
        if at > all_have_it {
            later += 1;
            assert_eq!(proxy.has.as_ref(), Some(&newest), "{}", proxy.node);
        }
    }
    assert!(later > 0);
    stopping.ended().await;
}

#[tokio::test]
async fn without_a_time_for_it_all_go_at_once() {
    let server = Server::start().await;
    server.serve(GATEWAY, "cluster a:1").await;
    // So many that to let them go one by one would take longer than the bound.
    let joined = (0..50).map(|n| Proxy::join(server.address, format!("proxy-{n}"), None));
    let mut joined = join_all(joined).await;
    let start = Instant::now();
    let stopping = server.begin_to_stop();
    join_all(joined.iter_mut().map(Proxy::until_the_end)).await;
    stopping.ended().await;
    assert!(start.elapsed() < SHUTDOWN_BOUND, "{:?}", start.elapsed());
}

/// The frames of HTTP/2 that matter here (RFC 9113, section 6).
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

/// The kinds of all frames that come until the server closes the connection, on one that asks for
/// nothing.
async fn frames_until_closed(mut stream: TcpStream) -> Vec<u8> {
    let mut kinds = Vec::new();
    loop {
        let mut head = [0; 9];
        match stream.read_exact(&mut head).await {
            Ok(_) => {}
            Err(_) => return kinds,
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        kinds.push(head[3]);
        if head[4] & ACK == 0 && [SETTINGS, PING].contains(&head[3]) {
            let payload = if head[3] == PING { &*payload } else { &[] };
            // The server may have closed it.
            let _ = stream.write_all(&frame(head[3], ACK, payload)).await;
        }
    }
}

#[tokio::test]
async fn each_connection_is_told_to_go_elsewhere_before_it_is_closed() {
    let server = server().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        stream.write_all(preface).await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, &[])).await.unwrap();
        // It is let in.
        stream.readable().await.unwrap();
        streams.push(tokio::spawn(frames_until_closed(stream)));
    }
    let stopping = server.begin_to_stop();
    for stream in streams {
        let kinds = timeout(BOUND, stream).await.expect("it is closed").unwrap();
        assert!(kinds.contains(&GOAWAY), "{kinds:?}");
    }
    stopping.ended().await;
}

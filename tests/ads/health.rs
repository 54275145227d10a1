//! gRPC's health: what a server says of itself while it starts, serves and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use locum::xds::server::{Ready, Shared};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus::{self, *};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::harness::{BOUND, GATEWAY, Server, any_port};

const DISCOVERY: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

const NAMES: [&str; 5] = [
    "",
    DISCOVERY,
    "envoy.service.cluster.v3.ClusterDiscoveryService",
    "envoy.service.load_stats.v3.LoadReportingService",
    "locum.v1.Serving",
];

/// A connection of its own.
fn connection(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address));
    endpoint.unwrap().connect_lazy()
}

fn request(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.into(),
    }
}

/// What the server says of a service when it is asked.
pub(crate) async fn health(channel: Channel, service: &str) -> Result<ServingStatus, Status> {
    let answer = HealthClient::new(channel).check(request(service)).await?;
    Ok(answer.into_inner().status())
}

async fn watch(channel: Channel, service: &str) -> Streaming<HealthCheckResponse> {
    let watched = HealthClient::new(channel).watch(request(service)).await;
    watched.unwrap().into_inner()
}

/// What is said next; nothing when the stream has ended.
async fn next(watched: &mut Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    let said = timeout(BOUND, watched.message()).await;
    let said = said.expect("something is said").unwrap()?;
    Some(said.status())
}

#[tokio::test]
async fn a_server_serves_once_there_is_a_snapshot_and_no_more_when_it_ends() {
    let shared = Shared {
        drain: Duration::from_secs(1),
        ..Shared::default()
    };
    let server = Server::start_sharing(any_port(), shared).await;
    let channel = connection(&server);
    for name in NAMES {
        assert_eq!(health(channel.clone(), name).await.unwrap(), NotServing);
    }
    // The first is let go at once, the others while it goes on.
    let mut first = watch(channel.clone(), DISCOVERY).await;
    let mut second = watch(connection(&server), "").await;
    assert_eq!(next(&mut first).await, Some(NotServing));
    assert_eq!(next(&mut second).await, Some(NotServing));

    server.serve(GATEWAY, "cluster a:1").await;
    for name in NAMES {
        assert_eq!(health(channel.clone(), name).await.unwrap(), Serving);
    }
    assert_eq!(next(&mut first).await, Some(Serving));
    assert_eq!(next(&mut second).await, Some(Serving));

    let stopping = server.begin_to_stop();
    for watched in [&mut first, &mut second] {
        assert_eq!(next(watched).await, Some(NotServing));
        assert_eq!(next(watched).await, None);
    }
    stopping.ended().await;
}

#[tokio::test]
async fn who_knows_better_says_whether_the_server_may_serve() {
    let may = Arc::new(AtomicBool::new(false));
    let asked = may.clone();
    let shared = Shared {
        ready: Ready::when(move || asked.load(Ordering::Relaxed)),
        ..Shared::default()
    };
    let server = Server::start_sharing(any_port(), shared).await;
    server.serve(GATEWAY, "cluster a:1").await;
    let channel = connection(&server);
    let mut watched = watch(channel.clone(), "").await;
    for (is_ready, expected) in [(false, NotServing), (true, Serving), (false, NotServing)] {
        may.store(is_ready, Ordering::Relaxed);
        assert_eq!(health(channel.clone(), "").await.unwrap(), expected);
        assert_eq!(next(&mut watched).await, Some(expected));
    }
}

#[tokio::test]
async fn a_service_that_is_not_here_is_unknown() {
    let server = Server::start().await;
    let channel = connection(&server);
    for name in ["envoy.service.runtime.v3.RuntimeDiscoveryService", "x"] {
        let refused = health(channel.clone(), name).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        // Who watches is told, and stays, as the protocol has it.
        let mut watched = watch(channel.clone(), name).await;
        assert_eq!(next(&mut watched).await, Some(ServiceUnknown));
    }
    server.stop().await;
}

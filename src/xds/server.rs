//! The xDS server: the thin shell that carries streams over gRPC.
//!
//! In: the [`Board`] that the pipeline publishes on, and proxies that connect. Out: responses to
//! them, entries in [`Clients`], metrics and log lines. Load reports, those who watch them and other
//! replicas are let in by the same door. It decides nothing about the protocol; that is
//! [`crate::xds::stream`].

mod board;
mod codec;
mod complaints;
mod door;
mod services;
mod stream;

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::load_stats::v3 as load_stats;
use load_stats::load_reporting_service_server::LoadReportingServiceServer;
use tokio::net::{TcpListener, ToSocketAddrs, UnixListener};
use tokio::sync::{Semaphore, watch};

pub use board::{Board, Published};
use services::Discovery;

use crate::api::v1::serving_server::ServingServer;
use crate::replicas::{Observe, Own};
use crate::serving::{LoadReports, Serving, Watch};
use crate::trust::Tls;
use crate::xds::clients::Clients;
use crate::xds::metrics::Metrics;
use crate::xds::proxy::Admission;

/// The largest message a proxy may send: one that reconnects names all it has, at about 50 bytes
/// each.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// The most discovery streams that are served at once.
pub const MAX_STREAMS: usize = 10_000;

/// The most streams that one connection may open at once: discovery, load reports, and room for
/// other services.
pub const MAX_STREAMS_PER_CONNECTION: u32 = 100;

/// How long a connection may be silent before it is asked for a sign of life.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// How long that sign may take before the connection is dropped.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long connections may take to end when the server does.
pub const SHUTDOWN_BOUND: Duration = Duration::from_secs(3);

/// Where the server listens.
#[derive(Debug)]
pub enum Listener {
    /// In plaintext: whoever reaches it may be anybody.
    Tcp(TcpListener),
    /// Over mutual TLS: a proxy is of the Gateway that its certificate names.
    Tls(TcpListener, Tls),
    /// Plaintext for those who can open the socket's file.
    Unix(UnixListener),
}

/// Why the server ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on: another process does, or it is not of this machine.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// As it was given.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The transport gave up, such as when its listener broke.
    #[error("the xDS server failed: {0}")]
    Transport(#[from] tonic::transport::Error),
}

/// What streams are served from and report to.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// What is served.
    pub board: Arc<Board>,
    /// Who is connected.
    pub clients: Arc<Clients>,
    /// Whom it lets in, and what names their groups.
    pub admission: Admission,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What load reports say of Locum's chains; it stays empty for others.
    pub serving: Arc<Serving>,
    /// What other replicas may ask for; nothing where there are none.
    pub own: Option<Own>,
}

impl Shared {
    /// With nothing served yet, and nobody connected.
    pub fn with(admission: Admission) -> Self {
        Self {
            admission,
            ..Self::default()
        }
    }

    /// Serves in plaintext at an address, such as `127.0.0.1:18000`, until `shutdown` comes; as
    /// [`serve`] does for any listener.
    pub async fn serve_at(
        &self,
        address: impl ToSocketAddrs + Display,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let listener = TcpListener::bind(&address).await;
        let listener = listener.map_err(|source| ServeError::Bind {
            address: address.to_string(),
            source,
        })?;
        serve(Listener::Tcp(listener), self.clone(), shutdown).await
    }
}

/// Serves discovery to proxies until `shutdown` comes; then ends every stream, so that proxies look
/// for another server, and returns within [`SHUTDOWN_BOUND`].
pub async fn serve(
    listener: Listener,
    shared: Shared,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (stop, running) = watch::channel(true);
    let serving = shared.serving.clone();
    let own = shared.own.clone();
    let observe = own.map(|own| Observe::service(own, stopped(running.clone())));
    let reports = LoadReports::new(serving.clone(), shared.admission, stopped(running.clone()));
    let watch = Watch::new(serving, stopped(running.clone()));
    let refusals = door::Refusals::counted_in(shared.metrics.clone());
    let discovery = Discovery {
        shared,
        complaints: refusals.complaints.clone(),
        running: running.clone(),
        places: Arc::new(Semaphore::new(MAX_STREAMS)),
    };
    let router = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .add_routes(discovery.routes())
        .add_service(
            LoadReportingServiceServer::new(reports).max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(ServingServer::new(watch))
        .add_optional_service(observe);
    let closed = stopped(running.clone());
    let stopped = stopped(running);
    let served = async {
        match listener {
            Listener::Tcp(listener) => {
                let incoming = door::plain(listener);
                router.serve_with_incoming_shutdown(incoming, stopped).await
            }
            Listener::Tls(listener, tls) => {
                let incoming = door::tls(listener, tls, refusals, closed);
                router.serve_with_incoming_shutdown(incoming, stopped).await
            }
            Listener::Unix(listener) => {
                let incoming = door::unix(listener);
                router.serve_with_incoming_shutdown(incoming, stopped).await
            }
        }
    };
    tokio::pin!(served);
    tokio::select! {
        ended = &mut served => return Ok(ended?),
        () = shutdown => {}
    }
    stop.send_replace(false);
    match tokio::time::timeout(SHUTDOWN_BOUND, served).await {
        Ok(ended) => Ok(ended?),
        Err(_) => {
            tracing::warn!("some proxies did not close their connections in time");
            Ok(())
        }
    }
}

/// Resolves when the server is to stop.
async fn stopped(mut running: watch::Receiver<bool>) {
    // An error means that the server's future was dropped, which stops it too.
    let _ = running.wait_for(|running| !running).await;
}

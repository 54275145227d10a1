//! The xDS server: the thin shell that carries streams over gRPC.
//!
//! In: the [`Board`] that the pipeline publishes on, and proxies that connect. Out: responses to
//! them, entries in [`Clients`], metrics and log lines. Load reports, those who watch them and other
//! replicas are let in by the same door, as are questions about health and about what is served. It
//! decides nothing about the protocol; that is [`crate::xds::stream`].

mod board;
mod codec;
mod complaints;
mod connections;
mod discovery;
mod door;
mod expiry;
mod health;
mod places;
mod reflection;
mod requests;
mod responses;
mod services;
pub mod socket;
mod stream;
mod told;

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::load_stats::v3 as load_stats;
use load_stats::load_reporting_service_server::LoadReportingServiceServer;
use tokio::net::{TcpListener, ToSocketAddrs, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::Routes;

pub use board::{Board, Published};
use complaints::Complaints;
use connections::Connections;
use discovery::Discovery;
use health::Health;
pub use health::Ready;
use places::Places;
use services::Services;
pub use told::{JournalError, Told};

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
pub const MAX_STREAMS: usize = 20_000;

/// The most of them that proxies of one group (in Locum, of one Gateway) may have, and those that
/// have not said yet whose they are: so that whoever opens all that he can leaves some to others.
pub const MAX_STREAMS_OF_GROUP: usize = MAX_STREAMS / 2;

/// The most streams that one connection may open at once: discovery, load reports, and room for
/// other services.
pub const MAX_STREAMS_PER_CONNECTION: u32 = 100;

/// How long a connection may be silent before it is asked for a sign of life.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// How long that sign may take before the connection is dropped.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a connection may take to end once it was told to.
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
    /// What [gRPC's health](https://grpc.io/docs/guides/health-checking/) says.
    pub ready: Ready,
    /// The sets of clusters and listeners that proxies of the state of the world were told: in memory,
    /// or in a file for a server that comes after this one.
    pub told: Arc<Told>,
    /// Over what time proxies are let go when the server ends, if they are many. Zero lets all go at
    /// once, which is right where no other server could take them.
    pub drain: Duration,
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
        serve(Listener::Tcp(listener), self.clone(), shutdown).await;
        Ok(())
    }
}

/// Serves discovery to proxies until `shutdown` comes. Then nobody is let in any more, and
/// connections are told to go elsewhere one by one, over [`Shared::drain`]: their streams end, while
/// the others are served on. Returns within [`SHUTDOWN_BOUND`] after the last.
pub async fn serve(listener: Listener, shared: Shared, shutdown: impl Future<Output = ()>) {
    let refusals = door::Refusals::counted_in(shared.metrics.clone());
    let (drain, clients) = (shared.drain, shared.clients.clone());
    // It ends with this.
    let mut watched = JoinSet::new();
    let (stop, runs) = watch::channel(true);
    let complaints = refusals.complaints.clone();
    let mut connections = Connections::new(services(shared, complaints, runs));
    match listener {
        Listener::Tcp(listener) => {
            let incoming = door::plain(listener);
            connections.accept(incoming, shutdown).await;
        }
        Listener::Tls(listener, tls) => {
            let incoming = door::tls(listener, tls, refusals);
            watched.spawn(expiry::watch(clients));
            connections.accept(incoming, shutdown).await;
        }
        Listener::Unix(listener) => {
            let incoming = door::unix(listener);
            connections.accept(incoming, shutdown).await;
        }
    }
    stop.send_replace(false);
    connections.drain(drain).await;
}

/// All that is answered at the door. `runs` holds a value as long as the server is to run.
fn services(shared: Shared, complaints: Arc<Complaints>, runs: watch::Receiver<bool>) -> Routes {
    let (ready, board) = (shared.ready.clone(), shared.board.clone());
    let reports = LoadReports::new(shared.serving.clone(), shared.admission);
    let watch = Watch::new(shared.serving.clone());
    let observe = shared.own.clone().map(Observe::service);
    let discovery = Discovery {
        shared,
        complaints,
        places: Places::new(MAX_STREAMS, MAX_STREAMS_OF_GROUP),
    };
    let mut services = Services::beginning_with(discovery.routes(), discovery::names());
    services
        .add(LoadReportingServiceServer::new(reports).max_decoding_message_size(MAX_MESSAGE_BYTES));
    services.add(ServingServer::new(watch));
    if let Some(observe) = observe {
        services.add(observe);
    }
    services.described(|names| Health::service(ready, board, runs, names))
}

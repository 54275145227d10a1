//! The xDS server: the thin shell that carries streams over gRPC.
//!
//! In: the [`Board`] that the pipeline publishes on, and proxies that connect. Out: responses to
//! them, entries in [`Clients`], metrics and log lines. Load reports, those who watch them and other
//! replicas are let in by the same door, as are questions about health and about what is served. It decides nothing about the protocol; that is
//! [`crate::xds::stream`].

mod board;
mod complaints;
mod connections;
mod door;
mod expiry;
mod health;
mod reflection;
mod services;
pub mod socket;
mod stream;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use discovery::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use envoy_types::pb::envoy::service::load_stats::v3 as load_stats;
use futures::StreamExt;
use load_stats::load_reporting_service_server::LoadReportingServiceServer;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

pub use board::{Board, Published};
use complaints::Complaints;
use connections::Connections;
use health::Health;
pub use health::Ready;
use services::Services;

use crate::api::v1::serving_server::ServingServer;
use crate::replicas::{Observe, Own};
use crate::serving::{LoadReports, Serving, Watch};
use crate::trust::{Peer, Tls};
use crate::xds::clients::Clients;
use crate::xds::delta;
use crate::xds::message;
use crate::xds::metrics::Metrics;
use crate::xds::sotw;
use crate::xds::stream::{MAX_NOTICES, MAX_RESPONSES};

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
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What load reports say of Locum's chains; it stays empty for others.
    pub serving: Arc<Serving>,
    /// What other replicas may ask for; nothing where there are none.
    pub own: Option<Own>,
    /// What [gRPC's health](https://grpc.io/docs/guides/health-checking/) says.
    pub ready: Ready,
    /// Over what time proxies are let go when the server ends, if they are many. Zero lets all go at
    /// once, which is right where no other server could take them.
    pub drain: Duration,
}

/// The discovery service.
#[derive(Debug)]
struct Ads {
    shared: Shared,
    complaints: Arc<Complaints>,
    places: Arc<Semaphore>,
}

/// Serves discovery to proxies until `shutdown` comes. Then nobody is let in any more, and
/// connections are told to go elsewhere one by one, over [`Shared::drain`]: their streams end, while
/// the others are served on. Returns within [`SHUTDOWN_BOUND`] after the last.
pub async fn serve(
    listener: Listener,
    shared: Shared,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
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
            connections.accept(incoming, shutdown).await?;
        }
        Listener::Tls(listener, tls) => {
            let incoming = door::tls(listener, tls, refusals);
            watched.spawn(expiry::watch(clients));
            connections.accept(incoming, shutdown).await?;
        }
        Listener::Unix(listener) => {
            let incoming = door::unix(listener);
            connections.accept(incoming, shutdown).await?;
        }
    }
    stop.send_replace(false);
    Ok(connections.drain(drain).await?)
}

/// All that is answered at the door. `runs` holds a value as long as the server is to run.
fn services(shared: Shared, complaints: Arc<Complaints>, runs: watch::Receiver<bool>) -> Routes {
    let (ready, board) = (shared.ready.clone(), shared.board.clone());
    let reports = LoadReports::new(shared.serving.clone());
    let watch = Watch::new(shared.serving.clone());
    let observe = shared.own.clone().map(Observe::service);
    let ads = Ads {
        shared,
        complaints,
        places: Arc::new(Semaphore::new(MAX_STREAMS)),
    };
    let mut services = Services::default();
    services.add(
        AggregatedDiscoveryServiceServer::new(ads).max_decoding_message_size(MAX_MESSAGE_BYTES),
    );
    services
        .add(LoadReportingServiceServer::new(reports).max_decoding_message_size(MAX_MESSAGE_BYTES));
    services.add(ServingServer::new(watch));
    if let Some(observe) = observe {
        services.add(observe);
    }
    services.described(|names| Health::service(ready, board, runs, names))
}

type Responses<T> = Pin<Box<dyn futures::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Ads {
    type StreamAggregatedResourcesStream = Responses<discovery::DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<discovery::DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<discovery::DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        self.open(request, sotw::message)
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<discovery::DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        self.open(request, delta::message)
    }
}

impl Ads {
    /// Opens a stream of the variant that the requests are of.
    fn open<R, M>(
        &self,
        request: Request<Streaming<R>>,
        message: fn(&message::Response) -> M,
    ) -> Result<Response<Responses<M>>, Status>
    where
        R: message::Request + Send + Sync + 'static,
        M: 'static,
    {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            self.shared.metrics.rejected();
            return Err(Status::resource_exhausted(format!(
                "{MAX_STREAMS} streams are open already"
            )));
        };
        let peer = Peer::of(&request);
        let (sender, receiver) = mpsc::channel(MAX_RESPONSES + MAX_NOTICES + 1);
        let session = stream::Session {
            shared: self.shared.clone(),
            complaints: self.complaints.clone(),
            peer,
            requests: request.into_inner(),
            responses: sender,
        };
        tokio::spawn(async move {
            session.run().await;
            drop(place);
        });
        // Resources are copied into a message when the transport asks for it, not before: one that
        // nobody reads costs references only.
        let messages = ReceiverStream::new(receiver)
            .map(move |response: Result<_, Status>| Ok(message(&response?)));
        Ok(Response::new(Box::pin(messages)))
    }
}

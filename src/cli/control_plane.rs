//! What `run` and `serve` have in common: sources, pipeline, xDS server and admin interface,
//! started together.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::options::{Misuse, ServerAddresses, XdsListen};
use crate::admin::{self, Gate};
use crate::bootstrap::XdsAddress;
use crate::pipeline::{self, Pipeline};
use crate::proxy::{Addresses, Proxies, StateDir};
use crate::serving;
use crate::source::Update;
use crate::source::files::{Files, WatchError};
use crate::translate;
use crate::trust::{self, Tls};
use crate::xds::metrics::Metrics;
use crate::xds::proxy::Admission;
use crate::xds::server::socket::{self, SocketFile};
use crate::xds::server::{self, Listener, Ready, Shared, Told};

/// Updates of a source that may wait to be taken in; a source that is quicker waits itself.
const WAITING_UPDATES: usize = 16;

/// The sockets that Locum listens on, bound before anything else is done, so that a port that is
/// taken is said first.
#[derive(Debug)]
pub(super) struct Sockets {
    xds: XdsSocket,
    admin: TcpListener,
    health: Option<TcpListener>,
    pub(super) addresses: Addresses,
}

impl Sockets {
    /// Binds what the options say. Where they leave the choice of the xDS port, `previous` is taken
    /// if it is free: Envoys that are still running ask there.
    pub(super) async fn bind(
        options: ServerAddresses,
        previous: Option<Addresses>,
    ) -> anyhow::Result<Self> {
        let xds = match options.xds {
            XdsListen::Ip(address) => XdsSocket::Tcp(bind_again(address, previous).await?),
            XdsListen::Unix(path) => {
                let path = std::path::absolute(path)?;
                let listening = socket::listen(&path, options.socket_mode);
                let (listener, file) = listening.context("--xds-address")?;
                XdsSocket::Unix(listener, file, path)
            }
        };
        let admin = bind(options.admin, "--admin-address").await?;
        let health = match options.health {
            Some(address) => Some(bind(address, "--health-address").await?),
            None => None,
        };
        let addresses = Addresses {
            xds: match &xds {
                XdsSocket::Tcp(listener) => XdsAddress::Ip(listener.local_addr()?),
                XdsSocket::Unix(_, _, path) => XdsAddress::Unix(path.clone()),
            },
            admin: admin.local_addr()?,
        };
        Ok(Self {
            xds,
            admin,
            health,
            addresses,
        })
    }
}

/// Where Envoys ask.
#[derive(Debug)]
enum XdsSocket {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile, PathBuf),
}

/// A listener at `wanted`; where that leaves the choice of the port, at the previous one if it is
/// free.
async fn bind_again(
    wanted: SocketAddr,
    previous: Option<Addresses>,
) -> anyhow::Result<TcpListener> {
    let again = previous.and_then(|addresses| match addresses.xds {
        XdsAddress::Ip(address) => Some(address),
        XdsAddress::Name(..) | XdsAddress::Unix(_) => None,
    });
    let again = again.filter(|address| wanted.port() == 0 && address.ip() == wanted.ip());
    if let Some(address) = again
        && let Ok(listener) = TcpListener::bind(address).await
    {
        return Ok(listener);
    }
    bind(wanted, "--xds-address").await
}

async fn bind(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            anyhow!("{address} is in use by another process; choose another address with {option}")
        } else {
            anyhow!("{option} {address}: {error}")
        }
    })
}

/// A control plane that has started.
#[derive(Debug)]
pub(super) struct ControlPlane {
    pub(super) states: watch::Receiver<Arc<pipeline::State>>,
    tasks: JoinSet<anyhow::Result<()>>,
    /// Ends with the xDS server.
    served: oneshot::Receiver<()>,
}

/// A control plane whose parts are there and not yet running.
#[derive(Debug)]
pub(super) struct Prepared {
    sockets: Sockets,
    pub(super) shared: Shared,
    pub(super) registry: Registry,
    pipeline: Pipeline,
    pub(super) states: watch::Receiver<Arc<pipeline::State>>,
    /// The Envoys under this Locum, if it has any.
    pub(super) proxies: Option<watch::Receiver<Proxies>>,
    /// How proxies are met; in plaintext where there is nothing.
    tls: Option<Tls>,
    /// What has to be there before Locum is ready, besides the first snapshot.
    pub(super) gates: Vec<Gate>,
}

impl Prepared {
    /// Who serves, now and whenever it changes.
    pub(super) fn serving(&self) -> watch::Receiver<Arc<serving::State>> {
        self.shared.serving.watch()
    }

    /// Puts the parts together.
    pub(super) fn new(sockets: Sockets, translation: translate::Options) -> Self {
        let mut registry = Registry::default();
        let shared = Shared::with(Admission::LOCUM);
        shared.metrics.register(&mut registry);
        let metrics = pipeline::Metrics::register(&mut registry);
        let (pipeline, states) = Pipeline::new(translation, &shared, metrics);
        Self {
            sockets,
            shared,
            registry,
            pipeline,
            states,
            proxies: None,
            tls: None,
            gates: Vec::new(),
        }
    }

    /// Meets proxies over mutual TLS; not ready before it has credentials.
    pub(super) fn over_tls(&mut self, tls: Tls) {
        trust::register(tls.clone(), &mut self.registry);
        let clients = self.shared.clients.clone();
        Metrics::register_certificates(clients, &mut self.registry);
        let asked = tls.clone();
        let missing = Gate::new(move || asked.missing().into_iter().collect());
        self.gates.push(missing);
        self.tls = Some(tls);
    }

    /// Starts reading and serving. `source` sends what there is to read; `stop` ends the xDS
    /// server.
    pub(super) fn start<S>(
        self,
        source: impl FnOnce(mpsc::Sender<Update>) -> S,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> ControlPlane
    where
        S: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        let (updates, waiting) = mpsc::channel(WAITING_UPDATES);
        tasks.spawn(source(updates));
        // Translation may take a while; on a thread of its own it holds up no stream.
        let pipeline = self.pipeline;
        let runtime = tokio::runtime::Handle::current();
        tasks.spawn_blocking(move || {
            runtime.block_on(pipeline.run(waiting));
            Ok(())
        });
        let (listener, file) = match (self.sockets.xds, self.tls) {
            (XdsSocket::Tcp(listener), Some(tls)) => (Listener::Tls(listener, tls), None),
            (XdsSocket::Tcp(listener), None) => (Listener::Tcp(listener), None),
            (XdsSocket::Unix(listener, file, _), _) => (Listener::Unix(listener), Some(file)),
        };
        let shared = Shared {
            ready: ready(self.states.clone(), self.gates.clone()),
            ..self.shared.clone()
        };
        let (serves, served) = oneshot::channel();
        tasks.spawn(async move {
            let _serves: oneshot::Sender<()> = serves;
            // Goes with the server.
            let _file = file;
            server::serve(listener, shared, stop).await;
            Ok(())
        });
        let sources = admin::Sources {
            states: self.states.clone(),
            clients: self.shared.clients,
            serving: self.shared.serving,
            registry: Arc::new(self.registry),
            proxies: self.proxies,
            gates: self.gates,
        };
        if let Some(health) = self.sockets.health {
            let served = admin::serve_health(health, sources.clone());
            tasks.spawn(async move { served.await.context("the health interface") });
        }
        let admin = self.sockets.admin;
        tasks.spawn(async move {
            let served = admin::serve(admin, sources).await;
            served.context("the admin interface")
        });
        ControlPlane {
            states: self.states,
            tasks,
            served,
        }
    }
}

/// What gRPC's health says: what /readyz does, but for Envoys under this Locum, which wait for its
/// xDS server, not it for them.
fn ready(states: watch::Receiver<Arc<pipeline::State>>, gates: Vec<Gate>) -> Ready {
    Ready::when(move || states.borrow().revision > 0 && gates.iter().all(Gate::is_open))
}

/// What proxies were told, as an earlier Locum noted it in this directory; from now on noted there.
pub(super) fn told(state_dir: &StateDir) -> anyhow::Result<Arc<Told>> {
    let told = Told::kept_in(&state_dir.told());
    let told = told.context("cannot keep what proxies are told; name another --state-dir")?;
    Ok(Arc::new(told))
}

/// Files as source: sends what is in them, and what becomes of them.
pub(super) async fn read(files: Files, updates: mpsc::Sender<Update>) -> anyhow::Result<()> {
    match files.watch(updates).await {
        Err(WatchError::Load(error)) => Err(Misuse::new(error.to_string()).into()),
        ended => ended.context("the manifests"),
    }
}

impl ControlPlane {
    /// Runs a further part, whose failure is the control plane's.
    pub(super) fn also(&mut self, part: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async {
            part.await;
            Ok(())
        });
    }

    /// Waits until the xDS server, which was told to stop, has let its proxies go.
    pub(super) async fn served(self) {
        // An error is what the server's end looks like.
        let _ = self.served.await;
    }

    /// Waits until a part fails. Parts that end as they should are not waited for again.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) => return error.into(),
                None => std::future::pending().await,
            }
        }
    }
}

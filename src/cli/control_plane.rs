//! What `run` and `serve` have in common: sources, pipeline, xDS server and admin interface,
//! started together.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::options::{FileSource, Misuse, ServerOptions};
use crate::admin;
use crate::pipeline::{self, Pipeline};
use crate::proxy::{Addresses, Proxies};
use crate::serving;
use crate::source::files::{Files, WatchError};
use crate::xds::server::{self, Listener, Shared};

/// Updates of a source that may wait to be taken in; a source that is quicker waits itself.
const WAITING_UPDATES: usize = 16;

/// The sockets that Locum listens on, bound before anything else is done, so that a port that is
/// taken is said first.
#[derive(Debug)]
pub(super) struct Sockets {
    xds: TcpListener,
    admin: TcpListener,
    pub(super) addresses: Addresses,
}

impl Sockets {
    /// Binds what the options say. Where they leave the choice of the xDS port, `previous` is taken
    /// if it is free: Envoys that are still running ask there.
    pub(super) async fn bind(
        options: ServerOptions,
        previous: Option<Addresses>,
    ) -> anyhow::Result<Self> {
        let wanted = options.xds_address;
        let again = previous
            .map(|addresses| addresses.xds)
            .filter(|address| wanted.port() == 0 && address.ip() == wanted.ip());
        let xds = match again {
            Some(address) => match TcpListener::bind(address).await {
                Ok(listener) => listener,
                Err(_) => bind(wanted, "--xds-address").await?,
            },
            None => bind(wanted, "--xds-address").await?,
        };
        let admin = bind(options.admin_address, "--admin-address").await?;
        let addresses = Addresses {
            xds: xds.local_addr()?,
            admin: admin.local_addr()?,
        };
        Ok(Self {
            xds,
            admin,
            addresses,
        })
    }
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
}

/// A control plane whose parts are there and not yet running.
#[derive(Debug)]
pub(super) struct Prepared {
    sockets: Sockets,
    files: Files,
    shared: Shared,
    registry: Registry,
    pipeline: Pipeline,
    pub(super) states: watch::Receiver<Arc<pipeline::State>>,
}

impl Prepared {
    /// Who serves, now and whenever it changes.
    pub(super) fn serving(&self) -> watch::Receiver<Arc<serving::State>> {
        self.shared.serving.watch()
    }

    /// Puts the parts together.
    pub(super) fn new(sockets: Sockets, source: FileSource) -> Self {
        let files = Files::new(source.paths, source.namespace);
        let mut registry = Registry::default();
        let shared = Shared::default();
        shared.metrics.register(&mut registry);
        let metrics = pipeline::Metrics::register(&mut registry);
        let (pipeline, states) = Pipeline::new(source.translation, &shared, metrics);
        Self {
            sockets,
            files,
            shared,
            registry,
            pipeline,
            states,
        }
    }

    /// Starts reading and serving. `proxies` are the Envoys under this Locum, if it has any; `stop`
    /// ends the xDS server.
    pub(super) fn start(
        self,
        proxies: Option<watch::Receiver<Proxies>>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> ControlPlane {
        let mut tasks = JoinSet::new();
        let (updates, waiting) = mpsc::channel(WAITING_UPDATES);
        let files = self.files;
        tasks.spawn(async move {
            match files.watch(updates).await {
                Err(WatchError::Load(error)) => Err(Misuse::new(error.to_string()).into()),
                ended => ended.context("the manifests"),
            }
        });
        // Translation may take a while; on a thread of its own it holds up no stream.
        let pipeline = self.pipeline;
        let runtime = tokio::runtime::Handle::current();
        tasks.spawn_blocking(move || {
            runtime.block_on(pipeline.run(waiting));
            Ok(())
        });
        let listener = Listener::Tcp(self.sockets.xds);
        let shared = self.shared.clone();
        tasks.spawn(async move { Ok(server::serve(listener, shared, stop).await?) });
        let sources = admin::Sources {
            states: self.states.clone(),
            clients: self.shared.clients,
            serving: self.shared.serving,
            registry: Arc::new(self.registry),
            proxies,
        };
        let admin = self.sockets.admin;
        tasks.spawn(async move {
            let served = admin::serve(admin, sources).await;
            served.context("the admin interface")
        });
        ControlPlane {
            states: self.states,
            tasks,
        }
    }
}

impl ControlPlane {
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

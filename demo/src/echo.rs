//! A small HTTP backend that says who it is, as the Gateway API conformance suite's echo-basic
//! does, and that fails on request.
//!
//! In: HTTP/1.1 requests. Out: JSON with the path, host, method, protocol and headers of the
//! request and the name of the pod. What it answers can be changed while it runs, in process
//! through [`Echo::behave`] or with a PUT of a [`Behaviour`] to `/__control`. It counts how often
//! each request, told by its `x-load-id` header, was carried out. It never does anything but
//! answer: it has no state besides its behaviour and its counts.

mod answer;
mod behaviour;
mod command;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub use answer::{ID_HEADER, Identity};
pub use behaviour::{Behaviour, Counts};
pub use command::Options;

use behaviour::Shared;

/// How long [`Echo::revive`] tries to get its address back.
const REBIND_LIMIT: Duration = Duration::from_secs(5);
/// Between two of those tries.
const REBIND_PAUSE: Duration = Duration::from_millis(10);
/// Connections waiting to be accepted: a closed loop opens many at once.
const BACKLOG: u32 = 1024;

/// A backend of this process. It ends when dropped.
#[derive(Debug)]
pub struct Echo {
    address: SocketAddr,
    shared: Arc<Shared>,
    tls: Option<Arc<ServerConfig>>,
    serving: Option<Serving>,
}

/// One life of a backend.
#[derive(Debug)]
struct Serving {
    /// Dropped, it ends the life.
    alive: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Serving {
    fn start(listener: TcpListener, shared: Arc<Shared>, tls: Option<Arc<ServerConfig>>) -> Self {
        let (alive, dead) = oneshot::channel();
        let task = tokio::spawn(serve(listener, shared, tls, dead));
        Self { alive, task }
    }
}

impl Echo {
    /// A backend that serves on `listen`; port 0 means any free one.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn start(listen: SocketAddr, identity: Identity) -> io::Result<Self> {
        Self::start_with(listen, identity, None).await
    }

    /// The same, in TLS where there is such.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound.
    pub async fn start_with(
        listen: SocketAddr,
        identity: Identity,
        tls: Option<Arc<ServerConfig>>,
    ) -> io::Result<Self> {
        let listener = bind(listen)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(identity));
        let serving = Some(Serving::start(listener, shared.clone(), tls.clone()));
        Ok(Self {
            address,
            shared,
            tls,
            serving,
        })
    }

    /// Where it serves, also while it is killed.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers like this from the next request on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.behave(behaviour);
    }

    /// What it has counted since it was started, over all its lives.
    pub fn counts(&self) -> Counts {
        self.shared.counts()
    }

    /// Dies as a process does: the port refuses connections, open connections are closed in the
    /// middle of whatever they carry. Has happened when this returns.
    pub async fn kill(&mut self) {
        if let Some(Serving { alive, task }) = self.serving.take() {
            drop(alive);
            // It ends when its last connection has; an error would be a panic of its own, just as dead.
            let _ = task.await;
        }
    }

    /// Serves again, on the address it had.
    ///
    /// # Errors
    ///
    /// When the address stays taken.
    pub async fn revive(&mut self) -> io::Result<()> {
        self.kill().await;
        let deadline = tokio::time::Instant::now() + REBIND_LIMIT;
        let listener = loop {
            match bind(self.address) {
                Ok(listener) => break listener,
                Err(error) if tokio::time::Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(REBIND_PAUSE).await,
            }
        };
        let serving = Serving::start(listener, self.shared.clone(), self.tls.clone());
        self.serving = Some(serving);
        Ok(())
    }

    /// Serves until its task is ended from outside.
    pub async fn served(mut self) {
        if let Some(Serving { alive, task }) = self.serving.take() {
            let _ = task.await;
            drop(alive);
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.task.abort();
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until it is dead. The connections are its own, so that they end with it: after the
/// listener, so that none is accepted in between, and before this returns.
async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    tls: Option<Arc<ServerConfig>>,
    mut dead: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut dead => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(accept(stream, shared.clone(), tls.clone()));
            }
            // Out of file descriptors, or the peer has gone again: the next one may do better.
            Err(_) => tokio::time::sleep(REBIND_PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    connections.shutdown().await;
}

async fn accept(stream: TcpStream, shared: Arc<Shared>, tls: Option<Arc<ServerConfig>>) {
    // Without this, answers wait for acknowledgements; failing to set it costs time only.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return converse(stream, shared).await;
    };
    // A client that does not like the certificate is gone.
    if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
        converse(stream, shared).await;
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(|request| answer::answer(request, &shared));
    // An error is the peer's going away, or a behaviour that closes the connection.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

//! The door: connections that come in, each with who is at its other end.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::server::TcpIncoming;

use super::complaints::Complaints;
use super::connections::ACCEPT_PAUSE;
use crate::trust::{Identity, Peer, Tls, TlsError};
use crate::xds::metrics::Metrics;

/// The most peers that make themselves known at once; further ones wait in the kernel's queue.
const MAX_HANDSHAKES: usize = 256;
/// How long a connection whose peer was refused is kept, so that the peer hears why.
const LAST_WORDS_BOUND: Duration = Duration::from_millis(500);

/// A connection and its peer.
#[derive(Debug)]
pub(super) struct Connection<IO> {
    io: IO,
    peer: Peer,
    /// Runs once the peer was refused.
    closing: Option<Pin<Box<Sleep>>>,
}

impl<IO> Connection<IO> {
    fn new(io: IO, peer: Peer) -> Self {
        Self {
            io,
            peer,
            closing: None,
        }
    }

    /// Who is at its other end.
    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Ready when the connection is to end, because its peer was refused and has had the time to
    /// hear it.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.closing.is_none() {
            ready!(self.peer.line().poll_hung_up(context));
        }
        let closing = self
            .closing
            .get_or_insert_with(|| Box::pin(sleep(LAST_WORDS_BOUND)));
        closing.as_mut().poll(context)
    }
}

/// Connections in plaintext, from anybody.
pub(super) fn plain(
    listener: TcpListener,
) -> impl Stream<Item = io::Result<Connection<TcpStream>>> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    incoming.map(|stream| {
        let io = stream?;
        let peer = Peer::new(io.peer_addr().ok(), Identity::Unasked);
        Ok(Connection::new(io, peer))
    })
}

/// Connections over a Unix socket, whose permissions say who may come.
pub(super) fn unix(
    listener: UnixListener,
) -> impl Stream<Item = io::Result<Connection<UnixStream>>> {
    UnixListenerStream::new(listener).map(|stream| {
        let peer = Peer::new(None, Identity::Unasked);
        Ok(Connection::new(stream?, peer))
    })
}

/// Connections over mutual TLS, from the first credentials on.
pub(super) fn tls(
    listener: TcpListener,
    tls: Tls,
    refusals: Refusals,
) -> impl Stream<Item = io::Result<Connection<TlsStream<TcpStream>>>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            () = let_in(listener, tls, refusals, &sender) => {}
            () = sender.closed() => {}
        }
    });
    ReceiverStream::new(receiver)
}

type Incoming = mpsc::Sender<io::Result<Connection<TlsStream<TcpStream>>>>;

/// Where it is noted whom the door does not let in.
#[derive(Clone, Debug)]
pub(super) struct Refusals {
    metrics: Arc<Metrics>,
    pub(super) complaints: Arc<Complaints>,
}

impl Refusals {
    pub(super) fn counted_in(metrics: Arc<Metrics>) -> Self {
        let complaints = Arc::default();
        Self {
            metrics,
            complaints,
        }
    }

    fn note(&self, address: SocketAddr, error: &TlsError) {
        self.metrics.refused(error.cause());
        let peer = Peer::new(Some(address), Identity::Unasked);
        self.complaints
            .warn(&peer, &format!("connection refused: {error}"));
    }
}

async fn let_in(listener: TcpListener, tls: Tls, refusals: Refusals, incoming: &Incoming) {
    tls.ready().await;
    let places = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let place = places.clone().acquire_owned().await;
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, refusals, incoming) = (tls.clone(), refusals.clone(), incoming.clone());
        tokio::spawn(async move {
            // A slow peer then holds up nobody else.
            let _place = place;
            // Failing that, answers are only slower.
            let _ = stream.set_nodelay(true);
            match tls.accept(stream).await {
                Ok((io, identity, until)) => {
                    let peer = Peer::new(Some(address), identity).until(until);
                    // An error means that the server has ended.
                    let _ = incoming.send(Ok(Connection::new(io, peer))).await;
                }
                Err(error) => refusals.note(address, &error),
            }
        });
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Connection<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.poll_over(context).is_ready() {
            // As if the peer had closed it.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Connection<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

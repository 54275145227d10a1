//! The open connections: how each is carried, and how all are let go when the server ends.
//!
//! In: connections from the door. Out: requests to the services, and at the end a GOAWAY on each
//! connection at a moment of its own, so that the proxies do not all come to another server at once.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::codegen::Service as _;
use tonic::service::Routes;

use super::door::Connection;
use super::{KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MAX_STREAMS_PER_CONNECTION, SHUTDOWN_BOUND};
use crate::trust::Line;

/// The pause after a connection could not be accepted: there are too many open files, usually.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The most time between two connections that are let go: a handshake, and all that a proxy says
/// when it comes back, take less, so that more would spare nobody anything.
pub(super) const PACE: Duration = Duration::from_millis(100);

/// Whether a connection ended in time once it was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    InTime,
    Late,
}

/// The connections and what they ask.
pub(super) struct Connections {
    http: http2::Builder<TokioExecutor>,
    routes: Routes,
    /// Each returns its number in `lines`.
    open: JoinSet<(u64, End)>,
    /// In the order in which they came.
    lines: BTreeMap<u64, Line>,
    next: u64,
    late: usize,
}

impl Connections {
    /// None yet; what comes asks these services.
    pub(super) fn new(routes: Routes) -> Self {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION);
        Self {
            http,
            routes: routes.prepare(),
            open: JoinSet::new(),
            lines: BTreeMap::new(),
            next: 0,
            late: 0,
        }
    }

    /// Carries each connection that comes in, until `shutdown`. The door is closed then.
    pub(super) async fn accept<IO>(
        &mut self,
        incoming: impl Stream<Item = io::Result<Connection<IO>>>,
        shutdown: impl Future<Output = ()>,
    ) where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        tokio::pin!(incoming, shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                Some(came) = incoming.next() => match came {
                    Ok(connection) => self.carry(connection),
                    Err(error) => {
                        tracing::warn!(%error, "a connection cannot be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = self.open.join_next() => self.note(ended),
            }
        }
    }

    /// Does for one connection what tonic's server does for all, which it tells GOAWAY all at once.
    fn carry<IO>(&mut self, connection: Connection<IO>)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let id = self.next;
        self.next += 1;
        let peer = connection.peer().clone();
        let line = peer.line().clone();
        self.lines.insert(id, line.clone());
        let routes = self.routes.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            routes.clone().call(request)
        });
        let mut served = self
            .http
            .serve_connection(TokioIo::new(connection), service);
        // It is borrowed inside, not moved: there are thousands, and what moves has room twice.
        self.open.spawn(async move {
            tokio::select! {
                ended = &mut served => return (id, ended_by_itself(ended)),
                () = line.left() => {}
            }
            Pin::new(&mut served).graceful_shutdown();
            match timeout(SHUTDOWN_BOUND, &mut served).await {
                Ok(ended) => (id, ended_by_itself(ended)),
                Err(_) => (id, End::Late),
            }
        });
    }

    fn note(&mut self, ended: Result<(u64, End), JoinError>) {
        // An error means that the process ends, or is a panic, which is reported where it happens.
        let Ok((id, end)) = ended else { return };
        self.lines.remove(&id);
        self.late += usize::from(end == End::Late);
    }

    /// Lets all go, evenly over `within`, or in less time where they are few ([`PACE`]); those that
    /// ask for it at the end. What is open is served until its turn comes. Returns when all are
    /// closed, at most [`SHUTDOWN_BOUND`] after the last turn.
    pub(super) async fn drain(mut self, within: Duration) {
        let (last, first): (Vec<_>, Vec<_>) = {
            let lines = self.lines.values().cloned();
            lines.partition(Line::is_last)
        };
        let count = u32::try_from(first.len()).unwrap_or(u32::MAX);
        let span = within.min(PACE.saturating_mul(count));
        if !span.is_zero() {
            tracing::info!(connections = count, over = ?span, "letting proxies go one by one");
        }
        let (start, turns) = (Instant::now(), (0..count).zip(first));
        for (turn, line) in turns {
            self.until(start + turn_of(turn, count, span)).await;
            line.leave();
        }
        self.until(start + span).await;
        for line in last {
            line.leave();
        }
        while let Some(ended) = self.open.join_next().await {
            self.note(ended);
        }
        if self.late > 0 {
            tracing::warn!(
                connections = self.late,
                "some proxies did not close their connections in time"
            );
        }
    }

    /// Waits, as long as there are connections.
    async fn until(&mut self, moment: Instant) {
        loop {
            tokio::select! {
                () = sleep_until(moment) => return,
                ended = self.open.join_next() => match ended {
                    Some(ended) => self.note(ended),
                    None => return,
                },
            }
        }
    }
}

/// Notes how a connection ended that was not cut off.
fn ended_by_itself(ended: hyper::Result<()>) -> End {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
    End::InTime
}

/// When in `span` the turn of one of `count` comes: the first at once, the others at even distances.
fn turn_of(turn: u32, count: u32, span: Duration) -> Duration {
    span.mul_f64(f64::from(turn) / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_at_even_distances_and_the_last_within_the_span() {
        let span = Duration::from_secs(2);
        let turns: Vec<_> = (0..200).map(|turn| turn_of(turn, 200, span)).collect();
        assert_eq!(turns[0], Duration::ZERO);
        assert!(turns[199] < span);
        let distances = turns.windows(2).map(|pair| pair[1] - pair[0]);
        let even = Duration::from_millis(10);
        let off = |distance: Duration| distance.abs_diff(even);
        assert!(distances.map(off).all(|off| off < Duration::from_micros(1)));
    }
}

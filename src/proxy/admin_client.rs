//! An Envoy's admin interface, over TCP or its Unix socket. Each question has a bound.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::bootstrap::{AdminAddress, READY};

/// How long one answer may take; Envoy's main thread may be busy with a large configuration.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest answer that is read, in bytes.
const ANSWER_LIMIT: usize = 1 << 20;

/// The prefix of the admin interface's own statistics.
const ADMIN: &str = "admin";

/// Why an Envoy gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("its admin interface cannot be reached: {0}")]
    Socket(#[from] std::io::Error),
    #[error("its admin interface: {0}")]
    Protocol(#[from] hyper::Error),
    #[error("its admin interface sent no answer that could be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("its admin interface did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Silent,
    #[error("its admin interface answered {status} to {path}")]
    Refused { path: String, status: StatusCode },
}

impl AdminError {
    /// Whether nobody is there any more who could answer.
    pub(super) fn is_gone(&self) -> bool {
        use std::io::ErrorKind::{ConnectionRefused, NotFound};
        let AdminError::Socket(error) = self else {
            return false;
        };
        matches!(error.kind(), ConnectionRefused | NotFound)
    }
}

/// What an Envoy says of itself (`/ready`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// It has its configuration and serves.
    Live,
    /// It was told to drain.
    Draining,
    /// It waits for its configuration.
    Initializing,
}

/// What is under way at an Envoy's listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    pub connections: u64,
    pub requests: u64,
}

/// Asks one Envoy.
#[derive(Clone, Debug)]
pub(super) struct AdminClient {
    address: AdminAddress,
}

impl AdminClient {
    /// A client for the Envoy whose admin interface is there.
    pub(super) fn new(address: AdminAddress) -> Self {
        Self { address }
    }

    /// How far it is.
    pub(super) async fn readiness(&self) -> Result<Readiness, AdminError> {
        let (_, text) = self.ask(Method::GET, "/ready").await?;
        Ok(match text.trim() {
            "LIVE" => Readiness::Live,
            "DRAINING" => Readiness::Draining,
            _ => Readiness::Initializing,
        })
    }

    /// Makes it end each connection with its next answer, so that clients open their next one
    /// elsewhere.
    pub(super) async fn close_connections_with_answers(&self) -> Result<(), AdminError> {
        self.order("/healthcheck/fail").await
    }

    /// Makes it accept no new connection; those that are open stay.
    pub(super) async fn stop_listening(&self) -> Result<(), AdminError> {
        self.order("/drain_listeners").await
    }

    /// Makes it open its log file again, after a rotation.
    pub(super) async fn reopen_log(&self) -> Result<(), AdminError> {
        self.order("/reopen_logs").await
    }

    /// Makes it end at once.
    pub(super) async fn quit(&self) -> Result<(), AdminError> {
        self.order("/quitquitquit").await
    }

    /// What is under way.
    pub(super) async fn activity(&self) -> Result<Activity, AdminError> {
        let path = "/stats?filter=%5Ehttp%5C..*%5C.downstream_(cx%7Crq)_active%24";
        let (_, text) = self.ask(Method::GET, path).await?;
        Ok(activity(&text))
    }

    async fn order(&self, path: &str) -> Result<(), AdminError> {
        let (status, _) = self.ask(Method::POST, path).await?;
        if status.is_success() {
            return Ok(());
        }
        Err(AdminError::Refused {
            path: path.to_owned(),
            status,
        })
    }

    async fn ask(&self, method: Method, path: &str) -> Result<(StatusCode, String), AdminError> {
        timeout(ANSWER_TIMEOUT, self.exchange(method, path))
            .await
            .map_err(|_| AdminError::Silent)?
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
    ) -> Result<(StatusCode, String), AdminError> {
        match &self.address {
            AdminAddress::Ip(address) => {
                exchange_over(TcpStream::connect(address).await?, method, path).await
            }
            AdminAddress::Unix(socket) => {
                exchange_over(UnixStream::connect(socket).await?, method, path).await
            }
        }
    }
}

async fn exchange_over(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    method: Method,
    path: &str,
) -> Result<(StatusCode, String), AdminError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::HOST, "envoy")
        .header(http::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .expect("the paths of this file are URIs");
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT)
            .collect()
            .await;
        let bytes = body.map_err(AdminError::Body)?.to_bytes();
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    };
    tokio::pin!(exchange);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        answer = &mut exchange => answer,
        closed = &mut connection => {
            // The end of the connection may be seen before the answer that it carried.
            closed?;
            exchange.await
        }
    }
}

/// Adds up `http.<listener>.downstream_cx_active: 3`; who asks Envoy how it is is not meant.
fn activity(stats: &str) -> Activity {
    let mut activity = Activity::default();
    for line in stats.lines() {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        let value: u64 = value.trim().parse().unwrap_or_default();
        let listener = name.split('.').nth(1).unwrap_or_default();
        if [ADMIN, READY].contains(&listener) {
            continue;
        }
        if name.ends_with(".downstream_cx_active") {
            activity.connections += value;
        } else if name.ends_with(".downstream_rq_active") {
            activity.requests += value;
        }
    }
    activity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listeners_activity_counts() {
        let stats = "http.admin.downstream_cx_active: 1\nhttp.admin.downstream_rq_active: 1\n\
                     http.ready.downstream_cx_active: 1\n\
                     http.80.downstream_cx_active: 3\nhttp.80.downstream_rq_active: 2\n\
                     http.81.downstream_cx_active: 4\nhttp.81.downstream_rq_active: 0\n";
        let expected = Activity {
            connections: 7,
            requests: 2,
        };
        assert_eq!(activity(stats), expected);
    }
}

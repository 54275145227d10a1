//! One question to an admin interface, an Envoy's or Locum's, over TCP or its Unix socket. Each has a
//! bound of time and one of size.

use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::bootstrap::AdminAddress;

/// How much an answer may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub time: Duration,
    /// In bytes.
    pub size: usize,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    #[error("its admin interface cannot be reached: {0}")]
    Socket(#[from] std::io::Error),
    #[error("its admin interface: {0}")]
    Protocol(#[from] hyper::Error),
    #[error("its admin interface sent no answer that could be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("its admin interface did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("its admin interface answered {status} to {path}{}", after_colon(.answer))]
    Refused {
        path: String,
        status: StatusCode,
        /// What it said, if anything.
        answer: String,
    },
    #[error("{path:?} is no path")]
    Path { path: String },
}

impl AdminError {
    /// Whether nobody is there any more who could answer.
    pub fn is_gone(&self) -> bool {
        use std::io::ErrorKind::{ConnectionRefused, NotFound};
        let AdminError::Socket(error) = self else {
            return false;
        };
        matches!(error.kind(), ConnectionRefused | NotFound)
    }
}

fn after_colon(answer: &str) -> String {
    match answer.trim() {
        "" => String::new(),
        answer => format!(": {answer}"),
    }
}

/// The status and the text of the answer.
pub async fn ask(
    address: &AdminAddress,
    method: Method,
    path: &str,
    limits: Limits,
) -> Result<(StatusCode, String), AdminError> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::HOST, "admin")
        .header(http::header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|_| AdminError::Path { path: path.into() })?;
    let exchange = async {
        match address {
            AdminAddress::Ip(address) => {
                exchange(TcpStream::connect(address).await?, request, limits.size).await
            }
            AdminAddress::Unix(socket) => {
                exchange(UnixStream::connect(socket).await?, request, limits.size).await
            }
        }
    };
    timeout(limits.time, exchange)
        .await
        .map_err(|_| AdminError::Silent(limits.time))?
}

/// The text of the answer, which has to be a success.
pub async fn get(address: &AdminAddress, path: &str, limits: Limits) -> Result<String, AdminError> {
    match ask(address, Method::GET, path, limits).await? {
        (status, text) if status.is_success() => Ok(text),
        (status, answer) => Err(AdminError::Refused {
            path: path.to_owned(),
            status,
            answer,
        }),
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Empty<Bytes>>,
    limit: usize,
) -> Result<(StatusCode, String), AdminError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), limit).collect().await;
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

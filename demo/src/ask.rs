//! One HTTP request on a connection of its own: for control and for looking, not for load.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http::header::{CONNECTION, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// How long a question may take, from connecting to the answer's last byte.
const LIMIT: Duration = Duration::from_secs(15);
/// The longest answer that is read: Envoy's config dump with thousands of routes.
const ANSWER_LIMIT: usize = 256 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Answer {
    /// The body as text, as far as it is.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `pod` of an echo's answer; none if no echo answered 200.
    pub fn pod(&self) -> Option<String> {
        let body = serde_json::from_slice::<serde_json::Value>(&self.body).ok()?;
        let pod = body.get("pod")?.as_str()?;
        (self.status == StatusCode::OK).then(|| pod.to_owned())
    }
}

/// GETs a path over TCP.
///
/// # Errors
///
/// When there is no whole answer within 15 s.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> io::Result<Answer> {
    send(address, message("GET", host, path, Bytes::new())?).await
}

/// PUTs a body over TCP.
///
/// # Errors
///
/// When there is no whole answer within 15 s.
pub async fn put(address: SocketAddr, host: &str, path: &str, body: Bytes) -> io::Result<Answer> {
    send(address, message("PUT", host, path, body)?).await
}

/// GETs a path over a Unix socket.
///
/// # Errors
///
/// When there is no whole answer within 15 s.
pub async fn get_unix(socket: &Path, path: &str) -> io::Result<Answer> {
    let request = message("GET", "localhost", path, Bytes::new())?;
    within(async { exchange(UnixStream::connect(socket).await?, request).await }).await
}

async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> io::Result<Answer> {
    within(async { exchange(TcpStream::connect(address).await?, request).await }).await
}

async fn within(exchange: impl Future<Output = io::Result<Answer>>) -> io::Result<Answer> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {LIMIT:?}"));
    tokio::time::timeout(LIMIT, exchange).await.map_err(late)?
}

fn message(method: &str, host: &str, path: &str, body: Bytes) -> io::Result<Request<Full<Bytes>>> {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(HOST, host).header(CONNECTION, "close");
    request.body(Full::from(body)).map_err(io::Error::other)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> io::Result<Answer> {
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let response = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_LIMIT)
        .collect()
        .await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    connection.abort();
    Ok(Answer { status, body })
}

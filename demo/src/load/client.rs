//! The client side of a load: kept connections, one request at a time on each.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Response;
use http::header::HOST;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::Request;
use crate::echo::ID_HEADER;
use crate::report::Outcome;

/// How often a request whose bytes never left is offered to another connection.
const OFFERS: usize = 5;
/// How much is kept of a proxy's own answer.
const WORDS_LIMIT: usize = 200;
/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

type Sender = SendRequest<Full<Bytes>>;

/// Connections to one address and what is asked over them.
#[derive(Debug)]
pub(super) struct Client {
    request: Request,
    /// Connections that carry nothing, the longest idle first: all are used in turn.
    idle: Mutex<VecDeque<Sender>>,
}

/// What is read of a backend's answer.
#[derive(Deserialize)]
struct Answer {
    pod: Arc<str>,
    #[serde(default)]
    headers: BTreeMap<String, Vec<String>>,
}

impl Client {
    pub(super) fn new(request: Request) -> Self {
        Self {
            request,
            idle: Mutex::default(),
        }
    }

    /// Opens so many connections; those that fail are opened when a request needs them.
    pub(super) async fn connect_ahead(&self, connections: usize) {
        for _ in 0..connections {
            if let Ok(sender) = self.connect().await {
                self.idle().push_back(sender);
            }
        }
    }

    /// Asks once and reads the whole answer, within the request's time.
    pub(super) async fn ask(&self, number: u64) -> Outcome {
        match tokio::time::timeout(self.request.timeout, self.exchange(number)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(why)) => Outcome::Failed(why.into()),
            Err(_) => Outcome::Failed(format!("no answer in {:?}", self.request.timeout).into()),
        }
    }

    async fn exchange(&self, number: u64) -> Result<Outcome, String> {
        let mut request = self.message(number)?;
        for _ in 0..OFFERS {
            let mut sender = self.sender().await?;
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let outcome = self.read(number, response).await?;
                    self.idle().push_back(sender);
                    return Ok(outcome);
                }
                Err(mut refused) => match refused.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(chain(refused.error())),
                },
            }
        }
        Err(format!(
            "{OFFERS} connections were closed before it could be sent"
        ))
    }

    fn message(&self, number: u64) -> Result<http::Request<Full<Bytes>>, String> {
        let paths = &self.request.paths;
        let turn = number % u64::try_from(paths.len()).expect("a length fits 64 bits");
        let path = &paths[usize::try_from(turn).expect("it is less than a length")];
        let mut message = http::Request::builder()
            .method(self.request.method.clone())
            .uri(path)
            .header(HOST, &self.request.host)
            .header(ID_HEADER, number);
        for (name, value) in &self.request.headers {
            message = message.header(name, value);
        }
        message
            .body(Full::from(self.request.body.clone()))
            .map_err(|error| error.to_string())
    }

    async fn read(&self, number: u64, response: Response<Incoming>) -> Result<Outcome, String> {
        let status = response.status().as_u16();
        let body = response.into_body().collect().await;
        let body = body.map_err(|error| chain(&error))?.to_bytes();
        // What is no echo is the proxy's own answer.
        let Ok(answer) = serde_json::from_slice::<Answer>(&body) else {
            let words = String::from_utf8_lossy(&body[..body.len().min(WORDS_LIMIT)]);
            return Ok(Outcome::Refused {
                status,
                words: words.as_ref().into(),
            });
        };
        let mut headers = answer.headers.iter();
        let id = headers.find(|(name, _)| name.eq_ignore_ascii_case(ID_HEADER));
        let own = id.is_some_and(|(_, values)| *values == [number.to_string()]);
        let pod = answer.pod;
        Ok(Outcome::Answered { status, pod, own })
    }

    /// A connection that can take a request now: a kept one, or a new one.
    async fn sender(&self) -> Result<Sender, String> {
        loop {
            let kept = self.idle().pop_front();
            let Some(mut sender) = kept else {
                return self.connect().await;
            };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
    }

    async fn connect(&self) -> Result<Sender, String> {
        let connecting = TcpStream::connect(self.request.address);
        let stream = tokio::time::timeout(CONNECT_LIMIT, connecting).await;
        let stream = stream.map_err(|_| format!("no connection in {CONNECT_LIMIT:?}"))?;
        let stream = stream.map_err(|error| format!("connect: {error}"))?;
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| chain(&error))?;
        // It ends with its sender; its errors reach the request that it carries.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Sender>> {
        // A queue is whole whatever its last user did.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

//! Requests to the API server: lists by the page, watches by the line, single objects.
//!
//! In: paths and parameters. Out: JSON as the server wrote it, or a [`Failure`]. Each wait has a
//! bound; nothing is tried again here, and no answer is ever quoted, since Secrets are among them.

use std::fmt;
use std::time::Duration;

use http::Request;
use http::header::RETRY_AFTER;
use http_body_util::{BodyExt as _, Limited};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::Client;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::client::Body;
use kube::core::Status;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::causes::in_words;
use crate::kubernetes::{RequestError, is_absence};

/// How long the server may take to begin an answer.
const ANSWER: Duration = Duration::from_secs(15);

/// How long an answer may take as a whole, other than a watch.
const WHOLE_ANSWER: Duration = Duration::from_secs(60);

/// The longest answer that is read, in bytes: a page of the largest objects that a server stores.
const ANSWER_LIMIT: usize = 1 << 30;

/// The longest line of a watch, in bytes: an object is at most about 3 MiB there.
const LINE_LIMIT: usize = 64 << 20;

/// The requests that are made.
#[derive(Clone)]
pub(super) struct Server {
    client: Client,
}

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    pub(super) metadata: ListMeta,
    #[serde(default)]
    pub(super) items: Option<Vec<Value>>,
}

/// Why a request has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    #[error("gave no sign for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("answers {}: {}", .status.code, .status.message)]
    Refused {
        status: Box<Status>,
        /// How long to wait, if the server says so.
        retry_after: Option<Duration>,
    },
    #[error("gives an answer that cannot be read: {0}")]
    Illegible(String),
    #[error("ends a watch as soon as it begins")]
    Brief,
    #[error("has {resource} in {served} only, of which Locum reads none")]
    OtherVersions { resource: String, served: String },
}

impl Failure {
    /// The server's refusal by its HTTP status code.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Failure::Refused { status, .. } => Some(status.code),
            _ => None,
        }
    }

    /// Whether no answer came at all.
    pub(super) fn is_unreachable(&self) -> bool {
        matches!(self, Failure::Unreachable(_) | Failure::Silent(_))
    }

    /// Whether the server says for certain that it has no object called `name`.
    pub(super) fn is_absence_of(&self, name: &str) -> bool {
        matches!(self, Failure::Refused { status, .. } if is_absence(status, name))
    }

    fn refused(status: Status, retry_after: Option<Duration>) -> Self {
        let stated = status.details.as_ref();
        let stated = stated.map(|details| Duration::from_secs(details.retry_after_seconds.into()));
        Failure::Refused {
            status: status.boxed(),
            retry_after: retry_after.or(stated.filter(|wait| !wait.is_zero())),
        }
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        match RequestError::from(error) {
            RequestError::Unreachable(why) => Failure::Unreachable(why),
            RequestError::Silent(waited) => Failure::Silent(waited),
            RequestError::Refused(status) => Failure::refused(*status, None),
            RequestError::Illegible(why) => Failure::Illegible(why),
        }
    }
}

impl Server {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// A page of the list at `path`.
    pub(super) async fn page(&self, path: &str, params: &ListParams) -> Result<Page, Failure> {
        let request = kube::core::Request::new(path).list(params);
        let answer = self.whole(request.map_err(unsayable)?).await?;
        serde_json::from_slice(&answer).map_err(illegible)
    }

    /// The single object at `path`.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = Request::get(path).body(Vec::new());
        let answer = self.whole(request.map_err(unsayable)?).await?;
        serde_json::from_slice(&answer).map_err(illegible)
    }

    /// The events at `path` after `version`.
    pub(super) async fn watch(
        &self,
        path: &str,
        params: &WatchParams,
        version: &str,
    ) -> Result<Events, Failure> {
        let request = kube::core::Request::new(path).watch(params, version);
        let body = self.answer(request.map_err(unsayable)?).await?;
        Ok(Events {
            body,
            read: Vec::new(),
            taken: 0,
        })
    }

    async fn whole(&self, request: Request<Vec<u8>>) -> Result<Vec<u8>, Failure> {
        let body = self.answer(request).await?;
        collect(body).await
    }

    /// The body of a good answer.
    async fn answer(&self, request: Request<Vec<u8>>) -> Result<Body, Failure> {
        let asked = timeout(ANSWER, self.client.send(request.map(Body::from))).await;
        let response = asked.map_err(|_| Failure::Silent(ANSWER))??;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let code = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let text = collect(response.into_body()).await?;
        let mut status = match serde_json::from_slice::<Status>(&text) {
            Ok(status) => status,
            // Some answers come from before the API itself, in plain words.
            Err(_) => Status::failure(String::from_utf8_lossy(&text).trim(), ""),
        };
        status.code = code;
        Err(Failure::refused(status, retry_after))
    }
}

async fn collect(body: Body) -> Result<Vec<u8>, Failure> {
    let collected = timeout(WHOLE_ANSWER, Limited::new(body, ANSWER_LIMIT).collect()).await;
    let collected = collected.map_err(|_| Failure::Silent(WHOLE_ANSWER))?;
    let bytes = collected.map_err(|error| Failure::Unreachable(in_words(&*error)))?;
    Ok(bytes.to_bytes().to_vec())
}

/// A request that cannot even be written down: a selector, say, that is no text for a URL.
fn unsayable(error: impl fmt::Display) -> Failure {
    Failure::Illegible(error.to_string())
}

/// Names the place only: the text may be a Secret's.
fn illegible(error: serde_json::Error) -> Failure {
    let (line, column) = (error.line(), error.column());
    Failure::Illegible(format!("line {line}, column {column} is no such JSON"))
}

/// The events of a watch, as they come.
#[derive(Debug)]
pub(super) struct Events {
    body: Body,
    /// What came and, up to `taken`, was given out.
    read: Vec<u8>,
    taken: usize,
}

impl Events {
    /// The next event; nothing once the server has ended the watch in good order. An error among
    /// the events is a failure.
    pub(super) async fn next(
        &mut self,
        patience: Duration,
    ) -> Result<Option<WatchEvent<Value>>, Failure> {
        loop {
            if let Some(length) = self.line() {
                let line = &self.read[self.taken..self.taken + length];
                let event = serde_json::from_slice(line);
                self.taken += length + 1;
                return match event {
                    Ok(WatchEvent::Error(status)) => Err(Failure::refused(*status, None)),
                    Ok(event) => Ok(Some(event)),
                    Err(error) => Err(illegible(error)),
                };
            }
            if !self.read_more(patience).await? {
                return Ok(None);
            }
        }
    }

    /// Whether another event is here already.
    pub(super) fn is_waiting(&self) -> bool {
        self.line().is_some()
    }

    /// The length of the next line, if all of it is here.
    fn line(&self) -> Option<usize> {
        self.read[self.taken..]
            .iter()
            .position(|byte| *byte == b'\n')
    }

    async fn read_more(&mut self, patience: Duration) -> Result<bool, Failure> {
        self.read.drain(..self.taken);
        self.taken = 0;
        if self.read.len() > LINE_LIMIT {
            return Err(Failure::Illegible("a line without an end".into()));
        }
        let frame = timeout(patience, self.body.frame()).await;
        match frame.map_err(|_| Failure::Silent(patience))? {
            None => Ok(false),
            Some(Ok(frame)) => {
                self.read
                    .extend_from_slice(&frame.into_data().unwrap_or_default());
                Ok(true)
            }
            Some(Err(error)) => Err(error.into()),
        }
    }
}

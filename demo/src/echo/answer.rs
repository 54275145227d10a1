//! One request, answered in echo-basic's form.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use serde::{Deserialize, Serialize};

use super::behaviour::{Behaviour, Counts, Shared};

/// The header that tells requests apart, for counting how often each was carried out.
pub const ID_HEADER: &str = "x-load-id";
/// Reads and changes the backend's behaviour.
const CONTROL_PATH: &str = "/__control";
/// The longest request body that is read.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

/// Who a backend says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub namespace: String,
    pub ingress: String,
    pub service: String,
    pub pod: String,
}

impl Identity {
    /// A pod of this name in the namespace `default`.
    pub fn pod(name: &str) -> Self {
        Self {
            namespace: "default".to_owned(),
            pod: name.to_owned(),
            ..Self::default()
        }
    }
}

/// The answer's body: echo-basic's fields in echo-basic's order.
#[derive(Serialize)]
struct Answer<'a> {
    path: String,
    host: String,
    method: &'a str,
    proto: String,
    headers: BTreeMap<String, Vec<String>>,
    #[serde(flatten)]
    identity: &'a Identity,
}

/// What `/__control` shows.
#[derive(Serialize)]
struct Control {
    behaviour: Behaviour,
    counts: Counts,
}

/// Reads the whole request, then answers as the behaviour of the moment says.
///
/// # Errors
///
/// When the connection is to be closed without an answer, or the request's body did not arrive.
pub(super) async fn answer(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_LIMIT).collect().await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    if head.uri.path() == CONTROL_PATH {
        return Ok(control(&head.method, &body, shared));
    }
    let id = head.headers.get(ID_HEADER);
    let fate = shared.take(head.uri.path(), id.and_then(|id| id.to_str().ok()));
    if fate.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(fate.delay_ms)).await;
    }
    if fate.drop {
        return Err(io::Error::other("told to drop connections"));
    }
    let answer = Answer {
        path: head.uri.to_string(),
        host: text(&head.headers, header::HOST.as_str()),
        method: head.method.as_str(),
        proto: format!("{:?}", head.version),
        headers: echoed(&head.headers),
        identity: &shared.identity,
    };
    // A status that is none is the fault of whoever set it, and shows as such.
    let status = StatusCode::from_u16(fate.status).unwrap_or(StatusCode::NOT_IMPLEMENTED);
    Ok(json(status, &answer))
}

fn control(method: &Method, body: &[u8], shared: &Shared) -> Response<Full<Bytes>> {
    if method == Method::PUT {
        match serde_json::from_slice(body) {
            Ok(behaviour) => shared.behave(behaviour),
            Err(error) => return json(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }
    let control = Control {
        behaviour: shared.behaviour(),
        counts: shared.counts(),
    };
    json(StatusCode::OK, &control)
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec_pretty(body).expect("plain structs with string keys serialise");
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn text(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(header::HeaderValue::as_bytes);
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}

/// Headers as Go's net/http has them: names in canonical form, Host not among them.
fn echoed(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut echoed = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in headers.iter().filter(|(name, _)| *name != header::HOST) {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        echoed
            .entry(canonical(name.as_str()))
            .or_default()
            .push(value);
    }
    echoed
}

/// `x-load-id` as `X-Load-Id`.
fn canonical(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect::<Vec<_>>().join("-")
}

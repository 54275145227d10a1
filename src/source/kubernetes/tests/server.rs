//! A small API server that can be made to behave badly: objects by path, lists and watches over
//! them, refusals by order, an end and a return.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::stream;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// An answer that is given instead of the right one.
#[derive(Clone)]
pub(super) struct Refusal {
    /// A part of the request's path and query.
    pub(super) on: &'static str,
    /// How often.
    pub(super) times: usize,
    pub(super) code: u16,
    pub(super) retry_after: Option<u64>,
    /// Whether it is in the API's words, or in plain ones.
    pub(super) is_status: bool,
}

impl Refusal {
    pub(super) fn new(on: &'static str, times: usize, code: u16) -> Self {
        Self {
            on,
            times,
            code,
            retry_after: None,
            is_status: true,
        }
    }
}

/// One event of a watch.
#[derive(Clone)]
struct Event {
    version: u64,
    kind: &'static str,
    resource: String,
    object: Value,
}

#[derive(Default)]
struct Inner {
    version: u64,
    /// By resource (`gateways`), namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    history: Vec<Event>,
    /// Watches from a version before this one are answered with 410.
    oldest: u64,
    absent_definitions: BTreeSet<String>,
    /// Objects in one page; none: as many as there are.
    page: Option<usize>,
    has_streaming_lists: bool,
    /// What the real one does for a while after its start: custom resources are not found.
    is_starting: bool,
    refusals: Vec<Refusal>,
    requests: Vec<(Instant, String)>,
}

#[derive(Clone)]
struct Shared {
    inner: Arc<Mutex<Inner>>,
    ticks: Arc<watch::Sender<u64>>,
}

/// The server.
pub(super) struct ApiServer {
    shared: Shared,
    address: SocketAddr,
    task: Option<JoinHandle<()>>,
}

impl ApiServer {
    /// A server with everything installed and no objects.
    pub(super) async fn start() -> Self {
        let inner = Inner {
            version: 100,
            has_streaming_lists: true,
            ..Inner::default()
        };
        let shared = Shared {
            inner: Arc::new(Mutex::new(inner)),
            ticks: Arc::new(watch::Sender::new(0)),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = Some(tokio::spawn(accept(listener, shared.clone())));
        Self {
            shared,
            address,
            task,
        }
    }

    pub(super) fn client(&self) -> Client {
        let url = format!("http://{}", self.address).parse().unwrap();
        crate::kubernetes::client(&Config::new(url)).unwrap()
    }

    /// Ends the server and every connection, as a kill does.
    pub(super) async fn kill(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    pub(super) async fn restart(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        self.task = Some(tokio::spawn(accept(listener, self.shared.clone())));
    }

    pub(super) fn put(&self, object: Value) {
        self.write(object, false);
    }

    pub(super) fn delete(&self, object: &Value) {
        self.write(object.clone(), true);
    }

    fn write(&self, mut object: Value, is_gone: bool) {
        let kind = object["kind"].as_str().unwrap().to_lowercase();
        let resource = match kind.strip_suffix("cy") {
            Some(stem) => format!("{stem}cies"),
            None if kind.ends_with('s') => format!("{kind}es"),
            None => format!("{kind}s"),
        };
        let text = |name: &str| {
            object["metadata"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let key = (resource.clone(), text("namespace"), text("name"));
        self.change(|inner| {
            inner.version += 1;
            object["metadata"]["resourceVersion"] = inner.version.to_string().into();
            object["metadata"]["managedFields"] = json!([{"manager": "test"}]);
            if object["metadata"]["uid"].is_null() {
                object["metadata"]["uid"] = "one".into();
            }
            let before = inner.objects.remove(&key);
            let kind = match (is_gone, before) {
                (true, _) => "DELETED",
                (false, None) => "ADDED",
                (false, Some(_)) => "MODIFIED",
            };
            if !is_gone {
                inner.objects.insert(key, object.clone());
            }
            inner.history.push(Event {
                version: inner.version,
                kind,
                resource,
                object,
            });
        });
    }

    /// What happened until now can no longer be watched from.
    pub(super) fn compact(&self) {
        self.change(|inner| {
            inner.version += 1;
            inner.oldest = inner.version;
        });
    }

    pub(super) fn uninstall(&self, definition: &str) {
        self.change(|inner| {
            inner.absent_definitions.insert(definition.to_owned());
        });
    }

    pub(super) fn install(&self, definition: &str) {
        self.change(|inner| {
            inner.absent_definitions.remove(definition);
        });
    }

    pub(super) fn set_starting(&self, is_starting: bool) {
        self.change(|inner| inner.is_starting = is_starting);
    }

    /// Lists come by pages only.
    pub(super) fn set_page(&self, objects: usize) {
        self.change(|inner| {
            inner.page = Some(objects);
            inner.has_streaming_lists = false;
        });
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        self.change(|inner| inner.refusals.push(refusal));
    }

    /// The requests so far that contain `part`, and when they came.
    pub(super) fn requests(&self, part: &str) -> Vec<(Instant, String)> {
        let inner = self.shared.inner.lock().unwrap();
        let requests = inner.requests.iter();
        requests
            .filter(|(_, request)| request.contains(part))
            .cloned()
            .collect()
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.shared.inner.lock().unwrap());
        self.shared.ticks.send_modify(|count| *count += 1);
    }
}

async fn accept(listener: TcpListener, shared: Shared) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = shared.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(shared.answer(&request)) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn whole(code: u16, text: String) -> Answer {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {});
    Response::builder()
        .status(code)
        .body(body.boxed_unsync())
        .unwrap()
}

fn status(code: u16, reason: &str, name: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "reason": reason, "message": format!("{code} by order"), "details": {"name": name},
    })
}

/// What a request asks for.
struct Asked {
    resource: String,
    namespace: Option<String>,
    query: BTreeMap<String, String>,
}

impl Asked {
    fn covers(&self, namespace: &str, object: &Value) -> bool {
        let name = self.query.get("fieldSelector");
        let name = name.and_then(|selector| selector.strip_prefix("metadata.name="));
        let label = self.query.get("labelSelector");
        let label = label.and_then(|selector| selector.split_once('='));
        self.namespace.as_ref().is_none_or(|own| own == namespace)
            && name.is_none_or(|name| object["metadata"]["name"] == name)
            && label.is_none_or(|(key, value)| object["metadata"]["labels"][key] == value)
    }
}

impl Shared {
    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default();
        let query = query.replace("%3D", "=");
        let mut inner = self.inner.lock().unwrap();
        let line = format!("{path}?{query}");
        inner.requests.push((Instant::now(), line.clone()));
        let refusal = inner.refusals.iter_mut();
        let mut refusals = refusal.filter(|refusal| refusal.times > 0 && line.contains(refusal.on));
        if let Some(refusal) = refusals.next() {
            refusal.times -= 1;
            let text = match refusal.is_status {
                true => status(refusal.code, "", "").to_string(),
                false => "in plain words".to_owned(),
            };
            let mut answer = whole(refusal.code, text);
            if let Some(seconds) = refusal.retry_after {
                answer.headers_mut().insert("retry-after", seconds.into());
            }
            return answer;
        }
        if let Some((_, name)) = path.split_once("/customresourcedefinitions/") {
            return definition(&inner, name);
        }
        let asked = asked(&path, &query);
        let group = path
            .strip_prefix("/apis/")
            .and_then(|rest| rest.split('/').next());
        let is_custom = group.is_some_and(|group| group.starts_with("gateway."));
        let definition = format!("{}.{}", asked.resource, group.unwrap_or_default());
        if is_custom && (inner.is_starting || inner.absent_definitions.contains(&definition)) {
            return whole(404, "404 page not found\n".into());
        }
        if asked.query.contains_key("watch") {
            self.watch(&inner, asked)
        } else {
            list(&inner, &asked)
        }
    }

    fn watch(&self, inner: &Inner, asked: Asked) -> Answer {
        let with_list = asked.query.contains_key("sendInitialEvents");
        if with_list && !inner.has_streaming_lists {
            return whole(422, status(422, "Invalid", "").to_string());
        }
        let mut lines = Vec::new();
        let mut from = inner.version;
        if with_list {
            for object in objects(inner, &asked) {
                lines.push(json!({"type": "ADDED", "object": object}));
            }
            lines.push(json!({"type": "BOOKMARK", "object": {
                "apiVersion": "v1", "kind": "x", "metadata": {
                    "resourceVersion": from.to_string(),
                    "annotations": {"k8s.io/initial-events-end": "true"},
                },
            }}));
        } else {
            from = asked.query["resourceVersion"].parse().unwrap();
        }
        let watcher = Watcher {
            shared: self.clone(),
            ticks: self.ticks.subscribe(),
            asked,
            from,
        };
        let ready = stream::iter(
            lines
                .into_iter()
                .map(|line| Ok(Frame::data(line_of(&line)))),
        );
        let body = StreamBody::new(futures::StreamExt::chain(ready, watcher.events()));
        Response::new(body.boxed_unsync())
    }
}

/// One client's watch.
struct Watcher {
    shared: Shared,
    ticks: watch::Receiver<u64>,
    asked: Asked,
    from: u64,
}

impl Watcher {
    fn events(self) -> impl futures::Stream<Item = Result<Frame<Bytes>, std::io::Error>> {
        stream::unfold(self, |mut watcher| async move {
            loop {
                watcher.ticks.mark_unchanged();
                if let Some(text) = watcher.news() {
                    return Some((Ok(Frame::data(text)), watcher));
                }
                watcher.ticks.changed().await.ok()?;
            }
        })
    }

    fn news(&mut self) -> Option<Bytes> {
        let inner = self.shared.inner.lock().unwrap();
        if self.from < inner.oldest {
            self.from = u64::MAX;
            let gone = status(410, "Expired", "");
            return Some(line_of(&json!({"type": "ERROR", "object": gone})));
        }
        let mut text = Vec::new();
        for event in inner
            .history
            .iter()
            .filter(|event| event.version > self.from)
        {
            let namespace = event.object["metadata"]["namespace"].as_str();
            if event.resource == self.asked.resource
                && self
                    .asked
                    .covers(namespace.unwrap_or_default(), &event.object)
            {
                let line = json!({"type": event.kind, "object": event.object});
                text.extend_from_slice(&line_of(&line));
            }
        }
        self.from = self.from.max(inner.version);
        (!text.is_empty()).then(|| text.into())
    }
}

fn line_of(line: &Value) -> Bytes {
    format!("{line}\n").into()
}

fn asked(path: &str, query: &str) -> Asked {
    let parts: Vec<&str> = path.split('/').collect();
    let namespaces = parts.iter().position(|part| *part == "namespaces");
    let namespace = namespaces.and_then(|at| (at + 2 < parts.len()).then(|| parts[at + 1]));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Asked {
        resource: parts.last().unwrap().to_string(),
        namespace: namespace.map(str::to_owned),
        query: pairs
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    }
}

fn objects<'a>(inner: &'a Inner, asked: &'a Asked) -> impl Iterator<Item = &'a Value> {
    let of_kind = inner
        .objects
        .iter()
        .filter(|((resource, namespace, _), object)| {
            *resource == asked.resource && asked.covers(namespace, object)
        });
    of_kind.map(|(_, object)| object)
}

fn list(inner: &Inner, asked: &Asked) -> Answer {
    let all: Vec<&Value> = objects(inner, asked).collect();
    let from = asked
        .query
        .get("continue")
        .map_or(0, |from| from.parse().unwrap());
    let end = inner
        .page
        .map_or(all.len(), |page| all.len().min(from + page));
    let mut page = json!({
        "metadata": {"resourceVersion": inner.version.to_string()},
        "items": all[from..end],
    });
    if end < all.len() {
        page["metadata"]["continue"] = end.to_string().into();
    }
    whole(200, page.to_string())
}

fn definition(inner: &Inner, name: &str) -> Answer {
    if inner.is_starting {
        return whole(404, "404 page not found\n".into());
    }
    if inner.absent_definitions.contains(name) {
        return whole(404, status(404, "NotFound", name).to_string());
    }
    let version = match name {
        "referencegrants.gateway.networking.k8s.io" => "v1beta1",
        _ if name.ends_with("envoyproxy.io") => "v1alpha1",
        _ => "v1",
    };
    let versions = json!([{"name": version, "served": true}]);
    whole(200, json!({"spec": {"versions": versions}}).to_string())
}

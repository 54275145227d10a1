//! Replicas and an API server that keeps one Lease, and is away or in trouble when told to.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::codegen::Service;

use super::*;

/// How the API server fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Weather {
    #[default]
    Fair,
    /// Every answer is an internal error.
    Errors,
    /// No answer ever comes.
    Silence,
}

#[derive(Debug, Default)]
struct Inside {
    lease: Option<Value>,
    version: u64,
    weather: Weather,
    requests: u64,
}

#[derive(Clone, Debug, Default)]
struct ApiServer(Arc<Mutex<Inside>>);

impl ApiServer {
    fn weather(&self, weather: Weather) {
        self.0.lock().unwrap().weather = weather;
    }

    fn holder(&self) -> Option<String> {
        let inside = self.0.lock().unwrap();
        let holder = &inside.lease.as_ref()?["spec"]["holderIdentity"];
        holder.as_str().map(str::to_owned)
    }

    fn requests(&self) -> u64 {
        self.0.lock().unwrap().requests
    }

    fn asked(&self) -> Weather {
        let mut inside = self.0.lock().unwrap();
        inside.requests += 1;
        inside.weather
    }

    fn answer(&self, method: &Method, body: Option<Value>) -> (StatusCode, Value) {
        let mut inside = self.0.lock().unwrap();
        let (known, version) = (inside.lease.is_some(), inside.version.to_string());
        let fits = |body: &Value| body["metadata"]["resourceVersion"] == version.as_str();
        let failed = |code: StatusCode, reason: &str| {
            let status = json!({"kind": "Status", "status": "Failure", "reason": reason,
                "code": code.as_u16(), "message": reason});
            (code, status)
        };
        match (method, body) {
            (&Method::GET, _) => match &inside.lease {
                Some(lease) => (StatusCode::OK, lease.clone()),
                None => failed(StatusCode::NOT_FOUND, "NotFound"),
            },
            (&Method::POST, Some(_)) if known => failed(StatusCode::CONFLICT, "AlreadyExists"),
            (&Method::PUT, Some(body)) if !known || !fits(&body) => {
                failed(StatusCode::CONFLICT, "Conflict")
            }
            (_, Some(mut body)) => {
                inside.version += 1;
                body["metadata"]["resourceVersion"] = inside.version.to_string().into();
                inside.lease = Some(body.clone());
                (StatusCode::OK, body)
            }
            (method, None) => panic!("{method} without a body"),
        }
    }
}

impl Service<Request<Body>> for ApiServer {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let server = self.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let weather = server.asked();
            let (code, answer) = match weather {
                Weather::Fair => server.answer(&head.method, serde_json::from_slice(&body).ok()),
                Weather::Errors => (StatusCode::INTERNAL_SERVER_ERROR, json!("no")),
                Weather::Silence => std::future::pending().await,
            };
            let answer = Full::new(Bytes::from(answer.to_string()));
            Ok(Response::builder().status(code).body(answer).unwrap())
        }
        .boxed()
    }
}

/// A replica that takes part.
struct Replica {
    leads: watch::Receiver<bool>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Replica {
    fn start(name: &str, server: &ApiServer) -> Self {
        let client = Client::new(server.clone(), "default");
        let member = Member {
            name: name.into(),
            namespace: "locum-system".into(),
            ip: None,
        };
        let (mut lease, leads) = Lease::new(client, &member, Metrics::default());
        lease.timing = QUICK;
        lease.election = Election::new(name.into(), QUICK);
        let (stop, stopped) = oneshot::channel();
        let stopped = stopped.map(|_| ());
        Self {
            leads,
            stop,
            task: tokio::spawn(lease.run(stopped)),
        }
    }

    /// Waits until it leads or not; how long that took.
    async fn awaits(&mut self, leads: bool, bound: Duration) -> Duration {
        let begun = Instant::now();
        let came = timeout(bound, self.leads.wait_for(|now| *now == leads)).await;
        assert!(came.is_ok(), "leads {leads}: not within {bound:?}");
        begun.elapsed()
    }
}

/// Everything a few times quicker than in earnest.
const QUICK: Timing = Timing {
    lease_seconds: 2,
    leads_for: Duration::from_millis(1500),
    renew: Duration::from_millis(300),
    look: Duration::from_millis(100),
    request: Duration::from_millis(300),
};

const LEASE_LENGTH: Duration = Duration::from_secs(2);

/// Long enough for two renewals.
const SOON: Duration = Duration::from_millis(800);

#[tokio::test]
async fn of_two_replicas_one_leads_and_hands_on_when_it_ends() {
    let server = ApiServer::default();
    let mut first = Replica::start("first", &server);
    first.awaits(true, SOON).await;
    let mut second = Replica::start("second", &server);
    tokio::time::sleep(SOON).await;
    assert!(*first.leads.borrow() && !*second.leads.borrow());
    assert_eq!(server.holder().as_deref(), Some("first"));
    first.stop.send(()).unwrap();
    first.task.await.unwrap();
    second.awaits(true, SOON).await;
    assert_eq!(server.holder().as_deref(), Some("second"));
}

#[tokio::test]
async fn a_leader_that_is_killed_is_followed_when_its_lease_ends() {
    let server = ApiServer::default();
    let mut first = Replica::start("first", &server);
    first.awaits(true, SOON).await;
    let mut second = Replica::start("second", &server);
    tokio::time::sleep(SOON).await;
    first.task.abort();
    let took = second.awaits(true, LEASE_LENGTH + SOON).await;
    assert!(took > LEASE_LENGTH - SOON, "{took:?}");
}

/// A leader whose API server fares badly for a while.
async fn survives(weather: Weather) {
    let server = ApiServer::default();
    let mut replica = Replica::start("first", &server);
    replica.awaits(true, SOON).await;
    server.weather(weather);
    let took = replica.awaits(false, QUICK.leads_for + SOON).await;
    assert!(took > SOON, "one failure costs nothing: {took:?}");
    server.weather(Weather::Fair);
    // A request may be under way that is still to fail.
    replica.awaits(true, SOON + QUICK.request).await;
}

#[tokio::test]
async fn a_leader_that_gets_errors_stops_in_time_and_leads_again_when_they_end() {
    survives(Weather::Errors).await;
}

#[tokio::test]
async fn a_leader_that_gets_no_answer_stops_in_time_and_leads_again_when_it_does() {
    survives(Weather::Silence).await;
}

#[tokio::test]
async fn an_api_server_in_trouble_is_not_asked_in_a_hurry() {
    let server = ApiServer::default();
    let mut replica = Replica::start("first", &server);
    replica.awaits(true, SOON).await;
    server.weather(Weather::Errors);
    let before = server.requests();
    tokio::time::sleep(QUICK.look * 4).await;
    let requests = server.requests() - before;
    assert!((1..=5).contains(&requests), "{requests}");
}

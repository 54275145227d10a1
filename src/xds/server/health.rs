//! Whether the server may serve, in gRPC's own words: `grpc.health.v1`.
//!
//! In: whether there is something to serve, and that the server ends. Out: answers about the server
//! (the empty name) and about each service on it. Whoever the door lets in may ask: the answer says
//! nothing of any Gateway, and a proxy's own health check of its control plane has no certificate
//! but the proxy's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::{Request, Response, Status};
use tonic_health::pb;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::HealthServer;

use super::Board;
use crate::trust::Peer;

/// How long those who watch may not hear of a change. What makes a server ready is asked, for some
/// of it changes without a word: a certificate runs out.
const INTERVAL: Duration = Duration::from_millis(500);

/// What says that the server may serve.
#[derive(Clone, Default)]
pub struct Ready(Option<Arc<dyn Fn() -> bool + Send + Sync>>);

impl Ready {
    /// The server may serve whenever `ready` says so; it is asked often. By default it may once the
    /// board has a snapshot or was said to be [complete](Board::complete).
    pub fn when(ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(ready)))
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = self.0.as_ref().map(|ready| ready());
        formatter.debug_tuple("Ready").field(&ready).finish()
    }
}

/// The service.
#[derive(Clone, Debug)]
pub(super) struct Health {
    ready: Ready,
    board: Arc<Board>,
    /// Holds a value as long as the server is to run.
    runs: watch::Receiver<bool>,
    /// The other services on the server.
    names: Arc<[&'static str]>,
}

impl Health {
    pub(super) fn service(
        ready: Ready,
        board: Arc<Board>,
        runs: watch::Receiver<bool>,
        names: Arc<[&'static str]>,
    ) -> HealthServer<Self> {
        HealthServer::new(Self {
            ready,
            board,
            runs,
            names,
        })
    }

    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.names.contains(&service)
    }

    /// How every service is: they begin and end together.
    fn status(&self) -> ServingStatus {
        let is_ready = match &self.ready.0 {
            Some(ready) => ready(),
            None => self.board.has_something(),
        };
        match is_ready && *self.runs.borrow() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        }
    }

    /// The next status that is another one than `told`, until `left`: by then the server has ended,
    /// which is said before.
    async fn after(
        mut self,
        told: Option<ServingStatus>,
        mut left: BoxFuture<'static, ()>,
    ) -> Option<(ServingStatus, Self, BoxFuture<'static, ()>)> {
        loop {
            let status = self.status();
            if told != Some(status) {
                return Some((status, self, left));
            }
            tokio::select! {
                // An error means that the server is dropped, and with it this.
                Ok(()) = self.runs.changed() => {}
                () = sleep(INTERVAL) => {}
                () = &mut left => return None,
            }
        }
    }
}

fn answer(status: ServingStatus) -> pb::HealthCheckResponse {
    pb::HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl pb::health_server::Health for Health {
    async fn check(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<pb::HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        if !self.knows(service) {
            return Err(Status::not_found(format!("no service {service:?} here")));
        }
        Ok(Response::new(answer(self.status())))
    }

    type WatchStream = BoxStream<'static, Result<pb::HealthCheckResponse, Status>>;

    /// A service that is not here is no error: the protocol asks for `SERVICE_UNKNOWN`, and for
    /// silence until there is one.
    async fn watch(
        &self,
        request: Request<pb::HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let left = Peer::of(&request).line().left().boxed();
        let answers = match self.knows(&request.get_ref().service) {
            true => stream::unfold((None, self.clone(), left), async |(told, health, left)| {
                let (status, health, left) = health.after(told, left).await?;
                Some((Ok(answer(status)), (Some(status), health, left)))
            })
            .boxed(),
            false => stream::iter([Ok(answer(ServingStatus::ServiceUnknown))])
                .chain(stream::pending())
                .take_until(left)
                .boxed(),
        };
        Ok(Response::new(answers))
    }
}

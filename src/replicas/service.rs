//! The service by which other replicas hear what this one sees: `locum.v1.Replicas`.

use std::future::Future;
use std::pin::Pin;

use futures::future::Shared;
use futures::{FutureExt, Stream, StreamExt, stream};
use tonic::{Request, Response, Status};

use super::{Own, wire};
use crate::api::v1;
use crate::api::v1::replicas_server::ReplicasServer;
use crate::trust::Peer;

type Stopped = Shared<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// The service; it tells what [`Own`] holds.
#[derive(Clone)]
pub struct Observe {
    own: Own,
    stopped: Stopped,
}

impl Observe {
    /// A service that ends its streams when `stopped` resolves.
    pub fn service(
        own: Own,
        stopped: impl Future<Output = ()> + Send + 'static,
    ) -> ReplicasServer<Self> {
        ReplicasServer::new(Self {
            own,
            stopped: stopped.boxed().shared(),
        })
    }
}

/// One replica that listens, and whether it was told anything. A slow one misses what was between,
/// not what is.
struct Listener {
    own: Own,
    told: bool,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<v1::Observation, Status>, Self)> {
        if self.told && !self.own.changed().await {
            return None;
        }
        self.told = true;
        let observation = self.own.newest();
        Some((Ok(wire::message(&observation)), self))
    }
}

#[tonic::async_trait]
impl v1::replicas_server::Replicas for Observe {
    type ObserveStream = Pin<Box<dyn Stream<Item = Result<v1::Observation, Status>> + Send>>;

    async fn observe(
        &self,
        request: Request<v1::ObserveRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        Peer::of(&request).must_be_locum()?;
        let listener = Listener {
            own: self.own.clone(),
            told: false,
        };
        let responses = stream::unfold(listener, Listener::next);
        Ok(Response::new(Box::pin(
            responses.take_until(self.stopped.clone()),
        )))
    }
}

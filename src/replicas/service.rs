//! The service by which other replicas hear what this one sees: `locum.v1.Replicas`.

use std::pin::Pin;

use futures::{Stream, StreamExt, stream};
use tonic::{Request, Response, Status};

use super::{Own, wire};
use crate::api::v1;
use crate::api::v1::replicas_server::ReplicasServer;
use crate::trust::Peer;

/// The service; it tells what [`Own`] holds.
#[derive(Clone)]
pub struct Observe {
    own: Own,
}

impl Observe {
    /// A service that tells what `own` holds.
    pub fn service(own: Own) -> ReplicasServer<Self> {
        ReplicasServer::new(Self { own })
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
        let peer = Peer::of(&request);
        peer.must_be_locum()?;
        // The leader is to hear of the proxies here until the last of them has gone elsewhere.
        peer.line().go_last();
        let listener = Listener {
            own: self.own.clone(),
            told: false,
        };
        let responses = stream::unfold(listener, Listener::next);
        Ok(Response::new(Box::pin(
            responses.take_until(peer.line().left()),
        )))
    }
}

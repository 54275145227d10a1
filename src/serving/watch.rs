//! Locum's own service for watching who serves: `locum.v1.Serving`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use envoy_types::pb::google::protobuf;
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::api::v1;
use crate::serving::{Chain, REPORT_INTERVAL, Serving, State};
use crate::trust::Peer;
use crate::xds::wire;

/// The service; it tells what the books of [`Serving`] hold.
#[derive(Clone)]
pub struct Watch {
    serving: Arc<Serving>,
}

impl Watch {
    /// A service that tells what `serving` holds.
    pub fn new(serving: Arc<Serving>) -> Self {
        Self { serving }
    }
}

/// One who watches, and what it was told. A slow one misses what was between, not what is.
struct Watcher {
    wanted: v1::WatchRequest,
    state: watch::Receiver<Arc<State>>,
    /// By Gateway and chain; `None` before the first response.
    told: Option<BTreeMap<(String, String), Chain>>,
}

impl Watcher {
    /// The next response: everything at first, then what differs, when something does.
    async fn next(mut self) -> Option<(Result<v1::WatchResponse, Status>, Self)> {
        loop {
            if self.told.is_some() && self.state.changed().await.is_err() {
                return None;
            }
            let state = self.state.borrow_and_update().clone();
            let now = self.wanted_of(&state);
            let before = self.told.replace(now.clone());
            let first = before.is_none();
            let before = before.unwrap_or_default();
            let changed = now
                .iter()
                .filter(|(name, chain)| before.get(name) != Some(*chain));
            let removed = before.keys().filter(|name| !now.contains_key(name));
            let response = v1::WatchResponse {
                chains: changed.map(|(name, chain)| message(name, chain)).collect(),
                removed: removed.map(chain_name).collect(),
            };
            if first || !response.chains.is_empty() || !response.removed.is_empty() {
                return Some((Ok(response), self));
            }
        }
    }

    fn wanted_of(&self, state: &State) -> BTreeMap<(String, String), Chain> {
        let asked = |wanted: &str, name: &str| wanted.is_empty() || wanted == name;
        let mut chains = BTreeMap::new();
        for (gateway, of_gateway) in state {
            for (chain, state) in of_gateway {
                if asked(&self.wanted.gateway, gateway) && asked(&self.wanted.chain, chain) {
                    chains.insert((gateway.clone(), chain.clone()), state.clone());
                }
            }
        }
        chains
    }
}

fn chain_name((gateway, chain): &(String, String)) -> v1::ChainName {
    v1::ChainName {
        gateway: gateway.clone(),
        chain: chain.clone(),
    }
}

fn message(name: &(String, String), chain: &Chain) -> v1::Chain {
    let tiers = (0..).zip(&chain.tiers).map(|(index, tier)| v1::Tier {
        index,
        members: tier.members.clone(),
        requests: tier.counts.requests,
        errors: tier.counts.errors,
    });
    v1::Chain {
        name: Some(chain_name(name)),
        tiers: tiers.collect(),
        serving_tier: chain.serving_tier.and_then(|tier| u32::try_from(tier).ok()),
        since: chain.since.map(timestamp),
        why: chain.why.clone(),
        interval: Some(wire::duration(REPORT_INTERVAL)),
    }
}

fn timestamp(at: Timestamp) -> protobuf::Timestamp {
    protobuf::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

#[tonic::async_trait]
impl v1::serving_server::Serving for Watch {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let peer = Peer::of(&request);
        peer.must_be_locum()?;
        let watcher = Watcher {
            wanted: request.into_inner(),
            state: self.serving.watch(),
            told: None,
        };
        let responses = stream::unfold(watcher, Watcher::next);
        Ok(Response::new(Box::pin(
            responses.take_until(peer.line().left()),
        )))
    }
}

//! Hears one other replica, for as long as it is there.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::dial::Dial;
use super::wire;
use crate::api::v1;
use crate::api::v1::replicas_client::ReplicasClient;
use crate::status::observations::{Observation, REPLICA_BOUND};

/// The pause before a replica is tried again: at first, and at most. Proxies that moved away from
/// it are seen elsewhere; only those that stay with it wait for this.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The largest observation that is taken: as many proxies as a replica serves, and their refusals.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// Something new of a replica.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) replica: String,
    /// Where it was heard. One that has moved may still have been saying something at its old place.
    pub(super) address: SocketAddr,
    pub(super) news: News,
}

/// What is new of a replica.
#[derive(Debug)]
pub(super) enum News {
    Heard(Observation),
    /// Its stream has ended.
    Lost,
}

/// Who hears another replica.
#[derive(Clone)]
pub(super) struct Hearer {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) dial: Dial,
    /// Whether it is still among those that serve. One that is not is heard on until it has ended.
    pub(super) listed: watch::Receiver<bool>,
    pub(super) news: mpsc::Sender<Said>,
}

impl Hearer {
    /// Sends what the replica says until it has gone, or nobody listens.
    pub(super) async fn hear(mut self) {
        let mut pause = PAUSE.0;
        let mut silent_since = Instant::now();
        let mut warned = false;
        while *self.listed.borrow() && !self.news.is_closed() {
            let mut heard = false;
            let Err(status) = self.stream(&mut heard).await else {
                return;
            };
            let why = status.message();
            if heard {
                (pause, warned, silent_since) = (PAUSE.0, false, Instant::now());
                tracing::info!(replica = self.name, why, "a replica is no longer heard");
                if self.tell(News::Lost).await.is_err() {
                    return;
                }
            } else if !warned && silent_since.elapsed() > REPLICA_BOUND {
                // One that only starts is heard before that.
                warned = true;
                let address = self.address;
                tracing::warn!(replica = self.name, %address, why, "a replica cannot be heard");
            }
            tokio::select! {
                () = sleep(pause) => {}
                _ = self.listed.wait_for(|listed| !listed) => {}
            }
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// One connection, until it ends. `Ok` when nobody listens any more.
    async fn stream(&self, heard: &mut bool) -> Result<(), Status> {
        let channel = self.dial.channel(self.address);
        let mut client = ReplicasClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let mut observations = client.observe(v1::ObserveRequest {}).await?.into_inner();
        while let Some(observation) = observations.message().await? {
            if !*heard {
                tracing::info!(replica = self.name, "a replica is heard");
            }
            *heard = true;
            let news = News::Heard(wire::observation(observation));
            if self.tell(news).await.is_err() {
                return Ok(());
            }
        }
        Err(Status::unavailable("it ended the stream"))
    }

    async fn tell(&self, news: News) -> Result<(), mpsc::error::SendError<Said>> {
        let said = Said {
            replica: self.name.clone(),
            address: self.address,
            news,
        };
        self.news.send(said).await
    }
}

//! The leader's view: what all replicas see, joined.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::dial::Dial;
use super::hear::{Hearer, News, Said};
use super::{Member, Metrics, Own, peers};
use crate::pipeline::State;
use crate::resource::{self, Resource};
use crate::status::observations::{Join, Observed};

/// News of replicas that may wait to be taken in; a replica that is quicker waits itself.
const WAITING_NEWS: usize = 64;

/// Watches all replicas while this one leads.
pub struct Observer {
    own: Own,
    member: Member,
    states: watch::Receiver<Arc<State>>,
    dial: Dial,
    metrics: Metrics,
    observed: watch::Sender<Arc<Observed>>,
}

/// The replicas that are being heard.
struct Heard {
    tasks: JoinSet<()>,
    peers: BTreeMap<String, Hearing>,
    news: mpsc::Sender<Said>,
    /// Those that said something and have not ended since.
    speaking: BTreeSet<String>,
}

/// A replica, where it is heard.
struct Hearing {
    address: SocketAddr,
    listed: watch::Sender<bool>,
    task: AbortHandle,
}

impl Observer {
    /// One that sees this replica by `own` and finds the others in `states`, and where to see what
    /// all of them saw: nothing, and nothing complete, while this replica does not lead.
    pub fn new(
        own: Own,
        member: Member,
        states: watch::Receiver<Arc<State>>,
        dial: Dial,
        metrics: Metrics,
    ) -> (Self, watch::Receiver<Arc<Observed>>) {
        let (observed, receiver) = watch::channel(Arc::default());
        let observer = Self {
            own,
            member,
            states,
            dial,
            metrics,
            observed,
        };
        (observer, receiver)
    }

    /// Runs until nobody can lead any more.
    pub async fn run(mut self, mut leads: watch::Receiver<bool>) {
        while leads.wait_for(|leads| *leads).await.is_ok() {
            tokio::select! {
                () = self.observe() => return,
                _ = leads.wait_for(|leads| !leads) => {}
            }
            self.observed.send_replace(Arc::default());
            self.metrics.heard(0);
        }
    }

    /// Observes until this replica itself is at its end.
    async fn observe(&mut self) {
        let start = Instant::now();
        let (sender, mut news) = mpsc::channel(WAITING_NEWS);
        let mut heard = Heard {
            tasks: JoinSet::new(),
            peers: BTreeMap::new(),
            news: sender,
            speaking: BTreeSet::new(),
        };
        let mut join = Join::new(start.elapsed());
        join.heard(start.elapsed(), &self.member.name, own(&mut self.own));
        self.follow(&mut heard, &mut join, start);
        loop {
            self.publish(&mut join, start);
            let deadline = join.deadline(start.elapsed());
            let elapsed = async {
                match deadline {
                    Some(deadline) => sleep_until(start + deadline).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                changed = self.own.changed() => {
                    if !changed {
                        return;
                    }
                    join.heard(start.elapsed(), &self.member.name, own(&mut self.own));
                }
                changed = self.states.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.follow(&mut heard, &mut join, start);
                }
                Some(said) = news.recv() => {
                    heard.take(&mut join, start, said);
                    self.metrics.heard(heard.speaking.len());
                }
                Some(_) = heard.tasks.join_next() => {}
                () = elapsed => {}
            }
        }
    }

    /// Hears those replicas that there are now.
    fn follow(&mut self, heard: &mut Heard, join: &mut Join, start: Instant) {
        let state = self.states.borrow_and_update().clone();
        let slices = state.store.of_kind(resource::Kind::EndpointSlice);
        let slices = slices.filter_map(resource::EndpointSlice::of);
        let peers = peers::peers(slices.map(Arc::as_ref), &self.member);
        for (name, hearing) in &heard.peers {
            hearing.listed.send_if_modified(|listed| {
                let now = peers.contains_key(name);
                std::mem::replace(listed, now) != now
            });
        }
        heard.peers.retain(|_, hearing| !hearing.task.is_finished());
        let ready = peers.iter().filter(|(_, peer)| peer.ready);
        join.ready(ready.map(|(name, _)| name.clone()).collect());
        for (name, peer) in peers {
            let address = peer.address;
            let known = heard.peers.get(&name);
            if known.is_some_and(|known| known.address == address) {
                continue;
            }
            if let Some(known) = known {
                // It will be heard somewhere else, if at all.
                known.task.abort();
                heard.lose(join, start, &name);
            }
            join.awaits(start.elapsed(), &name);
            heard.hear(name, address, self.dial.clone());
        }
        self.metrics.heard(heard.speaking.len());
    }

    /// Tells what is seen now, if it differs from what was told before.
    fn publish(&self, join: &mut Join, start: Instant) {
        let mut observed = join.observed(start.elapsed());
        // Before that not even the other replicas are known.
        observed.complete &= self.states.borrow().revision > 0;
        self.observed.send_if_modified(|before| {
            let changed = **before != observed;
            if changed {
                *before = Arc::new(observed);
            }
            changed
        });
    }
}

fn own(own: &mut Own) -> crate::status::observations::Observation {
    own.newest().as_ref().clone()
}

impl Heard {
    fn hear(&mut self, name: String, address: SocketAddr, dial: Dial) {
        let (listed, receiver) = watch::channel(true);
        let hearer = Hearer {
            name: name.clone(),
            address,
            dial,
            listed: receiver,
            news: self.news.clone(),
        };
        let hearing = Hearing {
            address,
            listed,
            task: self.tasks.spawn(hearer.hear()),
        };
        self.peers.insert(name, hearing);
    }

    fn take(&mut self, join: &mut Join, start: Instant, said: Said) {
        let Said {
            replica,
            address,
            news,
        } = said;
        let now_at = self.peers.get(&replica).map(|hearing| hearing.address);
        if now_at.is_some_and(|now_at| now_at != address) {
            return;
        }
        match news {
            News::Heard(observation) => {
                join.heard(start.elapsed(), &replica, observation);
                self.speaking.insert(replica);
            }
            News::Lost => self.lose(join, start, &replica),
        }
    }

    /// Takes in that a replica is no longer heard.
    fn lose(&mut self, join: &mut Join, start: Instant, replica: &str) {
        join.lost(start.elapsed(), replica);
        self.speaking.remove(replica);
    }
}

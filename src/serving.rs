//! Who serves: which tier of each chain answers requests, since when and why, as Envoy's load
//! reports say.
//!
//! In: the model (which chains and tiers there are) and load reports (what was sent where). Out: a
//! [`State`] that can be watched. It moves no traffic, and it takes no traffic for no verdict: a
//! chain that nobody asks keeps what was last known of it. `ledger` keeps the books and is pure;
//! `load_reports` and `watch` are the gRPC services.

mod ledger;
mod load_reports;
mod watch;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envoy_types::pb::envoy::config::endpoint::v3::ClusterStats;
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch as channel;

pub use load_reports::LoadReports;
pub use watch::Watch;

use crate::model::{ChainName, Model};
use ledger::Ledger;

/// How often proxies report.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Which chains there are: by Gateway (`namespace/name`) and chain the names of each tier's
/// members.
pub type Layout = BTreeMap<String, BTreeMap<ChainName, Vec<Vec<String>>>>;

/// What is known of every chain: by Gateway (`namespace/name`), then by chain.
pub type State = BTreeMap<String, BTreeMap<String, Chain>>;

/// The chains of a model.
pub fn layout(model: &Model) -> Layout {
    let members = |chain: &crate::model::Chain| {
        let tiers = chain.tiers.iter();
        let names = tiers.map(|tier| {
            tier.members
                .iter()
                .map(|member| member.name.clone())
                .collect()
        });
        names.collect()
    };
    let gateways = model.gateways.iter().map(|(name, gateway)| {
        let chains = gateway.chains.iter();
        let chains = chains.map(|(name, chain)| (name.clone(), members(chain)));
        (name.to_string(), chains.collect())
    });
    gateways.collect()
}

/// What is known of one chain.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Chain {
    /// Tier 0 first.
    pub tiers: Vec<Tier>,
    /// The index of the tier that answered most requests when there were last any; none before the
    /// first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving_tier: Option<usize>,
    /// Since when it is that tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// What the reports said when it became that tier.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What is known of one tier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tier {
    /// The members' names, such as `Backend/default/active`.
    pub members: Vec<String>,
    #[serde(flatten)]
    pub counts: Counts,
}

/// Attempts in the last interval, retries included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All that were finished.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
}

/// The books of who serves, shared by the pipeline, the load report streams and those who watch.
#[derive(Debug, Default)]
pub struct Serving {
    ledger: Mutex<Ledger>,
    /// How many streams there were.
    streams: AtomicU64,
    state: channel::Sender<Arc<State>>,
}

/// One stream of load reports; what was said on it goes with it.
#[derive(Debug)]
struct Reporter {
    serving: Arc<Serving>,
    gateway: String,
    stream: u64,
}

impl Reporter {
    fn report(&self, stats: &[ClusterStats]) {
        let mut ledger = self.serving.lock();
        ledger.report(Timestamp::now(), &self.gateway, self.stream, stats);
        self.serving.publish(&ledger);
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.report(&[]);
    }
}

impl Serving {
    /// Takes over which chains there are. What is known of chains that stay, stays.
    pub fn observe(&self, layout: Layout) {
        let mut ledger = self.lock();
        ledger.observe(layout);
        self.publish(&ledger);
    }

    /// What is known now, and whenever it changes.
    pub fn watch(&self) -> channel::Receiver<Arc<State>> {
        self.state.subscribe()
    }

    /// What is known now.
    pub fn state(&self) -> Arc<State> {
        self.state.borrow().clone()
    }

    /// A stream on which a proxy of `gateway` reports.
    fn reporter(self: &Arc<Self>, gateway: &str) -> Reporter {
        Reporter {
            serving: self.clone(),
            gateway: gateway.to_owned(),
            stream: self.streams.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn publish(&self, ledger: &Ledger) {
        self.state.send_if_modified(|state| {
            let changed = **state != *ledger.state();
            if changed {
                *state = Arc::new(ledger.state().clone());
            }
            changed
        });
    }

    /// A mutex is poisoned only by a panic, a defect that is reported where it happens; the books
    /// stay readable.
    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

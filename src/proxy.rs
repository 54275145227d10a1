//! The Envoys that `locum run` has under it: found, started, adopted, watched, drained. And how an
//! Envoy that somebody else ends is brought to where it can be.
//!
//! In: the pipeline's state (which Gateways there are, on which ports) and orders. Out: processes,
//! and for each Gateway a [`Proxy`] that says how its Envoy is. What an Envoy serves is none of
//! this module's business: it asks for that itself, over xDS, like any other Envoy. A request never
//! depends on anything here: Envoys outlive a Locum that dies, and the next one adopts them.

mod admin;
mod binary;
mod drain;
mod fleet;
mod log;
mod process;
mod record;
mod shutdown;
mod state_dir;
mod supervisor;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::resource::ObjectName;

pub use admin::Activity;
pub use binary::{Binary, BinaryError};
pub use fleet::{Fleet, Plan};
pub use shutdown::{Bounds, ShutdownError, Step, shutdown};
pub use state_dir::{Addresses, StateDir, StateDirError, default_path};

/// What an Envoy is asked to do; each order is final against the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Run.
    Serve,
    /// Finish what is under way, within a bound, and end.
    Drain,
    /// End now.
    End,
}

/// How the Envoy of each Gateway is.
pub type Proxies = BTreeMap<ObjectName, Proxy>;

/// How one Gateway's Envoy is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proxy {
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// Whether an earlier Locum started it.
    pub adopted: bool,
    /// How often it had to be started again.
    pub restarts: u32,
    #[serde(flatten)]
    pub phase: Phase,
}

/// What an Envoy is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
pub enum Phase {
    /// It runs and waits for its configuration.
    Starting,
    /// It serves.
    Live,
    /// It runs and does not answer at its admin interface.
    Silent { why: String },
    /// It finishes what is under way.
    Draining,
    /// It does not run and will be started again.
    Down { why: String },
}

//! Translation: resources to what Envoy is told, in two pure stages.
//!
//! ```text
//! Store --Reader--> resolve -> Model + Statuses + Problems -> emit -> Resource (protobuf), a Gateway at a time
//! ```
//!
//! It is a pure function: the same resources give the same answer, whatever order they came in. It
//! never fails: what is wrong with one resource is a [`Problem`] and a condition, and takes nothing
//! from another. It never looks at a clock, a file or the environment.

pub mod emit;
pub mod names;
pub mod read;
pub mod resolve;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::Model;
use crate::problem::Problem;
use crate::resource::ObjectName;
use crate::status::Statuses;
use crate::store::Store;
use crate::translate::emit::Emitted;
use crate::translate::read::Read;

/// What the user chose when starting Locum, as far as translation depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// GatewayClasses of these controllers are Locum's.
    pub controller_names: Vec<String>,
    /// The address that listeners bind.
    pub listen: std::net::IpAddr,
    /// Whether backends may be loopback, link-local or Unix sockets (they reach the proxy's own
    /// admin).
    pub allow_local_backends: bool,
    /// The last labels of names inside the cluster, `cluster.local`.
    pub cluster_domain: String,
    /// Who counts what is limited for all proxies together.
    pub rate_limit_service: Option<RateLimitService>,
    /// Where the addresses in a Gateway's status come from.
    pub addresses: GatewayAddresses,
}

/// A service that speaks Envoy's rate limit protocol, in plaintext HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitService {
    /// A name or an address.
    pub host: String,
    pub port: u16,
    /// How long a request waits for its word.
    pub timeout: Duration,
    /// Whether requests are refused while it does not answer.
    pub fail_closed: bool,
}

/// Where clients reach a Gateway's proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayAddresses {
    /// Where its listeners bind: proxies on this machine.
    Listeners,
    /// At the Services labelled with the Gateway's name: proxies in the cluster.
    Services,
}

/// Everything that follows from the resources.
#[derive(Clone, Debug, Default)]
pub struct Translation {
    pub model: Model,
    /// By Gateway: every Envoy resource.
    pub resources: BTreeMap<ObjectName, Emitted>,
    pub statuses: Statuses,
    /// Sorted, without repetitions.
    pub problems: Vec<Problem>,
    /// What was asked of the store: as long as no change touches it, the translation holds.
    pub reads: BTreeSet<Read>,
}

/// Translates everything in the store.
///
/// `previous` is any earlier translation under equal `options`, or an empty one: what did not
/// change since is taken from it instead of being encoded again. The answer is the same without it.
pub fn translate(store: &Store, options: &Options, previous: &Translation) -> Translation {
    let reader = read::Reader::new(store);
    let resolve::Resolution {
        model,
        statuses,
        mut problems,
    } = resolve::resolve(&reader, options);
    let resources = model
        .gateways
        .iter()
        .map(|(name, gateway)| {
            let was = previous.model.gateways.get(name);
            let was = was.zip(previous.resources.get(name));
            (name.clone(), emit::emit(name, gateway, options, was))
        })
        .collect();
    problems.sort();
    problems.dedup();
    let reads = reader.into_reads();
    Translation {
        reads,
        model,
        resources,
        statuses,
        problems,
    }
}

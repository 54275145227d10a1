//! Kubernetes as a source: watches over an API server.
//!
//! In: a client and what to look at. Out: [`Update`]s as files give them, and [`Seen`]: what
//! the server holds of the objects that carry a status. The first update comes when the first list
//! of every kind is there; afterwards whatever becomes of the server, what was read last stays.
//!
//! ```text
//! api (requests) -> watch (list, changes, again) -> objects (what differs)
//!     -> gathering (one update of all of it; which Secrets and ConfigMaps are referred to)
//! ```
//!
//! `standing` says what is waited for and what fails, `definition` whether a kind is installed.

mod api;
mod backoff;
mod definition;
mod gathering;
mod objects;
mod seen;
mod standing;
mod target;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

use kube::Client;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch as channel};

use self::api::Server;
use self::gathering::Gathering;
use self::standing::Standing;
use self::watch::Shared;
use super::Update;
use crate::resource::ObjectName;

pub use seen::{Observed, Refused, Seen};

/// What is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The namespaces whose objects are read; empty for all. GatewayClasses and the Namespaces
    /// themselves are always all read.
    pub namespaces: Vec<String>,
    /// Which Gateways, HTTPRoutes, Backends and policies are read, by their labels;
    /// nothing for all.
    pub selector: Option<String>,
    /// The controllers whose Gateways are Locum's: of others, no certificate is read.
    pub controller_names: Vec<String>,
    /// Locum's own Service: its EndpointSlices are read in any case, since they say where the other
    /// replicas are.
    pub own_service: Option<ObjectName>,
}

/// A cluster whose resources are read.
pub struct Kubernetes {
    options: Options,
    shared: Shared,
}

/// Why reading ends.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    #[error("a watch over the API server broke: {0}")]
    Broken(tokio::task::JoinError),
}

impl Kubernetes {
    /// A source that has read nothing yet; its metrics are entered into `registry`.
    pub fn new(client: Client, options: Options, registry: &mut Registry) -> Self {
        let standing = Standing::register(registry);
        Self {
            options,
            shared: Shared::new(Server::new(client), standing),
        }
    }

    /// What the API server holds of the objects that carry a status.
    pub fn seen(&self) -> Seen {
        self.shared.seen.clone()
    }

    /// What the first update waits for, in words; empty once all of it is there.
    pub fn waiting(&self) -> channel::Receiver<Arc<[String]>> {
        self.shared.standing.waiting()
    }

    /// Sends an update with everything there is, and one whenever something changes, until nobody
    /// receives them any more.
    ///
    /// # Errors
    ///
    /// Only a mistake in here: a server that fails is asked again and again.
    pub async fn watch(self, updates: mpsc::Sender<Update>) -> Result<(), WatchError> {
        Gathering::new(self.options, self.shared).run(updates).await
    }
}

//! Replicas: several Locums beside each other. Each serves proxies, one writes.
//!
//! In: a Lease that one of them holds; what this replica sees of the proxies connected to it; the
//! EndpointSlices by which the others are found. Out: whether this replica leads, and with the
//! leader what all of them saw, as one [`Observed`](crate::status::observations::Observed). Nothing
//! here stands in the way of a proxy: with the API server and every other replica away, each goes
//! on serving what it knows.

mod dial;
mod election;
mod hear;
mod lease;
mod metrics;
mod observer;
mod own;
mod peers;
mod service;
mod wire;

use std::net::IpAddr;

pub use dial::Dial;
pub use lease::Lease;
pub use metrics::Metrics;
pub use observer::Observer;
pub use own::{Own, watch};
pub use peers::SERVICE;
pub use service::Observe;

/// The Lease that the leader holds.
pub const LEASE: &str = "locum";

/// One replica, as Kubernetes knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The Pod's name.
    pub name: String,
    /// The Pod's namespace: where the Lease, the Service and the other replicas are.
    pub namespace: String,
    /// The Pod's address, if it is known.
    pub ip: Option<IpAddr>,
}

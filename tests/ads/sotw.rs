//! The state of the world, where it differs from delta: complete sets of clusters and listeners, of
//! the other types what changed, one version for each response.

mod order;
mod reconnect;
mod refusals;
mod subscriptions;

//! The API server, for all who ask it: the connection to it, and one request with a bound.
//!
//! In: a kubeconfig, or the environment as kubectl and Pods have it; requests as kube makes them.
//! Out: a client, answers, or in the same words for everybody why there is none. Nothing is tried
//! again here, and no answer is ever quoted, since Secrets are among them.

mod connect;
mod request;

#[cfg(test)]
pub(crate) use connect::client;
pub use connect::{ConnectError, Connection, connect};
pub use request::{RequestError, is_absence, within};

//! The fields of a BackendTrafficPolicy, in a file for each subject.

mod balancer;
mod bodies;
mod connection;
mod health;
mod protocol;
mod rate_limit;
mod requests;
mod response_override;
mod retry;
mod target;

use super::Row;

/// In which words Locum refuses a time that Envoy would not take.
const NO_TIME: &str = "must be more than 0s";
/// In which words Locum refuses an expression that Envoy would not take, or read in another way.
const NO_EXPRESSION: &str = "is no expression that can be used";

pub(super) fn rows() -> Vec<Row> {
    let parts = [
        target::rows(),
        balancer::rows(),
        health::rows(),
        retry::rows(),
        connection::rows(),
        protocol::rows(),
        requests::rows(),
        bodies::rows(),
        rate_limit::rows(),
        response_override::rows(),
    ];
    parts.into_iter().flatten().collect()
}

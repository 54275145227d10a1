//! Locum's own gRPC API, as generated from `proto/locum`. What answers it is in the modules that
//! know the answers.

/// `locum.v1`: which tier of each chain serves.
#[allow(
    clippy::all,
    clippy::too_many_lines,
    unreachable_pub,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("locum.v1");
}

//! `locum run` with a real Envoy: starting, dying, coming back, ending; `locum serve` with Envoys of
//! others; and the commands that print.
//!
//! Each test has its own manifests, state directory and ports, so that they run at the same time.

#![allow(clippy::unwrap_used)]

mod certs;
mod check;
mod debug;
mod faults;
mod findings;
mod gateways;
mod harness;
mod lifecycle;
mod policies;
mod rate_limit;
mod shutdown;
mod simulate;
mod sockets;
mod standalone;
mod translate;
mod variants;

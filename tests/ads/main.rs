//! The discovery protocol over real gRPC streams: one file for each feature, each conversation a
//! table.
//!
//! `serve` publishes a snapshot, `>` is what the proxy says, `<` what it must get, in this order.
//! See [`harness::Proxy::play`].

// A harness that cannot go on fails the test by saying where.
#![allow(clippy::unwrap_used)]

mod harness;

mod draining;
mod envoy;
mod examples;
mod extensions;
mod gateways;
mod grpc;
mod health;
mod lifecycle;
mod limits;
mod load_reports;
mod order;
mod properties;
mod reconnect;
mod reflection;
mod refusals;
mod replicas;
mod services;
mod sotw;
mod subscriptions;
mod trust;
mod virtual_hosts;

//! Locum: a control plane for stock Envoy proxies that never misses a backend.
//!
//! The way the data goes, a module for each step:
//!
//! ```text
//! source -> store -> translate::resolve -> translate::emit -> xds::snapshot -> xds::stream -> xds::server
//! ```
//!
//! Everything from `store` to `xds::stream` is pure: no runtime, no clock, no environment, no files,
//! no randomness. The contracts between the steps: `resource` (what sources make and the store
//! holds), `model` (what resolve makes and emit reads), `problem` and `status` (what is wrong, and
//! how it is told). Around them: `pipeline`, the one loop that moves it along; `serving`, who
//! serves as load reports say; `reference`, what each field does; `simulate`, who would if something failed; `bootstrap` and `proxy`, the
//! Envoys that Locum starts; `trust`, mutual TLS between them and Locum; `kubernetes`, the connection to
//! an API server; `api`, Locum's own gRPC; `admin` and `cli`, for the people who run it, and
//! `admin_client`, which asks such interfaces.
//!
//! ARCHITECTURE.md says what each module never does, and where a change goes.

pub mod admin;
pub mod admin_client;
pub mod api;
pub mod bootstrap;
mod causes;
pub mod cli;
pub mod kubernetes;
pub mod model;
pub mod pipeline;
pub mod problem;
pub mod proxy;
pub mod reference;
pub mod replicas;
pub mod resource;
pub mod serving;
pub mod simulate;
pub mod source;
pub mod status;
pub mod store;
pub mod translate;
pub mod trust;
pub mod writer;
pub mod xds;

//! xDS: snapshots of Envoy resources, and the streams that bring them to proxies.
//!
//! Nothing here knows Kubernetes or Gateway API. `resource`, `snapshot` and `stream` are pure:
//! messages in, messages out, no socket and no clock. `server` is the thin shell around them.

pub mod canonical;
pub mod clients;
pub mod config_dump;
pub mod content;
pub mod delta;
pub mod descriptors;
pub mod json;
pub mod kind;
pub mod mentions;
pub mod message;
pub mod metrics;
pub mod order;
pub mod proxy;
pub mod refusal;
pub mod resource;
pub mod server;
pub mod snapshot;
pub mod sotw;
pub mod stream;
pub mod subscription;
pub(crate) mod wire;

//! What Envoy's messages look like: the descriptors that build.rs compiled, for code that walks
//! messages it does not know by type.
//!
//! Out: descriptors by full name. Read once, on first use; never changed.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

/// All of Envoy's descriptors, encoded.
pub const ENVOY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/envoy.bin"));

/// Those of Locum's own services, encoded.
pub const LOCUM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/locum.bin"));

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(ENVOY).expect("build.rs wrote a closed descriptor set")
});

/// Envoy's descriptors: of every message that Locum sends, alone or in an `Any`, and of the services
/// that it serves.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// The descriptor of the message that a type URL, or a full name alone, means.
pub fn message(type_url: &str) -> Option<MessageDescriptor> {
    let name = type_url.rsplit('/').next().unwrap_or(type_url);
    POOL.get_message_by_name(name)
}

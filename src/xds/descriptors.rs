//! What Envoy's messages look like: the descriptors that build.rs compiled, for code that walks
//! messages it does not know by type.
//!
//! Out: descriptors by full name. Read once, on first use; never changed.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let set = include_bytes!(concat!(env!("OUT_DIR"), "/envoy.bin"));
    DescriptorPool::decode(set.as_slice()).expect("build.rs wrote a closed descriptor set")
});

/// All descriptors: of every message that Locum sends, alone or in an `Any`.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// The descriptor of the message that a type URL, or a full name alone, means.
pub fn message(type_url: &str) -> Option<MessageDescriptor> {
    let name = type_url.rsplit('/').next().unwrap_or(type_url);
    POOL.get_message_by_name(name)
}

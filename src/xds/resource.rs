//! One Envoy resource, encoded once and named by the hash of its bytes.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::xds::kind::Kind;

/// A hash of a resource's content: equal content has an equal version in every replica and after a
/// restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub Arc<str>);

/// What a resource names, so that a snapshot can be checked for being closed and a route can be
/// held back until its clusters can be used.
pub type Reference = (Kind, Arc<str>);

/// One Envoy resource.
#[derive(Clone, Debug)]
pub struct Resource {
    pub kind: Kind,
    pub name: Arc<str>,
    pub version: Version,
    /// The encoded message, without its type URL.
    pub body: Arc<[u8]>,
    /// The resources it names.
    pub references: BTreeSet<Reference>,
    /// How a proxy gets ready to use it, for clusters.
    pub readiness: Readiness,
    /// Whose it is, for telling the owner that a proxy refused it: keys of Locum's resources as
    /// text.
    pub owners: Arc<[String]>,
}

/// When a proxy that acknowledged a cluster can use it: an acknowledgement is not readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// At once, or when what it refers to is ready.
    Immediate,
    /// When its endpoints are acknowledged too.
    Endpoints,
    /// When its names are resolved: a proxy acknowledges with the first, and does not say when the
    /// others are.
    Dns,
}

impl Resource {
    /// Encodes `message`, canonically, and hashes it.
    pub fn new<M: prost::Message>(kind: Kind, name: &str, message: &M) -> Self {
        let body = crate::xds::canonical::encode(kind, message);
        let version = Version(format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&body)).into());
        Self {
            kind,
            name: name.into(),
            version,
            body: body.into(),
            references: BTreeSet::new(),
            readiness: Readiness::Immediate,
            owners: Arc::new([]),
        }
    }
}

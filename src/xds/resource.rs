//! One Envoy resource, encoded once and named by the hash of its bytes.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::xds::kind::Kind;

/// A hash of a resource's content: equal content has an equal version in every replica and after a
/// restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub Arc<str>);

impl Version {
    /// The version of a set of resources, each with its name and version. It depends on nothing
    /// else, so that it too is equal in every replica, as long as the names come in order.
    pub fn of_set<'a>(versions: impl Iterator<Item = (&'a str, &'a Version)>) -> Self {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        let mut last = None;
        for (name, version) in versions {
            debug_assert!(last < Some(name), "names come in order");
            last = Some(name);
            for text in [name, &*version.0] {
                hash.update(&text.len().to_le_bytes());
                hash.update(text.as_bytes());
            }
        }
        Self(format!("{:016x}", hash.digest()).into())
    }
}

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

//! One Envoy resource, encoded once, with a version that is the hash of its bytes.
//!
//! In: a message, typed ([`Resource::of`]) or as JSON ([`json::read`](crate::xds::json::read)). Out:
//! what snapshots are made of.

use std::collections::BTreeSet;
use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;

use crate::xds::kind::Kind;
use crate::xds::mentions::{self, Mentions};

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

/// A message of Envoy's API that is a resource of its own.
pub trait Message: prost::Message {
    /// What kind of resource it is.
    const KIND: Kind;

    /// What it calls itself.
    fn name(&self) -> &str;
}

/// The messages, each with its kind and the field that holds its name.
macro_rules! messages {
    ($($message:ident: $kind:ident by $name:ident),* $(,)?) => {
        $(impl Message for $message {
            const KIND: Kind = Kind::$kind;

            fn name(&self) -> &str {
                &self.$name
            }
        })*
    };
}

messages! {
    Secret: Secret by name,
    Cluster: Cluster by name,
    ClusterLoadAssignment: Endpoint by cluster_name,
    Listener: Listener by name,
    TypedExtensionConfig: Extension by name,
    RouteConfiguration: Route by name,
    VirtualHost: VirtualHost by name,
}

/// One Envoy resource.
#[derive(Clone, Debug)]
pub struct Resource {
    /// What kind of resource it is.
    pub kind: Kind,
    /// What proxies ask for it by; a snapshot holds one of each kind and name.
    pub name: Arc<str>,
    /// The hash of `body`.
    pub version: Version,
    /// The encoded message, without its type URL.
    pub body: Arc<[u8]>,
    /// The resources it names.
    pub references: BTreeSet<Reference>,
    /// How a proxy gets ready to use it, for clusters.
    pub readiness: Readiness,
    /// Whose it is, for telling the owner that a proxy refused it. Locum has the keys of its own
    /// resources here, as text; to everything in `xds` it is any text.
    pub owners: Arc<[String]>,
}

/// When a proxy that acknowledged a cluster can use it: an acknowledgement is not readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// At once, or when what it refers to is ready.
    Immediate,
    /// When its endpoints are acknowledged too.
    Endpoints,
    /// When it is acknowledged itself, which an Envoy does after a first round of its active health
    /// checks: the acknowledgement of its endpoints comes before that.
    Checks,
    /// When its names are resolved: a proxy acknowledges with the first, and does not say when the
    /// others are.
    Dns,
}

impl Resource {
    /// Encodes `message` and finds out what it refers to and how a proxy gets ready to use it;
    /// [`mentions`] says what is found.
    pub fn of<M: Message>(message: &M) -> Self {
        Self::new(M::KIND, message.name(), message).read()
    }

    /// Encodes `message`, canonically, and hashes it. What it refers to and its readiness are left
    /// for the caller to say.
    pub fn new<M: prost::Message>(kind: Kind, name: &str, message: &M) -> Self {
        Self::with_body(kind, name, crate::xds::canonical::encode(kind, message))
    }

    /// One that was encoded before.
    pub(crate) fn encoded(kind: Kind, name: &str, body: Vec<u8>) -> Self {
        Self::with_body(kind, name, body).read()
    }

    fn with_body(kind: Kind, name: &str, body: Vec<u8>) -> Self {
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

    /// The same with what its body says of other resources.
    pub(crate) fn read(mut self) -> Self {
        let Mentions {
            references,
            readiness,
        } = mentions::of(self.kind, &self.body);
        self.references = references;
        self.readiness = readiness;
        self
    }

    /// The names of a kind that it refers to.
    pub fn targets(&self, kind: Kind) -> impl Iterator<Item = &Arc<str>> {
        let references = self.references.iter();
        references.filter_map(move |(of, name)| (*of == kind).then_some(name))
    }

    /// The same, said to refer to another resource too: where it does so in a place that
    /// [`mentions`] does not know.
    pub fn with_reference(mut self, kind: Kind, name: &str) -> Self {
        self.references.insert((kind, name.into()));
        self
    }

    /// The same with its owners, whom [`Refused`](crate::xds::clients::Refused) then names.
    pub fn with_owners<O: Into<String>>(mut self, owners: impl IntoIterator<Item = O>) -> Self {
        self.owners = owners.into_iter().map(Into::into).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_its_kind_and_its_name() {
        let endpoints = ClusterLoadAssignment {
            cluster_name: "app".into(),
            ..Default::default()
        };
        let resource = Resource::of(&endpoints);
        assert_eq!((resource.kind, &*resource.name), (Kind::Endpoint, "app"));
    }

    #[test]
    fn what_it_refers_to_and_whose_it_is_can_be_added() {
        let listener = Listener {
            name: "edge".into(),
            ..Default::default()
        };
        let resource = Resource::of(&listener)
            .with_reference(Kind::Cluster, "log")
            .with_owners(["me"]);
        assert_eq!(resource.references, [(Kind::Cluster, "log".into())].into());
        assert_eq!(*resource.owners, ["me"]);
    }
}

//! The second stage: model to Envoy resources.
//!
//! In: a Gateway of the [`model`](crate::model). Out: its listeners, route configurations, clusters
//! and endpoints, each with what it refers to and whose it is. One file per subject below;
//! `xds::wire` holds the small protobuf forms that all of them use.
//!
//! Nothing here knows Kubernetes, looks at a policy or decides what shall be served: every value
//! that a user could have an opinion on comes from the model. What stands here as a constant is how
//! Locum drives Envoy.

mod balancing;
mod chain;
mod cluster;
mod connection;
mod endpoint;
mod filters;
mod health;
mod last_resort;
mod listener;
mod rate_limit;
mod response_override;
mod retry;
mod route;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{ChainName, Gateway, Port, Secret, SecretName};
use crate::resource::{Key, ObjectName};
use crate::translate::{Options, names};
use crate::xds::kind::Kind;
use crate::xds::resource::{Reference, Resource};

pub use chain::{Layout, layout, turns};
pub use cluster::Discovery;
pub use endpoint::{members, overprovisioning_factor};

/// What one unit of the model became; shared for as long as the unit stays as it is.
type Unit = Arc<[Arc<Resource>]>;

/// Every Envoy resource of one Gateway, by the unit of the model that it was made from. The set is
/// closed: each name that is referred to is there.
#[derive(Clone, Debug, Default)]
pub struct Emitted {
    ports: BTreeMap<u16, Unit>,
    chains: BTreeMap<ChainName, Unit>,
    secrets: BTreeMap<SecretName, Unit>,
}

impl Emitted {
    /// The resources, in no particular order.
    pub fn resources(&self) -> impl Iterator<Item = Arc<Resource>> + use<'_> {
        let units = self.ports.values().chain(self.chains.values());
        let units = units.chain(self.secrets.values());
        units.flat_map(|unit| unit.iter().cloned())
    }
}

/// Every Envoy resource of `gateway`.
///
/// `previous` is the same Gateway as it was and what became of it under equal `options`: a unit
/// (a port, a chain, a secret) that is equal to what it was is not encoded again. It saves work and changes
/// nothing else.
pub fn emit(
    name: &ObjectName,
    gateway: &Gateway,
    options: &Options,
    previous: Option<(&Gateway, &Emitted)>,
) -> Emitted {
    let same_port = |number: &u16, port: &Port| {
        let (was, emitted) = previous?;
        let same = was.ports.get(number) == Some(port);
        same.then(|| emitted.ports.get(number).cloned()).flatten()
    };
    let ports = gateway.ports.iter().map(|(number, port)| {
        let unit = same_port(number, port)
            .unwrap_or_else(|| unit([listener_of(name, port, options), routes_of(name, port)]));
        (*number, unit)
    });
    let same_chain = |name: &ChainName| {
        let (was, emitted) = previous?;
        let same = was.chains.get(name) == gateway.chains.get(name);
        same.then(|| emitted.chains.get(name).cloned()).flatten()
    };
    let chains = gateway.chains.iter().map(|(name, chain)| {
        let unit = same_chain(name).unwrap_or_else(|| unit(chain::resources(name, chain)));
        (name.clone(), unit)
    });
    let same_secret = |name: &SecretName| {
        let (was, emitted) = previous?;
        let same = was.secrets.get(name) == gateway.secrets.get(name);
        same.then(|| emitted.secrets.get(name).cloned()).flatten()
    };
    let secrets = gateway.secrets.iter().map(|(name, secret)| {
        let unit = same_secret(name).unwrap_or_else(|| unit([secret_of(name, secret)]));
        (name.clone(), unit)
    });
    Emitted {
        ports: ports.collect(),
        chains: chains.collect(),
        secrets: secrets.collect(),
    }
}

fn unit(resources: impl IntoIterator<Item = Resource>) -> Unit {
    resources.into_iter().map(Arc::new).collect()
}

fn listener_of(gateway: &ObjectName, port: &Port, options: &Options) -> Resource {
    let message = listener::listener(gateway, port, options.listen);
    let mut resource = Resource::new(Kind::Listener, &message.name, &message);
    resource.references = [reference(
        Kind::Route,
        &names::route_config(gateway, port.port),
    )]
    .into();
    resource.owners = owners(&port.owners);
    resource
}

fn routes_of(gateway: &ObjectName, port: &Port) -> Resource {
    let message = route::route_configuration(gateway, port);
    let mut resource = Resource::new(Kind::Route, &message.name, &message);
    resource.references = port
        .virtual_hosts
        .iter()
        .flat_map(|host| &host.routes)
        .filter_map(route::chain)
        .map(|chain| reference(Kind::Cluster, &chain.0))
        .collect();
    resource.owners = owners(
        port.virtual_hosts
            .iter()
            .flat_map(|host| &host.owners)
            .chain(&port.owners)
            .collect::<BTreeSet<_>>(),
    );
    resource
}

fn secret_of(name: &SecretName, secret: &Secret) -> Resource {
    let mut resource = Resource::new(Kind::Secret, &name.0, &tls::secret(name, secret));
    resource.owners = owners(&secret.owners);
    resource
}

fn reference(kind: Kind, name: &str) -> Reference {
    (kind, name.into())
}

fn owners<'a>(keys: impl IntoIterator<Item = &'a Key>) -> Arc<[String]> {
    keys.into_iter().map(Key::to_string).collect()
}

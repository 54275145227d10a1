//! Chains: which layout of Envoy clusters carries the tiers.
//!
//! One cluster whose localities carry `priority` 0..N, where all tiers are found in the same way
//! and speak the same protocol: an EDS cluster for known addresses, an `envoy.cluster.dns` for
//! names. Otherwise an aggregate over one cluster per tier. Either way a tier keeps its number, and
//! one without endpoints has its place: Envoy sees nothing healthy there and goes on to the next.

use super::cluster::{self, Discovery};
use super::{endpoint, owners, reference};
use crate::model::{Address, Chain, ChainName, Protocol, Tier};
use crate::translate::names;
use crate::xds::kind::Kind;
use crate::xds::resource::{Readiness, Resource};

/// Which clusters carry the tiers of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All are in one cluster.
    OneCluster(Discovery),
    /// Each has its own, under an aggregate.
    Aggregate(Vec<Discovery>),
}

/// The layout of `chain`.
pub fn layout(chain: &Chain) -> Layout {
    match shared_needs(&chain.tiers) {
        Some(needs) => Layout::OneCluster(needs.discovery),
        None => {
            let tiers = chain.tiers.iter();
            let needs = tiers.map(|tier| needs(tier).unwrap_or(NO_NEEDS));
            Layout::Aggregate(needs.map(|needs| needs.discovery).collect())
        }
    }
}

/// What tiers must have in common to be in one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Needs {
    discovery: Discovery,
    protocol: Protocol,
}

/// What a tier without endpoints needs: nothing, so the simplest.
const NO_NEEDS: Needs = Needs {
    discovery: Discovery::Eds,
    protocol: Protocol::Http1,
};

/// The clusters of a chain and their endpoints. Routes name the one called as the chain is.
pub(super) fn resources(name: &ChainName, chain: &Chain) -> Vec<Resource> {
    let mut resources = match shared_needs(&chain.tiers) {
        Some(needs) => one_cluster(&name.0, &chain.tiers, chain, needs),
        None => aggregate(name, chain),
    };
    let owners = owners(&chain.owners);
    for resource in &mut resources {
        resource.owners = owners.clone();
    }
    resources
}

/// What all tiers that have endpoints need, if that is the same.
fn shared_needs(tiers: &[Tier]) -> Option<Needs> {
    let mut needs = tiers.iter().filter_map(needs);
    let first = needs.next().unwrap_or(NO_NEEDS);
    needs.all(|other| other == first).then_some(first)
}

/// What a tier needs, if it has endpoints. A DNS cluster takes addresses among the names. A cluster
/// speaks one protocol and a tier is within one cluster, so its first member's is the tier's.
fn needs(tier: &Tier) -> Option<Needs> {
    let protocol = tier
        .members
        .iter()
        .find(|member| !member.endpoints.is_empty())?
        .protocol;
    let has_name = tier
        .members
        .iter()
        .flat_map(|member| &member.endpoints)
        .any(|endpoint| matches!(endpoint.address, Address::Name(..)));
    let discovery = if has_name {
        Discovery::Dns
    } else {
        Discovery::Eds
    };
    Some(Needs {
        discovery,
        protocol,
    })
}

/// One cluster that holds `tiers`, with its endpoints.
fn one_cluster(name: &str, tiers: &[Tier], chain: &Chain, needs: Needs) -> Vec<Resource> {
    let assignment = endpoint::load_assignment(name, tiers, chain.settings.health_check.as_ref());
    let message = cluster::cluster(name, &chain.settings, needs.protocol, needs.discovery);
    match needs.discovery {
        Discovery::Dns => {
            let message = cluster::with_load_assignment(message, assignment);
            let mut cluster = Resource::new(Kind::Cluster, name, &message);
            cluster.readiness = Readiness::Dns;
            vec![cluster]
        }
        Discovery::Eds => {
            let mut cluster = Resource::new(Kind::Cluster, name, &message);
            cluster.readiness = Readiness::Endpoints;
            cluster.references = [reference(Kind::Endpoint, name)].into();
            vec![cluster, Resource::new(Kind::Endpoint, name, &assignment)]
        }
    }
}

/// A cluster for each tier and one over them.
fn aggregate(name: &ChainName, chain: &Chain) -> Vec<Resource> {
    let tier_names: Vec<String> = (0..chain.tiers.len())
        .map(|tier| names::tier_cluster(name, tier))
        .collect();
    let message = cluster::aggregate(&name.0, &chain.settings, &tier_names);
    let mut over = Resource::new(Kind::Cluster, &name.0, &message);
    over.references = tier_names
        .iter()
        .map(|tier| reference(Kind::Cluster, tier))
        .collect();
    let tiers = chain
        .tiers
        .iter()
        .zip(&tier_names)
        .flat_map(|(tier, name)| {
            let needs = needs(tier).unwrap_or(NO_NEEDS);
            one_cluster(name, std::slice::from_ref(tier), chain, needs)
        });
    tiers.chain([over]).collect()
}

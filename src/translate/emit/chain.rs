//! Chains: which layout of Envoy clusters carries the tiers.
//!
//! One cluster whose localities carry `priority` 0..N, where all tiers are found in the same way
//! and speak the same protocol: an EDS cluster for known addresses, an `envoy.cluster.dns` for
//! names. Otherwise, and where the model says so, an aggregate over one cluster per tier. Either way
//! a tier without endpoints has its place: Envoy sees nothing healthy there and goes on to the next.
//!
//! A tier that is pinned has the first place instead of its own, in either layout: the first
//! priority, or the first cluster of the aggregate. One that is drained is an empty priority, or is
//! left out of the aggregate's list; its cluster stays, so that it serves again at once.

use super::cluster::{self, Discovery};
use super::{endpoint, owners, reference};
use crate::model::{Address, Chain, ChainName, Protocol, Tier};
use crate::translate::names;
use crate::xds::kind::Kind;
use crate::xds::resource::{Readiness, Resource};

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
    let apart = chain.tiers_apart && chain.tiers.len() > 1;
    let shared = if chain.tiers.iter().all(|tier| tier.drained) {
        Some(NO_NEEDS)
    } else {
        shared_needs(&chain.tiers).filter(|_| !apart)
    };
    let mut resources = match shared {
        Some(needs) => {
            let tiers = turns(chain).map(|tier| &chain.tiers[tier]);
            let served: Vec<_> = tiers
                .map(|tier| Some(tier).filter(|it| !it.drained))
                .collect();
            one_cluster(&name.0, &served, chain, needs)
        }
        None => aggregate(name, chain),
    };
    let owners = owners(&chain.owners);
    for resource in &mut resources {
        resource.owners = owners.clone();
    }
    resources
}

/// The tiers in the order in which they are to serve.
fn turns(chain: &Chain) -> impl Iterator<Item = usize> {
    let pinned = chain.pinned;
    let others = (0..chain.tiers.len()).filter(move |tier| Some(*tier) != pinned);
    pinned.into_iter().chain(others)
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

/// One cluster that holds `tiers`, with its endpoints; nothing of a tier that is not to serve.
fn one_cluster(name: &str, tiers: &[Option<&Tier>], chain: &Chain, needs: Needs) -> Vec<Resource> {
    let assignment = endpoint::load_assignment(name, tiers, chain);
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

/// A cluster for each tier and one over those that are to serve.
fn aggregate(name: &ChainName, chain: &Chain) -> Vec<Resource> {
    let tier_names: Vec<String> = (0..chain.tiers.len())
        .map(|tier| names::tier_cluster(name, tier))
        .collect();
    let served: Vec<String> = turns(chain)
        .filter(|tier| !chain.tiers[*tier].drained)
        .map(|tier| tier_names[tier].clone())
        .collect();
    let message = cluster::aggregate(&name.0, &chain.settings, &served);
    let mut over = Resource::new(Kind::Cluster, &name.0, &message);
    over.references = served
        .iter()
        .map(|tier| reference(Kind::Cluster, tier))
        .collect();
    let tiers = chain
        .tiers
        .iter()
        .zip(&tier_names)
        .flat_map(|(tier, name)| {
            let needs = needs(tier).unwrap_or(NO_NEEDS);
            one_cluster(name, &[Some(tier)], chain, needs)
        });
    tiers.chain([over]).collect()
}

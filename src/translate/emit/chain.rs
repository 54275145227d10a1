//! Chains: which layout of Envoy clusters carries the tiers.
//!
//! One cluster whose localities carry `priority` 0..N, where all tiers are found in the same way,
//! speak the same protocol and need no settings of their own that only a cluster can have: an EDS
//! cluster for known addresses, an `envoy.cluster.dns` for names; where each request says it, a dynamic
//! forward proxy, which is a chain alone. Otherwise, and where the model says
//! so, an aggregate over one cluster per tier. Either way a tier without endpoints has its place: Envoy
//! sees nothing healthy there and goes on to the next.
//!
//! A tier that is pinned has the first place instead of its own, in either layout: the first
//! priority, or the first cluster of the aggregate. One that is drained is an empty priority, or is
//! left out of the aggregate's list; its cluster stays, so that it serves again at once.

use std::collections::BTreeSet;
use std::time::Duration;

use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;

use super::cluster::{self, Discovery, Spoken};
use super::{endpoint, headers, health, owners, reference, tls};
use crate::model::{
    Address, Chain, ChainName, ChainSettings, HealthCheck, Member, Probe, Protocol, Tier,
};
use crate::translate::names;
use crate::xds::kind::Kind;
use crate::xds::resource::{Readiness, Reference, Resource};

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
    match one_for_all(chain) {
        Some(needs) => Layout::OneCluster(needs.discovery),
        None => {
            let tiers = chain.tiers.iter();
            let needs = tiers.map(|tier| needs_of(tier, &chain.settings));
            Layout::Aggregate(needs.map(|needs| needs.discovery).collect())
        }
    }
}

/// The tiers in the order in which they are to serve, drained ones too.
pub fn turns(chain: &Chain) -> impl Iterator<Item = usize> {
    let pinned = chain.pinned;
    let others = (0..chain.tiers.len()).filter(move |tier| Some(*tier) != pinned);
    pinned.into_iter().chain(others)
}

/// What tiers must have in common to be in one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Needs<'a> {
    discovery: Discovery,
    protocol: Protocol,
    connect_timeout: Duration,
    /// The path that probes ask for. Host and port are an endpoint's own.
    path: Option<&'a str>,
}

/// The clusters of a chain and their endpoints. Routes name the one called as the chain is.
pub(super) fn resources(name: &ChainName, chain: &Chain) -> Vec<Resource> {
    let mut resources = match one_for_all(chain) {
        Some(needs) => {
            let tiers = turns(chain).map(|tier| &chain.tiers[tier]);
            let served: Vec<_> = tiers
                .map(|tier| Some(tier).filter(|it| !it.drained))
                .collect();
            let members = chain.tiers.iter().flat_map(members_of);
            let filters = headers::upstream_filters(&chain.changed_headers());
            one_cluster(&name.0, &served, chain, needs, members, filters)
        }
        None => aggregate(name, chain),
    };
    let owners = owners(&chain.owners);
    for resource in &mut resources {
        resource.owners = owners.clone();
    }
    resources
}

/// What the one cluster needs that all tiers are in, if they can be.
fn one_for_all(chain: &Chain) -> Option<Needs<'_>> {
    if chain.tiers.iter().all(|tier| tier.drained) {
        return Some(no_needs(&chain.settings));
    }
    let apart = chain.tiers_apart && chain.tiers.len() > 1;
    shared_needs(chain).filter(|_| !apart)
}

/// What a tier needs, if only the simplest.
fn needs_of<'a>(tier: &'a Tier, settings: &'a ChainSettings) -> Needs<'a> {
    needs(tier, settings).unwrap_or(no_needs(settings))
}

/// What all tiers that have endpoints need, if that is the same.
fn shared_needs(chain: &Chain) -> Option<Needs<'_>> {
    let tiers = chain.tiers.iter();
    let mut needs = tiers.filter_map(|tier| needs(tier, &chain.settings));
    let first = needs.next().unwrap_or(no_needs(&chain.settings));
    needs.try_fold(first, |so_far, other| {
        let protocol = common(so_far.protocol, other.protocol)?;
        let same = |needs| Needs { protocol, ..needs };
        (same(so_far) == same(other)).then_some(same(so_far))
    })
}

/// The protocol in which endpoints of both kinds can be spoken to.
fn common(one: Protocol, other: Protocol) -> Option<Protocol> {
    match (one, other) {
        (Protocol::Negotiated, fixed) | (fixed, Protocol::Negotiated) => Some(fixed),
        _ => (one == other).then_some(one),
    }
}

/// What a tier without endpoints needs: nothing, so the simplest.
fn no_needs(settings: &ChainSettings) -> Needs<'_> {
    Needs {
        discovery: Discovery::Eds,
        protocol: Protocol::Http1,
        connect_timeout: settings.connect_timeout,
        path: settings.health_check.as_ref().and_then(path),
    }
}

/// The path that a check asks for.
fn path(check: &HealthCheck) -> Option<&str> {
    match &check.probe {
        Probe::Http { path, .. } => Some(path),
        Probe::Tcp { .. } | Probe::Grpc { .. } => None,
    }
}

/// The chain's settings for a cluster with these needs.
fn settings_for(needs: Needs<'_>, settings: &ChainSettings) -> ChainSettings {
    let mut settings = settings.clone();
    settings.connect_timeout = needs.connect_timeout;
    let probe = settings.health_check.as_mut().map(|check| &mut check.probe);
    if let (Some(Probe::Http { path, .. }), Some(own)) = (probe, needs.path) {
        own.clone_into(path);
    }
    settings
}

/// What a tier needs, if it has endpoints. A DNS cluster takes addresses among the names. A cluster
/// speaks one protocol and a tier is within one cluster, so its members have one in common; should
/// they not, the first one's is the tier's.
fn needs<'a>(tier: &'a Tier, settings: &'a ChainSettings) -> Option<Needs<'a>> {
    let served = tier.members.iter();
    let mut spoken = served
        .filter(|member| !member.endpoints.is_empty())
        .map(|member| member.protocol);
    let first = spoken.next()?;
    let protocol = spoken.fold(first, |so_far, other| {
        common(so_far, other).unwrap_or(so_far)
    });
    let endpoints = || tier.members.iter().flat_map(|member| &member.endpoints);
    let has = |which: fn(&Address) -> bool| endpoints().any(|endpoint| which(&endpoint.address));
    let discovery = if has(|address| matches!(address, Address::OfRequest)) {
        Discovery::OfRequest
    } else if has(|address| matches!(address, Address::Name(..))) {
        Discovery::Dns
    } else {
        Discovery::Eds
    };
    Some(Needs {
        discovery,
        protocol,
        connect_timeout: tier.connect_timeout.unwrap_or(settings.connect_timeout),
        path: health::check_of(tier, settings).and_then(path),
    })
}

/// The members of a tier that may get requests.
fn members_of(tier: &Tier) -> impl Iterator<Item = &Member> {
    endpoint::members(tier)
        .into_iter()
        .map(|(member, _)| member)
}

/// One cluster that holds `tiers`, with its endpoints; nothing of a tier that is not to serve.
/// `members` are those of all of them, so that draining one changes its endpoints alone.
fn one_cluster<'a>(
    name: &str,
    tiers: &[Option<&Tier>],
    chain: &Chain,
    needs: Needs<'_>,
    members: impl Iterator<Item = &'a Member>,
    filters: Vec<HttpFilter>,
) -> Vec<Resource> {
    let assignment = endpoint::load_assignment(name, tiers, chain);
    let settings = settings_for(needs, &chain.settings);
    let mut sockets = tls::sockets(members, &settings, needs.protocol);
    if needs.discovery == Discovery::OfRequest {
        sockets = sockets.for_all();
    }
    let secrets = sockets.secrets.iter();
    let secrets: BTreeSet<Reference> = secrets
        .map(|secret| reference(Kind::Secret, &secret.0))
        .collect();
    let spoken = Spoken {
        protocol: needs.protocol,
        sockets,
        filters,
    };
    let message = cluster::cluster(name, &settings, needs.discovery, spoken);
    match needs.discovery {
        Discovery::Dns => {
            let message = cluster::with_load_assignment(message, assignment);
            let mut cluster = Resource::new(Kind::Cluster, name, &message);
            cluster.readiness = Readiness::Dns;
            cluster.references = secrets;
            vec![cluster]
        }
        Discovery::OfRequest => {
            let mut cluster = Resource::new(Kind::Cluster, name, &message);
            cluster.references = secrets;
            vec![cluster]
        }
        Discovery::Eds => {
            let mut cluster = Resource::new(Kind::Cluster, name, &message);
            cluster.readiness = match message.health_checks.is_empty() {
                true => Readiness::Endpoints,
                false => Readiness::Checks,
            };
            cluster.references = secrets;
            cluster.references.insert(reference(Kind::Endpoint, name));
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
    let filters = headers::upstream_filters(&chain.changed_headers());
    let message = cluster::aggregate(&name.0, &chain.settings, &served, filters);
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
            let needs = needs_of(tier, &chain.settings);
            let members = members_of(tier);
            one_cluster(name, &[Some(tier)], chain, needs, members, Vec::new())
        });
    tiers.chain([over]).collect()
}

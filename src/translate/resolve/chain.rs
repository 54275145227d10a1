//! Chains: a rule's references in tiers.
//!
//! In: the rule's references, looked up. Out: a [`Draft`] of its chain, which any policy may still
//! shape, or that there is nothing to send to.
//!
//! A chain never turns into a split. A reference that cannot be used is a failed member that keeps
//! its place; it takes nothing from the others, except where the rule has one tier only: there it
//! keeps its share, answered 500, as Gateway API asks. Nobody can tell whether a Backend that is
//! missing stood by, unless a FailoverPolicy says it. So it is counted as what leaves the rest
//! whole: among the standbys while another reference is active, as the active one otherwise.

mod mixes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::order::Order;
use super::refs::Reference;
use crate::model::{Address, Chain, ChainName, ChainSettings, Endpoint, Member, Switch, Tier};
use crate::resource::{Key, ObjectName};
use crate::translate::names;

/// How many tiers that a policy orders may be in one cluster.
const MOST_IN_ONE: usize = 2;

/// A chain without its name and settings, which depend on the policy.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// Never empty; a tier is only where a policy says the tiers.
    pub tiers: Vec<Vec<Reference>>,
    /// What a FailoverPolicy says of them.
    pub order: Option<Arc<Order>>,
    /// See [`crate::model::Forward::failing_millionths`].
    pub failing_millionths: u32,
}

/// What a rule's references come to.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Forward(Draft),
    /// No reference that counts, or none that is valid: answered 500, as Gateway API asks.
    Nothing,
}

/// Orders references in tiers; `order` is what their own say already.
///
/// What cannot be beside others is refused here ([`mixes`]); its `failure` is set in `references` too.
pub(super) fn outcome(references: &mut [Reference], order: Option<&Arc<Order>>) -> Outcome {
    let last = references.iter().filter_map(|reference| reference.tier);
    let named = order.map_or(0, |order| order.tiers.len());
    let count = last.max().map_or(1, |last| last + 1).max(named);
    mixes::refuse(references, count);
    let counted = || references.iter().filter(|reference| reference.weight > 0);
    if counted().all(|reference| reference.failure.is_some()) {
        return Outcome::Nothing;
    }
    let has_active = counted().any(|reference| reference.tier == Some(0));
    let of_unknown = usize::from(has_active);
    let mut tiers: Vec<Vec<Reference>> = vec![Vec::new(); count.max(of_unknown + 1)];
    for reference in counted() {
        tiers[reference.tier.unwrap_or(of_unknown)].push(reference.clone());
    }
    // A policy's tiers keep their numbers, whatever is in them.
    let tiers: Vec<Vec<Reference>> = (0..)
        .zip(tiers)
        .filter(|(index, tier)| *index < named || !tier.is_empty())
        .map(|(_, tier)| tier)
        .collect();
    let failing_millionths = if tiers.len() == 1 {
        failing_millionths(&tiers[0])
    } else {
        0
    };
    Outcome::Forward(Draft {
        tiers,
        order: order.cloned(),
        failing_millionths,
    })
}

/// The share of the weights that invalid references hold, in millionths.
fn failing_millionths(tier: &[Reference]) -> u32 {
    let weight = |failed_only: bool| -> u64 {
        tier.iter()
            .filter(|reference| !failed_only || reference.failure.is_some())
            .map(|reference| u64::from(reference.weight))
            .sum()
    };
    let share = weight(true) * 1_000_000 / weight(false);
    u32::try_from(share).expect("a share is at most a million")
}

impl Draft {
    /// The chain's name under a policy, for a route of `namespace`.
    pub(super) fn name(&self, namespace: &str, policy: Option<&ObjectName>) -> ChainName {
        let Some(order) = &self.order else {
            let tiers = self.tiers.iter().map(|tier| tier.iter().map(named));
            return names::chain(namespace, tiers, policy);
        };
        let mut members: Vec<&Reference> = self.tiers.iter().flatten().collect();
        members.sort_by_key(|reference| reference.index);
        let members = members.into_iter().map(named);
        names::ordered_chain(namespace, members, policy, &order.policy.object)
    }

    /// The request headers that any of its members changes.
    pub(super) fn changed_headers(&self) -> BTreeSet<String> {
        let references = self.tiers.iter().flatten();
        let names = references.flat_map(|reference| reference.headers.names());
        names.map(str::to_owned).collect()
    }

    /// The same, with Services' cluster IPs in place of their endpoints.
    pub(super) fn by_service(&self) -> Self {
        let mut draft = self.clone();
        for reference in draft.tiers.iter_mut().flatten() {
            if let Some(endpoints) = &reference.by_service {
                reference.endpoints = endpoints.clone();
            }
        }
        draft
    }

    /// The chain itself, under `settings`.
    pub(super) fn chain(&self, settings: ChainSettings, policy: Option<&Key>) -> Chain {
        let order = self.order.as_deref();
        let tiers = self.tiers.iter().enumerate();
        let tiers = tiers.map(|(index, tier)| Tier {
            members: tier.iter().map(member).collect(),
            drained: self.is_drained(index),
            connect_timeout: order.and_then(|order| order.tiers.get(index)?.connect_timeout),
            probing: order
                .map(|order| order.probing(index, settings.health_check.as_ref()))
                .unwrap_or_default(),
        });
        let tiers = tiers.collect();
        let mut owners: BTreeSet<Key> = policy.into_iter().cloned().collect();
        owners.extend(order.map(|order| order.policy.clone()));
        let references = self.tiers.iter().flatten();
        owners.extend(references.flat_map(|reference| reference.sources.iter().cloned()));
        Chain {
            tiers,
            pinned: order.and_then(|order| order.pinned),
            switch: order.map_or(Switch::Whole, |order| order.switch),
            // Of names, a standby whose name is quicker would get requests until the first tier's resolves.
            // Of three tiers, a request that is tried in the second one when it fails would be lost, though
            // the third is well: in one cluster Envoy 1.40 keeps to the tier that it chose two attempts before,
            // and answers 503 where nobody is left in it.
            tiers_apart: order.is_some() && (self.has_names() || self.tiers.len() > MOST_IN_ONE)
                || self.shares_addresses_unlike(),
            settings,
            owners,
        }
    }

    /// What a policy calls a tier.
    pub(super) fn tier_name(&self, tier: usize) -> Option<&str> {
        let tier = self.order.as_deref()?.tiers.get(tier)?;
        Some(&tier.name)
    }

    /// Whether a policy lets nothing to a tier.
    pub(super) fn is_drained(&self, tier: usize) -> bool {
        let tiers = self.order.as_deref().map(|order| &order.tiers);
        tiers.is_some_and(|tiers| tiers.get(tier).is_some_and(|tier| tier.drained))
    }

    /// Whether an address is in two tiers and is to be spoken to in two ways. An EDS cluster has each
    /// address once, in the first way.
    fn shares_addresses_unlike(&self) -> bool {
        let references = self.tiers.iter().flatten();
        let usable: Vec<&Reference> = references.filter(|it| it.failure.is_none()).collect();
        // As nearly always: then no address has to be looked at.
        let mut pairs = usable.windows(2);
        if pairs.all(|pair| mixes::spoken_to_alike(pair[0], pair[1])) {
            return false;
        }
        let mut seen: BTreeMap<&Address, &Reference> = BTreeMap::new();
        usable.into_iter().any(|reference| {
            let mut endpoints = reference.endpoints.iter();
            endpoints.any(|endpoint| {
                let first = *seen.entry(&endpoint.address).or_insert(reference);
                !mixes::spoken_to_alike(first, reference)
            })
        })
    }

    /// Whether any of it is looked up in DNS.
    fn has_names(&self) -> bool {
        let references = self.tiers.iter().flatten();
        let usable = references.filter(|reference| reference.failure.is_none());
        usable
            .flat_map(|reference| reference.endpoints.iter())
            .any(|endpoint| matches!(endpoint.address, Address::Name(..)))
    }
}

fn named(reference: &Reference) -> names::ChainMember<'_> {
    names::ChainMember {
        kind: (reference.kind != "Backend").then_some(reference.kind.as_str()),
        backend: &reference.object,
        port: reference.port,
        weight: reference.weight,
        headers: &reference.headers,
    }
}

fn member(reference: &Reference) -> Member {
    let usable = reference.failure.is_none();
    let endpoints: &[Endpoint] = if usable { &reference.endpoints } else { &[] };
    Member {
        name: names::member(&reference.kind, &reference.object, reference.port),
        weight: reference.weight,
        endpoints: endpoints.to_vec(),
        protocol: reference.protocol,
        tls: reference.tls.clone().filter(|_| usable),
        headers: reference.headers.clone(),
    }
}

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

use std::collections::BTreeSet;
use std::sync::Arc;

use super::order::Order;
use super::refs::Reference;
use crate::model::{
    Address, Chain, ChainName, ChainSettings, Endpoint, Member, Protocol, Switch, Tier,
};
use crate::resource::{Key, ObjectName};
use crate::status::reasons;
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
/// Members whose protocol differs from the rest of their tier are refused here, since an Envoy
/// cluster speaks one; so are Unix sockets beside names, since Envoy's DNS cluster leaves them out
/// without a word. Their `failure` is set in `references` too.
pub(super) fn outcome(references: &mut [Reference], order: Option<&Arc<Order>>) -> Outcome {
    let last = references.iter().filter_map(|reference| reference.tier);
    let named = order.map_or(0, |order| order.tiers.len());
    let count = last.max().map_or(1, |last| last + 1).max(named);
    for tier in 0..count {
        refuse_other_protocols(references, tier);
        refuse_sockets_beside_names(references, tier);
        refuse_other_headers(references, tier);
    }
    refuse_resolvers_beside_others(references);
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

fn refuse_other_protocols(references: &mut [Reference], tier: usize) {
    let in_tier = |reference: &Reference| {
        reference.tier == Some(tier) && reference.weight > 0 && reference.failure.is_none()
    };
    let weight = |protocol: Protocol| -> u64 {
        references
            .iter()
            .filter(|reference| in_tier(reference) && reference.protocol == protocol)
            .map(|reference| u64::from(reference.weight))
            .sum()
    };
    let (http1, h2c) = (weight(Protocol::Http1), weight(Protocol::Http2));
    if http1 == 0 || h2c == 0 {
        return;
    }
    let kept = if http1 >= h2c {
        Protocol::Http1
    } else {
        Protocol::Http2
    };
    for reference in references {
        let is_other = ![kept, Protocol::Negotiated].contains(&reference.protocol);
        if in_tier(reference) && is_other {
            let message = format!(
                "{} {} speaks {} while most of its tier speaks {}: all backends of a tier must speak the same. \
                 Give it a rule or a tier of its own.",
                reference.kind,
                reference.object,
                protocol_name(reference.protocol),
                protocol_name(kept)
            );
            reference.failure = Some((reasons::UNSUPPORTED_PROTOCOL_MIX, message));
        }
    }
}

fn refuse_sockets_beside_names(references: &mut [Reference], tier: usize) {
    let in_tier = |reference: &Reference| {
        reference.tier == Some(tier) && reference.weight > 0 && reference.failure.is_none()
    };
    let has = |reference: &Reference, which: fn(&Address) -> bool| {
        let mut endpoints = reference.endpoints.iter();
        endpoints.any(|endpoint| which(&endpoint.address))
    };
    let mut tier = references.iter().filter(|reference| in_tier(reference));
    if !tier.any(|reference| has(reference, |address| matches!(address, Address::Name(..)))) {
        return;
    }
    for reference in references {
        if in_tier(reference) && has(reference, |address| matches!(address, Address::Unix(_))) {
            let message = format!(
                "{} {} is a Unix socket in a tier with names that DNS resolves: Envoy cannot have both in one. \
                 Give it a rule or a tier of its own, or use addresses instead of names.",
                reference.kind, reference.object
            );
            reference.failure = Some((reasons::UNSUPPORTED_ADDRESS_MIX, message));
        }
    }
}

/// Envoy knows an endpoint of a tier once, so what is changed of requests to it is one thing.
fn refuse_other_headers(references: &mut [Reference], tier: usize) {
    let in_tier = |reference: &Reference| {
        reference.tier == Some(tier) && reference.weight > 0 && reference.failure.is_none()
    };
    for index in 1..references.len() {
        let (before, rest) = references.split_at_mut(index);
        let reference = &mut rest[0];
        let same = |other: &&Reference| {
            in_tier(other)
                && (&other.kind, &other.object, other.port)
                    == (&reference.kind, &reference.object, reference.port)
        };
        let differs = |other: &Reference| other.headers != reference.headers;
        if in_tier(reference) && before.iter().find(same).is_some_and(differs) {
            let message = format!(
                "{} {} is twice in its tier, with different header filters: Envoy knows its endpoints once. Give it \
                 a rule or a tier of its own.",
                reference.kind, reference.object
            );
            reference.failure = Some((reasons::UNSUPPORTED_VALUE, message));
        }
    }
}

/// Where a request's own host leads, nothing can stand in for it.
fn refuse_resolvers_beside_others(references: &mut [Reference]) {
    let counted = references.iter().filter(|reference| reference.weight > 0);
    if counted.count() < 2 {
        return;
    }
    for reference in references {
        let mut endpoints = reference.endpoints.iter();
        let is_resolver = endpoints.any(|endpoint| endpoint.address == Address::OfRequest);
        if is_resolver && reference.weight > 0 && reference.failure.is_none() {
            let message = format!(
                "Backend {} is of type DynamicResolver, which must be a rule's only backend.",
                reference.object
            );
            reference.failure = Some((reasons::INVALID_BACKEND_REF, message));
        }
    }
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2",
        Protocol::Negotiated => "either",
    }
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
            tiers_apart: order.is_some() && (self.has_names() || self.tiers.len() > MOST_IN_ONE),
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

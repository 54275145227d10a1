//! Chains: a rule's references in tiers.
//!
//! In: the rule's references, looked up. Out: a [`Draft`] of its chain, which any policy may still
//! shape, or that there is nothing to send to.
//!
//! A chain never turns into a split. A reference that cannot be used is a failed member that keeps
//! its place; it takes nothing from the others, except where the rule has one tier only: there it
//! keeps its share, answered 500, as Gateway API asks. Nobody can tell whether a Backend that is
//! missing stood by. So it is counted as what leaves the rest whole: among the standbys while
//! another reference is active, as the active one otherwise.

use std::collections::BTreeSet;

use super::refs::{Reference, Role};
use crate::model::{Address, Chain, ChainName, ChainSettings, Endpoint, Member, Protocol, Tier};
use crate::resource::{Key, ObjectName};
use crate::status::reasons;
use crate::translate::names;

/// A chain without its name and settings, which depend on the policy.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// Never empty; no tier is.
    pub tiers: Vec<Vec<Reference>>,
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

/// Orders references in tiers.
///
/// Members whose protocol differs from the rest of their tier are refused here, since an Envoy
/// cluster speaks one; so are Unix sockets beside names, since Envoy's DNS cluster leaves them out
/// without a word. Their `failure` is set in `references` too.
pub(super) fn outcome(references: &mut [Reference]) -> Outcome {
    for role in [Role::Active, Role::Standby] {
        refuse_other_protocols(references, role);
        refuse_sockets_beside_names(references, role);
    }
    let counted = || references.iter().filter(|reference| reference.weight > 0);
    if counted().all(|reference| reference.failure.is_some()) {
        return Outcome::Nothing;
    }
    let has_active = counted().any(|reference| reference.role == Role::Active);
    let (first, rest): (Vec<_>, Vec<_>) = counted().cloned().partition(|reference| match reference
        .role
    {
        Role::Active => true,
        Role::Standby => false,
        Role::Unknown => !has_active,
    });
    let tiers: Vec<Vec<Reference>> = [first, rest]
        .into_iter()
        .filter(|tier| !tier.is_empty())
        .collect();
    let failing_millionths = if tiers.len() == 1 {
        failing_millionths(&tiers[0])
    } else {
        0
    };
    Outcome::Forward(Draft {
        tiers,
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

fn refuse_other_protocols(references: &mut [Reference], role: Role) {
    let in_tier = |reference: &Reference| {
        reference.role == role && reference.weight > 0 && reference.failure.is_none()
    };
    let weight = |protocol: Protocol| -> u64 {
        references
            .iter()
            .filter(|reference| in_tier(reference) && reference.protocol == protocol)
            .map(|reference| u64::from(reference.weight))
            .sum()
    };
    let (http1, h2c) = (weight(Protocol::Http1), weight(Protocol::H2c));
    if http1 == 0 || h2c == 0 {
        return;
    }
    let kept = if http1 >= h2c {
        Protocol::Http1
    } else {
        Protocol::H2c
    };
    for reference in references {
        if in_tier(reference) && reference.protocol != kept {
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

fn refuse_sockets_beside_names(references: &mut [Reference], role: Role) {
    let in_tier = |reference: &Reference| {
        reference.role == role && reference.weight > 0 && reference.failure.is_none()
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

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http1 => "HTTP/1.1",
        Protocol::H2c => "HTTP/2",
    }
}

impl Draft {
    /// The chain's name under a policy, for a route of `namespace`.
    pub(super) fn name(&self, namespace: &str, policy: Option<&ObjectName>) -> ChainName {
        let tiers = self.tiers.iter().map(|tier| {
            tier.iter().map(|reference| names::ChainMember {
                kind: (reference.kind != "Backend").then_some(reference.kind.as_str()),
                backend: &reference.object,
                port: reference.port,
                weight: reference.weight,
            })
        });
        names::chain(namespace, tiers, policy)
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
        let tiers = self
            .tiers
            .iter()
            .map(|tier| Tier {
                members: tier.iter().map(member).collect(),
            })
            .collect();
        let mut owners: BTreeSet<Key> = policy.into_iter().cloned().collect();
        let references = self.tiers.iter().flatten();
        owners.extend(references.flat_map(|reference| reference.sources.iter().cloned()));
        Chain {
            tiers,
            settings,
            owners,
        }
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
    }
}

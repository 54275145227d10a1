//! What cannot be beside others: in one tier, since that is in one Envoy cluster, or in one rule.
//!
//! In: a rule's references with their tiers. What is refused has its `failure` set; it is a failed
//! member from then on, and counts no more against the others.

use std::collections::BTreeSet;

use crate::model::{Address, Protocol};
use crate::status::reasons;
use crate::translate::resolve::refs::Reference;

/// Refuses what cannot be beside others in `tiers` tiers.
pub(super) fn refuse(references: &mut [Reference], tiers: usize) {
    refuse_resolvers_beside_others(references);
    for tier in 0..tiers {
        refuse_other_protocols(references, tier);
        refuse_sockets_beside_names(references, tier);
        refuse_addresses_spoken_to_unlike(references, tier);
    }
}

/// An Envoy cluster speaks one protocol.
fn refuse_other_protocols(references: &mut [Reference], tier: usize) {
    let weight = |protocol: Protocol| -> u64 {
        references
            .iter()
            .filter(|reference| reference.counts_in(tier) && reference.protocol == protocol)
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
        if reference.counts_in(tier) && is_other {
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

/// Envoy's DNS cluster leaves Unix sockets out without a word.
fn refuse_sockets_beside_names(references: &mut [Reference], tier: usize) {
    let has = |reference: &Reference, which: fn(&Address) -> bool| {
        let mut endpoints = reference.endpoints.iter();
        endpoints.any(|endpoint| which(&endpoint.address))
    };
    let mut members = references
        .iter()
        .filter(|reference| reference.counts_in(tier));
    if !members.any(|reference| has(reference, |address| matches!(address, Address::Name(..)))) {
        return;
    }
    for reference in references {
        if reference.counts_in(tier)
            && has(reference, |address| matches!(address, Address::Unix(_)))
        {
            let message = format!(
                "{} {} is a Unix socket in a tier with names that DNS resolves: Envoy cannot have both in one. \
                 Give it a rule or a tier of its own, or use addresses instead of names.",
                reference.kind, reference.object
            );
            reference.failure = Some((reasons::UNSUPPORTED_ADDRESS_MIX, message));
        }
    }
}

/// Envoy knows an address of a tier once, so it is spoken to in one way: the first one's. It would be
/// another backend's credential, or no TLS where there has to be.
fn refuse_addresses_spoken_to_unlike(references: &mut [Reference], tier: usize) {
    for index in 1..references.len() {
        let (before, rest) = references.split_at_mut(index);
        let reference = &mut rest[0];
        if !reference.counts_in(tier) {
            continue;
        }
        let others = before.iter().filter(|other| other.counts_in(tier));
        let mut unlike = others.filter(|other| !spoken_to_alike(other, reference));
        let Some(other) = unlike.find(|other| meet(other, reference)) else {
            continue;
        };
        let beside = if is_same(other, reference) {
            "is twice in its tier".to_owned()
        } else {
            let (kind, object) = (&other.kind, &other.object);
            format!("has an address of {kind} {object}, which is in the same tier")
        };
        let message = format!(
            "{} {} {beside}, with other header filters or other TLS: Envoy knows an address once, and would \
             speak to it as to the first. Give it a rule or a tier of its own.",
            reference.kind, reference.object
        );
        reference.failure = Some((reasons::UNSUPPORTED_VALUE, message));
    }
}

/// Whether the endpoints of both get the same headers and the same TLS.
pub(super) fn spoken_to_alike(one: &Reference, other: &Reference) -> bool {
    one.headers == other.headers && one.tls == other.tls
}

fn is_same(one: &Reference, other: &Reference) -> bool {
    (&one.kind, &one.object, one.port) == (&other.kind, &other.object, other.port)
}

/// Whether both are the same, or have an address in common. Envoy's DNS cluster keeps equal names
/// apart, if they are in different members.
fn meet(one: &Reference, other: &Reference) -> bool {
    let known = |address: &Address| matches!(address, Address::Ip(_) | Address::Unix(_));
    let addresses = |of: &Reference| -> BTreeSet<Address> {
        let addresses = of.endpoints.iter().map(|endpoint| &endpoint.address);
        addresses
            .filter(|address| known(address))
            .cloned()
            .collect()
    };
    is_same(one, other) || !addresses(one).is_disjoint(&addresses(other))
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

//! Warnings about chains: those that serve now but cannot fail over when they must, or not as meant.
//!
//! In: a chain, its retries and whose it is. Out: problems of the route or of the policy that
//! shaped it, each with its code ([`crate::problem::codes`]) and its mend. A file for each subject.

mod breaker;
mod detection;
mod hang;
mod hidden;
mod retries;
mod tiers;

use std::time::Duration;

use super::chain::Draft;
use super::order::Order;
use super::policies::Hidden;
use crate::model::{Address, Chain, ChainName, Probe, Protocol, Retry, Tier};
use crate::problem::Problem;
use crate::resource::Key;
use crate::status::reasons;

/// A chain and who can mend it.
pub(super) struct Subject<'a> {
    pub name: &'a ChainName,
    pub chain: &'a Chain,
    /// What the chain was made from.
    pub draft: &'a Draft,
    pub retry: &'a Retry,
    /// Whether the rule itself says how often a request is tried again.
    pub rule_counts: bool,
    /// The longest a request may take: that of the rule, and where it says none that of the policy.
    pub timeouts: (Option<Duration>, Option<Duration>),
    pub route: &'a Key,
    /// The rule's field in the route.
    pub rule: &'a str,
    pub policy: Option<&'a Key>,
    /// Whether the policy has detection without a limit of what it takes out.
    pub limit_left_out: bool,
    /// The policy that would hold if this one did not.
    pub hidden: Option<&'a Hidden<'a>>,
    /// What a FailoverPolicy says of it.
    pub order: Option<&'a Order>,
}

/// What keeps a chain of more than one tier from failing over without a loss.
pub(super) fn warnings(subject: &Subject<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(policy) = subject.policy {
        problems.extend(unsendable_probe(subject, policy));
        problems.extend(idle_probe(subject, policy));
    }
    problems.extend(idle_probes(subject));
    if subject.chain.tiers.len() < 2 {
        return problems;
    }
    problems.extend(tiers::of(subject));
    problems.extend(detection::of(subject));
    problems.extend(hang::late(subject));
    problems.extend(retries::of(subject));
    problems.extend(breaker::of(subject));
    problems.extend(hidden::of(subject));
    problems
}

/// What keeps one rule's requests from failing over, where another over the same chain may not have
/// it.
pub(super) fn warnings_of_rule(subject: &Subject<'_>) -> Vec<Problem> {
    let of_rule = hang::never(subject).into_iter();
    of_rule.chain(retries::of_rule(subject)).collect()
}

impl Subject<'_> {
    /// What a tier is called in a sentence.
    fn tier(&self, index: usize) -> String {
        match (self.draft.tier_name(index), index) {
            (Some(name), _) => format!("tier {name}"),
            (None, 0) => "the first tier".into(),
            (None, 1) if self.chain.tiers.len() == 2 => "the standby".into(),
            (None, index) => format!("tier {index}"),
        }
    }

    fn of_policy(&self, field: &str, reason: &'static str, message: String) -> Option<Problem> {
        let policy = self.policy?;
        Some(Problem::warning(policy, field, reason, message))
    }
}

/// Health checks of tiers where the chain has none that they could change.
fn idle_probes(subject: &Subject<'_>) -> Vec<Problem> {
    let Some(order) = subject.order else {
        return Vec::new();
    };
    let check = subject.chain.settings.health_check.as_ref();
    let idle = order.idle_probing(check).map(|(field, why)| {
        let message = format!("{why}, so this does nothing in chain {}.", subject.name.0);
        Problem::warning(&order.policy, &field, reasons::NOT_PROBED, message)
    });
    idle.collect()
}

/// A gRPC probe that cannot be sent because the endpoints speak HTTP/1. Emission leaves it out:
/// Envoy would refuse the whole cluster.
fn unsendable_probe(subject: &Subject<'_>, policy: &Key) -> Option<Problem> {
    let probe = &subject.chain.settings.health_check.as_ref()?.probe;
    let is_unsendable = matches!(probe, Probe::Grpc { .. })
        && served(subject.chain).any(|protocol| protocol == Protocol::Http1);
    is_unsendable.then(|| {
        let message = format!(
            "A gRPC probe needs HTTP/2, and endpoints of chain {} are spoken to in HTTP/1: they are not probed. Give \
             their Service's port appProtocol kubernetes.io/h2c, or their Backend gateway.envoyproxy.io/h2c.",
            subject.name.0
        );
        let field = "spec.healthCheck.active.type";
        Problem::error(policy, field, reasons::UNSUPPORTED_VALUE, message)
    })
}

/// The protocols spoken to members with endpoints.
fn served(chain: &Chain) -> impl Iterator<Item = Protocol> {
    let members = chain.tiers.iter().flat_map(|tier| &tier.members);
    let served = members.filter(|member| !member.endpoints.is_empty());
    served.map(|member| member.protocol)
}

/// A probe of endpoints that nobody knows before there is a request.
fn idle_probe(subject: &Subject<'_>, policy: &Key) -> Option<Problem> {
    subject.chain.settings.health_check.as_ref()?;
    let mut served = subject.chain.members().flat_map(|member| &member.endpoints);
    let is_resolver = served.any(|endpoint| endpoint.address == Address::OfRequest);
    is_resolver.then(|| {
        let message = format!(
            "Where requests of chain {} go, each says itself: there is nothing to probe.",
            subject.name.0
        );
        let field = "spec.healthCheck.active";
        let found = Problem::warning(policy, field, reasons::NO_EFFECT, message);
        found.with_mend("Take healthCheck.active out.")
    })
}

fn endpoints(tier: &Tier) -> usize {
    let members = tier.members.iter();
    members.map(|member| member.endpoints.len()).sum()
}

//! FailoverReady: whether a route's standbys could take over, as far as resources tell.
//!
//! In: each chain of the route, its references in tiers and what is wrong with it. Out: the
//! condition. It knows no probe's result: an address that does not answer counts as an endpoint.

use super::chain::Draft;
use super::refs::Reference;
use crate::model::ChainName;
use crate::problem::Problem;
use crate::status::Condition;
use crate::status::reasons::{self, kind};

/// What stands against the failover of a route at one of its parents.
#[derive(Clone, Debug, Default)]
pub(super) struct Readiness {
    /// Whether any chain has a standby.
    has_standby: bool,
    /// Reason and message, each once.
    findings: Vec<(&'static str, String)>,
}

impl Readiness {
    /// Of one chain: its references in tiers, what its policy drains, and what else is wrong with it.
    pub(super) fn of(name: &ChainName, draft: &Draft, warnings: &[Problem]) -> Self {
        let mut found = Self::default();
        let [first, standbys @ ..] = draft.tiers.as_slice() else {
            return found;
        };
        if standbys.is_empty() {
            return found;
        }
        found.has_standby = true;
        for tier in (0..draft.tiers.len()).filter(|tier| draft.is_drained(*tier)) {
            let message = format!(
                "Tier {} of chain {} is drained: it does not take over.",
                draft.tier_name(tier).unwrap_or_default(),
                name.0
            );
            found.find(reasons::TIER_DRAINED, message);
        }
        let can_serve = |tier: &[Reference]| tier.iter().any(Reference::can_serve);
        if !draft.is_drained(0) && !can_serve(first) {
            let message = format!(
                "The first tier of chain {} ({}) has no endpoint that could serve.",
                name.0,
                members(first)
            );
            found.find(reasons::ACTIVE_WITHOUT_ENDPOINTS, message);
        }
        let standbys = (1..).zip(standbys);
        let others = standbys.filter(|(tier, _)| !draft.is_drained(*tier));
        for (_, standby) in others.filter(|(_, standby)| !can_serve(standby)) {
            let message = format!(
                "The standby of chain {} ({}) has no endpoint that could serve: it does not take over.",
                name.0,
                members(standby)
            );
            found.find(reasons::STANDBY_WITHOUT_ENDPOINTS, message);
        }
        let said = warnings
            .iter()
            .filter(|warning| warning.reason != reasons::STANDBY_WITHOUT_ENDPOINTS);
        for warning in said {
            found.find(warning.reason, warning.message.clone());
        }
        found
    }

    /// Takes in those of another chain, or another listener.
    pub(super) fn join(&mut self, other: &Self) {
        self.has_standby |= other.has_standby;
        for (reason, message) in &other.findings {
            self.find(reason, message.clone());
        }
    }

    fn find(&mut self, reason: &'static str, message: String) {
        if !self.findings.iter().any(|(_, known)| *known == message) {
            self.findings.push((reason, message));
        }
    }

    /// The condition; nothing where no chain has a standby.
    pub(super) fn condition(&self) -> Option<Condition> {
        if !self.has_standby {
            return None;
        }
        let Some((reason, _)) = self.findings.first() else {
            let message = "The standbys have endpoints, and nothing that is known keeps them from taking over.";
            return Some(Condition::yes(
                kind::FAILOVER_READY,
                reasons::READY,
                message,
            ));
        };
        let messages: Vec<&str> = self
            .findings
            .iter()
            .map(|(_, message)| message.as_str())
            .collect();
        let message = messages.join(" ");
        Some(Condition::no(kind::FAILOVER_READY, reason, message))
    }
}

/// The members of a tier, each with why it has nothing, where that is known.
fn members(tier: &[Reference]) -> String {
    let members = tier.iter().map(|member| {
        let name = format!("{} {}", member.kind, member.object);
        match &member.missing_service {
            Some(service) => format!("{name}: Service {service} does not exist"),
            None => name,
        }
    });
    members.collect::<Vec<_>>().join(", ")
}

//! FailoverReady: whether standbys could take over, as far as resources tell.
//!
//! In: what was found of each chain. Out: the condition of a route at a parent, and of the policy
//! that orders its tiers there.

use std::collections::BTreeMap;

use super::ancestors::Ancestor;
use crate::problem::{Problem, Severity, codes};
use crate::resource::Key;
use crate::status::Condition;
use crate::status::reasons::{self, kind};

/// A condition says so many of the findings; `check` has them all.
const SAID: usize = 8;

/// What stands against failing over.
#[derive(Clone, Debug, Default)]
pub(super) struct Readiness {
    /// Whether any chain has a standby.
    has_standby: bool,
    /// Reason and sentence, each once.
    findings: Vec<(&'static str, String)>,
}

/// What stands against failing over where a route is: of all its chains, and of those that a policy
/// orders.
#[derive(Clone, Debug, Default)]
pub(super) struct Reached {
    pub all: Readiness,
    pub by_policy: BTreeMap<Key, Readiness>,
}

/// What stands against the chains of each policy at each of its ancestors.
pub(super) type ReadinessByPolicy = BTreeMap<Key, BTreeMap<Ancestor, Readiness>>;

impl Reached {
    /// Takes in that of a rule's chain, and whose the order of its tiers is.
    pub(super) fn join(&mut self, of_rule: &Readiness, policy: Option<&Key>) {
        self.all.join(of_rule);
        if let Some(policy) = policy {
            let of_policy = self.by_policy.entry(policy.clone()).or_default();
            of_policy.join(of_rule);
        }
    }

    /// Takes in those of another listener.
    pub(super) fn merge(&mut self, other: &Self) {
        self.all.join(&other.all);
        for (policy, readiness) in &other.by_policy {
            let of_policy = self.by_policy.entry(policy.clone()).or_default();
            of_policy.join(readiness);
        }
    }
}

impl Readiness {
    /// Of a chain of so many tiers, by what was found of it.
    pub(super) fn of(tiers: usize, found: &[Problem]) -> Self {
        let mut readiness = Self::default();
        if tiers > 1 {
            readiness.has_standby = true;
            readiness.add(found);
        }
        readiness
    }

    /// Takes in what else was found of a chain.
    pub(super) fn add(&mut self, found: &[Problem]) {
        for problem in found.iter().filter(|problem| stands_against(problem)) {
            let message = &problem.message;
            let sentence = match codes::in_table(problem.reason) {
                Some(code) => format!("{}: {message}", code.id),
                None => message.clone(),
            };
            self.find(problem.reason, sentence);
        }
    }

    /// Takes in those of another chain, or another listener.
    pub(super) fn join(&mut self, other: &Self) {
        self.has_standby |= other.has_standby;
        for (reason, sentence) in &other.findings {
            self.find(reason, sentence.clone());
        }
    }

    fn find(&mut self, reason: &'static str, sentence: String) {
        if !self.findings.iter().any(|(_, known)| *known == sentence) {
            self.findings.push((reason, sentence));
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
        let sentences = self.findings.iter().map(|(_, sentence)| sentence.as_str());
        let mut sentences: Vec<&str> = sentences.take(SAID).collect();
        let more = match self.findings.len() - sentences.len() {
            0 => String::new(),
            more => format!("And {more} more."),
        };
        if !more.is_empty() {
            sentences.push(&more);
        }
        let message = sentences.join(" ");
        Some(Condition::no(kind::FAILOVER_READY, reason, message))
    }
}

/// Whether a chain is not ready with it.
fn stands_against(problem: &Problem) -> bool {
    let code = codes::in_table(problem.reason);
    code.map_or(problem.severity == Severity::Error, |code| {
        code.stands_against
    })
}

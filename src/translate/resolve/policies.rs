//! BackendTrafficPolicies: which one shapes a rule at a listener, and what their owners are told.
//!
//! In: every policy. Out: for a rule and a listener the [`Effective`] settings: those of the most
//! specific policy alone (rule, route, listener, Gateway), nothing inherited from wider ones. Of
//! two policies for one target the oldest holds. A policy with a field that cannot be honoured
//! closes what it would apply to, instead of being used in part.

use std::collections::BTreeMap;

use super::ancestors::Claim;
use super::grants;
use super::guards::Guards;
use super::settings::{Refusals, Settings};
use super::targets::{Target, has_section, targets};
use crate::problem::Problem;
use crate::resource::{BackendTrafficPolicy, Key, Kind};
use crate::status::{Condition, reasons};
use crate::translate::read::Reader;

/// All policies, by what they target.
pub(super) struct Policies {
    policies: Vec<Policy>,
    targets: BTreeMap<Key, Sections>,
    pub guards: Guards,
    defaults: Settings,
    /// What became of each policy at each of its targets.
    pub claims: Vec<Claim>,
}

struct Policy {
    key: Key,
    generation: Option<i64>,
    settings: Result<Settings, Refusals>,
}

/// The policies of one target: of the whole and of its sections.
#[derive(Default)]
struct Sections {
    whole: Option<usize>,
    named: BTreeMap<String, usize>,
}

/// What holds for one rule at one listener.
pub(super) enum Effective<'p> {
    /// Requests are sent on, shaped by a policy or by the defaults.
    Open {
        policy: Option<&'p Key>,
        settings: &'p Settings,
    },
    /// Something that is asked for cannot be done, so requests are not sent on.
    Closed,
}

impl Policies {
    /// The policies known to the store; what is wrong with them is noted.
    pub(super) fn new(
        reader: &Reader<'_>,
        grants: &grants::Grants<'_>,
        guards: Guards,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut policies = Self {
            policies: Vec::new(),
            targets: BTreeMap::new(),
            guards,
            defaults: Settings::default(),
            claims: Vec::new(),
        };
        let mut oldest_first: Vec<&BackendTrafficPolicy> = reader
            .all::<BackendTrafficPolicy>()
            .map(AsRef::as_ref)
            .collect();
        // The sort is stable: of one age, by namespace and name.
        oldest_first.sort_by_key(|policy| {
            policy
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|time| time.0)
        });
        for policy in oldest_first {
            policies.add(policy, reader, grants, problems);
        }
        policies
    }

    fn add(
        &mut self,
        policy: &BackendTrafficPolicy,
        reader: &Reader<'_>,
        grants: &grants::Grants<'_>,
        problems: &mut Vec<Problem>,
    ) {
        let key = Key::of(Kind::BackendTrafficPolicy, &policy.metadata);
        let settings = Settings::of(&policy.spec);
        for (field, message) in settings.as_ref().err().into_iter().flatten() {
            let message = format!(
                "{message} Until this is mended, the rules that the policy applies to answer 500."
            );
            let field = format!("spec.{field}");
            problems.push(Problem::error(
                &key,
                &field,
                reasons::UNSUPPORTED_VALUE,
                message,
            ));
        }
        self.policies.push(Policy {
            key: key.clone(),
            generation: policy.metadata.generation,
            settings,
        });
        for target in targets(policy, reader, grants, problems) {
            self.claim(&key, target, reader, problems);
        }
    }

    /// Gives the last policy its target, unless an older one has it or there is no such section.
    fn claim(
        &mut self,
        key: &Key,
        target: Target,
        reader: &Reader<'_>,
        problems: &mut Vec<Problem>,
    ) {
        let Some(has_section) = has_section(&target, reader) else {
            let message = format!(
                "{} does not exist, so the policy applies to nothing there.",
                target.key
            );
            problems.push(Problem::error(
                key,
                &target.field,
                reasons::TARGET_NOT_FOUND,
                message,
            ));
            return;
        };
        let index = self.policies.len() - 1;
        let policy = &self.policies[index];
        let condition = if !has_section {
            let section = target.section.as_deref().unwrap_or_default();
            let message = format!("{} has no section named {section}.", target.key);
            problems.push(Problem::error(
                key,
                &target.field,
                reasons::TARGET_NOT_FOUND,
                message.clone(),
            ));
            Condition::no(reasons::kind::ACCEPTED, reasons::TARGET_NOT_FOUND, message)
        } else {
            let sections = self.targets.entry(target.key.clone()).or_default();
            match sections.take(target.section.as_deref(), index) {
                Some(older) => {
                    let message = format!(
                        "Unable to target {}: the older {} has it already.",
                        target.key, self.policies[older].key
                    );
                    problems.push(Problem::error(
                        key,
                        &target.field,
                        reasons::CONFLICTED,
                        message.clone(),
                    ));
                    Condition::no(reasons::kind::ACCEPTED, reasons::CONFLICTED, message)
                }
                None => policy.accepted(),
            }
        };
        self.claims.push(Claim {
            policy: key.clone(),
            generation: policy.generation,
            target: target.key,
            section: target.section,
            condition,
        });
    }

    /// What holds for the rule called `rule` of `route` at a listener of `gateway`.
    pub(super) fn effective(
        &self,
        route: &Key,
        rule: Option<&str>,
        gateway: &Key,
        listener: &str,
    ) -> Effective<'_> {
        if self.guards.close(route, rule) || self.guards.close(gateway, Some(listener)) {
            return Effective::Closed;
        }
        let policy = self
            .of(route, rule)
            .or_else(|| self.of(gateway, Some(listener)));
        match policy.map(|policy| (&policy.key, &policy.settings)) {
            None => Effective::Open {
                policy: None,
                settings: &self.defaults,
            },
            Some((key, Ok(settings))) => Effective::Open {
                policy: Some(key),
                settings,
            },
            Some((_, Err(_))) => Effective::Closed,
        }
    }

    fn of(&self, target: &Key, section: Option<&str>) -> Option<&Policy> {
        let sections = self.targets.get(target)?;
        let index = section
            .and_then(|section| sections.named.get(section).copied())
            .or(sections.whole)?;
        Some(&self.policies[index])
    }
}

impl Policy {
    fn accepted(&self) -> Condition {
        let kind = reasons::kind::ACCEPTED;
        match &self.settings {
            Ok(_) => Condition::yes(kind, reasons::ACCEPTED, "The policy is accepted."),
            Err(refusals) => {
                let messages: Vec<String> = refusals
                    .iter()
                    .map(|(field, message)| format!("spec.{field}: {message}"))
                    .collect();
                let message = format!(
                    "The rules that the policy applies to answer 500. {}",
                    messages.join(" ")
                );
                Condition::no(kind, reasons::INVALID, message)
            }
        }
    }
}

impl Sections {
    /// Gives a section (or the whole) to `policy`; the one that has it already, if any, keeps it
    /// and is returned.
    fn take(&mut self, section: Option<&str>, policy: usize) -> Option<usize> {
        let slot = match section {
            None => &mut self.whole,
            Some(section) => {
                let known = self.named.get(section).copied();
                if known.is_none() {
                    self.named.insert(section.into(), policy);
                }
                return known;
            }
        };
        let known = *slot;
        slot.get_or_insert(policy);
        known
    }
}

//! FailoverPolicies: which one orders the tiers of a rule, and what their owners are told.
//!
//! In: every policy, the routes that they target. Out: for a rule the [`Order`] that holds for it,
//! and a claim for each target. A rule's own policy goes before that of the whole route, and of two
//! for one target the oldest holds. A policy that does not fit a target does nothing there: the
//! target is served as without it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use gateway_api::apis::experimental::httproutes::HttpRouteRules;

use super::ancestors::Claim;
use super::order::{Misfit, Order};
use super::targets::{Target, has_section, oldest_first};
use crate::problem::{Problem, Severity};
use crate::resource::{FailoverPolicy, HttpRoute, Key, Kind};
use crate::status::{Condition, reasons};
use crate::translate::read::Reader;

/// All policies, by what they target.
pub(super) struct Failovers {
    /// By route and, for a rule of it, the rule's name: the policy that has it, and whether it fits.
    held: BTreeMap<(Key, Option<String>), Held>,
    /// What became of each policy at each of its targets.
    pub claims: Vec<Claim>,
}

struct Held {
    order: Arc<Order>,
    fits: bool,
}

/// A target that a policy has got, and which must still be looked at.
struct Given<'a> {
    policy: &'a FailoverPolicy,
    order: Arc<Order>,
    target: Target,
}

impl Failovers {
    /// The policies known to the store; what is wrong with them is noted.
    pub(super) fn new(reader: &Reader<'_>, problems: &mut Vec<Problem>) -> Self {
        let mut failovers = Self {
            held: BTreeMap::new(),
            claims: Vec::new(),
        };
        let mut given = Vec::new();
        for policy in oldest_first::<FailoverPolicy>(reader, |policy| &policy.metadata) {
            let order = Arc::new(Order::of(policy, reader));
            for target in targets(&order.policy, policy) {
                let target = failovers.give(policy, &order, target, reader, problems);
                given.extend(target);
            }
        }
        // Whether one for a whole route fits depends on which of its rules have their own.
        for given in given {
            failovers.fit(given, reader, problems);
        }
        failovers.note_overridden(reader, problems);
        failovers
    }

    /// What holds for the rule called `rule` of a route.
    pub(super) fn of(&self, route: &Key, rule: Option<&str>) -> Option<&Arc<Order>> {
        let own = rule.and_then(|rule| self.held(route, Some(rule)));
        let held = own.or_else(|| self.held(route, None))?;
        held.fits.then_some(&held.order)
    }

    fn held(&self, route: &Key, rule: Option<&str>) -> Option<&Held> {
        self.held.get(&(route.clone(), rule.map(Into::into)))
    }

    /// Gives a policy its target, unless an older one has it or it is not there.
    fn give<'a>(
        &mut self,
        policy: &'a FailoverPolicy,
        order: &Arc<Order>,
        target: Target,
        reader: &Reader<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<Given<'a>> {
        let key = &target.key;
        let section = target.section.as_deref().unwrap_or_default();
        let (reason, message) = match has_section(&target, reader) {
            None => (
                reasons::TARGET_NOT_FOUND,
                format!("{key} does not exist, so the policy applies to nothing there."),
            ),
            Some(false) => (
                reasons::TARGET_NOT_FOUND,
                format!("{key} has no rule named {section}."),
            ),
            Some(true) => match self.take(order, &target) {
                None => {
                    return Some(Given {
                        policy,
                        order: order.clone(),
                        target,
                    });
                }
                // Named twice: it has it.
                Some(same) if same == order.policy => return None,
                Some(older) => (
                    reasons::CONFLICTED,
                    format!("Unable to target {key}: the older {older} has it already."),
                ),
            },
        };
        problems.push(Problem::error(
            &order.policy,
            &target.field,
            reason,
            message.clone(),
        ));
        let condition = Condition::no(reasons::kind::ACCEPTED, reason, message);
        self.claim(policy, order, target, condition);
        None
    }

    /// Takes a target for a policy; the one that has it already, if any, keeps it and is returned.
    fn take(&mut self, order: &Arc<Order>, target: &Target) -> Option<Key> {
        let place = (target.key.clone(), target.section.clone());
        match self.held.entry(place) {
            Entry::Occupied(older) => Some(older.get().order.policy.clone()),
            Entry::Vacant(place) => {
                let order = order.clone();
                place.insert(Held { order, fits: false });
                None
            }
        }
    }

    /// Looks whether a policy fits the rules that it has got.
    fn fit(&mut self, given: Given<'_>, reader: &Reader<'_>, problems: &mut Vec<Problem>) {
        let Given {
            policy,
            order,
            target,
        } = given;
        let misfit = order
            .named_twice()
            .or_else(|| order.refused())
            .or_else(|| self.misfit(&order, &target, reader));
        let kind = reasons::kind::ACCEPTED;
        let condition = if let Some(Misfit { field, message }) = misfit {
            let message = format!(
                "{message} Until this is mended, {} is served as without the policy.",
                target.key
            );
            problems.push(Problem::error(
                &order.policy,
                &field,
                reasons::INVALID,
                message.clone(),
            ));
            Condition::no(kind, reasons::INVALID, message)
        } else {
            let place = (target.key.clone(), target.section.clone());
            if let Some(held) = self.held.get_mut(&place) {
                held.fits = true;
            }
            let mut message = String::from("The policy is accepted.");
            if let Some(said) = &order.pin_says {
                message.push(' ');
                message.push_str(said);
            }
            Condition::yes(kind, reasons::ACCEPTED, message)
        };
        self.claim(policy, &order, target, condition);
    }

    /// Notes the policies of whole routes some of whose rules have their own.
    fn note_overridden(&self, reader: &Reader<'_>, problems: &mut Vec<Problem>) {
        let of_routes = self.held.iter().filter(|((_, rule), _)| rule.is_none());
        for ((key, _), held) in of_routes {
            let (namespace, name) = (&key.object.namespace, &key.object.name);
            let Some(route) = reader.get::<HttpRoute>(namespace, name) else {
                continue;
            };
            let rules = route.spec.rules.as_deref().unwrap_or_default();
            let names = rules.iter().filter_map(|rule| rule.name.as_deref());
            let own: Vec<&str> = names
                .filter(|rule| self.held(key, Some(rule)).is_some())
                .collect();
            if own.is_empty() {
                continue;
            }
            let mut message = format!(
                "Rule(s) {} of {key} have policies of their own, of which each holds alone there.",
                own.join(", ")
            );
            let mut severity = Severity::Note;
            if own.len() == rules.len() {
                message.push_str(" That is all of them, so this one does nothing there.");
                severity = Severity::Warning;
            }
            let policy = &held.order.policy;
            let reason = reasons::POLICY_OVERRIDDEN;
            let found = Problem::note(policy, "spec.targetRefs", reason, message);
            let mend = "Repeat what is to hold in the rules' policies, or delete those.";
            problems.push(Problem { severity, ..found }.with_mend(mend));
        }
    }

    /// Why the tiers do not fit one of the rules that the policy is for.
    fn misfit(&self, order: &Order, target: &Target, reader: &Reader<'_>) -> Option<Misfit> {
        let name = &target.key.object;
        let route = reader.get::<HttpRoute>(&name.namespace, &name.name)?;
        let mut rules = route.spec.rules.iter().flatten().enumerate();
        rules.find_map(|(index, rule)| {
            let refers = rule.backend_refs.iter().flatten().next().is_some();
            (refers && self.is_for(target, rule))
                .then(|| order.misfit(&target.key, index, rule))
                .flatten()
        })
    }

    /// Whether the policy that has `target` is the one for a rule of it.
    fn is_for(&self, target: &Target, rule: &HttpRouteRules) -> bool {
        match &target.section {
            Some(section) => rule.name.as_ref() == Some(section),
            None => rule
                .name
                .as_deref()
                .is_none_or(|name| self.held(&target.key, Some(name)).is_none()),
        }
    }

    fn claim(
        &mut self,
        policy: &FailoverPolicy,
        order: &Order,
        target: Target,
        condition: Condition,
    ) {
        self.claims.push(Claim {
            policy: order.policy.clone(),
            generation: policy.metadata.generation,
            target: target.key,
            section: target.section,
            condition,
            warning: None,
        });
    }
}

/// The targets of a policy. Only routes are admitted.
fn targets(key: &Key, policy: &FailoverPolicy) -> impl Iterator<Item = Target> {
    let targets = policy.spec.target_refs.iter().enumerate();
    targets.map(|(index, target)| Target {
        key: Key::new(Kind::HttpRoute, &key.object.namespace, &target.name),
        section: target.section_name.clone(),
        field: format!("spec.targetRefs[{index}]"),
    })
}

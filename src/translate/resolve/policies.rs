//! BackendTrafficPolicies: which one shapes a rule at a listener, and what their owners are told.
//!
//! In: every policy. Out: for a rule and a listener the [`Effective`] settings: those of the most
//! specific policy alone (rule, route, listener, Gateway), nothing inherited from wider ones; unless
//! that of the route asks to be merged into the listener's or the Gateway's. Of two policies for one
//! target the oldest holds. A policy with a field that cannot be honoured closes what it would apply
//! to, instead of being used in part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ancestors::Claim;
use super::guards::Guards;
use super::settings::{Refusals, Settings};
use super::targets::{Target, has_section, oldest_first, targets};
use super::{grants, merging};
use crate::problem::Problem;
use crate::resource::traffic_policy::{BackendTrafficPolicySpec, MergeType};
use crate::resource::{BackendTrafficPolicy, HttpRoute, Key, Kind, ObjectName};
use crate::status::{Condition, reasons};
use crate::translate::{Options, read::Reader};

/// All policies, by what they target.
pub(super) struct Policies {
    policies: Vec<Policy>,
    targets: BTreeMap<Key, Sections>,
    /// By a route's policy and the one that it is merged into.
    merged: BTreeMap<(usize, usize), Merged>,
    pub guards: Guards,
    defaults: Settings,
    /// Whether there is who counts for all proxies together.
    has_limit_service: bool,
    /// What became of each policy at each of its targets.
    pub claims: Vec<Claim>,
}

struct Policy {
    key: Key,
    source: Arc<BackendTrafficPolicy>,
    settings: Result<Settings, Refusals>,
}

/// Two policies that are merged.
struct Merged {
    /// Of both, as chains are named for it: `<route's>+<Gateway's>`.
    name: ObjectName,
    settings: Result<Settings, Refusals>,
}

/// The policies of one target: of the whole and of its sections.
#[derive(Default)]
pub(super) struct Sections {
    pub whole: Option<usize>,
    pub named: BTreeMap<String, usize>,
}

/// What holds for one rule at one listener.
pub(super) enum Effective<'p> {
    /// Requests are sent on, shaped by a policy or by the defaults.
    Open {
        /// Whose the settings are.
        policy: Option<&'p Key>,
        /// The policy that it is merged into.
        under: Option<&'p Key>,
        /// What chains are named for.
        name: Option<&'p ObjectName>,
        settings: &'p Settings,
        /// The policy that would hold if there were not this one.
        hidden: Option<Hidden<'p>>,
    },
    /// Something that is asked for cannot be done, so requests are not sent on.
    Closed,
}

/// A policy of which nothing holds since a narrower one does.
pub(super) struct Hidden<'p> {
    pub policy: &'p Key,
    /// Whether the narrower one could be merged into it.
    pub can_merge: bool,
    wide: &'p BackendTrafficPolicySpec,
    narrow: &'p BackendTrafficPolicySpec,
}

impl Hidden<'_> {
    /// What it says and the narrower one does not: names of fields.
    pub(super) fn lost(&self) -> Vec<String> {
        let narrow = merging::fields(self.narrow);
        let wide = merging::fields(self.wide).into_iter();
        let lost = wide.filter(|(name, _)| !narrow.contains_key(name));
        lost.map(|(name, _)| name).collect()
    }
}

impl Policies {
    /// The policies known to the store; what is wrong with them is noted.
    pub(super) fn new(
        reader: &Reader<'_>,
        grants: &grants::Grants<'_>,
        guards: Guards,
        options: &Options,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut policies = Self {
            has_limit_service: options.rate_limit_service.is_some(),
            policies: Vec::new(),
            targets: BTreeMap::new(),
            merged: BTreeMap::new(),
            guards,
            defaults: Settings::default(),
            claims: Vec::new(),
        };
        for policy in oldest_first::<BackendTrafficPolicy>(reader, |policy| &policy.metadata) {
            policies.add(policy, reader, grants, problems);
        }
        policies.merge(reader, problems);
        policies
    }

    fn add(
        &mut self,
        policy: &Arc<BackendTrafficPolicy>,
        reader: &Reader<'_>,
        grants: &grants::Grants<'_>,
        problems: &mut Vec<Problem>,
    ) {
        let key = Key::of(Kind::BackendTrafficPolicy, &policy.metadata);
        let settings = Settings::of(&policy.spec, &key.object, self.has_limit_service);
        note(&key, &settings, problems);
        self.policies.push(Policy {
            key: key.clone(),
            source: policy.clone(),
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
                // Named and selected, or selected twice.
                Some(same) if same == index => return,
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
                None => accepted(&policy.settings),
            }
        };
        self.claims.push(Claim {
            policy: key.clone(),
            generation: policy.source.metadata.generation,
            target: target.key,
            section: target.section,
            condition,
            warning: deprecated(&policy.source.spec),
        });
    }

    /// Merges each policy of a route that asks for it into those of the route's Gateways.
    fn merge(&mut self, reader: &Reader<'_>, problems: &mut Vec<Problem>) {
        let mut pairs = BTreeSet::new();
        for (target, sections) in self.routes() {
            let merging = sections
                .all()
                .filter(|index| self.policies[*index].merges());
            let merging: Vec<usize> = merging.collect();
            if merging.is_empty() {
                continue;
            }
            let (namespace, name) = (&target.object.namespace, &target.object.name);
            let Some(route) = reader.get::<HttpRoute>(namespace, name) else {
                continue;
            };
            for parent in route.spec.parent_refs.iter().flatten() {
                let namespace = parent.namespace.as_deref().unwrap_or(namespace);
                let gateway = Key::new(Kind::Gateway, namespace, &parent.name);
                let under = self
                    .targets
                    .get(&gateway)
                    .into_iter()
                    .flat_map(Sections::all);
                for under in under {
                    pairs.extend(merging.iter().map(|over| (*over, under)));
                }
            }
        }
        for (over, under) in pairs {
            let merged = self.merged_into(over, under);
            note(&self.policies[over].key, &merged.settings, problems);
            if merged.settings.is_err() {
                let key = &self.policies[over].key;
                let claims = self.claims.iter_mut();
                for claim in claims.filter(|claim| claim.policy == *key && claim.condition.holds) {
                    claim.condition = accepted(&merged.settings);
                }
            }
            self.merged.insert((over, under), merged);
        }
    }

    fn merged_into(&self, over: usize, under: usize) -> Merged {
        let (over, under) = (&self.policies[over], &self.policies[under]);
        let how = over
            .source
            .spec
            .merge_type
            .unwrap_or(MergeType::StrategicMerge);
        let settings = merging::merged(&under.source.spec, &over.source.spec, how)
            .map_err(|error| {
                let message = format!("Merged with {} it is no policy: {error}.", under.key);
                vec![("mergeType".to_owned(), message)]
            })
            .and_then(|spec| Settings::of(&spec, &over.key.object, self.has_limit_service));
        let (object, into) = (&over.key.object, &under.key.object);
        let name = if object.namespace == into.namespace {
            format!("{}+{}", object.name, into.name)
        } else {
            format!("{}+{into}", object.name)
        };
        Merged {
            name: ObjectName::new(&object.namespace, &name),
            settings,
        }
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
        let under = self.of(gateway, Some(listener));
        let over = self.of(route, rule);
        let Some(index) = over.or(under) else {
            return Effective::Open {
                policy: None,
                under: None,
                name: None,
                settings: &self.defaults,
                hidden: None,
            };
        };
        let policy = &self.policies[index];
        let merged = over.zip(under).filter(|_| policy.merges());
        let merged = merged.map(|pair| (&self.merged[&pair], pair.1));
        let settings = match merged {
            Some((merged, _)) => &merged.settings,
            None => &policy.settings,
        };
        match settings {
            Err(_) => Effective::Closed,
            Ok(settings) => Effective::Open {
                policy: Some(&policy.key),
                under: merged.map(|(_, under)| &self.policies[under].key),
                name: Some(merged.map_or(&policy.key.object, |(merged, _)| &merged.name)),
                settings,
                hidden: self.hidden([(route, rule), (gateway, Some(listener))], merged.is_some()),
            },
        }
    }

    /// What would hold for a rule of a route at a listener of a Gateway if the narrowest policy did
    /// not; nothing where they are merged.
    fn hidden(
        &self,
        [route, gateway]: [(&Key, Option<&str>); 2],
        is_merged: bool,
    ) -> Option<Hidden<'_>> {
        let places = |(target, section): (&Key, Option<&str>)| {
            let sections = self.targets.get(target);
            let own = section.and_then(|section| sections?.named.get(section).copied());
            own.into_iter()
                .chain(sections.and_then(|sections| sections.whole))
        };
        let is_of_gateway = !is_merged;
        let of_gateway = places(gateway).filter(|_| is_of_gateway);
        let mut all = places(route)
            .map(|index| (index, false))
            .chain(of_gateway.map(|index| (index, true)));
        let (narrow, is_gateways) = all.next()?;
        let (wide, is_wide) = all.find(|(wide, _)| *wide != narrow)?;
        Some(Hidden {
            policy: &self.policies[wide].key,
            can_merge: is_wide && !is_gateways,
            wide: &self.policies[wide].source.spec,
            narrow: &self.policies[narrow].source.spec,
        })
    }

    fn of(&self, target: &Key, section: Option<&str>) -> Option<usize> {
        self.targets.get(target)?.of(section)
    }

    /// The policies of a target.
    pub(super) fn sections(&self, target: &Key) -> Option<&Sections> {
        self.targets.get(target)
    }

    /// The routes that have policies.
    pub(super) fn routes(&self) -> impl Iterator<Item = (&Key, &Sections)> {
        let targets = self.targets.iter();
        targets.filter(|(target, _)| target.kind == Kind::HttpRoute)
    }

    /// Whether the policy of a section asks to be merged.
    pub(super) fn merges(&self, sections: &Sections, section: Option<&str>) -> bool {
        sections
            .of(section)
            .is_some_and(|index| self.policies[index].merges())
    }

    /// The policies that hold for a listener of a Gateway, or for any where none is said.
    pub(super) fn at(&self, gateway: &Key, listener: Option<&str>) -> impl Iterator<Item = &Key> {
        let sections = self.targets.get(gateway).into_iter();
        let indices = sections.flat_map(move |sections| match listener {
            Some(_) => sections.of(listener).into_iter().collect::<Vec<_>>(),
            None => sections.all().collect(),
        });
        indices.map(|index| &self.policies[index].key)
    }
}

impl Policy {
    fn merges(&self) -> bool {
        self.source.spec.merge_type.is_some()
    }
}

/// Notes what of a policy cannot be honoured.
fn note(key: &Key, settings: &Result<Settings, Refusals>, problems: &mut Vec<Problem>) {
    for (field, message) in settings.as_ref().err().into_iter().flatten() {
        let message = format!(
            "{message} Until this is mended, the rules that the policy applies to answer 500."
        );
        let field = format!("spec.{field}");
        problems.push(Problem::error(
            key,
            &field,
            reasons::UNSUPPORTED_VALUE,
            message,
        ));
    }
}

fn accepted(settings: &Result<Settings, Refusals>) -> Condition {
    let kind = reasons::kind::ACCEPTED;
    match settings {
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

/// What is written in an older form, if anything.
fn deprecated(spec: &BackendTrafficPolicySpec) -> Option<Condition> {
    let hash = spec.load_balancer.as_ref();
    let hash = hash.and_then(|balancer| balancer.consistent_hash.as_ref());
    let fields = [
        (
            spec.target_ref.is_some(),
            "spec.targetRef",
            "spec.targetRefs",
        ),
        (
            !spec.compression.is_empty(),
            "spec.compression",
            "spec.compressor",
        ),
        (
            hash.is_some_and(|hash| hash.header.is_some()),
            "spec.loadBalancer.consistentHash.header",
            "spec.loadBalancer.consistentHash.headers",
        ),
        (
            spec.rate_limit
                .as_ref()
                .is_some_and(|limit| limit.r#type.is_some()),
            "spec.rateLimit.type",
            "spec.rateLimit.local and spec.rateLimit.global",
        ),
    ];
    let said = fields.into_iter().filter(|(used, _, _)| *used);
    let said: Vec<String> = said
        .map(|(_, field, instead)| format!("{field} is deprecated, use {instead} instead."))
        .collect();
    (!said.is_empty()).then(|| {
        Condition::yes(
            reasons::kind::WARNING,
            reasons::DEPRECATED_FIELD,
            said.join(" "),
        )
    })
}

impl Sections {
    fn of(&self, section: Option<&str>) -> Option<usize> {
        section
            .and_then(|section| self.named.get(section).copied())
            .or(self.whole)
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        self.whole.into_iter().chain(self.named.values().copied())
    }

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

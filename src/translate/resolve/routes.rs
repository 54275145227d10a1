//! HTTPRoutes: attached to listeners, their rules turned into routes of virtual hosts, their
//! conditions.
//!
//! In: every HTTPRoute, the Gateways, what references lead to. Out: filled [`Hosts`], statuses and
//! problems.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::ancestors::{Ancestor, ParentsByRoute};
use super::attach::{self, Attachment};
use super::chain::{Draft, Outcome};
use super::conditions;
use super::defaults;
use super::failover::Failovers;
use super::gateways::GatewayPlan;
use super::hosts::{Hosts, owner};
use super::matches::Precedence;
use super::policies::{Effective, Policies};
use super::readiness::{Reached, Readiness, ReadinessByPolicy};
use super::refs::References;
use super::rules::{self, Rule, Rules};
use super::settings::Settings;
use super::warnings::{Subject, warnings, warnings_of_rule};
use crate::model::{Action, ChainName, Forward, Retry, Route};
use crate::problem::Problem;
use crate::resource::{HttpRoute, Key, Kind, ObjectName};
use crate::status::{ParentRef, ParentStatus, Status, StatusBody, Statuses, reasons};
use crate::translate::{names, read::Reader};
use gateway_api::apis::experimental::httproutes::HttpRouteParentRefs;

/// A rule that serves nothing of its own answers this, as Gateway API asks.
const FAILED: u16 = 500;

/// The Gateways that are served, with their hosts.
pub(super) struct Served<'a> {
    pub plans: Vec<GatewayPlan<'a>>,
    pub hosts: Vec<Hosts<'a>>,
    pub by_name: BTreeMap<ObjectName, usize>,
}

impl Served<'_> {
    /// The controller that a Gateway is served as; nothing for one that is not served.
    pub(super) fn controller(&self, name: &ObjectName) -> Option<String> {
        let index = *self.by_name.get(name)?;
        Some(self.plans[index].controller.into())
    }
}

/// What routes are made from and with.
pub(super) struct Routing<'a, 's> {
    pub reader: &'s Reader<'a>,
    pub references: References<'a, 's>,
    pub policies: &'s Policies,
    pub failovers: &'s Failovers,
}

/// What one parent reference comes to.
struct Parent<'a> {
    parent: ParentRef,
    gateway: usize,
    attachments: Result<Vec<Attachment<'a>>, attach::Detached>,
}

/// Where routes are placed.
#[derive(Default)]
pub(super) struct Placed {
    /// The parents of each route that is attached or would be.
    pub parents: ParentsByRoute,
    /// What stands against the failover of the chains that a policy orders.
    pub readiness: ReadinessByPolicy,
}

/// Places every HTTPRoute.
pub(super) fn place_all<'a>(
    routing: &mut Routing<'a, '_>,
    served: &mut Served<'a>,
    statuses: &mut Statuses,
    problems: &mut Vec<Problem>,
) -> Placed {
    let mut placed = Placed::default();
    for route in routing.reader.all::<HttpRoute>() {
        let key = Key::of(Kind::HttpRoute, &route.metadata);
        let parents = parents(&key, route, routing.reader, served, problems);
        if parents.is_empty() {
            continue;
        }
        let (policies, failovers) = (routing.policies, routing.failovers);
        let rules = rules::rules(&key, route, failovers, &mut routing.references, problems);
        let reached = place(&key, route, &parents, &rules, policies, served, problems);
        let statuses_of_parents = parents
            .iter()
            .zip(&reached)
            .map(|(parent, reached)| parent_status(parent, &rules, &reached.all, served))
            .collect();
        statuses.insert(
            key.clone(),
            Status {
                observed_generation: route.metadata.generation,
                body: StatusBody::Route(statuses_of_parents),
            },
        );
        let ancestors: Vec<Ancestor> = parents
            .into_iter()
            .map(|parent| ancestor(&key, parent, served))
            .collect();
        for (ancestor, reached) in ancestors.iter().zip(reached) {
            for (policy, readiness) in reached.by_policy {
                let at = placed.readiness.entry(policy).or_default();
                at.entry(ancestor.clone()).or_default().join(&readiness);
            }
        }
        placed.parents.insert(key.object.clone(), ancestors);
    }
    placed
}

/// A parent as the ancestor of the policies of its route.
fn ancestor(route: &Key, parent: Parent<'_>, served: &Served<'_>) -> Ancestor {
    let namespace = parent.parent.namespace.clone();
    let reference = ParentRef {
        namespace: namespace.or_else(|| Some(route.object.namespace.to_string())),
        ..parent.parent
    };
    let controller = served.plans[parent.gateway].controller.to_owned();
    (reference, controller)
}

/// The parents that Locum serves; the others, and those that take nothing of the route, are noted.
fn parents<'a>(
    key: &Key,
    route: &'a HttpRoute,
    reader: &Reader<'_>,
    served: &Served<'a>,
    problems: &mut Vec<Problem>,
) -> Vec<Parent<'a>> {
    let mut parents = Vec::new();
    if route.spec.use_default_gateways.is_some() {
        let message =
            "spec.useDefaultGateways is not supported. Name the Gateways in spec.parentRefs.";
        problems.push(Problem::error(
            key,
            "spec.useDefaultGateways",
            reasons::UNSUPPORTED_VALUE,
            message.into(),
        ));
    }
    let specs = route.spec.parent_refs.as_deref().unwrap_or_default();
    if specs.is_empty() {
        let message = "The route has no parentRefs, so it is attached to nothing.";
        problems.push(Problem::error(
            key,
            "spec.parentRefs",
            reasons::NO_PARENT,
            message.into(),
        ));
    }
    for (index, spec) in specs.iter().enumerate() {
        let field = format!("spec.parentRefs[{index}]");
        let gateway = match gateway_of(key, &field, spec, reader, served) {
            Ok(gateway) => gateway,
            Err(problem) => {
                problems.push(*problem);
                continue;
            }
        };
        let attachments = attach::attachments(route, spec, &served.plans[gateway], reader);
        if let Err((reason, message)) = &attachments {
            problems.push(Problem::error(key, &field, reason, message.clone()));
        }
        parents.push(Parent {
            parent: parent_ref(spec),
            gateway,
            attachments,
        });
    }
    parents
}

/// The Gateway that a parent reference means, or why it is none of Locum's.
fn gateway_of(
    key: &Key,
    field: &str,
    spec: &HttpRouteParentRefs,
    reader: &Reader<'_>,
    served: &Served<'_>,
) -> Result<usize, Box<Problem>> {
    let group = spec.group.as_deref().unwrap_or(Kind::Gateway.group());
    let kind = spec.kind.as_deref().unwrap_or(Kind::Gateway.name());
    if (group, kind) != (Kind::Gateway.group(), Kind::Gateway.name()) {
        let message = format!("A parent of kind {kind} is not supported; only Gateway is.");
        let reason = reasons::PARENT_NOT_SERVED;
        return Err(Problem::warning(key, field, reason, message).into());
    }
    let namespace = spec.namespace.as_deref().unwrap_or(&key.object.namespace);
    let name = ObjectName::new(namespace, &spec.name);
    if let Some(gateway) = served.by_name.get(&name) {
        return Ok(*gateway);
    }
    if reader
        .get::<crate::resource::Gateway>(namespace, &spec.name)
        .is_none()
    {
        let message = format!("Gateway {name} does not exist, so the route is not attached to it.");
        let reason = reasons::PARENT_NOT_FOUND;
        return Err(Problem::error(key, field, reason, message).into());
    }
    let message = format!("Gateway {name} is of a class that Locum does not serve.");
    let reason = reasons::PARENT_NOT_SERVED;
    Err(Problem::warning(key, field, reason, message).into())
}

fn parent_ref(spec: &HttpRouteParentRefs) -> ParentRef {
    ParentRef {
        group: spec
            .group
            .clone()
            .unwrap_or_else(|| Kind::Gateway.group().into()),
        kind: spec
            .kind
            .clone()
            .unwrap_or_else(|| Kind::Gateway.name().into()),
        namespace: spec.namespace.clone(),
        name: spec.name.clone(),
        section_name: spec.section_name.clone(),
        port: spec.port,
    }
}

fn parent_status(
    parent: &Parent<'_>,
    rules: &Rules<'_>,
    readiness: &Readiness,
    served: &Served<'_>,
) -> ParentStatus {
    let plan = &served.plans[parent.gateway];
    let detached = match &parent.attachments {
        Err(detached) => Some(detached.clone()),
        Ok(attachments) => attachments
            .iter()
            .all(|attachment| !plan.serves(&plan.listeners[attachment.listener]))
            .then(|| {
                let message = format!(
                    "No listener of Gateway {} that is referred to is served.",
                    plan.name()
                );
                (reasons::NO_READY_LISTENERS, message)
            }),
    };
    ParentStatus {
        parent: parent.parent.clone(),
        controller_name: plan.controller.into(),
        conditions: conditions::route(rules, readiness, detached.as_ref()),
    }
}

/// Adds the route's rules to the hosts of every listener it reaches, each listener once. Returns what
/// stands against its failover, by parent.
fn place<'a>(
    key: &Key,
    route: &'a HttpRoute,
    parents: &[Parent<'a>],
    rules: &Rules<'a>,
    policies: &Policies,
    served: &mut Served<'a>,
    problems: &mut Vec<Problem>,
) -> Vec<Reached> {
    let created = route
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0);
    let mut reached: BTreeMap<(usize, usize), Reached> = BTreeMap::new();
    for parent in parents {
        for attachment in parent.attachments.iter().flatten() {
            let Entry::Vacant(place) = reached.entry((parent.gateway, attachment.listener)) else {
                continue;
            };
            let at_listener = place.insert(Reached::default());
            let plan = &served.plans[parent.gateway];
            let hosts = &mut served.hosts[parent.gateway];
            hosts.attached[attachment.listener].insert(key.object.clone());
            let listener = &plan.listeners[attachment.listener];
            if !plan.serves(listener) {
                continue;
            }
            let owned = attachment
                .hosts
                .iter()
                .filter(|host| owner(plan, listener.port, host) == Some(attachment.listener));
            let owned: Vec<&'a str> = owned.copied().collect();
            for rule in &rules.rules {
                let effective = policies.effective(key, rule.name, &plan.key, listener.name);
                let action = action(key, rule, &effective, hosts, at_listener, problems);
                for host in &owned {
                    for (matched, specificity, matches) in &rule.matches {
                        let precedence = Precedence {
                            specificity: *specificity,
                            created,
                            route: key.object.clone(),
                            rule: rule.index,
                            matched: *matched,
                        };
                        let model = Route {
                            name: names::route(&key.object, rule.index, *matched),
                            matches: matches.clone(),
                            action: action.clone(),
                            owner: key.clone(),
                            rule: rule.index,
                        };
                        hosts.add(listener.port, host, (precedence, model));
                    }
                }
            }
        }
    }
    let of_parent = |parent: &Parent<'_>| {
        let attachments = parent.attachments.iter().flatten();
        let found = attachments.filter_map(|it| reached.get(&(parent.gateway, it.listener)));
        let mut of_parent = Reached::default();
        found.for_each(|at_listener| of_parent.merge(at_listener));
        of_parent
    };
    parents.iter().map(of_parent).collect()
}

/// What becomes of requests that a rule matches, under its policy; the chain it needs is added to
/// `hosts`.
fn action(
    key: &Key,
    rule: &Rule<'_>,
    effective: &Effective<'_>,
    hosts: &mut Hosts<'_>,
    reached: &mut Reached,
    problems: &mut Vec<Problem>,
) -> Action {
    let (
        Outcome::Forward(draft),
        Effective::Open {
            policy,
            under,
            name,
            settings,
            hidden,
        },
        false,
    ) = (&rule.outcome, effective, rule.refused)
    else {
        return Action::Respond { status: FAILED };
    };
    let by_service = settings.by_service.then(|| draft.by_service());
    let draft = by_service.as_ref().unwrap_or(draft);
    let name = draft.name(&key.object.namespace, *name);
    let order = draft.order.as_deref();
    let said = order.and_then(|order| order.retry.as_ref());
    let mut retry = settings.retry(draft.tiers.len(), rule.retry.as_ref(), said);
    if let Some(timeout) = rule.attempt_timeout {
        retry.per_try_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
    }
    let known = hosts.chains.remove(&name);
    let is_new = known.is_none();
    let mut chain = known.unwrap_or_else(|| draft.chain(settings.chain.clone(), *policy));
    chain.owners.insert(key.clone());
    chain.owners.extend(under.cloned());
    let subject = Subject {
        name: &name,
        chain: &chain,
        draft,
        retry: &retry,
        rule_counts: rule
            .retry
            .as_ref()
            .is_some_and(|retry| retry.attempts.is_some()),
        timeouts: (rule.timeout, settings.request_timeout),
        route: key,
        rule: &format!("spec.rules[{}]", rule.index),
        policy: *policy,
        limit_left_out: settings.limit_left_out,
        hidden: hidden.as_ref(),
        order,
    };
    let of_rule = look_at(&subject, is_new, hosts, problems);
    reached.join(&of_rule, order.map(|order| &order.policy));
    hosts.chains.insert(name.clone(), chain);
    Action::Forward(Box::new(forward(key, rule, draft, name, retry, settings)))
}

/// How the requests of a rule are sent on to its chain.
fn forward(
    key: &Key,
    rule: &Rule<'_>,
    draft: &Draft,
    chain: ChainName,
    retry: Retry,
    settings: &Settings,
) -> Forward {
    let timeout = rule.timeout.or(settings.request_timeout);
    let order = draft.order.as_deref();
    Forward {
        chain,
        failing_millionths: draft.failing_millionths,
        timeout,
        stream_idle_timeout: settings
            .stream_idle_timeout
            .or(timeout.filter(|longest| *longest > defaults::STREAM_IDLE_TIMEOUT)),
        max_stream_duration: settings.max_stream_duration,
        retry,
        hash: settings.hash.clone(),
        last_resort: order.and_then(|order| order.last_resort.clone()),
        filters: settings.filters(draft.changed_headers()),
        upgrades: settings.upgrades.clone(),
        stat_prefix: settings.stat_prefix(key),
    }
}

/// What stands against the failover of a rule's chain. Rules that share a chain share what is wrong
/// with it, which is found with the first of them.
fn look_at(
    subject: &Subject<'_>,
    is_new: bool,
    hosts: &mut Hosts<'_>,
    problems: &mut Vec<Problem>,
) -> Readiness {
    if is_new {
        let found = warnings(subject);
        let of_chain = Readiness::of(subject.chain.tiers.len(), &found);
        hosts.readiness.insert(subject.name.clone(), of_chain);
        problems.extend(found);
    }
    let mut of_rule = hosts.readiness[subject.name].clone();
    let found = warnings_of_rule(subject);
    of_rule.add(&found);
    problems.extend(found);
    of_rule
}

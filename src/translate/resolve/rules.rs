//! Rules of an HTTPRoute: what each matches, what it may not ask for, and where it sends requests.
//!
//! In: a route. Out: its [`Rule`]s, which a policy may still shape, and what is wrong with them,
//! for the route's conditions. A rule that asks for something unsupported is never served without
//! it: it answers 500.

use std::time::Duration;

use gateway_api::apis::experimental::httproutes::{HttpRouteRules, HttpRouteRulesTimeouts};

use super::chain::{self, Outcome};
use super::failover::Failovers;
use super::headers;
use super::matches::{self, Specificity};
use super::order::Order;
use super::refs::{Reference, References};
use super::settings::{Refusals, RuleRetry};
use crate::model::RouteMatch;
use crate::problem::Problem;
use crate::resource::{self, HttpRoute, Key};
use crate::status::reasons;

/// One rule, before a policy shapes it.
pub(super) struct Rule<'a> {
    pub index: usize,
    pub name: Option<&'a str>,
    /// Its matches that can be used, each with its place.
    pub matches: Vec<(usize, Specificity, RouteMatch)>,
    /// Whether it asks for something that is not supported: what it matches answers 500.
    pub refused: bool,
    pub outcome: Outcome,
    /// The longest a request may take; zero is no limit.
    pub timeout: Option<Duration>,
    /// The longest one attempt may take; zero is no limit.
    pub attempt_timeout: Option<Duration>,
    /// What it says of retries itself.
    pub retry: Option<RuleRetry>,
}

/// A route's rules and what its conditions have to say of them.
#[derive(Default)]
pub(super) struct Rules<'a> {
    pub rules: Vec<Rule<'a>>,
    /// What is refused: the rule and why.
    pub refused: Vec<(usize, String)>,
    /// The references that lead nowhere: reason and message.
    pub unresolved: Vec<(&'static str, String)>,
    /// Rules whose valid references have no endpoint at all.
    pub without_endpoints: Vec<usize>,
}

/// The rules of a route.
pub(super) fn rules<'a>(
    key: &Key,
    route: &'a HttpRoute,
    failovers: &Failovers,
    references: &mut References<'_, '_>,
    problems: &mut Vec<Problem>,
) -> Rules<'a> {
    let mut rules = Rules::default();
    for (index, spec) in route.spec.rules.iter().flatten().enumerate() {
        let field = format!("spec.rules[{index}]");
        let mut refusals = unsupported(spec);
        let matches = usable_matches(spec, &mut refusals);
        let timeout = timeout(spec, &mut refusals, "request", |timeouts| {
            timeouts.request.as_deref()
        });
        let attempt_timeout = self::timeout(spec, &mut refusals, "backendRequest", |timeouts| {
            timeouts.backend_request.as_deref()
        });
        let retry = spec.retry.as_ref();
        let retry = retry.map(|retry| RuleRetry::of(retry, &mut refusals));
        let order = failovers.of(key, spec.name.as_deref());
        let order_of = order.map(AsRef::as_ref);
        let mut found = found(key, spec, order_of, references, &mut refusals);
        let outcome = chain::outcome(&mut found, order);
        for reference in &found {
            if let Some((reason, message)) = &reference.failure {
                let field = format!("{field}.backendRefs[{}]", reference.index);
                problems.push(Problem::error(key, &field, reason, message.clone()));
                rules.unresolved.push((reason, message.clone()));
            }
        }
        if !refusals.is_empty() {
            for (below, message) in &refusals {
                let field = format!("{field}.{below}");
                problems.push(Problem::error(
                    key,
                    &field,
                    reasons::UNSUPPORTED_VALUE,
                    message.clone(),
                ));
            }
            let messages: Vec<String> = refusals
                .iter()
                .map(|(_, message)| message.clone())
                .collect();
            rules.refused.push((index, messages.join(" ")));
        }
        problems.extend(without_backends(key, &field, spec, &refusals));
        note_missing_endpoints(key, &field, index, &outcome, &mut rules, problems);
        rules.rules.push(Rule {
            index,
            name: spec.name.as_deref(),
            matches,
            refused: !refusals.is_empty(),
            outcome,
            timeout,
            attempt_timeout,
            retry,
        });
    }
    rules
}

/// What the references of a rule lead to, each in the tier that a policy says.
fn found(
    key: &Key,
    spec: &HttpRouteRules,
    order: Option<&Order>,
    references: &mut References<'_, '_>,
    refusals: &mut Refusals,
) -> Vec<Reference> {
    let namespace = &key.object.namespace;
    let specs = spec.backend_refs.iter().flatten().enumerate();
    specs
        .map(|(index, spec)| {
            let mut reference = references.resolve(namespace, index, spec);
            let tier = order.and_then(|order| order.tier_of(namespace, spec));
            reference.tier = tier.or(reference.tier);
            let mut unusable = Refusals::new();
            reference.headers = headers::changes(spec, &mut unusable);
            let below = |field: String| format!("backendRefs[{index}].{field}");
            let unusable = unusable.into_iter();
            refusals.extend(unusable.map(|(field, message)| (below(field), message)));
            reference
        })
        .collect()
}

/// A rule that says nowhere where requests go.
fn without_backends(
    key: &Key,
    field: &str,
    spec: &HttpRouteRules,
    refusals: &[(String, String)],
) -> Option<Problem> {
    let mut references = spec.backend_refs.iter().flatten().peekable();
    let what = if references.peek().is_none() {
        "The rule has no backendRefs"
    } else if references.all(|reference| reference.weight == Some(0)) {
        "All backendRefs of the rule have weight 0"
    } else {
        return None;
    };
    refusals.is_empty().then(|| {
        let message = format!("{what}: what it matches is answered 500.");
        Problem::warning(key, field, reasons::NO_BACKENDS, message)
    })
}

/// What a rule asks for that is not supported: field below the rule and message.
fn unsupported(spec: &HttpRouteRules) -> Refusals {
    let mut refusals = Vec::new();
    for (index, filter) in spec.filters.iter().flatten().enumerate() {
        let name = word(&filter.r#type);
        let message = format!("Filter {name} is not supported yet.");
        refusals.push((format!("filters[{index}]"), message));
    }
    if spec.session_persistence.is_some() {
        refusals.push((
            "sessionPersistence".into(),
            "Session persistence is not supported yet.".into(),
        ));
    }
    refusals
}

/// A type as manifests write it.
pub(super) fn word(of: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(of).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

fn usable_matches(
    spec: &HttpRouteRules,
    refusals: &mut Refusals,
) -> Vec<(usize, Specificity, RouteMatch)> {
    let specs = spec.matches.as_deref().unwrap_or_default();
    let count = specs.len().max(1);
    let mut matches = Vec::with_capacity(count);
    for index in 0..count {
        match matches::route_match(specs.get(index)) {
            Ok((specificity, matched)) => matches.push((index, specificity, matched)),
            Err(invalid) => {
                refusals.push((
                    format!("matches[{index}].{}", invalid.field),
                    invalid.message,
                ));
            }
        }
    }
    matches
}

fn timeout(
    spec: &HttpRouteRules,
    refusals: &mut Refusals,
    name: &str,
    pick: impl Fn(&HttpRouteRulesTimeouts) -> Option<&str>,
) -> Option<Duration> {
    let text = pick(spec.timeouts.as_ref()?)?;
    match text.parse::<resource::Duration>() {
        Ok(duration) => Some(duration.0),
        Err(error) => {
            refusals.push((format!("timeouts.{name}"), format!("{error}.")));
            None
        }
    }
}

/// Notes valid references without endpoints: on the route where nothing else can serve the rule,
/// else as a warning.
fn note_missing_endpoints(
    key: &Key,
    field: &str,
    index: usize,
    outcome: &Outcome,
    rules: &mut Rules<'_>,
    problems: &mut Vec<Problem>,
) {
    let Outcome::Forward(draft) = outcome else {
        return;
    };
    let mut any = false;
    let mut empty = Vec::new();
    for reference in draft
        .tiers
        .iter()
        .flatten()
        .filter(|reference| reference.failure.is_none())
    {
        if reference.endpoints.is_empty() {
            empty.push(reference);
        } else {
            any = true;
        }
    }
    if !any {
        rules.without_endpoints.push(index);
    }
    for reference in empty {
        let field = format!("{field}.backendRefs[{}]", reference.index);
        let message = format!(
            "{} {} has no endpoints, so it serves nothing now.",
            reference.kind, reference.object
        );
        problems.push(Problem::warning(
            key,
            &field,
            reasons::ENDPOINTS_NOT_FOUND,
            message,
        ));
    }
}

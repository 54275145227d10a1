//! The rules of HTTPRoute.

mod filters;
mod matches;

use gateway_api::apis::experimental::httproutes::{
    HttpRouteParentRefs, HttpRouteRules, HttpRouteRulesBackendRefs, HttpRouteRulesRetry,
    HttpRouteRulesTimeouts,
};

use super::{check_length, check_port, check_range, check_unique};
use crate::resource::fault::{At, Faults, reason};
use crate::resource::key::GATEWAY_API;
use crate::resource::names;
use crate::resource::{Duration, HttpRoute};

const PARENT_LIMIT: usize = 32;
const HOSTNAME_LIMIT: usize = 16;
const RULE_LIMIT: usize = 16;
const MATCH_LIMIT: usize = 64;
/// Of all rules together.
const ALL_MATCHES_LIMIT: usize = 128;
const BACKEND_LIMIT: usize = 16;
const WEIGHT_LIMIT: i64 = 1_000_000;

/// Fills in defaults and notes what an API server would refuse.
pub(in crate::resource) fn complete(route: &mut HttpRoute, faults: &mut Faults) {
    let at = At::Root.field("spec");
    let spec = &mut route.spec;
    let at_hostnames = at.field("hostnames");
    let hostnames = spec.hostnames.as_deref().unwrap_or_default();
    check_length(hostnames.len(), 0, HOSTNAME_LIMIT, &at_hostnames, faults);
    for (index, hostname) in hostnames.iter().enumerate() {
        names::HOSTNAME.check(hostname, &at_hostnames.item(index), faults);
    }
    if let Some(parents) = &mut spec.parent_refs {
        check_parents(parents, &at.field("parentRefs"), faults);
    }
    let rules = spec
        .rules
        .get_or_insert_with(|| vec![HttpRouteRules::default()]);
    check_rules(rules, &at.field("rules"), faults);
}

fn check_parents(parents: &mut [HttpRouteParentRefs], at: &At<'_>, faults: &mut Faults) {
    check_length(parents.len(), 0, PARENT_LIMIT, at, faults);
    for (index, parent) in parents.iter_mut().enumerate() {
        let at = at.item(index);
        let group = parent.group.get_or_insert_with(|| GATEWAY_API.into());
        names::GROUP.check(group, &at.field("group"), faults);
        let kind = parent.kind.get_or_insert_with(|| "Gateway".into());
        names::KIND.check(kind, &at.field("kind"), faults);
        names::OBJECT.check(&parent.name, &at.field("name"), faults);
        if let Some(namespace) = &parent.namespace {
            names::LABEL.check(namespace, &at.field("namespace"), faults);
        }
        if let Some(section) = &parent.section_name {
            names::SUBDOMAIN.check(section, &at.field("sectionName"), faults);
        }
        if let Some(port) = parent.port {
            check_port(port, &at.field("port"), faults);
        }
    }
    let whole = |parent: &HttpRouteParentRefs| {
        let key = (&parent.group, &parent.kind, &parent.namespace, &parent.name);
        format!("{key:?}")
    };
    let keys = parents
        .iter()
        .map(|parent| (whole(parent), parent.section_name.as_deref(), parent.port));
    check_unique(keys, "parent, sectionName and port", at, faults);
    for (index, parent) in parents.iter().enumerate() {
        let at = at.item(index);
        let others = || parents.iter().filter(|other| whole(other) == whole(parent));
        if parent.section_name.is_none() && others().any(|other| other.section_name.is_some()) {
            let message = "is missing: another reference to the same parent has one";
            faults.error(&at.field("sectionName"), reason::REQUIRED, message);
        }
        if parent.port.is_none() && others().any(|other| other.port.is_some()) {
            let message = "is missing: another reference to the same parent has one";
            faults.error(&at.field("port"), reason::REQUIRED, message);
        }
    }
}

fn check_rules(rules: &mut [HttpRouteRules], at: &At<'_>, faults: &mut Faults) {
    check_length(rules.len(), 1, RULE_LIMIT, at, faults);
    for (index, rule) in rules.iter_mut().enumerate() {
        check_rule(rule, &at.item(index), faults);
    }
    let count: usize = rules
        .iter()
        .map(|rule| rule.matches.as_ref().map_or(0, Vec::len))
        .sum();
    let names = rules
        .iter()
        .enumerate()
        .map(|(index, rule)| match &rule.name {
            Some(name) => (name.as_str(), 0),
            // Rules without a name are all different.
            None => ("", index + 1),
        });
    check_unique(names, "name", at, faults);
    if count > ALL_MATCHES_LIMIT {
        let message = format!("have {count} matches together: at most {ALL_MATCHES_LIMIT} allowed");
        faults.error(at, reason::INVALID, message);
    }
}

fn check_rule(rule: &mut HttpRouteRules, at: &At<'_>, faults: &mut Faults) {
    if let Some(name) = &rule.name {
        names::SUBDOMAIN.check(name, &at.field("name"), faults);
    }
    let matches = rule
        .matches
        .get_or_insert_with(|| vec![matches::everything()]);
    let at_matches = at.field("matches");
    check_length(matches.len(), 0, MATCH_LIMIT, &at_matches, faults);
    for (index, one) in matches.iter_mut().enumerate() {
        matches::complete(one, &at_matches.item(index), faults);
    }
    if let Some(backends) = &mut rule.backend_refs {
        check_backends(backends, &at.field("backendRefs"), faults);
    }
    if let Some(timeouts) = &rule.timeouts {
        check_timeouts(timeouts, &at.field("timeouts"), faults);
    }
    if let Some(retry) = &rule.retry {
        check_retry(retry, &at.field("retry"), faults);
    }
    filters::check_rule(rule, at, faults);
}

fn check_backends(backends: &mut [HttpRouteRulesBackendRefs], at: &At<'_>, faults: &mut Faults) {
    check_length(backends.len(), 0, BACKEND_LIMIT, at, faults);
    for (index, backend) in backends.iter_mut().enumerate() {
        let at = at.item(index);
        let weight = *backend.weight.get_or_insert(1);
        check_range(weight.into(), 0, WEIGHT_LIMIT, &at.field("weight"), faults);
        let group = &*backend.group.get_or_insert_default();
        names::GROUP.check(group, &at.field("group"), faults);
        let kind = &*backend.kind.get_or_insert_with(|| "Service".into());
        names::KIND.check(kind, &at.field("kind"), faults);
        names::OBJECT.check(&backend.name, &at.field("name"), faults);
        if let Some(namespace) = &backend.namespace {
            names::LABEL.check(namespace, &at.field("namespace"), faults);
        }
        match backend.port {
            Some(port) => check_port(port, &at.field("port"), faults),
            None if group.is_empty() && kind == "Service" => {
                let message = "is missing: a reference to a Service needs its port";
                faults.error(&at.field("port"), reason::REQUIRED, message);
            }
            None => {}
        }
    }
}

fn check_timeouts(timeouts: &HttpRouteRulesTimeouts, at: &At<'_>, faults: &mut Faults) {
    let mut read = |text: &Option<String>, name: &str| {
        let parsed = text.as_ref()?.parse::<Duration>();
        if let Err(error) = &parsed {
            faults.error(
                &at.field(name),
                reason::INVALID,
                format!("is wrong: {error}"),
            );
        }
        parsed.ok()
    };
    let request = read(&timeouts.request, "request");
    let backend_request = read(&timeouts.backend_request, "backendRequest");
    // A request timeout of zero is none.
    if let (Some(request), Some(backend_request)) = (request, backend_request)
        && !request.0.is_zero()
        && backend_request > request
    {
        let message = "must not be longer than the request timeout";
        faults.error(&at.field("backendRequest"), reason::CONFLICT, message);
    }
}

fn check_retry(retry: &HttpRouteRulesRetry, at: &At<'_>, faults: &mut Faults) {
    if let Some(attempts) = retry.attempts {
        check_range(attempts, 1, i32::MAX.into(), &at.field("attempts"), faults);
    }
    if let Some(Err(error)) = retry.backoff.as_ref().map(|text| text.parse::<Duration>()) {
        faults.error(
            &at.field("backoff"),
            reason::INVALID,
            format!("is wrong: {error}"),
        );
    }
    let at = at.field("codes");
    let codes = retry.codes.as_deref().unwrap_or_default();
    for (index, code) in codes.iter().enumerate() {
        check_range(*code, 400, 599, &at.item(index), faults);
    }
    check_unique(codes.iter(), "code", &at, faults);
}

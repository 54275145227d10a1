//! Conditions of an HTTPRoute at one parent.

use super::attach::Detached;
use super::readiness::Readiness;
use super::rules::Rules;
use crate::status::Condition;
use crate::status::reasons::{self, kind};

/// What a parent makes of a route: attached or why not, which rules are refused, which references
/// lead nowhere, whether standbys can take over.
pub(super) fn route(
    rules: &Rules<'_>,
    readiness: &Readiness,
    detached: Option<&Detached>,
) -> Vec<Condition> {
    let mut conditions = Vec::with_capacity(3);
    let dropped = dropped(rules);
    match (detached, &dropped) {
        (Some((reason, message)), _) => {
            conditions.push(Condition::no(kind::ACCEPTED, reason, message.clone()));
        }
        (None, Some(message)) if rules.refused.len() == rules.rules.len() => {
            conditions.push(Condition::no(
                kind::ACCEPTED,
                reasons::UNSUPPORTED_VALUE,
                message.clone(),
            ));
        }
        (None, dropped) => {
            conditions.push(Condition::yes(
                kind::ACCEPTED,
                reasons::ACCEPTED,
                "The route is accepted.",
            ));
            if let Some(message) = dropped {
                let reason = reasons::UNSUPPORTED_VALUE;
                conditions.push(Condition::yes(
                    kind::PARTIALLY_INVALID,
                    reason,
                    message.clone(),
                ));
            }
        }
    }
    conditions.push(resolved_refs(rules));
    if !rules.without_endpoints.is_empty() {
        let message = format!(
            "No backend of rule(s) {} has an endpoint: requests are answered 503.",
            list(&rules.without_endpoints)
        );
        conditions.push(Condition::no(
            kind::BACKENDS_AVAILABLE,
            reasons::ENDPOINTS_NOT_FOUND,
            message,
        ));
    }
    conditions.extend(readiness.condition());
    conditions
}

/// The message on refused rules. Gateway API wants it to begin like this.
fn dropped(rules: &Rules<'_>) -> Option<String> {
    if rules.refused.is_empty() {
        return None;
    }
    let indices: Vec<usize> = rules.refused.iter().map(|(index, _)| *index).collect();
    let messages: Vec<&str> = rules
        .refused
        .iter()
        .map(|(_, message)| message.as_str())
        .collect();
    Some(format!(
        "Dropped Rule(s) {}: what they match is answered 500. {}",
        list(&indices),
        messages.join(" ")
    ))
}

fn resolved_refs(rules: &Rules<'_>) -> Condition {
    let Some((reason, _)) = rules.unresolved.first() else {
        let message = "All references are resolved.";
        return Condition::yes(kind::RESOLVED_REFS, reasons::RESOLVED_REFS, message);
    };
    let mut messages: Vec<&str> = Vec::new();
    for (_, message) in &rules.unresolved {
        if !messages.contains(&message.as_str()) {
            messages.push(message);
        }
    }
    Condition::no(kind::RESOLVED_REFS, reason, messages.join(" "))
}

fn list(indices: &[usize]) -> String {
    let texts: Vec<String> = indices.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

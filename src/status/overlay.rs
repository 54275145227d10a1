//! The overlay: what translation says of an object, joined with what is observed of it.
//!
//! In: the statuses of a translation, what proxies made of it ([`Observed`]), and each object as the
//! API server holds it. Out: the status that the object shall have. Observed are:
//!
//! - whether a Gateway is programmed: at least one proxy is connected and all have acknowledged what
//!   was made from this generation of it;
//! - what proxies refuse: it stands on the owners of the refused resource for as long as it lasts;
//! - that an object is not valid as it is written now, while its last valid form may still be served.

mod invalid;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::observations::{Observed, Refusal, Verdict};
use super::reasons::{self, kind};
use super::{
    AncestorStatus, Condition, GatewayStatus, ParentRef, ParentStatus, Status, StatusBody, Statuses,
};
use crate::resource::fault::Fault;
use crate::resource::{Key, Kind, ObjectName};

/// So many names of proxies or refusals are said; of the others only how many there are.
const MAX_NAMED: usize = 3;

/// One object as the API server holds it.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    pub generation: Option<i64>,
    pub status: &'a Value,
    /// Why the object is not taken as it is written now.
    pub invalid: Option<Invalid<'a>>,
}

/// What is wrong with an object that is not taken.
#[derive(Clone, Copy, Debug)]
pub struct Invalid<'a> {
    pub faults: &'a [Fault],
    /// As it is written.
    pub spec: &'a Value,
}

/// What an object's status shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    Status(Cow<'a, Status>),
    /// Likely to change within moments: proxies are being told.
    Settling(Cow<'a, Status>),
    /// Locum has nothing to say of it.
    Nothing,
    /// What it says may hold and may not; it is known soon.
    Unknown,
}

/// Everything but the object, for as long as neither translation nor observation changes.
#[derive(Debug)]
pub struct Overlay<'a> {
    statuses: &'a Statuses,
    observed: &'a Observed,
    controllers: &'a [String],
    refusals: BTreeMap<&'a Key, Vec<&'a Refusal>>,
}

impl<'a> Overlay<'a> {
    /// `controllers` are the names of Locum's own.
    pub fn new(statuses: &'a Statuses, observed: &'a Observed, controllers: &'a [String]) -> Self {
        let mut refusals: BTreeMap<&Key, Vec<&Refusal>> = BTreeMap::new();
        for refusal in &observed.refusals {
            for owner in &refusal.owners {
                refusals.entry(owner).or_default().push(refusal);
            }
        }
        Self {
            statuses,
            observed,
            controllers,
            refusals,
        }
    }

    /// What the status of the object `key` shall be.
    pub fn wanted(&self, key: &Key, object: Object<'_>) -> Wanted<'a> {
        let translated = self.statuses.get(key);
        if let Some(invalid) = object.invalid {
            let status = self.invalid(key, object.generation, invalid, translated);
            return status.map_or(Wanted::Nothing, |status| Wanted::Status(Cow::Owned(status)));
        }
        let Some(translated) = translated else {
            return Wanted::Nothing;
        };
        let refusals = self.refusals.get(key).map_or(&[][..], Vec::as_slice);
        if refusals.is_empty() && !self.observed.complete && says_refused(object.status) {
            return Wanted::Unknown;
        }
        if let StatusBody::Gateway(gateway) = &translated.body {
            return self.gateway(&key.object, translated, gateway, refusals, object);
        }
        if refusals.is_empty() {
            return Wanted::Status(Cow::Borrowed(translated));
        }
        let body = match &translated.body {
            StatusBody::Conditions(conditions) => {
                StatusBody::Conditions(with(conditions, refused(refusals)))
            }
            StatusBody::Route(parents) => {
                StatusBody::Route(refused_parents(parents, refusals, &key.object.namespace))
            }
            StatusBody::Policy(ancestors) => StatusBody::Policy(refused_ancestors(
                ancestors,
                refusals,
                &key.object.namespace,
            )),
            body @ (StatusBody::Class(_) | StatusBody::Gateway(_)) => body.clone(),
        };
        Wanted::Status(Cow::Owned(Status {
            body,
            ..translated.clone()
        }))
    }

    fn gateway(
        &self,
        name: &ObjectName,
        translated: &'a Status,
        gateway: &GatewayStatus,
        refusals: &[&Refusal],
        object: Object<'_>,
    ) -> Wanted<'a> {
        let generation = translated.observed_generation.unwrap_or_default();
        let verdict = self.observed.verdict(name, generation);
        let pending = match &verdict {
            Verdict::Programmed => None,
            Verdict::NoProxies => Some(no_proxies(name)),
            Verdict::Waiting { late, .. } => Some(waiting(late)),
            Verdict::Unknown => still_pending(object.status, generation),
        };
        let mut gateway = gateway.clone();
        for condition in programmed(&mut gateway.conditions) {
            *condition = match (&pending, refusals) {
                (_, [_, ..]) => refused(refusals),
                (Some(message), []) => pending_because(message),
                (None, []) => Condition::yes(
                    kind::PROGRAMMED,
                    reasons::PROGRAMMED,
                    "The proxies have acknowledged it.",
                ),
            };
        }
        for listener in &mut gateway.listeners {
            let of_listener = refusals.iter().copied();
            let of_listener: Vec<_> = of_listener
                .filter(|refusal| refusal.name == listener.envoy_name)
                .collect();
            for condition in programmed(&mut listener.conditions) {
                if !of_listener.is_empty() {
                    *condition = refused(&of_listener);
                } else if let Some(message) = &pending {
                    *condition = pending_because(message);
                }
            }
        }
        let status = Cow::Owned(Status {
            observed_generation: translated.observed_generation,
            body: StatusBody::Gateway(gateway),
        });
        // A new leader hears of the proxies of all replicas within moments.
        let soon = matches!(verdict, Verdict::Waiting { .. } | Verdict::Unknown);
        if refusals.is_empty() && soon {
            Wanted::Settling(status)
        } else {
            Wanted::Status(status)
        }
    }
}

/// Programmed, where translation says that nothing of its own stands against it.
fn programmed(conditions: &mut [Condition]) -> impl Iterator<Item = &mut Condition> {
    let conditions = conditions.iter_mut();
    conditions.filter(|condition| condition.kind == kind::PROGRAMMED && condition.holds)
}

fn pending_because(message: &str) -> Condition {
    Condition::no(kind::PROGRAMMED, reasons::PENDING, message)
}

fn no_proxies(gateway: &ObjectName) -> String {
    format!(
        "No proxy is connected. An Envoy that shall serve the Gateway calls itself {gateway} in its \
         node.cluster."
    )
}

fn waiting(late: &[&str]) -> String {
    format!(
        "Not acknowledged yet by these proxies: {}.",
        some(late.iter().map(ToString::to_string), ", ")
    )
}

/// Why a Gateway is not programmed, by what its status says already: nothing if it says that it is.
fn still_pending(status: &Value, generation: i64) -> Option<String> {
    const UNHEARD: &str = "Not acknowledged by any proxy yet.";
    let programmed = conditions(status)
        .find(|condition| condition["type"] == kind::PROGRAMMED)
        .filter(|condition| condition["observedGeneration"] == generation);
    let Some(programmed) = programmed else {
        return Some(UNHEARD.into());
    };
    if programmed["status"] == "True" {
        return None;
    }
    let message = programmed["message"].as_str();
    let message = message.filter(|_| programmed["reason"] == reasons::PENDING);
    Some(message.unwrap_or(UNHEARD).into())
}

fn conditions(status: &Value) -> impl Iterator<Item = &Value> {
    status["conditions"].as_array().into_iter().flatten()
}

/// Whether a condition anywhere in a status says that a proxy refuses.
fn says_refused(status: &Value) -> bool {
    let entries = ["parents", "ancestors"]
        .into_iter()
        .filter_map(|list| status[list].as_array())
        .flatten();
    let mut said = entries.flat_map(conditions).chain(conditions(status));
    said.any(|condition| {
        condition["type"] == kind::PROGRAMMED && condition["reason"] == reasons::REFUSED
    })
}

/// That proxies refuse, in their words.
fn refused(refusals: &[&Refusal]) -> Condition {
    let sentences = refusals.iter().map(|refusal| {
        // Envoy's words may end with a line break.
        let mut sentence = refusal.to_string().trim_end().to_owned();
        if let Some(first) = sentence.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        sentence
    });
    Condition::no(kind::PROGRAMMED, reasons::REFUSED, some(sentences, " "))
}

/// The first of some texts, and how many more there are.
fn some(texts: impl ExactSizeIterator<Item = String>, separator: &str) -> String {
    let more = texts.len().saturating_sub(MAX_NAMED);
    let named: Vec<String> = texts.take(MAX_NAMED).collect();
    let named = named.join(separator);
    if more == 0 {
        named
    } else {
        format!("{named}{separator}and {more} more")
    }
}

fn with(conditions: &[Condition], condition: Condition) -> Vec<Condition> {
    conditions.iter().cloned().chain([condition]).collect()
}

fn refused_parents(
    parents: &[ParentStatus],
    refusals: &[&Refusal],
    namespace: &str,
) -> Vec<ParentStatus> {
    let refused_at = |parent: &ParentStatus| ParentStatus {
        conditions: conditions_at(&parent.parent, &parent.conditions, refusals, namespace),
        ..parent.clone()
    };
    parents.iter().map(refused_at).collect()
}

fn refused_ancestors(
    ancestors: &[AncestorStatus],
    refusals: &[&Refusal],
    namespace: &str,
) -> Vec<AncestorStatus> {
    let refused_at = |ancestor: &AncestorStatus| AncestorStatus {
        conditions: conditions_at(
            &ancestor.ancestor,
            &ancestor.conditions,
            refusals,
            namespace,
        ),
        ..ancestor.clone()
    };
    ancestors.iter().map(refused_at).collect()
}

/// The conditions at one Gateway, with what its proxies refuse.
fn conditions_at(
    reference: &ParentRef,
    conditions: &[Condition],
    refusals: &[&Refusal],
    namespace: &str,
) -> Vec<Condition> {
    let gateway = reference.gateway(namespace);
    let here: Vec<_> = refusals
        .iter()
        .copied()
        .filter(|refusal| gateway.as_ref() == Some(&refusal.gateway))
        .collect();
    if here.is_empty() {
        conditions.to_vec()
    } else {
        with(conditions, refused(&here))
    }
}

impl ParentRef {
    /// The Gateway that is meant by an object in `namespace`; nothing where another kind is.
    fn gateway(&self, namespace: &str) -> Option<ObjectName> {
        let is_gateway =
            (&*self.group, &*self.kind) == (Kind::Gateway.group(), Kind::Gateway.name());
        let namespace = self.namespace.as_deref().unwrap_or(namespace);
        is_gateway.then(|| ObjectName::new(namespace, &self.name))
    }
}

#[cfg(test)]
mod tests;

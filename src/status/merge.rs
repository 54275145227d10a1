//! Merging: what an object's status must become, so that it says what Locum wants to say and keeps
//! what others have said.
//!
//! In: a status as the API server holds it and the one that is wanted. Out: the fields to patch, or
//! nothing where all is said already. What is kept:
//!
//! - entries of other controllers (a route's parents, a policy's ancestors), conditions of types
//!   that Locum does not write, fields that it does not write;
//! - `lastTransitionTime` of a condition whose status is the same, and the order of what is there.
//!
//! So nothing is left to write after a write, and time and order alone are never a difference.

use serde_json::{Map, Value};

use super::{Status, reasons::kind, render};
use crate::resource::{Key, Kind};

/// Gateway API allows so many parents in a route's status.
const MAX_PARENTS: usize = 32;
/// And so many ancestors in a policy's.
const MAX_ANCESTORS: usize = 16;

/// The types of conditions that Locum writes, on whatever it writes them.
const TYPES: [&str; 11] = [
    kind::ACCEPTED,
    kind::PROGRAMMED,
    kind::RESOLVED_REFS,
    kind::CONFLICTED,
    kind::PARTIALLY_INVALID,
    kind::BACKENDS_AVAILABLE,
    kind::AGGREGATED,
    kind::FAILOVER_READY,
    kind::MERGED,
    kind::OVERRIDDEN,
    kind::WARNING,
];

/// An object's status as the API server holds it.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Null where there is none.
    pub status: &'a Value,
    /// Of the object's spec, as far as is known.
    pub generation: Option<i64>,
}

/// The fields of the status to patch, each with its whole new value (null to remove it), or nothing
/// where `held` says all that is wanted.
///
/// `wanted` is `None` where Locum has nothing to say: then its entries among those of others go,
/// while an object that would be Locum's as a whole is left alone. `ours` are the names of Locum's
/// controllers, `time` the `lastTransitionTime` of what changes.
///
/// A status that another replica wrote of a later generation than `wanted` speaks of is left as it
/// is: it knows more.
pub fn patch(
    key: &Key,
    held: Held<'_>,
    wanted: Option<&Status>,
    ours: &[String],
    time: &str,
) -> Option<Value> {
    if wanted.is_some_and(|wanted| is_ahead(held, wanted, ours)) {
        return None;
    }
    let wanted = wanted.map(|wanted| render::body(wanted, time));
    let wanted = wanted.as_ref();
    let fields: Vec<(&str, Value)> = match key.kind {
        Kind::HttpRoute => vec![("parents", entries(held.status, wanted, &ROUTE, ours).into())],
        Kind::BackendTrafficPolicy | Kind::FailoverPolicy | Kind::Guard => vec![(
            "ancestors",
            entries(held.status, wanted, &POLICY, ours).into(),
        )],
        kind => whole(kind, held.status, wanted?),
    };
    let changed = fields.into_iter().filter(|(field, value)| {
        let now = &held.status[*field];
        now != value && !(is_empty(now) && is_empty(value))
    });
    let changed: Map<String, Value> = changed
        .map(|(field, value)| (field.to_owned(), value))
        .collect();
    (!changed.is_empty()).then_some(Value::Object(changed))
}

/// The fields of a status that is Locum's as a whole.
fn whole<'f>(kind: Kind, held: &Value, wanted: &Value) -> Vec<(&'f str, Value)> {
    let keeps_equal = kind == Kind::Backend;
    let conditions = conditions(&held["conditions"], &wanted["conditions"], keeps_equal);
    let mut fields = vec![("conditions", conditions)];
    match kind {
        Kind::GatewayClass => {
            fields.push(("supportedFeatures", wanted["supportedFeatures"].clone()));
        }
        Kind::Gateway => {
            let listeners = listeners(&held["listeners"], &wanted["listeners"]);
            fields.push(("listeners", listeners));
            fields.push(("addresses", wanted["addresses"].clone()));
        }
        _ => {}
    }
    fields
}

/// The listeners that are wanted, with what others say of them.
fn listeners(held: &Value, wanted: &Value) -> Value {
    let merged = items(wanted).iter().map(|listener| {
        let known = items(held)
            .iter()
            .find(|known| known["name"] == listener["name"]);
        let Some(known) = known else {
            return listener.clone();
        };
        let mut merged = known.clone();
        overwrite(&mut merged, listener);
        merged["conditions"] = conditions(&known["conditions"], &listener["conditions"], false);
        merged
    });
    merged.collect()
}

/// How entries of several controllers stand in a status.
struct Entries {
    /// The field with the list, and the field of an entry that says what it is about.
    list: &'static str,
    subject: &'static str,
    max: usize,
}

const ROUTE: Entries = Entries {
    list: "parents",
    subject: "parentRef",
    max: MAX_PARENTS,
};

const POLICY: Entries = Entries {
    list: "ancestors",
    subject: "ancestorRef",
    max: MAX_ANCESTORS,
};

/// The entries of all controllers, Locum's own as they are wanted. Where there is no room for all,
/// others come first and Locum's in their order.
fn entries(held: &Value, wanted: Option<&Value>, form: &Entries, ours: &[String]) -> Vec<Value> {
    let wanted = wanted.map(|wanted| items(&wanted[form.list]));
    let wanted = wanted.unwrap_or_default();
    let mut waiting: Vec<&Value> = wanted.iter().collect();
    let mut merged = Vec::new();
    for entry in items(&held[form.list]) {
        if !is_ours(entry, ours) {
            merged.push((false, entry.clone()));
            continue;
        }
        let same = |wanted: &&Value| {
            wanted["controllerName"] == entry["controllerName"]
                && same_subject(&wanted[form.subject], &entry[form.subject])
        };
        if let Some(place) = waiting.iter().position(same) {
            let wanted = waiting.remove(place);
            let mut kept = entry.clone();
            overwrite(&mut kept, wanted);
            kept["conditions"] = conditions(&entry["conditions"], &wanted["conditions"], false);
            merged.push((true, kept));
        }
    }
    merged.extend(waiting.into_iter().map(|entry| (true, entry.clone())));
    let foreign = merged.iter().filter(|(is_own, _)| !is_own).count();
    let mut room = form.max.saturating_sub(foreign);
    merged.retain(|(is_own, _)| {
        if !is_own {
            return true;
        }
        let fits = room > 0;
        room = room.saturating_sub(1);
        fits
    });
    merged.into_iter().map(|(_, entry)| entry).collect()
}

fn is_ours(entry: &Value, ours: &[String]) -> bool {
    let controller = entry["controllerName"].as_str();
    controller.is_some_and(|name| ours.iter().any(|own| own == name))
}

/// Whether two references are the same text, an API server's defaults filled in.
fn same_subject(one: &Value, other: &Value) -> bool {
    let defaulted = |reference: &Value, field: &str, default: &str| {
        reference[field].as_str().unwrap_or(default).to_owned()
    };
    let group = Kind::Gateway.group();
    let kind = Kind::Gateway.name();
    defaulted(one, "group", group) == defaulted(other, "group", group)
        && defaulted(one, "kind", kind) == defaulted(other, "kind", kind)
        && ["namespace", "name", "sectionName", "port"]
            .into_iter()
            .all(|field| one[field] == other[field])
}

/// The conditions of all writers, Locum's own as they are wanted.
///
/// With `keeps_equal` an Accepted that says the same of the same generation in other words stays: of
/// an object that two controllers write, both are content then.
fn conditions(held: &Value, wanted: &Value, keeps_equal: bool) -> Value {
    let mut waiting: Vec<&Value> = items(wanted).iter().collect();
    let mut merged = Vec::new();
    for condition in items(held) {
        let kind = &condition["type"];
        if let Some(place) = waiting.iter().position(|wanted| wanted["type"] == *kind) {
            let wanted = waiting.remove(place);
            merged.push(since(condition, wanted, keeps_equal));
        } else if !TYPES.iter().any(|own| kind == own) {
            merged.push(condition.clone());
        }
    }
    merged.extend(waiting.into_iter().cloned());
    Value::Array(merged)
}

/// `wanted`, with the time since when it holds.
fn since(held: &Value, wanted: &Value, keeps_equal: bool) -> Value {
    if held["status"] != wanted["status"] {
        return wanted.clone();
    }
    let is_shared = keeps_equal && held["type"] == kind::ACCEPTED;
    if is_shared && held["observedGeneration"] == wanted["observedGeneration"] {
        return held.clone();
    }
    let mut merged = wanted.clone();
    if held["lastTransitionTime"].is_string() {
        merged["lastTransitionTime"] = held["lastTransitionTime"].clone();
    }
    merged
}

/// Whether a condition of Locum's own speaks of a generation that is there and that `wanted` does
/// not know yet.
fn is_ahead(held: Held<'_>, wanted: &Status, ours: &[String]) -> bool {
    let (Some(current), Some(known)) = (held.generation, wanted.observed_generation) else {
        return false;
    };
    let status = held.status;
    let own = |list: &str| {
        let entries = items(&status[list]).iter();
        entries.filter(|entry| is_ours(entry, ours))
    };
    own("parents")
        .chain(own("ancestors"))
        .chain([status])
        .flat_map(|entry| items(&entry["conditions"]))
        .filter(|condition| TYPES.iter().any(|own| condition["type"] == *own))
        .filter_map(|condition| condition["observedGeneration"].as_i64())
        .any(|observed| observed > known && observed <= current)
}

/// Sets the fields of `to` that `from` has.
fn overwrite(to: &mut Value, from: &Value) {
    if let (Value::Object(to), Value::Object(from)) = (to, from) {
        to.extend(
            from.iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

#[cfg(test)]
mod tests;

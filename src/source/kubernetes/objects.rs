//! The objects of one watch: what became of each, and what has to be said when it is seen again.
//!
//! In: objects as the API server writes them, one by one, and what a whole list held. Out: [`News`]:
//! only changes of content. An object that does not parse costs only itself: its last good form
//! stays.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_128;

use super::seen::{Observed, Refused, Seen};
use super::target::{Need, Watched};
use crate::problem::Severity;
use crate::resource::fault::Fault;
use crate::resource::key::api_version;
use crate::resource::parse::parse;
use crate::resource::{Key, Kind};
use crate::source::Finding;
use crate::store::Change;

/// Where kubectl keeps a copy of what was applied: as long as the object, and no part of it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The metadata that are content. The others say who wrote what and who waits for whom; a server
/// may have some that nobody has heard of yet.
const METADATA: [&str; 8] = [
    "name",
    "namespace",
    "uid",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "labels",
    "annotations",
];

/// What has to be said.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) changes: Vec<Change>,
    /// What is wrong now with each object of which this changed; nothing where it is mended.
    pub(super) findings: Vec<(Key, Vec<Finding>)>,
}

impl News {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.findings.is_empty()
    }
}

/// The objects of one watch.
#[derive(Debug)]
pub(super) struct Objects {
    watched: Watched,
    /// The version under which they are watched.
    api_version: Arc<str>,
    known: HashMap<Key, Known>,
    seen: Seen,
}

/// What became of one object.
#[derive(Debug)]
struct Known {
    /// The same for the same content.
    print: u128,
    /// Another object of the same name has another one.
    uid: String,
    /// Whether a good form of it was said.
    is_served: bool,
    /// Whether it is refused as it stands now.
    is_refused: bool,
    has_findings: bool,
}

/// What an API server notes about an object, apart from its content.
#[derive(Debug)]
struct Notes {
    key: Key,
    uid: String,
    resource_version: String,
    generation: Option<i64>,
    status: Value,
    written_by: Option<String>,
}

impl Objects {
    pub(super) fn new(watched: Watched, version: &str, seen: Seen) -> Self {
        Self {
            watched,
            api_version: api_version(watched.group(), version).into(),
            known: HashMap::new(),
            seen,
        }
    }

    /// From now on they are watched under another version.
    pub(super) fn set_version(&mut self, version: &str) {
        self.api_version = api_version(self.watched.group(), version).into();
    }

    /// An object as it is now. What is no object of the kind gives no key.
    pub(super) fn apply(&mut self, value: Value, news: &mut News) -> Option<Key> {
        let Value::Object(mut map) = value else {
            return None;
        };
        let notes = self.take_notes(&mut map)?;
        let key = notes.key.clone();
        map.entry("apiVersion")
            .or_insert_with(|| (*self.api_version).into());
        map.entry("kind")
            .or_insert_with(|| self.watched.name().into());
        let value = Value::Object(map);
        let print = xxh3_128(value.to_string().as_bytes());
        let is_known = |known: &Known| known.print == print && !known.is_refused;
        let refused = if self.known.get(&key).is_some_and(is_known) {
            None
        } else {
            self.read(&notes, value, print, news)
        };
        if self.watched.has_status() {
            let observed = Observed {
                api_version: self.api_version.clone(),
                uid: notes.uid,
                resource_version: notes.resource_version,
                generation: notes.generation,
                status: notes.status,
                written_by: notes.written_by,
                refused,
            };
            self.seen.set(notes.key, observed);
        }
        Some(key)
    }

    /// Parses an object whose content is new.
    fn read(
        &mut self,
        notes: &Notes,
        value: Value,
        print: u128,
        news: &mut News,
    ) -> Option<Refused> {
        let spec = value.get("spec").cloned().unwrap_or_default();
        let mut parsed = parse(value, "");
        if self.watched.need() == Need::BuiltIn {
            // A field that Kubernetes has and Locum does not know is nobody's mistake.
            parsed
                .faults
                .retain(|fault| fault.severity == Severity::Error);
        }
        let key = &notes.key;
        let before = self.known.remove(key);
        // The last good form of an object that was deleted and made anew is another object's.
        let is_other = before
            .as_ref()
            .is_some_and(|before| before.uid != notes.uid);
        let was_served = before.as_ref().is_some_and(|before| before.is_served);
        let is_refused = parsed.object.is_none();
        let is_served = match parsed.object {
            Some(object) => {
                news.changes.push(Change::Applied(object));
                true
            }
            None if was_served && is_other => {
                news.changes.push(Change::Deleted(key.clone()));
                false
            }
            None => was_served,
        };
        let has_findings = !parsed.faults.is_empty();
        if has_findings || before.is_some_and(|before| before.has_findings) {
            let stays = is_refused && is_served;
            let findings = parsed.faults.iter().map(|fault| finding(key, fault, stays));
            news.findings.push((key.clone(), findings.collect()));
        }
        let known = Known {
            print,
            uid: notes.uid.clone(),
            is_served,
            is_refused,
            has_findings,
        };
        self.known.insert(key.clone(), known);
        is_refused.then_some(Refused {
            faults: parsed.faults,
            spec,
        })
    }

    /// An object that is gone.
    pub(super) fn delete(&mut self, value: Value, news: &mut News) -> Option<Key> {
        let Value::Object(mut map) = value else {
            return None;
        };
        let key = self.take_notes(&mut map)?.key;
        self.forget(&key, news);
        Some(key)
    }

    /// A whole list held `listed` and nothing else.
    pub(super) fn retain(&mut self, listed: &HashSet<Key>, news: &mut News) {
        let gone = self.known.keys().filter(|key| !listed.contains(*key));
        for key in gone.cloned().collect::<Vec<_>>() {
            self.forget(&key, news);
        }
    }

    fn forget(&mut self, key: &Key, news: &mut News) {
        let Some(known) = self.known.remove(key) else {
            return;
        };
        if known.is_served {
            news.changes.push(Change::Deleted(key.clone()));
        }
        if known.has_findings {
            news.findings.push((key.clone(), Vec::new()));
        }
        self.seen.remove(key);
    }

    /// Takes what is no content out of an object: who wrote which field, versions, the status.
    /// Only a Service's status is content: it says where the Service can be reached.
    fn take_notes(&self, map: &mut Map<String, Value>) -> Option<Notes> {
        let status = match self.watched {
            Watched::Kind(Kind::Service) => Value::Null,
            _ => map.remove("status").unwrap_or_default(),
        };
        let metadata = map.get_mut("metadata")?.as_object_mut()?;
        let written_by = status_writer(&metadata.remove("managedFields").unwrap_or_default());
        let resource_version = metadata.remove("resourceVersion");
        metadata.retain(|name, _| METADATA.contains(&name.as_str()));
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove(LAST_APPLIED);
        }
        let text = |name: &str| metadata.get(name).and_then(Value::as_str);
        Some(Notes {
            key: self
                .watched
                .key(text("namespace").unwrap_or_default(), text("name")?),
            uid: text("uid").unwrap_or_default().to_owned(),
            resource_version: match resource_version {
                Some(Value::String(version)) => version,
                _ => String::new(),
            },
            generation: metadata.get("generation").and_then(Value::as_i64),
            status,
            written_by,
        })
    }
}

/// The manager that wrote the status last. Times have a form in which text and time sort alike.
fn status_writer(managed: &Value) -> Option<String> {
    let entries = managed.as_array()?.iter();
    let of_status = entries.filter(|entry| entry["subresource"] == "status");
    let last = of_status.max_by_key(|entry| entry["time"].as_str().unwrap_or_default())?;
    Some(last["manager"].as_str()?.to_owned())
}

/// A fault of an object as a finding; it has no place in a file. `stays` says whether an earlier
/// form of the object is served.
fn finding(key: &Key, fault: &Fault, stays: bool) -> Finding {
    let mut message = fault.message.clone();
    if stays && fault.severity == Severity::Error {
        message += "; until it is mended its last good form is served";
    }
    Finding {
        severity: fault.severity,
        location: None,
        object: Some(key.clone()),
        field: fault.field.clone(),
        reason: fault.reason,
        message,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_wrote_the_status_last_is_told_from_the_managed_fields() {
        let entry = |manager: &str, subresource: &str, time: &str| json!({"manager": manager, "subresource": subresource, "time": time});
        let managed = json!([
            entry("locum", "status", "2026-01-01T00:00:00Z"),
            entry("envoy-gateway", "status", "2026-01-01T00:00:05Z"),
            {"manager": "kubectl", "time": "2026-01-01T00:00:09Z"},
        ]);
        assert_eq!(status_writer(&managed).as_deref(), Some("envoy-gateway"));
        assert_eq!(status_writer(&Value::Null), None);
    }
}

//! The reference, held against the cases: what each row says of a field, a case shows.
//!
//! A field that Envoy's fields say: a case sets it, Envoy is told those, and something else without
//! it. One that is refused, or
//! whose value is: a case has it refused in the words of the row. Any other: a case sets it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use locum::reference::{self, Effect, Row};
use locum::status::render;
use locum::xds::json;
use locum::xds::kind::Kind;
use serde_json::Value;

use crate::case::{self, Case};
use crate::options;

/// What a case says of fields.
struct Shown {
    /// The fields that its resources set, by kind.
    set: BTreeSet<(String, String)>,
    xds: Value,
    /// Kind, field and message.
    problems: Vec<(String, String, String)>,
}

impl Shown {
    fn new(case: &Case) -> Self {
        let documents: Vec<Value> = serde_saphyr::from_multiple(&case.input()).unwrap();
        let mut set = BTreeSet::new();
        for document in &documents {
            let kind = document["kind"].as_str().unwrap_or_default();
            note(&document["spec"], "spec".into(), kind, &mut set);
        }
        let xds = case.found().remove("xds.yaml").unwrap_or_default();
        let state = case.state(&options(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let problems = state.located_problems().into_iter().map(|problem| {
            let kind = problem
                .object
                .as_ref()
                .map(|object| object.kind.name().to_owned());
            (
                kind.unwrap_or_default(),
                without_indices(&problem.field),
                problem.message.clone(),
            )
        });
        Self {
            set,
            xds: serde_saphyr::from_str(&xds).unwrap(),
            problems: problems.collect(),
        }
    }

    fn sets(&self, kind: &str, path: &str) -> bool {
        self.set.contains(&(kind.to_owned(), path.to_owned()))
    }

    /// Whether a field, or what it is in, is refused in these words.
    fn refuses(&self, kind: &str, path: &str, words: &str) -> bool {
        self.problems.iter().any(|(of, field, message)| {
            let is_within = !field.is_empty() && path.starts_with(field.trim_end_matches("[]"));
            of == kind && is_within && message.contains(words)
        })
    }

    /// Whether Envoy is told a field: a message, and the way to the field in it.
    fn tells(&self, field: &str) -> bool {
        let (message, way) = field.split_once('.').unwrap();
        let way: Vec<&str> = way.split('.').collect();
        messages(&self.xds, message)
            .into_iter()
            .any(|found| leads(found, &way))
    }
}

/// Notes the way to each field of a value.
fn note(value: &Value, path: String, kind: &str, set: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                note(value, format!("{path}.{name}"), kind, set);
            }
        }
        Value::Array(items) => {
            for item in items {
                note(item, format!("{path}[]"), kind, set);
            }
        }
        _ => {}
    }
    set.insert((kind.to_owned(), path));
}

/// `spec.tiers[1].name` as `spec.tiers[].name`.
fn without_indices(field: &str) -> String {
    let mut parts = field.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |path, part| {
        let (_, rest) = part.split_once(']').unwrap_or(("", part));
        path + "[]" + rest
    })
}

/// The messages called so, at any depth. Two are no resources of their own.
fn messages<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    let within = match name {
        "Route" => Some("routes"),
        "ClusterLoadAssignment" => Some("load_assignment"),
        _ => None,
    };
    let mut found = Vec::new();
    let inner: Vec<(Option<&str>, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (Some(&**name), value))
            .collect(),
        Value::Array(items) => items.iter().map(|item| (None, item)).collect(),
        _ => Vec::new(),
    };
    let called = value["@type"]
        .as_str()
        .and_then(|name| name.rsplit('.').next());
    if called == Some(name) {
        found.push(value);
    }
    for (key, inner) in inner {
        if key.is_some() && key == within {
            found.push(inner);
        }
        found.extend(messages(inner, name));
    }
    found
}

/// Whether the way leads to a field that is there.
fn leads(value: &Value, way: &[&str]) -> bool {
    match (value, way) {
        (Value::Array(items), _) => items.iter().any(|item| leads(item, way)),
        (_, []) => true,
        (Value::Object(fields), [next, rest @ ..]) => {
            fields.get(*next).is_some_and(|value| leads(value, rest))
        }
        _ => false,
    }
}

/// What no case shows of a row.
fn missing(row: &Row, kind: &str, cases: &[Shown]) -> Vec<String> {
    let path = &row.path;
    let setting: Vec<&Shown> = cases.iter().filter(|case| case.sets(kind, path)).collect();
    if setting.is_empty() {
        return vec!["no case sets it".into()];
    }
    let refused = |words: &str| setting.iter().any(|case| case.refuses(kind, path, words));
    let mut missing = Vec::new();
    match &row.effect {
        Effect::Envoy(fields) => {
            let told = |field: &str| setting.iter().any(|case| case.tells(field));
            let untold = fields.iter().filter(|field| !told(field));
            missing.extend(
                untold.map(|field| format!("no case that sets it has {field} in xds.yaml")),
            );
        }
        Effect::Words(_) | Effect::Nothing(_) | Effect::Like(_) => {}
        Effect::Refused(words) if refused(words) => {}
        Effect::Refused(words) => missing.push(format!("no case has it refused: {words}")),
    }
    let values = row.objections.iter().filter(|(_, words)| !refused(words));
    missing.extend(
        values.map(|(values, words)| format!("no case has this said of {values}: {words}")),
    );
    missing
}

#[test]
fn every_row_of_the_reference_is_shown_by_a_case() {
    let cases: Vec<Shown> = case::all().iter().map(Shown::new).collect();
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in reference::pages() {
        let kind = &page.kind;
        wrong.extend(page.wrong.iter().map(|what| format!("{kind}: {what}")));
        for row in page.fields.iter().filter_map(|(_, row)| row.as_ref()) {
            count += 1;
            let missing = missing(row, kind, &cases);
            wrong.extend(
                missing
                    .iter()
                    .map(|what| format!("{kind}: {}: {what}", row.path)),
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "of {count} rows:\n{}\nRows are in src/reference, a file for each subject; a case is a folder here.",
        wrong.join("\n")
    );
}

/// The resources of a case, and what becomes of them without one of their fields.
struct Edited<'a> {
    case: &'a Case,
    documents: Vec<Value>,
}

impl Edited<'_> {
    /// What Envoy is told, and what is said to the owners.
    fn outcome(&self, documents: &[Value]) -> (Value, Value) {
        let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        for document in documents {
            writeln!(file, "---\n{document}").unwrap();
        }
        let options = options(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let state = self.case.state_of(file.path().to_owned(), &options);
        let told = state.snapshots.values().map(|snapshot| {
            let resources = Kind::ALL.iter().flat_map(|kind| snapshot.of_kind(*kind));
            resources
                .map(|resource| json::resource(resource))
                .collect::<Value>()
        });
        let mut said = render::statuses(&state.translation.statuses, "");
        let problems = state.located_problems().into_iter();
        said.extend(
            problems.map(|problem| format!("{} {}", problem.field, problem.message).into()),
        );
        (told.collect(), said.into())
    }

    /// What is different without a field: what Envoy is told, and what is said.
    fn differs_without(&self, kind: &str, way: &[&str]) -> (bool, bool) {
        let mut documents = self.documents.clone();
        for document in documents
            .iter_mut()
            .filter(|document| document["kind"] == kind)
        {
            take_away(document, way);
        }
        let (with, without) = (self.outcome(&self.documents), self.outcome(&documents));
        (with.0 != without.0, with.1 != without.1)
    }
}

/// Takes a field away, wherever the way leads.
fn take_away(value: &mut Value, way: &[&str]) {
    let [next, rest @ ..] = way else { return };
    let name = next.trim_end_matches("[]");
    let Some(inner) = value.get_mut(name) else {
        return;
    };
    match (rest, inner) {
        ([], _) => {
            value.as_object_mut().unwrap().remove(name);
        }
        (_, Value::Array(items)) => items.iter_mut().for_each(|item| take_away(item, rest)),
        (_, inner) => take_away(inner, rest),
    }
}

/// A field that could as well be left out, in each case that sets it, is one without any effect.
#[test]
fn every_field_makes_a_difference() {
    let cases = case::all();
    let edited: Vec<Edited<'_>> = cases
        .iter()
        .map(|case| Edited {
            case,
            documents: serde_saphyr::from_multiple(&case.input()).unwrap(),
        })
        .collect();
    let mut idle = Vec::new();
    for page in reference::pages() {
        for (field, row) in &page.fields {
            let Some(row) = row.as_ref().filter(|_| !field.is_required) else {
                continue;
            };
            let way: Vec<&str> = row.path.split('.').collect();
            let mut found = edited
                .iter()
                .filter(|edited| sets(edited, &page.kind, &row.path))
                .map(|edited| edited.differs_without(&page.kind, &way));
            let is_right = match row.effect {
                Effect::Envoy(_) | Effect::Like(_) => found.any(|(told, _)| told),
                Effect::Words(_) => found.any(|(told, said)| told || said),
                Effect::Nothing(_) => !found.any(|(told, _)| told),
                Effect::Refused(_) => true,
            };
            if !is_right {
                idle.push(format!("{}: {}: {:?}", page.kind, row.path, row.effect));
            }
        }
    }
    assert!(
        idle.is_empty(),
        "left out, it makes no difference:\n{}",
        idle.join("\n")
    );
}

fn sets(edited: &Edited<'_>, kind: &str, path: &str) -> bool {
    let mut set = BTreeSet::new();
    for document in edited
        .documents
        .iter()
        .filter(|document| document["kind"] == kind)
    {
        note(&document["spec"], "spec".into(), kind, &mut set);
    }
    set.contains(&(kind.to_owned(), path.to_owned()))
}

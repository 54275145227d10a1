//! The reference: each field of the kinds that Locum brings along, what holds where it is left out,
//! and what Envoy gets of it.
//!
//! In: the kinds' definitions, and a [`Row`] for each field, in a file for each subject. Out: a
//! [`Page`] for each kind, which knows what is missing on it, and its text in Markdown. It decides
//! nothing: what a row says is held against the golden cases by `tests/golden/reference.rs`.

mod backend;
mod failover_policy;
mod fields;
mod markdown;
mod traffic_policy;

use std::fmt::Display;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use crate::resource::{self, crds};
pub use fields::Field;

/// What is to be known of a field beyond its definition.
#[derive(Clone, Debug)]
pub struct Row {
    /// The way to it, `[]` after a list: `spec.tiers[].name`.
    pub path: String,
    /// What holds where it is left out and its definition has no default.
    pub absent: Option<String>,
    pub effect: Effect,
    /// Values of it that are refused or have no effect, and in which words that is said.
    pub objections: Vec<(&'static str, &'static str)>,
}

/// What becomes of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// These fields of Envoy's say it: each a message and the way to the field in it.
    Envoy(Vec<String>),
    /// It decides what Envoy gets of other fields, in the way that is said here.
    Words(&'static str),
    /// Nothing depends on it, for this reason.
    Nothing(&'static str),
    /// What becomes of it, and of everything below it, is what becomes of this field.
    Like(&'static str),
    /// It is refused, with everything below it, in these words.
    Refused(&'static str),
}

impl Row {
    /// A field that Envoy's `fields` say. `path` is what is below where the row is put.
    fn envoy(path: &str, fields: &[&str]) -> Self {
        let fields = fields.iter().map(|field| (*field).to_owned());
        Self::new(path, Effect::Envoy(fields.collect()))
    }

    /// A field that decides what Envoy gets of others.
    fn words(path: &str, words: &'static str) -> Self {
        Self::new(path, Effect::Words(words))
    }

    /// A field that nothing depends on.
    fn nothing(path: &str, why: &'static str) -> Self {
        Self::new(path, Effect::Nothing(why))
    }

    /// A field that is read by the same code as another, the way to which is `whole`.
    fn like(path: &str, whole: &'static str) -> Self {
        Self::new(path, Effect::Like(whole))
    }

    /// A field that is refused in these words.
    fn refused(path: &str, words: &'static str) -> Self {
        Self::new(path, Effect::Refused(words))
    }

    fn new(path: &str, effect: Effect) -> Self {
        Self {
            path: path.to_owned(),
            absent: None,
            effect,
            objections: Vec::new(),
        }
    }

    /// Says what holds where the field is left out.
    fn absent(mut self, what: impl Display) -> Self {
        self.absent = Some(what.to_string());
        self
    }

    /// Says in which words some values of the field are refused, or said to have no effect.
    fn but(mut self, values: &'static str, words: &'static str) -> Self {
        self.objections.push((values, words));
        self
    }
}

/// Puts rows below a field.
fn below(path: &str, rows: Vec<Row>) -> Vec<Row> {
    let rows = rows.into_iter().map(|mut row| {
        row.path = if row.path.is_empty() {
            path.to_owned()
        } else {
            format!("{path}.{}", row.path)
        };
        row
    });
    rows.collect()
}

/// A length of time as it is written in a manifest.
fn time(duration: Duration) -> String {
    format!("`{}`", resource::Duration(duration))
}

/// A value as it is written in a manifest.
fn value(value: impl Display) -> String {
    format!("`{value}`")
}

/// What is to be known of a kind.
#[derive(Clone, Debug)]
pub struct Page {
    pub kind: String,
    group_version: String,
    description: String,
    /// Each field of its spec, objects before what is in them, with its row.
    pub fields: Vec<(Field, Option<Row>)>,
    /// What is wrong with the rows, a line each.
    pub wrong: Vec<String>,
}

/// The page of each kind.
pub fn pages() -> Vec<Page> {
    crds::all().iter().map(page).collect()
}

/// The page of the kind of a definition.
pub fn page(crd: &CustomResourceDefinition) -> Page {
    let document = crds::document(crd);
    let kind = crd.spec.names.kind.clone();
    let version = &crd.spec.versions[0].name;
    let rows = match kind.as_str() {
        "Backend" => backend::rows(),
        "BackendTrafficPolicy" => traffic_policy::rows(),
        "FailoverPolicy" => failover_policy::rows(),
        other => unreachable!("{other} is no kind that Locum brings along"),
    };
    let schema = &document["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let (fields, wrong) = together(
        fields::of(&schema["properties"]["spec"]),
        below("spec", rows),
    );
    Page {
        group_version: format!("{}/{version}", crd.spec.group),
        description: text(&schema["description"]),
        kind,
        fields,
        wrong,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Each field with its row, and what is wrong with the rows.
fn together(fields: Vec<Field>, mut rows: Vec<Row>) -> (Vec<(Field, Option<Row>)>, Vec<String>) {
    let mut wrong = Vec::new();
    let mut covered: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for field in fields {
        let path = &field.path;
        let row = rows.iter().position(|row| row.path == *path);
        let row = row.map(|index| rows.remove(index));
        let is_covered = covered.iter().any(|of| field.is_below(of));
        match &row {
            Some(row) => {
                if is_covered {
                    wrong.push(format!("{path} has a row below one that is for all in it"));
                }
                if matches!(row.effect, Effect::Refused(_) | Effect::Like(_)) {
                    covered.push(path.clone());
                } else if field.is_leaf && field.is_optional() && row.absent.is_none() {
                    wrong.push(format!(
                        "{path}: its row does not say what holds without it"
                    ));
                }
                if row.absent.is_some() && !field.is_optional() {
                    wrong.push(format!(
                        "{path}: its row has a default, and so has its definition"
                    ));
                }
            }
            None if field.is_leaf && !is_covered => {
                wrong.push(format!("{path} has no row"));
            }
            None => {}
        }
        found.push((field, row));
    }
    wrong.extend(
        rows.iter()
            .map(|row| format!("{} is no field, or has two rows", row.path)),
    );
    (found, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_one_row() {
        let pages = pages();
        let wrong: Vec<&String> = pages.iter().flat_map(|page| &page.wrong).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    fn field(path: &str, is_leaf: bool) -> Field {
        Field {
            path: path.into(),
            is_leaf,
            ..Field::default()
        }
    }

    #[test]
    fn what_is_wrong_with_rows_is_said() {
        let fields = vec![
            field("a", true),
            field("b", false),
            field("b.c", true),
            field("d", true),
        ];
        let rows = vec![
            Row::refused("b", "no"),
            Row::envoy("d", &[]),
            Row::words("e", ""),
        ];
        let (_, wrong) = together(fields, rows);
        let expected = [
            "a has no row",
            "d: its row does not say what holds without it",
            "e is no field, or has two rows",
        ];
        assert_eq!(wrong, expected);
    }
}

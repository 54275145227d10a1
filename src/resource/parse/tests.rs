//! What is taken and what is refused, a rule at a time: each case is a sound object with one thing
//! changed.
//!
//! A table holds a case a line: the JSON pointer of what is changed, its new value (null takes it
//! away), and the field of the error that must come of it, or `ok`.

mod backend;
mod gateway_api;
mod kubernetes;
mod other;
mod policy;

use serde_json::{Value, json};

use super::*;

/// Sets the field at `pointer`, or takes it away where `value` is null.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = object
        .pointer_mut(parent)
        .expect("the sample has the parent");
    match parent {
        Value::Array(items) => {
            let index: usize = name.parse().unwrap();
            items.truncate(items.len().max(index));
            if index == items.len() {
                items.push(value);
            } else {
                items[index] = value;
            }
        }
        Value::Object(map) if value.is_null() => {
            map.remove(name);
        }
        Value::Object(map) => {
            map.insert(name.into(), value);
        }
        _ => panic!("{pointer} leads into a scalar"),
    }
    object
}

/// The fields of the errors in `object`.
fn errors(object: Value) -> Vec<String> {
    let parsed = parse(object, "default");
    let errors = parsed
        .faults
        .iter()
        .filter(|fault| fault.severity == Severity::Error);
    let mut fields: Vec<String> = errors.map(|fault| fault.field.clone()).collect();
    fields.dedup();
    assert_eq!(
        parsed.object.is_none(),
        !fields.is_empty(),
        "refused if and only if in error"
    );
    fields
}

/// Checks every case of a table.
#[track_caller]
fn check(sample: &Value, table: &str) {
    assert_eq!(errors(sample.clone()), [""; 0], "the sample itself");
    for case in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (change, outcome) = case.rsplit_once(" => ").expect(case);
        let (pointer, value) = change.split_once(" = ").expect(case);
        let value = serde_json::from_str(value).expect(case);
        let found = errors(with(sample.clone(), pointer, value));
        let expected: &[&str] = if outcome == "ok" { &[] } else { &[outcome] };
        assert_eq!(found, expected, "{case}");
    }
}

//! Rules that an API server checks and that a type cannot say, a file for each kind.
//!
//! Gateway API's are those of its CRDs (v1.6, standard channel), field by field; Kubernetes' own
//! are the ones that matter to Locum. `complete` fills in the CRD's defaults, then notes every
//! fault.

pub(super) mod endpoint_slice;
pub(super) mod gateway;
pub(super) mod gateway_class;
pub(super) mod http_route;
pub(super) mod reference_grant;
pub(super) mod service;

use std::collections::BTreeSet;

use super::fault::{At, Faults, reason};

/// Checks that a text has between `least` and `most` characters.
fn check_text(text: &str, least: usize, most: usize, at: &At<'_>, faults: &mut Faults) {
    let count = text.chars().count();
    if count < least {
        faults.error(at, reason::INVALID, "is empty");
    } else if count > most {
        let message = format!("has {count} characters: at most {most} allowed");
        faults.error(at, reason::INVALID, message);
    }
}

/// Checks that a list has between `least` and `most` elements.
fn check_length(length: usize, least: usize, most: usize, at: &At<'_>, faults: &mut Faults) {
    if length < least {
        let message = format!("has {length} elements: at least {least} needed");
        faults.error(at, reason::INVALID, message);
    } else if length > most {
        let message = format!("has {length} elements: at most {most} allowed");
        faults.error(at, reason::INVALID, message);
    }
}

/// Checks that a number is from `least` to `most`.
fn check_range(value: i64, least: i64, most: i64, at: &At<'_>, faults: &mut Faults) {
    if !(least..=most).contains(&value) {
        let message = format!("is the number {value}: must be from {least} to {most}");
        faults.error(at, reason::INVALID, message);
    }
}

/// Checks that a number is a port.
fn check_port(port: i32, at: &At<'_>, faults: &mut Faults) {
    check_range(port.into(), 1, u16::MAX.into(), at, faults);
}

/// Checks that the keys of a list's elements differ; `what` says in words what the keys are.
fn check_unique<K: Ord>(
    keys: impl Iterator<Item = K>,
    what: &str,
    at: &At<'_>,
    faults: &mut Faults,
) {
    let mut seen = BTreeSet::new();
    for (index, key) in keys.enumerate() {
        if !seen.insert(key) {
            let message = format!("has the same {what} as an element before it");
            faults.error(&at.item(index), reason::DUPLICATE, message);
        }
    }
}

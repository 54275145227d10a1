//! Parts: what the text between two `---` lines says, parsed once and kept as long as the text is
//! the same.

use std::sync::Arc;

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::document::{self, Document, SyntaxError};
use super::lines::Lines;
use crate::problem::Severity;
use crate::resource::fault::Fault;
use crate::resource::parse::{Parsed, parse};
use crate::resource::{Key, Object};

/// What a part says. Lines count from the part's own.
#[derive(Debug)]
pub(super) struct Part {
    /// Of the text.
    pub(super) hash: u128,
    pub(super) items: Vec<Item>,
}

/// One object of a part, or what stands in its place.
#[derive(Debug)]
pub(super) struct Item {
    /// As far as it could be read.
    pub(super) key: Option<Key>,
    /// `None` if it is refused or passed over.
    pub(super) object: Option<Object>,
    /// The same for the same content.
    pub(super) print: u128,
    pub(super) lines: Arc<Lines>,
    pub(super) faults: Vec<Fault>,
}

impl Item {
    /// Whether something stands here of which not even the name can be told.
    pub(super) fn is_illegible(&self) -> bool {
        self.key.is_none()
            && self
                .faults
                .iter()
                .any(|fault| fault.severity == Severity::Error)
    }
}

/// The hash by which a part is known again.
pub(super) fn hash(text: &str) -> u128 {
    xxh3_128(text.as_bytes())
}

/// Reads a part.
pub(super) fn read(text: &str, default_namespace: &str) -> Part {
    let mut items = Vec::new();
    for document in document::parse(text) {
        match document {
            Ok(document) if document.value.is_null() => {}
            Ok(document) => push_objects(document, default_namespace, &mut items),
            Err(error) => items.push(broken(error)),
        }
    }
    Part {
        hash: hash(text),
        items,
    }
}

fn broken(error: SyntaxError) -> Item {
    Item {
        key: None,
        object: None,
        print: 0,
        lines: Arc::new(Lines::at(error.line)),
        faults: vec![Fault {
            severity: Severity::Error,
            field: error.field,
            reason: error.reason,
            message: error.message,
        }],
    }
}

/// A document is an object or a list of objects (`kind: List`, `kind: HTTPRouteList`).
fn push_objects(document: Document, default_namespace: &str, items: &mut Vec<Item>) {
    let Document { mut value, lines } = document;
    let is_list = value["kind"]
        .as_str()
        .is_some_and(|kind| kind.ends_with("List"));
    let listed = match value.get_mut("items") {
        Some(Value::Array(listed)) if is_list => std::mem::take(listed),
        _ => {
            items.push(item(value, lines, default_namespace));
            return;
        }
    };
    let places = lines.field("items");
    for (index, value) in listed.into_iter().enumerate() {
        let place = places.and_then(|places| places.item(index)).cloned();
        let place = place.unwrap_or_else(|| Lines::at(lines.line));
        items.push(item(value, place, default_namespace));
    }
}

fn item(value: Value, lines: Lines, default_namespace: &str) -> Item {
    let print = xxh3_128(value.to_string().as_bytes());
    let Parsed {
        key,
        object,
        faults,
    } = parse(value, default_namespace);
    Item {
        key,
        object,
        print,
        lines: Arc::new(lines),
        faults,
    }
}

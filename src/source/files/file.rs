//! One file's state: what it says now, and the last good form of what it cannot say any more.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document;
use super::listing::Stamp;
use super::origins::Origin;
use super::part::{self, Item, Part};
use crate::problem::Severity;
use crate::resource::{Key, Object};
use crate::source::{Finding, Location};

/// The longest file that is read, in bytes.
pub(super) const LENGTH_LIMIT: u64 = 16 << 20;

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub(super) struct FileState {
    pub(super) path: Arc<PathBuf>,
    pub(super) stamp: Option<Stamp>,
    /// With the line, counted from 1, on which each begins.
    parts: Vec<(usize, Arc<Part>)>,
    /// What the file says of each object it names.
    pub(super) entries: BTreeMap<Key, Entry>,
    /// What is wrong with the file, in the order of its lines.
    pub(super) findings: Vec<Finding>,
}

/// What a file says of one object.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The last good form, if there was one.
    pub(super) good: Option<Good>,
    pub(super) origin: Origin,
    /// Whether it stands in the text as it is now. Else it stays because a document cannot be read
    /// that may be it.
    pub(super) is_written: bool,
}

/// A form of an object that can be served.
#[derive(Clone, Debug)]
pub(super) struct Good {
    pub(super) object: Object,
    /// The same for the same content.
    pub(super) print: u128,
}

impl FileState {
    pub(super) fn new(path: Arc<PathBuf>) -> Self {
        Self {
            path,
            ..Self::default()
        }
    }

    /// Takes the file's new text in.
    ///
    /// What cannot be read keeps its last good form. Which object a broken document held is told by
    /// its kind, namespace and name; where even these cannot be read, nothing that the file held
    /// and that no other document of it names is taken away until the document is mended: better
    /// one object too long than one too few.
    pub(super) fn take(&mut self, text: &str, default_namespace: &str) {
        let before = std::mem::take(&mut self.entries);
        let known: HashMap<u128, Arc<Part>> = self
            .parts
            .drain(..)
            .map(|(_, part)| (part.hash, part))
            .collect();
        self.findings.clear();
        let mut is_illegible = false;
        for document::Part { line, text } in document::parts(text) {
            let part = known.get(&part::hash(text)).cloned();
            let part = part.unwrap_or_else(|| Arc::new(part::read(text, default_namespace)));
            for item in &part.items {
                is_illegible |= item.is_illegible();
                self.take_item(item, line, &before);
            }
            self.parts.push((line, part));
        }
        if self.parts.is_empty() && !before.is_empty() {
            self.note_emptied();
            is_illegible = true;
        }
        if is_illegible {
            self.retain(before);
        }
    }

    /// A program that writes a file in place empties it first and may take its time: nothing is taken away because a
    /// file has become empty.
    fn note_emptied(&mut self) {
        self.fail(
            "EmptyFile",
            "has become empty, and what it held stays; write it anew, or delete it if what it held shall go".into(),
        );
    }

    /// The documents of the text, in its order.
    #[cfg(test)]
    pub(super) fn parts(&self) -> impl Iterator<Item = &Arc<Part>> {
        self.parts.iter().map(|(_, part)| part)
    }

    /// Notes that the file cannot be read; everything it held stays.
    pub(super) fn fail(&mut self, reason: &'static str, message: String) {
        self.findings.retain(|finding| finding.reason != reason);
        let location = Location {
            file: self.path.clone(),
            line: 1,
        };
        self.findings.push(finding(
            location,
            None,
            Severity::Error,
            String::new(),
            reason,
            message,
        ));
    }

    fn take_item(&mut self, item: &Item, line: usize, before: &BTreeMap<Key, Entry>) {
        let origin = Origin {
            file: self.path.clone(),
            line,
            lines: item.lines.clone(),
        };
        for fault in &item.faults {
            self.findings.push(finding(
                origin.locate(&fault.field),
                item.key.clone(),
                fault.severity,
                fault.field.clone(),
                fault.reason,
                fault.message.clone(),
            ));
        }
        let Some(key) = &item.key else {
            return;
        };
        if let Some(first) = self.entries.get(key) {
            let first = first.origin.locate("");
            self.findings
                .push(duplicate(key, origin.locate(""), &first));
            return;
        }
        let good = match &item.object {
            Some(object) => Some(Good {
                object: object.clone(),
                print: item.print,
            }),
            None => before.get(key).and_then(|entry| entry.good.clone()),
        };
        let is_written = true;
        self.entries.insert(
            key.clone(),
            Entry {
                good,
                origin,
                is_written,
            },
        );
    }

    fn retain(&mut self, before: BTreeMap<Key, Entry>) {
        for (key, entry) in before {
            if entry.good.is_some() {
                self.entries.entry(key).or_insert(Entry {
                    is_written: false,
                    ..entry
                });
            }
        }
    }
}

/// A finding about a place in a file.
pub(super) fn finding(
    location: Location,
    object: Option<Key>,
    severity: Severity,
    field: String,
    reason: &'static str,
    message: String,
) -> Finding {
    Finding {
        severity,
        location: Some(location),
        object,
        field,
        reason,
        message,
    }
}

/// The finding that an object is defined again.
pub(super) fn duplicate(key: &Key, second: Location, first: &Location) -> Finding {
    let message = format!(
        "is defined a second time: the first definition, in {}:{}, stays; remove one of the two",
        first.file.display(),
        first.line
    );
    let field = String::new();
    finding(
        second,
        Some(key.clone()),
        Severity::Error,
        field,
        "DuplicateObject",
        message,
    )
}

/// Why a file's text cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("is gone, or a symbolic link to nothing")]
    Nothing,
    #[error("is longer than {} MiB", LENGTH_LIMIT >> 20)]
    TooLong,
    #[error("is no UTF-8 text (at byte {0})")]
    NotText(usize),
}

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, ReadError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ReadError::Nothing,
        _ => error.into(),
    })?;
    text(file)
}

/// Everything that `reader` gives, as text.
pub(super) fn text(reader: impl Read) -> Result<String, ReadError> {
    let mut bytes = Vec::new();
    reader.take(LENGTH_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LENGTH_LIMIT {
        return Err(ReadError::TooLong);
    }
    String::from_utf8(bytes).map_err(|error| ReadError::NotText(error.utf8_error().valid_up_to()))
}

//! Sources: the only ways in. Each turns what it sees into [`Change`]s; after this module files and
//! Kubernetes cannot be told apart.

pub mod files;
pub mod kubernetes;

use std::path::PathBuf;
use std::sync::Arc;

use crate::problem::Severity;
use crate::resource::Key;
use crate::store::Change;

/// What a source saw since its last update.
#[derive(Clone, Debug, Default)]
pub struct Update {
    pub changes: Vec<Change>,
    /// Everything that is wrong with the source's own input now, not only what is new.
    pub findings: Arc<[Finding]>,
    /// Where each resource is written, for naming file and line of a problem found later.
    pub origins: Arc<files::Origins>,
}

/// Something wrong with what a source reads, or worth a note: a file, a document in it, an object of
/// an API server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub severity: Severity,
    /// Where it is written; nothing for what comes from an API server.
    pub location: Option<Location>,
    /// The resource, as far as it could be read.
    pub object: Option<Key>,
    /// The field's path, empty for the whole of it.
    pub field: String,
    /// A stable CamelCase word.
    pub reason: &'static str,
    /// What is wrong and what to do about it.
    pub message: String,
}

/// A line of a file, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    pub file: Arc<PathBuf>,
    pub line: usize,
}

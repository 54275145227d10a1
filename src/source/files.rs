//! Files as a source: manifests in files and directories, read again when they change.
//!
//! In: paths as the user gives them. Out: [`Update`]s with what changed, everything that is wrong
//! with the files now, and where each resource is written. Whatever is broken keeps its last good
//! form, and everything else goes on.
//!
//! ```text
//! listing (which files, changed or not) -> file (text) -> document (text -> values with lines) -> part (objects)
//!     -> Files::load (who defines what, what changed) <- watch (when to look again)
//! ```
//!
//! Only a file whose length, times or inode changed is read, and only a document whose text changed
//! is parsed.

mod document;
mod file;
mod lines;
mod listing;
mod origins;
mod part;
mod scalar;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::file::{FileState, duplicate, finding};
use self::listing::{FileKey, Listing, Stamp};
use super::{Finding, Location, Update};
use crate::problem::Severity;
use crate::resource::Key;
use crate::store::Change;

pub use origins::Origins;
pub use watch::WatchError;

/// The path that means standard input.
const STDIN: &str = "-";

/// What standard input is called in findings.
const STDIN_NAME: &str = "<standard input>";

/// The paths given and everything known from them.
#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    default_namespace: String,
    files: BTreeMap<FileKey, FileState>,
    /// By object: the files that name it, in the order of reading.
    definers: BTreeMap<Key, BTreeSet<FileKey>>,
    /// What was said last of each object: the print of its content.
    served: BTreeMap<Key, u128>,
    /// Objects that more than one file defines.
    contested: BTreeSet<Key>,
    origins: Origins,
    /// How many files the last look read.
    read: usize,
    is_loaded: bool,
}

/// A path that was given and that cannot be read at the start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{path}: no such file or directory")]
    Missing { path: PathBuf },
    #[error("{path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
}

impl Files {
    /// A source that has read nothing yet. `-` among the paths is standard input. Objects without a
    /// namespace get `default_namespace`.
    pub fn new(paths: Vec<PathBuf>, default_namespace: String) -> Self {
        Self {
            paths,
            default_namespace,
            files: BTreeMap::new(),
            definers: BTreeMap::new(),
            served: BTreeMap::new(),
            contested: BTreeSet::new(),
            origins: Origins::default(),
            read: 0,
            is_loaded: false,
        }
    }

    /// Looks at every file and reads those that changed. The first update ends with
    /// [`Change::Synced`]; later ones hold only what is different.
    ///
    /// # Errors
    ///
    /// Only at the first time: a path that is not there or cannot be listed. Later such a path is a
    /// finding, and what it held stays.
    pub fn load(&mut self) -> Result<Update, LoadError> {
        let listing = self.list()?;
        let mut touched = BTreeSet::new();
        self.read = 0;
        self.drop_vanished(&listing, &mut touched);
        for (key, stamp) in &listing.files {
            let known = self.files.get(key);
            if known.is_some_and(|file| file.stamp.is_some() && file.stamp == *stamp) {
                continue;
            }
            // Nothing but the start of a pipe comes from it a second time.
            if known.is_some() && self.is_read_once(key) {
                continue;
            }
            self.read(key, *stamp, &mut touched);
        }
        let files = listing.files.len();
        tracing::debug!(files, read = self.read, "looked at the manifests");
        let mut changes = self.changes(touched);
        if !self.is_loaded {
            changes.push(Change::Synced);
            self.is_loaded = true;
        }
        Ok(Update {
            changes,
            findings: self.findings(&listing),
            origins: Arc::new(self.origins.clone()),
        })
    }

    fn list(&self) -> Result<Listing, LoadError> {
        let mut listing = Listing::default();
        for (argument, path) in self.paths.iter().enumerate() {
            if path.as_os_str() == STDIN {
                let path = Arc::new(PathBuf::from(STDIN_NAME));
                listing.files.insert(FileKey { argument, path }, None);
            } else {
                listing.add(argument, path);
            }
        }
        if !self.is_loaded
            && let Some((argument, source)) = listing.failed.pop_first()
        {
            let path = self.paths[argument].clone();
            return Err(match source.kind() {
                io::ErrorKind::NotFound => LoadError::Missing { path },
                _ => LoadError::Unreadable { path, source },
            });
        }
        Ok(listing)
    }

    fn is_read_once(&self, key: &FileKey) -> bool {
        let path = &self.paths[key.argument];
        path.as_os_str() == STDIN
            || std::fs::metadata(path)
                .is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
    }

    /// Forgets files that are no longer in a directory that can be listed.
    fn drop_vanished(&mut self, listing: &Listing, touched: &mut BTreeSet<Key>) {
        let vanished: Vec<FileKey> = self
            .files
            .keys()
            .filter(|key| !listing.files.contains_key(key))
            .filter(|key| !listing.failed.contains_key(&key.argument))
            .cloned()
            .collect();
        for key in vanished {
            if let Some(file) = self.files.remove(&key) {
                self.redefine(&key, &file, None, touched);
            }
        }
    }

    fn read(&mut self, key: &FileKey, stamp: Option<Stamp>, touched: &mut BTreeSet<Key>) {
        self.read += 1;
        let text = if self.paths[key.argument].as_os_str() == STDIN {
            file::text(io::stdin().lock())
        } else {
            file::read(&key.path)
        };
        let old = self
            .files
            .remove(key)
            .unwrap_or_else(|| FileState::new(key.path.clone()));
        let mut file = old.clone();
        match text {
            Ok(text) => {
                file.take(&text, &self.default_namespace);
                file.stamp = stamp;
            }
            Err(error) => {
                file.fail("Unreadable", error.to_string());
                file.stamp = None;
            }
        }
        self.redefine(key, &old, Some(&file), touched);
        self.files.insert(key.clone(), file);
    }

    /// Notes which objects `key` defines now and which of them have to be looked at.
    fn redefine(
        &mut self,
        key: &FileKey,
        old: &FileState,
        new: Option<&FileState>,
        touched: &mut BTreeSet<Key>,
    ) {
        for object in old.entries.keys() {
            if let Some(definers) = self.definers.get_mut(object) {
                definers.remove(key);
            }
            touched.insert(object.clone());
        }
        for object in new.iter().flat_map(|file| file.entries.keys()) {
            self.definers
                .entry(object.clone())
                .or_default()
                .insert(key.clone());
            touched.insert(object.clone());
        }
    }

    /// What has to be said of the objects in `touched`.
    fn changes(&mut self, touched: BTreeSet<Key>) -> Vec<Change> {
        let mut changes = Vec::new();
        for object in touched {
            let definers = self.definers.remove(&object).unwrap_or_default();
            let entries = || {
                definers
                    .iter()
                    .filter_map(|key| self.files.get(key)?.entries.get(&object))
            };
            if entries().filter(|entry| entry.is_written).count() > 1 {
                self.contested.insert(object.clone());
            } else {
                self.contested.remove(&object);
            }
            // The first definition with a good form is the one; a file that names the object and
            // never had a good form keeps what is served, wherever that came from (a file renamed
            // while it was broken).
            let good = entries().find_map(|entry| Some((entry.good.as_ref()?, &entry.origin)));
            match good {
                Some((good, origin)) => {
                    self.origins.insert(object.clone(), origin.clone());
                    if self.served.insert(object.clone(), good.print) != Some(good.print) {
                        changes.push(Change::Applied(good.object.clone()));
                    }
                }
                None if definers.is_empty() && self.served.remove(&object).is_some() => {
                    self.origins.remove(&object);
                    changes.push(Change::Deleted(object.clone()));
                }
                None => {}
            }
            if !definers.is_empty() {
                self.definers.insert(object, definers);
            }
        }
        changes
    }

    /// Everything that is wrong with the files now, by file and line.
    fn findings(&self, listing: &Listing) -> Arc<[Finding]> {
        let mut findings: Vec<Finding> = Vec::new();
        for (argument, error) in &listing.failed {
            let message = format!("{}; what it held stays", vanished(error));
            findings.push(at_file(
                &self.paths[*argument],
                Severity::Error,
                "Unreadable",
                message,
            ));
        }
        for (path, message) in &listing.passed_over {
            findings.push(at_file(path, Severity::Note, "PassedOver", message.clone()));
        }
        for file in self.files.values() {
            findings.extend_from_slice(&file.findings);
        }
        for object in &self.contested {
            self.push_duplicates(object, &mut findings);
        }
        findings.sort_by(|a, b| (&a.location, &a.field).cmp(&(&b.location, &b.field)));
        findings.into()
    }

    fn push_duplicates(&self, object: &Key, findings: &mut Vec<Finding>) {
        let places: Vec<Location> = self
            .definers
            .get(object)
            .into_iter()
            .flatten()
            .filter_map(|key| self.files.get(key)?.entries.get(object))
            .filter(|entry| entry.is_written)
            .map(|entry| entry.origin.locate(""))
            .collect();
        if let Some((first, others)) = places.split_first() {
            findings.extend(
                others
                    .iter()
                    .map(|other| duplicate(object, other.clone(), first)),
            );
        }
    }
}

fn vanished(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "is gone".into(),
        _ => format!("cannot be read: {error}"),
    }
}

fn at_file(path: &Path, severity: Severity, reason: &'static str, message: String) -> Finding {
    let location = Location {
        file: Arc::new(path.to_owned()),
        line: 1,
    };
    finding(location, None, severity, String::new(), reason, message)
}

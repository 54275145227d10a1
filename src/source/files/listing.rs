//! Listings: which files there are to read, in order, and whether each is as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Names of files in a directory that are read end like this.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// A file written less than this ago may be written again without its times changing: it is read
/// again next time.
const CLOCK_GRAIN: Duration = Duration::from_millis(100);

/// A file in the order of reading: the place of its path among those given, then its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileKey {
    pub(super) argument: usize,
    pub(super) path: Arc<PathBuf>,
}

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What is there to read.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// `None` where the file must be read whatever it was before.
    pub(super) files: BTreeMap<FileKey, Option<Stamp>>,
    /// Files that are passed over, and why.
    pub(super) passed_over: Vec<(Arc<PathBuf>, String)>,
    /// Paths that were given and cannot be listed, by their place: what they held before stays.
    pub(super) failed: BTreeMap<usize, io::Error>,
    seen: BTreeSet<(u64, u64)>,
}

impl Listing {
    /// Lists the path given at place `argument`.
    pub(super) fn add(&mut self, argument: usize, path: &Path) {
        if let Err(error) = self.list(argument, path) {
            self.failed.insert(argument, error);
        }
    }

    fn list(&mut self, argument: usize, path: &Path) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_dir() {
            self.add_file(argument, path.to_owned(), &metadata);
            return Ok(());
        }
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let path = entry.path();
            if is_hidden(&path) {
                continue;
            }
            let Ok(metadata) = fs::metadata(&path) else {
                // A symbolic link to nothing is read, which says so and keeps what it held. What is
                // gone since is gone.
                if is_manifest(&path) && fs::symlink_metadata(&path).is_ok() {
                    let path = Arc::new(path);
                    self.files.insert(FileKey { argument, path }, None);
                }
                continue;
            };
            if !metadata.is_file() {
                let what = if metadata.is_dir() {
                    "is a directory below"
                } else {
                    "is no file"
                };
                self.pass_over(path, format!("{what}: passed over"));
            } else if !is_manifest(&path) {
                let message = "does not end in .yaml, .yml or .json: passed over";
                self.pass_over(path, message.into());
            } else {
                self.add_file(argument, path, &metadata);
            }
        }
        Ok(())
    }

    fn add_file(&mut self, argument: usize, path: PathBuf, metadata: &Metadata) {
        if !self.seen.insert((metadata.dev(), metadata.ino())) {
            self.pass_over(path, "is a file that is read already: passed over".into());
            return;
        }
        let path = Arc::new(path);
        self.files
            .insert(FileKey { argument, path }, stamp(metadata));
    }

    fn pass_over(&mut self, path: PathBuf, message: String) {
        self.passed_over.push((Arc::new(path), message));
    }
}

/// Editors' backups, and what Kubernetes keeps beside a volume's files (`..data`).
fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Whether a file of this name is read in a directory.
pub(super) fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    !is_hidden(path) && extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}

fn stamp(metadata: &Metadata) -> Option<Stamp> {
    let age = SystemTime::now().duration_since(metadata.modified().ok()?);
    if age.map_or(true, |age| age < CLOCK_GRAIN) {
        return None;
    }
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

//! The file of told sets: one record for each, which says how it differs from the one before.
//!
//! Records are appended before a set is sent, and reach the kernel then: a server that dies loses
//! none, a machine that does may. What cannot be read ends the file; a set that is not what its
//! version says is passed over. The file grows until [`Journal::is_long`], and is then replaced as a
//! whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, rename};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;

use super::{Of, Set};
use crate::xds::kind::Kind;
use crate::xds::resource::{Resource, Version};

/// Only the owner may look: clusters and listeners say what a network looks like.
const FILE_MODE: u32 = 0o600;

/// How large a file is not worth to be replaced.
const SHORT: u64 = 4 << 20;

/// How long after a failure the file is not tried again.
const PAUSE: Duration = Duration::from_secs(10);

/// Why a file of told sets cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct JournalError {
    path: PathBuf,
    source: io::Error,
}

/// How a set differs from the one of its group and kind before it in the file.
#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(string, tag = "1")]
    group: String,
    #[prost(string, tag = "2")]
    type_url: String,
    #[prost(string, tag = "3")]
    version: String,
    #[prost(string, repeated, tag = "4")]
    removed: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    resources: Vec<Entry>,
}

/// A resource that is new or has changed.
#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    body: Vec<u8>,
}

/// A set by the names of its resources.
type ByName = BTreeMap<Arc<str>, Arc<Resource>>;

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// Nothing after a failure, until it is written anew.
    file: Option<File>,
    /// The last set of each group and kind in the file.
    last: BTreeMap<Of, Arc<[Arc<Resource>]>>,
    bytes: u64,
    /// How large it was when it was written anew.
    bytes_at_first: u64,
    failed: Option<Instant>,
}

impl Journal {
    /// Opens the file and reads what is in it.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<(Of, Set)>), JournalError> {
        let mut bytes = Vec::new();
        let file = options().read(true).append(true).create(true).open(path);
        let read = file.and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|source| JournalError {
            path: path.to_owned(),
            source,
        })?;
        let journal = Self {
            path: path.to_owned(),
            file: None,
            last: BTreeMap::new(),
            bytes: 0,
            bytes_at_first: 0,
            failed: None,
        };
        Ok((journal, read_sets(&bytes)))
    }

    /// Adds a set. A failure is logged, and mended when the file is written anew.
    pub(super) fn append(&mut self, of: &Of, set: &Set) {
        let Some(file) = &mut self.file else {
            return;
        };
        let record = record(of, set, self.last.get(of).map(|last| &**last));
        let bytes = record.encode_length_delimited_to_vec();
        match file.write_all(&bytes) {
            Ok(()) => {
                self.bytes += bytes.len() as u64;
                self.last.insert(of.clone(), set.resources.clone());
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Whether it is time to write the file anew.
    pub(super) fn is_long(&self) -> bool {
        match self.failed {
            Some(failed) => failed.elapsed() > PAUSE,
            None => self.bytes > SHORT.max(self.bytes_at_first * 3),
        }
    }

    /// Replaces the file by one with these sets, each group's in the order in which they were told.
    pub(super) fn rewrite<'a>(&mut self, sets: impl Iterator<Item = (&'a Of, &'a Set)>) {
        self.last.clear();
        let mut bytes = Vec::new();
        for (of, set) in sets {
            let record = record(of, set, self.last.get(of).map(|last| &**last));
            bytes.extend(record.encode_length_delimited_to_vec());
            self.last.insert(of.clone(), set.resources.clone());
        }
        match replace(&self.path, &bytes) {
            Ok(file) => {
                self.file = Some(file);
                self.bytes = bytes.len() as u64;
                self.bytes_at_first = self.bytes;
                self.failed = None;
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let path = self.path.display();
        tracing::warn!(
            %path, %error,
            "cannot note what proxies are told; if Locum is killed meanwhile, what is to go goes at once"
        );
        self.file = None;
        self.failed = Some(Instant::now());
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE_MODE);
    options
}

/// Puts a new file in the place of that at `path`, in one step.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = options().append(true).create_new(true).open(&new)?;
    file.write_all(bytes)?;
    rename(&new, path)?;
    Ok(file)
}

fn record((group, kind): &Of, set: &Set, before: Option<&[Arc<Resource>]>) -> Record {
    let before = before.into_iter().flatten();
    let before: BTreeMap<_, _> = before.map(|one| (&one.name, &one.version)).collect();
    let names: BTreeSet<_> = set.resources.iter().map(|one| &one.name).collect();
    let removed = before.keys().filter(|name| !names.contains(*name));
    let is_new = |one: &&Arc<Resource>| before.get(&one.name) != Some(&&one.version);
    let news = set.resources.iter().filter(is_new);
    Record {
        group: group.clone(),
        type_url: kind.type_url().into(),
        version: set.version.0.to_string(),
        removed: removed.map(ToString::to_string).collect(),
        resources: news
            .map(|one| Entry {
                name: one.name.to_string(),
                body: one.body.to_vec(),
            })
            .collect(),
    }
}

/// The sets of a file, as far as it can be read.
fn read_sets(mut bytes: &[u8]) -> Vec<(Of, Set)> {
    let mut last: BTreeMap<Of, ByName> = BTreeMap::new();
    let mut sets = Vec::new();
    while !bytes.is_empty() {
        let Ok(record) = Record::decode_length_delimited(&mut bytes) else {
            // A server that died while it wrote. It did not send that set.
            break;
        };
        let Some(kind) = Kind::of_type_url(&record.type_url) else {
            continue;
        };
        let of = (record.group, kind);
        let set = last.entry(of.clone()).or_default();
        for name in &record.removed {
            set.remove(&**name);
        }
        for entry in record.resources {
            let resource = Resource::encoded(kind, &entry.name, entry.body);
            set.insert(resource.name.clone(), Arc::new(resource));
        }
        let resources: Vec<_> = set.values().cloned().collect();
        let versions = resources.iter().map(|one| (&*one.name, &one.version));
        let version = Version::of_set(versions);
        if *version.0 == *record.version {
            sets.push((of, Set::now(version, resources)));
        }
    }
    sets
}

//! The file of told sets: one record for each, which says how it differs from the one before.
//!
//! Records are appended before a set is sent, and reach the kernel then: a server that dies loses
//! none, a machine that does may. What cannot be read ends the file; a set that is not what its
//! version says is passed over. The file grows until [`Journal::is_long`], and is then replaced as a
//! whole.

use std::collections::BTreeMap;
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

/// The most records that are added before the file is replaced: each costs the next start a set.
pub(super) const MAX_RECORDS: usize = 500;

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
    resources: Vec<News>,
    /// That the set of this version is not known any more, and nothing else.
    #[prost(bool, tag = "6")]
    is_forgotten: bool,
}

/// A resource that is new or has changed.
#[derive(Clone, PartialEq, prost::Message)]
struct News {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    body: Vec<u8>,
}

/// What a record says.
pub(super) enum Entry {
    Told(Of, Set),
    Forgotten(Of, String),
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
    /// How many records were added since it was written anew.
    records: usize,
    /// How large it was when it was written anew.
    bytes_at_first: u64,
    failed: Option<Instant>,
}

impl Journal {
    /// Opens the file and takes what is in it, record by record.
    pub(super) fn open(path: &Path, take: impl FnMut(Entry)) -> Result<Self, JournalError> {
        let mut bytes = Vec::new();
        let file = options().read(true).append(true).create(true).open(path);
        let read = file.and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|source| JournalError {
            path: path.to_owned(),
            source,
        })?;
        read_entries(&bytes, take);
        Ok(Self {
            path: path.to_owned(),
            file: None,
            last: BTreeMap::new(),
            bytes: 0,
            records: 0,
            bytes_at_first: 0,
            failed: None,
        })
    }

    /// Adds a set. A failure is logged, and mended when the file is written anew.
    pub(super) fn append(&mut self, of: &Of, set: &Set) {
        let before = self.last.get(of).map_or(&[][..], |last| &**last);
        self.write(&record(of, set, before));
        self.last.insert(of.clone(), set.resources.clone());
    }

    /// Adds that a set is not known any more.
    pub(super) fn append_forgotten(&mut self, (group, kind): &Of, version: &str) {
        self.write(&Record {
            group: group.clone(),
            type_url: kind.type_url().into(),
            version: version.into(),
            is_forgotten: true,
            ..Record::default()
        });
    }

    fn write(&mut self, record: &Record) {
        let Some(file) = &mut self.file else {
            return;
        };
        let bytes = record.encode_length_delimited_to_vec();
        match file.write_all(&bytes) {
            Ok(()) => {
                self.bytes += bytes.len() as u64;
                self.records += 1;
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Whether it is time to write the file anew: it is long, or a failure is some time ago.
    pub(super) fn is_to_be_rewritten(&self) -> bool {
        match self.failed {
            Some(failed) => failed.elapsed() > PAUSE,
            None => self.records > MAX_RECORDS || self.bytes > SHORT.max(self.bytes_at_first * 3),
        }
    }

    /// Replaces the file by one with these sets, each group's in the order in which they were told.
    pub(super) fn rewrite<'a>(&mut self, sets: impl Iterator<Item = (&'a Of, &'a Set)>) {
        self.last.clear();
        let mut bytes = Vec::new();
        for (of, set) in sets {
            let before = self.last.get(of).map_or(&[][..], |last| &**last);
            let record = record(of, set, before);
            bytes.extend(record.encode_length_delimited_to_vec());
            self.last.insert(of.clone(), set.resources.clone());
        }
        match replace(&self.path, &bytes) {
            Ok(file) => {
                self.file = Some(file);
                self.bytes = bytes.len() as u64;
                self.bytes_at_first = self.bytes;
                self.records = 0;
                self.failed = None;
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let path = self.path.display();
        tracing::warn!(
            %path, %error,
            "cannot note what proxies are told; if Locum is killed, what is to go goes at once"
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

fn record((group, kind): &Of, set: &Set, before: &[Arc<Resource>]) -> Record {
    let mut record = Record {
        group: group.clone(),
        type_url: kind.type_url().into(),
        version: set.version.0.to_string(),
        ..Record::default()
    };
    // Both are in the order of names.
    let mut before = before.iter().peekable();
    for one in set.resources.iter() {
        while let Some(gone) = before.next_if(|other| other.name < one.name) {
            record.removed.push(gone.name.to_string());
        }
        let same = before.next_if(|other| other.name == one.name);
        if same.is_none_or(|same| same.version != one.version) {
            record.resources.push(News {
                name: one.name.to_string(),
                body: one.body.to_vec(),
            });
        }
    }
    record
        .removed
        .extend(before.map(|gone| gone.name.to_string()));
    record
}

/// What is in a file, as far as it can be read.
fn read_entries(mut bytes: &[u8], mut take: impl FnMut(Entry)) {
    let mut last: BTreeMap<Of, ByName> = BTreeMap::new();
    while !bytes.is_empty() {
        let Ok(record) = Record::decode_length_delimited(&mut bytes) else {
            // A server that died while it wrote. It did not send that set.
            return;
        };
        let Some(kind) = Kind::of_type_url(&record.type_url) else {
            continue;
        };
        let of = (record.group, kind);
        if record.is_forgotten {
            take(Entry::Forgotten(of, record.version));
            continue;
        }
        let set = last.entry(of.clone()).or_default();
        for name in &record.removed {
            set.remove(&**name);
        }
        for news in record.resources {
            let resource = Resource::encoded(kind, &news.name, news.body);
            set.insert(resource.name.clone(), Arc::new(resource));
        }
        let resources: Vec<_> = set.values().cloned().collect();
        let versions = resources.iter().map(|one| (&*one.name, &one.version));
        let version = Version::of_set(versions);
        if *version.0 == *record.version {
            take(Entry::Told(of, Set::now(version, resources)));
        }
    }
}

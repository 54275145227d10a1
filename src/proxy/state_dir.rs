//! The state directory: what Locum has to find again after it died, for one Locum at a time.
//!
//! ```text
//! lock               held while a Locum runs here; says whose it is
//! addresses.json     where this Locum listens
//! told               what proxies of the state of the world were told (see `xds::server::Told`)
//! <namespace>_<name>/    a folder for each Gateway
//!   bootstrap.json   what its Envoy was started with
//!   envoy.json       which process it is (see `record`)
//!   envoy.log        its log; envoy.log.1 the part before
//!   admin.sock       its admin interface
//! ```

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::bootstrap::XdsAddress;
use crate::resource::ObjectName;

/// Only the owner may look: the admin sockets can stop an Envoy.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// The longest path of a Unix socket, without its final zero (`sockaddr_un`).
const SOCKET_PATH_LIMIT: usize = 107;
/// The longest name of a Gateway's folder; a longer one is cut and hashed.
const FOLDER_NAME_LIMIT: usize = 120;
/// How much of the lock file is read back.
const LOCK_NOTE_LIMIT: u64 = 64;

/// A state directory that is ours until this value is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Held open for its lock; closed on exec, so that no Envoy inherits it.
    _lock: File,
}

/// Where the files of one Gateway's Envoy are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub folder: PathBuf,
    pub admin_socket: PathBuf,
}

/// Where a Locum listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    pub xds: XdsAddress,
    pub admin: std::net::SocketAddr,
}

/// What is written down about the addresses.
#[derive(Serialize)]
struct AddressNote {
    /// Whose they are; an earlier Locum's are there until a new one listens.
    pid: u32,
    #[serde(flatten)]
    addresses: Addresses,
}

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    #[error("there is no home directory to keep state in; name a directory with --state-dir")]
    NoHome,
    #[error(
        "another Locum (process {holder}) runs with {}; stop it, or give this one its own \
         directory with --state-dir",
        path.display()
    )]
    Taken { path: PathBuf, holder: String },
    #[error(
        "{} is too long a path for a Unix socket; choose a shorter --state-dir",
        path.display()
    )]
    TooLong { path: PathBuf },
    #[error("{}: {source}; name another directory with --state-dir", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Puts the path to an I/O error.
fn at(path: &Path) -> impl FnOnce(io::Error) -> StateDirError {
    move |source| StateDirError::Io {
        path: path.to_owned(),
        source,
    }
}

/// The directory that is used when none is named: `locum` in the XDG state home.
pub fn default_path() -> Result<PathBuf, StateDirError> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("locum"))
        .ok_or(StateDirError::NoHome)
}

impl StateDir {
    /// Makes the directory if it is not there and takes its lock.
    ///
    /// One that is there already keeps its mode: it may be a folder of the user's. What is kept in
    /// it is closed to others by itself.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        if !path.is_dir() {
            make_folder(path)?;
        }
        let path = path.canonicalize().map_err(at(path))?;
        let lock_path = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&lock_path)
            .map_err(at(&lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let read = lock.take(LOCK_NOTE_LIMIT).read_to_string(&mut holder);
                read.map_err(at(&lock_path))?;
                let holder = holder.trim().to_owned();
                return Err(StateDirError::Taken { path, holder });
            }
            Err(error) => return Err(at(&lock_path)(error.into())),
        }
        let note = format!("{}\n", std::process::id());
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(note.as_bytes()))
            .map_err(at(&lock_path))?;
        Ok(Self { path, _lock: lock })
    }

    /// The folder of a Gateway's Envoy, made if it is not there.
    pub fn place(&self, gateway: &ObjectName) -> Result<Place, StateDirError> {
        let name = folder_name(gateway);
        let folder = self.path.join(&name);
        let admin_socket = self.socket_path(&name)?;
        let place = Place {
            folder,
            admin_socket,
        };
        place.make()?;
        Ok(place)
    }

    /// The folders of Gateways whose Envoy may still run, whether or not the Gateways are still
    /// there. Whatever else is in the directory is not ours.
    pub fn places(&self) -> Result<Vec<Place>, StateDirError> {
        let mut places = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(at(&self.path))? {
            let entry = entry.map_err(at(&self.path))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let place = Place {
                folder: entry.path(),
                admin_socket: self.socket_path(name)?,
            };
            if place.record().is_file() {
                places.push(place);
            }
        }
        Ok(places)
    }

    /// The file of what proxies were told.
    pub fn told(&self) -> PathBuf {
        self.path.join("told")
    }

    /// The addresses that were noted last.
    pub fn addresses(&self) -> Option<Addresses> {
        let text = fs::read(self.path.join("addresses.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Notes where this Locum listens, for whoever wants to find it.
    pub fn note_addresses(&self, addresses: &Addresses) -> Result<(), StateDirError> {
        let path = self.path.join("addresses.json");
        let note = AddressNote {
            pid: std::process::id(),
            addresses: addresses.clone(),
        };
        let text = serde_json::to_string(&note).expect("addresses have a JSON form");
        write_whole(&path, &text).map_err(at(&path))
    }

    /// A path that fits into a socket address: in the Gateway's folder, else hashed in the state
    /// directory, else hashed in the user's runtime directory.
    fn socket_path(&self, folder: &str) -> Result<PathBuf, StateDirError> {
        let first = self.path.join(folder).join("admin.sock");
        let hash = xxh3_64(first.as_os_str().as_bytes());
        let second = self.path.join(format!("{hash:016x}.sock"));
        let third = env::var_os("XDG_RUNTIME_DIR")
            .map(|runtime| PathBuf::from(runtime).join(format!("locum-{hash:016x}.sock")));
        [Some(first.clone()), Some(second), third]
            .into_iter()
            .flatten()
            .find(|path| path.as_os_str().len() <= SOCKET_PATH_LIMIT)
            .ok_or(StateDirError::TooLong { path: first })
    }
}

impl Place {
    /// Makes the folder if it is not there: somebody may have tidied up while Locum runs.
    pub fn make(&self) -> Result<(), StateDirError> {
        make_folder(&self.folder)
    }

    /// Where the bootstrap is.
    pub fn bootstrap(&self) -> PathBuf {
        self.folder.join("bootstrap.json")
    }

    /// Where the process is noted.
    pub fn record(&self) -> PathBuf {
        self.folder.join("envoy.json")
    }

    /// Where Envoy logs to.
    pub fn log(&self) -> PathBuf {
        self.folder.join("envoy.log")
    }

    /// Where the part of the log before the last rotation is.
    pub fn old_log(&self) -> PathBuf {
        self.folder.join("envoy.log.1")
    }

    /// Takes away what Locum and Envoy have put there, and the folder if it is empty then: the
    /// Gateway has gone.
    pub fn remove(&self) -> Result<(), StateDirError> {
        for path in [
            &self.admin_socket,
            &self.bootstrap(),
            &self.log(),
            &self.old_log(),
            &self.record(),
        ] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(path)(error));
                }
                _ => {}
            }
        }
        match fs::remove_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(&self.folder)(error)),
            _ => Ok(()),
        }
    }
}

/// Writes a file so that a reader sees the old text or the new one, whole.
pub(super) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(&draft, path)
}

fn make_folder(path: &Path) -> Result<(), StateDirError> {
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(path)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(FOLDER_MODE)))
        .map_err(at(path))
}

/// No namespace and no name has an underscore, so this is unique.
fn folder_name(gateway: &ObjectName) -> String {
    let full = format!("{}_{}", gateway.namespace, gateway.name);
    if full.len() <= FOLDER_NAME_LIMIT {
        return full;
    }
    let hash = format!("_{:016x}", xxh3_64(full.as_bytes()));
    format!("{}{hash}", &full[..FOLDER_NAME_LIMIT - hash.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_locum_is_told_who_holds_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateDir::open(folder.path()).unwrap();
        let text = StateDir::open(folder.path()).unwrap_err().to_string();
        assert!(text.contains(&std::process::id().to_string()), "{text}");
        assert!(text.contains("--state-dir"), "{text}");
        drop(first);
        StateDir::open(folder.path()).unwrap();
    }

    #[test]
    fn only_the_owner_may_look_inside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/state");
        let state = StateDir::open(&path).unwrap();
        let place = state.place(&ObjectName::new("default", "eg")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&place.folder)), (0o700, 0o700));
    }

    #[test]
    fn a_folder_that_was_there_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let place = state.place(&ObjectName::new("default", "eg")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&place.folder)), (0o755, 0o700));
    }

    #[test]
    fn long_names_get_distinct_folders_and_sockets_that_fit() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let long = "a".repeat(252);
        let one = state
            .place(&ObjectName::new("ns", &format!("{long}1")))
            .unwrap();
        let two = state
            .place(&ObjectName::new("ns", &format!("{long}2")))
            .unwrap();
        assert_ne!(one, two);
        for place in [one, two] {
            assert!(place.admin_socket.as_os_str().len() <= SOCKET_PATH_LIMIT);
            assert!(place.folder.is_dir());
        }
    }

    #[test]
    fn a_directory_too_deep_for_sockets_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("d".repeat(150))).unwrap();
        match state.place(&ObjectName::new("default", "eg")) {
            Err(error) => assert!(error.to_string().contains("--state-dir"), "{error}"),
            Ok(place) => assert!(place.admin_socket.as_os_str().len() <= SOCKET_PATH_LIMIT),
        }
    }

    #[test]
    fn only_folders_with_a_record_are_gateways() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        fs::create_dir(folder.path().join("photos_2024")).unwrap();
        let place = state.place(&ObjectName::new("default", "eg")).unwrap();
        fs::write(place.record(), "{}").unwrap();
        assert_eq!(state.places().unwrap(), std::slice::from_ref(&place));
        place.remove().unwrap();
        assert!(!place.folder.exists());
    }

    #[test]
    fn addresses_are_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        assert_eq!(state.addresses(), None);
        let addresses = Addresses {
            xds: "127.0.0.1:1".parse().unwrap(),
            admin: "127.0.0.1:2".parse().unwrap(),
        };
        state.note_addresses(&addresses).unwrap();
        assert_eq!(state.addresses(), Some(addresses));
    }
}

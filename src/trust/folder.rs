//! Certificates in a folder, as `locum certs` writes them there and signs with them: the files of
//! [`Issued::files`].

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::authority::{Authority, Issued};
use super::certificate::{CERTIFICATE, Flaw, KEY, KeyPem, TRUST};

/// Who may do what with a key, and with what everybody may read.
const KEY_MODE: u32 = 0o600;
const OPEN_MODE: u32 = 0o644;

/// Why a folder was of no use.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("the CA in {}: {flaw}", folder.display())]
    Useless { folder: PathBuf, flaw: Flaw },
    #[error("{} cannot be written: {error}", folder.display())]
    Unwritable { folder: PathBuf, error: io::Error },
    #[error("{} holds a key already; a CA is never written over", .0.display())]
    Taken(PathBuf),
}

/// The authority in `folder`, and whom its ca.crt says to believe too, if there is one.
///
/// # Errors
///
/// When a file cannot be read, or they are no authority.
pub fn read_authority(folder: &Path) -> Result<Authority, FolderError> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|error| FolderError::Unreadable { path, error })
    };
    let trust = folder.join(TRUST).exists().then(|| read(TRUST));
    let key = KeyPem::new(read(KEY)?);
    let certificate = read(CERTIFICATE)?;
    Authority::from_pem(&certificate, &key, trust.transpose()?.as_deref()).map_err(|flaw| {
        FolderError::Useless {
            folder: folder.to_owned(),
            flaw,
        }
    })
}

/// Writes an authority into `folder`, where none may be yet.
///
/// # Errors
///
/// When there is a key already, or the folder cannot be written.
pub fn write_authority(folder: &Path, authority: &Issued) -> Result<(), FolderError> {
    if folder.join(KEY).exists() {
        return Err(FolderError::Taken(folder.to_owned()));
    }
    write(folder, authority)
}

/// Writes what was issued into `folder`, over what was there: each file at once, since an Envoy may
/// be watching.
///
/// # Errors
///
/// When the folder cannot be written.
pub fn write(folder: &Path, issued: &Issued) -> Result<(), FolderError> {
    let written = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut files = issued.files().into_iter();
        files.try_for_each(|(name, text)| replace(folder, name, text))
    };
    written().map_err(|error| FolderError::Unwritable {
        folder: folder.to_owned(),
        error,
    })
}

fn replace(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let unfinished = folder.join(format!(".{name}.new"));
    if unfinished.exists() {
        fs::remove_file(&unfinished)?;
    }
    let mode = if name == KEY { KEY_MODE } else { OPEN_MODE };
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode);
    file.open(&unfinished)?.write_all(text.as_bytes())?;
    fs::rename(&unfinished, folder.join(name))
}

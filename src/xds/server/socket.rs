//! The file of a Unix socket: made with its mode, put in the place of one that nobody listens on,
//! taken away at the end.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Who may use a socket unless it is said: only the user that Locum runs as.
pub const SOCKET_MODE: u32 = 0o600;

/// Who may look into the folder in which a socket is made.
const PRIVATE: u32 = 0o700;

/// How many names are tried for that folder.
const FOLDER_TRIES: u32 = 100;

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process does.
    #[error("another process listens on {}; choose another path", .0.display())]
    Taken(PathBuf),
    /// It is never replaced.
    #[error("{} is there and is no socket; choose another path", .0.display())]
    NoSocket(PathBuf),
    /// The file system says no.
    #[error("the socket {}: {error}", path.display())]
    Io {
        /// Where it was to be.
        path: PathBuf,
        /// What was said.
        error: io::Error,
    },
}

/// The file of a socket, which goes when this is dropped.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// The device and the number of the file, since another process may have put its own there.
    file: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if number(&self.path).is_ok_and(|found| found == self.file)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(file = %self.path.display(), %error, "cannot be removed");
        }
    }
}

/// Listens on a socket at `path`, which those may use whom `mode` lets write, from the first moment
/// on. What is left of a process that has ended is replaced.
///
/// # Errors
///
/// When another process listens there, something else has the path, or the file cannot be made.
pub fn listen(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), SocketError> {
    let failed = |error| SocketError::Io {
        path: path.to_owned(),
        error,
    };
    look_at(path, failed)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Made where nobody else can reach it, so that the mode holds before the first can come.
    let private = private_folder(parent).map_err(failed)?;
    let made = made_in(&private, path, mode);
    let removed = fs::remove_dir_all(&private);
    let (listener, file) = made.map_err(failed)?;
    removed.map_err(failed)?;
    Ok((listener, file))
}

/// A folder of our own in `parent`. One of the name may be left from a process that was killed.
fn private_folder(parent: &Path) -> io::Result<PathBuf> {
    let mut names = (0..FOLDER_TRIES).map(|n| parent.join(format!(".{}-{n}", std::process::id())));
    loop {
        let folder = names.next().ok_or(io::ErrorKind::AlreadyExists)?;
        match DirBuilder::new().mode(PRIVATE).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn made_in(private: &Path, path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let new = private.join("s");
    let listener = StdListener::bind(&new)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(&new, Permissions::from_mode(mode))?;
    fs::rename(&new, path)?;
    let file = SocketFile {
        path: path.to_owned(),
        file: number(path)?,
    };
    Ok((UnixListener::from_std(listener)?, file))
}

/// Whether `path` is free, or holds a socket that nobody listens on.
fn look_at(path: &Path, failed: impl Fn(io::Error) -> SocketError) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NoSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::Taken(path.to_owned())),
        Err(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Ok(()),
            // A queue that is full is one that somebody serves.
            io::ErrorKind::WouldBlock => Err(SocketError::Taken(path.to_owned())),
            _ => Err(failed(error)),
        },
    }
}

fn number(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_has_its_mode_and_goes_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("xds.sock");
        for mode in [SOCKET_MODE, 0o660] {
            let (listener, file) = listen(&path, mode).unwrap();
            assert_eq!(mode_of(&path), mode);
            UnixStream::connect(&path).unwrap();
            drop((listener, file));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[tokio::test]
    async fn one_that_is_listened_on_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("xds.sock");
        let (_listener, _file) = listen(&path, SOCKET_MODE).unwrap();
        let refused = listen(&path, SOCKET_MODE).unwrap_err();
        assert!(matches!(refused, SocketError::Taken(_)), "{refused}");
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn what_a_process_that_died_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("xds.sock");
        drop(StdListener::bind(&path).unwrap());
        assert!(path.exists());
        let (_listener, _file) = listen(&path, SOCKET_MODE).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "mine").unwrap();
        let refused = listen(&path, SOCKET_MODE).unwrap_err();
        assert!(matches!(refused, SocketError::NoSocket(_)), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn the_file_of_another_process_is_not_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("xds.sock");
        let (listener, file) = listen(&path, SOCKET_MODE).unwrap();
        drop(listener);
        let (_next, _next_file) = listen(&path, SOCKET_MODE).unwrap();
        drop(file);
        UnixStream::connect(&path).unwrap();
    }
}

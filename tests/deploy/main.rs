//! `deploy/`: what is generated is what Locum prints now.

#![allow(clippy::unwrap_used)]

mod cert_manager;
mod compose;
mod crds;
mod examples;
mod granted;
mod proxies;
mod roles;
mod version;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file below `deploy/`.
fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(path)
}

/// What `locum ARGUMENTS` prints.
fn printed(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_locum"))
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "locum {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

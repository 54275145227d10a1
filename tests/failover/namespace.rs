//! Cases that need a network and a resolver of their own: each runs in a process in namespaces.

use anyhow::{Context, ensure};
use locum_demo::namespace::unshare;

use crate::table;

/// Runs a case in namespaces of its own and takes over its rows.
pub(crate) fn run(case: &str, name: &str) -> anyhow::Result<()> {
    let mut command = unshare(&std::env::current_exe()?);
    let output = command.args(["inside", case, name]).output();
    let output = output.context("unshare (apt-get install util-linux)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    table::adopt(&text);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{text}{errors}", output.status);
    Ok(())
}

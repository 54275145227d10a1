//! kubectl, as users have it: what is applied and deleted goes through it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// The longest that one command may take; what waits for more asks again.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs kubectl with these arguments and returns what it says.
pub(crate) async fn kubectl(arguments: &[&str]) -> anyhow::Result<String> {
    kubectl_with(arguments, "").await
}

/// The same with standard input.
pub(crate) async fn kubectl_with(arguments: &[&str], input: &str) -> anyhow::Result<String> {
    let shown = || format!("kubectl {}", arguments.join(" "));
    let mut child = Command::new("kubectl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("kubectl")?;
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    let all = async {
        // A command that refuses its input says why on standard error.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(LIMIT, all).await;
    let output = output.with_context(|| format!("{}: not in {LIMIT:?}", shown()))??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {text}{errors}", shown());
    Ok(text)
}

/// An object that stands outside the namespace which a bench takes away: it is deleted when this
/// value goes, whatever became of the case.
pub(crate) struct Outside {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
}

impl Drop for Outside {
    fn drop(&mut self) {
        let mut delete = std::process::Command::new("kubectl");
        delete.args(["delete", self.kind, &self.name, "--ignore-not-found"]);
        // What cannot be deleted is in nobody's way: the next run applies it anew.
        let _ = delete.output();
    }
}

//! What the cases install in the cluster, as `deploy/` ships it: with kubectl, and nothing changed.

use std::path::Path;

use crate::kubectl::kubectl;

const DEFINITIONS: &str = "deploy/crds";
/// What they define.
const OWN_KINDS: [&str; 2] = [
    "crd/backends.gateway.envoyproxy.io",
    "crd/backendtrafficpolicies.gateway.envoyproxy.io",
];

/// Installs the definitions of Locum's kinds and waits until they are served.
pub(crate) async fn definitions() -> anyhow::Result<()> {
    kubectl(&["apply", "--server-side", "-k", &shipped(DEFINITIONS)]).await?;
    let served = ["wait", "--for=condition=Established", "--timeout=60s"];
    kubectl(&[&served[..], &OWN_KINDS].concat()).await?;
    Ok(())
}

/// A folder or file of the repository, as kubectl takes it.
fn shipped(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    path.display().to_string()
}

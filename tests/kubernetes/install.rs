//! Locum and Envoys in the cluster, as `deploy/` ships them: with kubectl, and nothing changed but
//! what a user would change.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, ensure};

use crate::bench::Bench;
use crate::cluster::Own;
use crate::kubectl::{kubectl, kubectl_with};
use crate::stage::ENVOY;

/// Where Locum runs.
pub(crate) const NAMESPACE: &str = "locum-system";
/// The labels of Locum's Pods, and of Envoy's.
pub(crate) const REPLICAS: &str = "app.kubernetes.io/name=locum";
pub(crate) const ENVOYS: &str = "app.kubernetes.io/name=envoy";
/// The control plane that also takes the classes of Envoy Gateway's controller name, which the
/// page's GatewayClass has.
const CONTROL_PLANE: &str = "deploy/envoy-gateway-names";
const DEFINITIONS: &str = "deploy/crds";
/// What they define.
const OWN_KINDS: [&str; 3] = [
    "crd/backends.gateway.envoyproxy.io",
    "crd/backendtrafficpolicies.gateway.envoyproxy.io",
    "crd/failoverpolicies.locum.dev",
];
const PROXIES: &str = "deploy/envoy";

/// Whether a case of this run has installed Locum.
static INSTALLED: Mutex<bool> = Mutex::new(false);
/// How long the audit log was then: before it speaks of an older build.
static AUDITED: OnceLock<usize> = OnceLock::new();

/// Installs Locum, once in a run, and waits until every replica is ready. On the project's own
/// cluster what an earlier run left goes first, for it runs an older build.
pub(crate) async fn locum(bench: &Bench) -> anyhow::Result<()> {
    let system = bench.at(NAMESPACE);
    if !std::mem::replace(&mut *installed(), true) {
        if let Ok(own) = bench.cluster().own() {
            let old = ["delete", "namespace", NAMESPACE, "--ignore-not-found"];
            kubectl(&old).await?;
            AUDITED.get_or_init(|| own.audit_log().map_or(0, |log| log.len()));
        }
        definitions().await?;
        kubectl(&["apply", "--server-side", "-k", &shipped(CONTROL_PLANE)]).await?;
    }
    system.rolled_out("locum").await
}

/// What this run's Locum has asked of the API server: lines of the audit log.
pub(crate) fn asked_for(own: &Own) -> anyhow::Result<String> {
    let log = own.audit_log()?;
    let since = AUDITED.get().copied().unwrap_or_default();
    Ok(log.get(since..).unwrap_or_default().to_owned())
}

/// Installs the definitions of Locum's kinds and waits until they are served.
pub(crate) async fn definitions() -> anyhow::Result<()> {
    kubectl(&["apply", "--server-side", "-k", &shipped(DEFINITIONS)]).await?;
    let served = ["wait", "--for=condition=Established", "--timeout=60s"];
    kubectl(&[&served[..], &OWN_KINDS].concat()).await?;
    Ok(())
}

fn installed() -> std::sync::MutexGuard<'static, bool> {
    INSTALLED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Installs Envoys for the Gateway `eg` of the bench's namespace and waits until they are ready.
pub(crate) async fn proxies(bench: &Bench) -> anyhow::Result<()> {
    let gateway = format!("{}/eg", bench.namespace());
    let certificate = certificate(&gateway)?;
    kubectl_with(&["apply", "--server-side", "-f", "-"], &certificate).await?;
    let manifests = proxy_manifests(bench.namespace()).await?;
    kubectl_with(&["apply", "--server-side", "-f", "-"], &manifests).await?;
    bench.rolled_out(ENVOY).await
}

/// Takes the Envoys of the Gateway `eg` of a namespace away.
pub(crate) async fn remove_proxies(namespace: &str) -> anyhow::Result<()> {
    let manifests = proxy_manifests(namespace).await?;
    kubectl_with(&["delete", "--ignore-not-found", "-f", "-"], &manifests).await?;
    Ok(())
}

/// The manifests of Envoys for the Gateway `eg` of a namespace. For `default` they are those that
/// are shipped; for another it is done what their kustomization says: it is copied, and changed.
async fn proxy_manifests(namespace: &str) -> anyhow::Result<String> {
    if namespace == "default" {
        return kubectl(&["kustomize", &shipped(PROXIES)]).await;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let text = std::fs::read_to_string(shipped("deploy/envoy/kustomization.yaml"))?;
    // A base is named by its way from here.
    let up = folder.path().canonicalize()?.components().count() - 1;
    let base = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(PROXIES)
        .join("base");
    let base = format!(
        "{}{}",
        "../".repeat(up).trim_end_matches('/'),
        base.display()
    );
    let text = text.replace("  - base\n", &format!("  - {base}\n"));
    let text = text.replace("namespace: default", &format!("namespace: {namespace}"));
    std::fs::write(folder.path().join("kustomization.yaml"), text)?;
    kubectl(&["kustomize", &folder.path().display().to_string()]).await
}

/// The Secret by which a Gateway's Envoys are known, as `locum certs` makes it.
fn certificate(gateway: &str) -> anyhow::Result<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_locum"));
    let output = command.args(["certs", "--gateway", gateway]).output();
    let output = output.context("locum certs")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "locum certs: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

/// A folder or file of the repository, as kubectl takes it.
pub(crate) fn shipped(path: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    path.display().to_string()
}

//! `locum certs`, and what its certificates are for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::{Stage, free_port, locum, serves, until};
use crate::standalone::{Envoy, Serve, fails, succeeds};

fn certs(folder: &Path, arguments: &[&str]) {
    succeeds(locum().arg("certs").args(arguments).current_dir(folder));
}

#[test]
fn outside_kubernetes_envoys_are_known_by_what_certs_issues() {
    let folder = tempfile::tempdir().unwrap();
    certs(folder.path(), &["--authority", "-d", "ca"]);
    certs(
        folder.path(),
        &["--server", "127.0.0.1", "--ca", "ca", "-d", "server"],
    );
    for gateway in ["eg", "other"] {
        let name = format!("default/{gateway}");
        certs(
            folder.path(),
            &["--gateway", &name, "--ca", "ca", "-d", gateway],
        );
    }
    let port = free_port();
    let stage = Stage::with_backend(port);
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let files = ["server/tls.crt", "server/tls.key", "server/ca.crt"].map(file);
    let [certificate, key, trust] = &files;
    let locum = Serve::start(
        &stage.manifests(),
        &[
            "--tls-cert",
            certificate,
            "--tls-key",
            key,
            "--tls-client-ca",
            trust,
        ],
    );
    let stranger = Envoy::start("default/eg", &locum.xds, &["--tls", &file("other")]);
    until("the other Gateway's Envoy hears why it is refused", || {
        stranger.log().contains("default/other")
    });
    let envoy = Envoy::start("default/eg", &locum.xds, &["--tls", &file("eg")]);
    until("Envoy is ready", || envoy.is_ready());
    until("Envoy serves", || serves(port));
    assert!(!stranger.is_ready());
}

#[test]
fn keys_are_for_their_owner_and_an_authority_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    certs(folder.path(), &["--authority", "-d", "ca"]);
    let key = folder.path().join("ca/tls.key");
    let mode = fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = fs::read(&key).unwrap();
    let mut again = locum();
    again.args(["certs", "--authority", "-d", "ca"]);
    let (status, said) = fails(again.current_dir(folder.path()));
    assert!(status == 1 && said.contains("never written over"), "{said}");
    assert_eq!(fs::read(&key).unwrap(), before);
}

#[test]
fn a_proxys_secret_is_what_kubectl_applies() {
    let folder = tempfile::tempdir().unwrap();
    certs(folder.path(), &["--authority", "-d", "ca"]);
    let mut command = locum();
    command.args([
        "certs",
        "--gateway",
        "infra/edge",
        "--ca",
        "ca",
        "-o",
        "json",
    ]);
    let printed = succeeds(command.current_dir(folder.path())).stdout;
    let secret: serde_json::Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(secret["kind"], "Secret");
    assert_eq!(secret["type"], "kubernetes.io/tls");
    assert_eq!(secret["metadata"]["name"], "edge-proxy-tls");
    assert_eq!(secret["metadata"]["namespace"], "infra");
    for part in ["tls.crt", "tls.key", "ca.crt"] {
        assert!(secret["data"][part].is_string(), "{part}");
    }
}

#[test]
fn what_certs_cannot_do_is_said_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    certs(folder.path(), &["--authority", "-d", "ca"]);
    let proxy = ["--gateway", "default/eg"];
    for (arguments, status, what) in [
        (&["--ca", "empty"][..], 1, "empty/tls.key cannot be read"),
        (&["--ca", "ca", "--days", "9000"], 1, "would outlive the CA"),
        (&["--ca", "ca", "--days", "4000000"], 2, "--days"),
        (
            &["--ca", "ca", "--trust-domain", "A B"],
            2,
            "--trust-domain",
        ),
        (&["--kubeconfig", "nowhere"], 1, "nowhere"),
    ] {
        let mut command = locum();
        command.arg("certs").args(proxy).args(arguments);
        let (found, said) = fails(command.current_dir(folder.path()));
        assert!(
            found == status && said.contains(what),
            "{arguments:?}: {said}"
        );
    }
    let (status, said) = fails(locum().arg("certs"));
    assert!(status == 2 && said.contains("--authority"), "{said}");
}

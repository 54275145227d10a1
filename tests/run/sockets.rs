//! Where Envoys ask: a Unix socket, or an address that only this machine reaches unless it is wanted
//! otherwise. And what whoever asks there is told of Locum's health.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::process::Command;

use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::{Stage, free_port, locum, serves, until};
use crate::standalone::{Envoy, Serve, fails};

#[test]
fn an_envoy_asks_at_a_socket_that_has_the_mode_which_was_wanted() {
    let port = free_port();
    let stage = Stage::with_backend(port);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("xds.sock");
    let xds = format!("unix:{}", path.display());
    let serve = |mode: &[&str]| Serve::start_at(xds.clone(), &stage.manifests(), mode);
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;

    let first = serve(&["--xds-socket-mode", "0660"]);
    assert_eq!(mode(), 0o660);
    let envoy = Envoy::start("default/eg", &xds, &[]);
    until("Envoy serves", || envoy.is_ready() && serves(port));
    let mut second = locum();
    second.args(["serve", "-f"]).arg(stage.manifests());
    second.args(["--xds-address", &xds, "--admin-address", "127.0.0.1:0"]);
    let (status, said) = fails(&mut second);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("another process listens"), "{said}");

    // One that dies leaves its file, and the next takes its place.
    first.kill();
    assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());
    let next = serve(&[]);
    assert_eq!(mode(), 0o600);
    next.terminate();
    assert!(!path.exists());
}

#[test]
fn an_envoy_of_run_asks_at_a_socket() {
    let port = free_port();
    let stage = Stage::with_backend(port);
    let folder = tempfile::tempdir().unwrap();
    let xds = format!("unix:{}", folder.path().join("xds.sock").display());
    let locum = stage.run_at(&xds);
    assert!(serves(port));
    assert!(locum.output().contains(&xds), "{}", locum.output());
}

/// Wrong use, in these words.
fn is_refused(command: &mut Command, words: &[&str]) {
    let (status, said) = fails(command);
    assert_eq!(status, 2, "{said}");
    for word in words {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn plaintext_beyond_this_machine_is_refused_unless_it_is_wanted() {
    let stage = Stage::with_backend(free_port());
    let command = |which: &str, arguments: &[&str]| {
        let mut command = locum();
        command.args([which, "-f"]).arg(stage.manifests());
        command.args(arguments);
        command
    };
    let xds = ["--xds-address", "0.0.0.0:0"];
    let admin = ["--admin-address", "0.0.0.0:0"];
    let words = ["--xds-address 0.0.0.0:0", "--tls-cert", "--insecure"];
    for which in ["serve", "run"] {
        is_refused(&mut command(which, &xds), &words);
        let words = ["--admin-address 0.0.0.0:0", "/debug", "--insecure"];
        is_refused(&mut command(which, &admin), &words);
    }
    let mode = ["--xds-socket-mode", "0660"];
    is_refused(
        &mut command("serve", &mode),
        &["--xds-socket-mode", "unix:PATH"],
    );
    Serve::start_at(
        format!("0.0.0.0:{}", free_port()),
        &stage.manifests(),
        &["--insecure"],
    )
    .terminate();
}

#[tokio::test]
async fn grpcs_health_says_what_readyz_does() {
    let stage = Stage::with_backend(free_port());
    let locum = Serve::start(&stage.manifests(), &[]);
    let endpoint = Endpoint::from_shared(format!("http://{}", locum.xds)).unwrap();
    let mut client = HealthClient::new(endpoint.connect_lazy());
    let answer = client.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
}

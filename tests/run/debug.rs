//! `locum debug`: a running Locum is asked about its proxies, and an Envoy about what it has.

use std::net::SocketAddr;
use std::process::{Command, Output};

use crate::harness::{CLASS, Stage, backend, free_port, gateway, locum, until};
use crate::standalone::{Envoy, Serve, fails, succeeds};

/// A chain of which Envoy shows more endpoints than it is told, and their health as it finds it.
const PROBED_NAME: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: probed}
spec:
  parentRefs: [{name: eg}]
  rules:
  - matches: [{path: {value: /probed}}]
    backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: probed}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: probed}
spec: {endpoints: [{fqdn: {hostname: localhost, port: 9}}]}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: probes}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  healthCheck: {active: {type: TCP, interval: 1s, tcp: {}}}
";

/// A Gateway `default/eg` on `port` with a backend of its own.
fn stage(port: u16) -> Stage {
    let stage = Stage::empty();
    stage.write("class.yaml", CLASS);
    stage.write("eg.yaml", &gateway("eg", port, backend("hello")));
    stage.write("probed.yaml", PROBED_NAME);
    stage
}

fn debug(admin: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = locum();
    command.arg("debug").args(arguments);
    command.args(["--admin-address", &admin.to_string()]);
    command
}

fn diff(admin: SocketAddr, envoy: &Envoy, arguments: &[&str]) -> Command {
    let mut command = debug(admin, &["xds", "--diff"]);
    command.args(["--envoy-admin-address", &envoy.admin.to_string()]);
    command.args(arguments);
    command
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn an_envoy_is_held_against_what_it_is_told() {
    let port = free_port();
    let (told, other) = (stage(port), stage(port));
    let [told, other] = [&told, &other].map(|stage| Serve::start(&stage.manifests(), &[]));
    let envoy = Envoy::start("default/eg", &told.xds, &[]);
    until("Envoy is ready", || envoy.is_ready());
    let acknowledged = || printed(&succeeds(&mut debug(told.admin, &["clients"])));
    until("all is acknowledged", || {
        let table = acknowledged();
        let row = table.lines().nth(1).unwrap_or_default().split("  ");
        let cells: Vec<&str> = row.map(str::trim).filter(|cell| !cell.is_empty()).collect();
        // Acknowledged, sent, nothing under way, nothing refused.
        cells.len() == 10 && cells[6] == cells[7] && cells[8..] == ["0", "0"]
    });
    assert!(acknowledged().contains("default/eg"), "{}", acknowledged());

    let equal = printed(&succeeds(&mut diff(told.admin, &envoy, &[])));
    assert!(equal.contains("has what it is told"), "{equal}");
    // A part of it, too: Envoy's endpoints are understood by their clusters.
    succeeds(&mut diff(told.admin, &envoy, &["-t", "endpoint"]));

    // A Locum that tells another backend.
    let output = diff(other.admin, &envoy, &[]).output().unwrap();
    let differs = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{differs}");
    assert!(differs.contains("endpoint default/"), "{differs}");
    for line in ["  - ", "  + ", "is not connected to this Locum"] {
        assert!(differs.contains(line), "{differs}");
    }
    // What both tell alike.
    succeeds(&mut diff(other.admin, &envoy, &["-t", "listener"]));
}

#[test]
fn where_nobody_answers_is_said() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (status, said) = fails(&mut debug(nobody, &["clients"]));
    assert_eq!(status, 1);
    let expected = format!("Locum at {nobody}: its admin interface cannot be reached");
    assert!(said.contains(&expected), "{said}");
}

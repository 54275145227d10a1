//! The CustomResourceDefinitions.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{printed, shipped};

fn names() -> Vec<String> {
    let all: Value = serde_json::from_str(&printed(&["crds", "-o", "json"])).unwrap();
    let items = all["items"].as_array().unwrap();
    let name = |item: &Value| item["spec"]["names"]["plural"].as_str().unwrap().to_owned();
    items.iter().map(name).collect()
}

#[test]
fn the_shipped_definitions_are_those_of_the_types() {
    for name in names() {
        let file = format!("crds/{name}.yaml");
        let text = fs::read_to_string(shipped(&file)).unwrap_or_default();
        assert!(
            text == printed(&["crds", &name]),
            "deploy/{file} is not what the types say; make it anew:\n    \
             cargo run -- crds {name} > deploy/{file}"
        );
    }
}

#[test]
fn nothing_else_is_among_the_shipped_definitions() {
    let text = fs::read_to_string(shipped("crds/kustomization.yaml")).unwrap();
    let kustomization: Value = serde_saphyr::from_str(&text).unwrap();
    let expected: Vec<Value> = names()
        .iter()
        .map(|name| format!("{name}.yaml").into())
        .collect();
    assert_eq!(kustomization["resources"], Value::from(expected));
    let files = fs::read_dir(shipped("crds")).unwrap().count();
    assert_eq!(files, names().len() + 1);
}

#[test]
fn one_definition_is_printed_by_any_of_its_names() {
    let backends = printed(&["crds", "backends"]);
    for name in ["be", "Backend", "backends.gateway.envoyproxy.io"] {
        assert_eq!(printed(&["crds", name]), backends, "{name}");
    }
}

#[test]
fn an_unknown_name_is_wrong_use() {
    let output = Command::new(env!("CARGO_BIN_EXE_locum"))
        .args(["crds", "gateways"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("backendtrafficpolicies"), "{said}");
}

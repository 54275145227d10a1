//! The Envoys of `deploy/envoy`: what their Pods ask of Locum is what Locum does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::shipped;

const NAMESPACE: &str = "default";
const GATEWAY: &str = "eg";
const POD: &str = "envoy-eg-0";
/// Where the Pod has the folder that its containers share.
const SHARED: &str = "/run/envoy";

/// The Pod's specification.
fn pod() -> Value {
    let text = fs::read_to_string(shipped("envoy/base/deployment.yaml")).unwrap();
    let deployment: Value = serde_saphyr::from_str(&text).unwrap();
    deployment["spec"]["template"]["spec"].clone()
}

/// A list of texts.
fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// The environment of a container, as a kubelet would set it.
fn environment(container: &Value) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for variable in container["env"].as_array().into_iter().flatten() {
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some("metadata.namespace") => NAMESPACE.to_owned(),
            Some("metadata.name") => POD.to_owned(),
            Some("metadata.labels['gateway.networking.k8s.io/gateway-name']") => GATEWAY.to_owned(),
            Some(other) => panic!("{other} is no field that this test knows"),
            None => {
                let value = variable["value"].as_str().unwrap().to_owned();
                let known = environment.iter();
                known.fold(value, |value, (name, known): (&String, &String)| {
                    value.replace(&format!("$({name})"), known)
                })
            }
        };
        environment.insert(variable["name"].as_str().unwrap().to_owned(), value);
    }
    environment
}

/// Runs what an init container runs, with `folder` in the place of the shared one.
fn run(container: &Value, folder: &Path) {
    let moved = |text: &String| text.replace(SHARED, &folder.display().to_string());
    let environment = environment(container);
    let output = Command::new(env!("CARGO_BIN_EXE_locum"))
        .args(texts(&container["args"]).iter().map(moved))
        .envs(environment.iter().map(|(name, value)| (name, moved(value))))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", container["name"]);
}

#[test]
fn what_the_init_containers_leave_is_what_the_envoy_is_started_with() {
    let folder = tempfile::tempdir().unwrap();
    let pod = pod();
    for container in pod["initContainers"].as_array().unwrap() {
        run(container, folder.path());
    }
    let envoy = &pod["containers"][0];
    for path in texts(&envoy["args"])
        .into_iter()
        .chain(texts(&envoy["lifecycle"]["preStop"]["exec"]["command"]))
        .filter(|text| text.starts_with(SHARED))
    {
        let place = path.replace(SHARED, &folder.path().display().to_string());
        assert!(Path::new(&place).is_file(), "nobody makes {path}");
    }
    let bootstrap = fs::read_to_string(folder.path().join("envoy.yaml")).unwrap();
    let bootstrap: Value = serde_saphyr::from_str(&bootstrap).unwrap();
    assert_eq!(
        bootstrap["node"]["cluster"],
        format!("{NAMESPACE}/{GATEWAY}")
    );
    assert_eq!(bootstrap["node"]["id"], POD);
    let listeners = &bootstrap["static_resources"]["listeners"];
    let ready = &listeners[0]["address"]["socket_address"]["port_value"];
    let ports = envoy["ports"].as_array().unwrap();
    let probed = ports.iter().find(|port| port["name"] == "ready").unwrap();
    assert_eq!(ready.as_f64(), probed["containerPort"].as_f64());
}

#[test]
fn the_pre_stop_hook_is_over_before_its_pod_is_killed() {
    let pod = pod();
    let hook = texts(&pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]);
    let bound = hook.iter().skip_while(|word| *word != "--max-wait").nth(1);
    let seconds = bound.and_then(|text| text.strip_suffix('s')?.parse::<u64>().ok());
    let grace = pod["terminationGracePeriodSeconds"].as_u64();
    assert!(
        seconds.unwrap() + 5 <= grace.unwrap(),
        "{seconds:?}, {grace:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    // Nobody is at that address: it is understood, and fails.
    let output = Command::new(env!("CARGO_BIN_EXE_locum"))
        .args(&hook[1..])
        .env(
            "LOCUM_ENVOY_ADMIN_ADDRESS",
            format!("unix:{}/admin", folder.path().display()),
        )
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}

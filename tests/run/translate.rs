//! `locum translate` of the failover page.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Stage, locum};

fn page() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/page")
}

fn translate(arguments: &[&str], paths: &[&Path]) -> Vec<Value> {
    let mut command = locum();
    command.args(["translate", "-o", "json"]).args(arguments);
    for path in paths {
        command.arg("-f").arg(path);
    }
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The priorities that a load assignment has, and how many endpoints stand at each.
fn priorities(assignment: &Value) -> Vec<(u64, usize)> {
    let localities = assignment["endpoints"].as_array().unwrap();
    localities
        .iter()
        .map(|locality| {
            let priority = locality["priority"].as_u64().unwrap_or_default();
            (priority, locality["lb_endpoints"].as_array().unwrap().len())
        })
        .collect()
}

#[test]
fn the_page_is_one_dns_cluster_with_two_priorities() {
    let resources = translate(&["-t", "cluster,endpoint"], &[&page()]);
    assert_eq!(resources.len(), 1);
    let cluster = &resources[0];
    assert_eq!(priorities(&cluster["load_assignment"]), [(0, 1), (1, 1)]);
    let outliers = &cluster["outlier_detection"];
    assert_eq!(outliers["base_ejection_time"], "10s");
    assert_eq!(outliers["interval"], "0.500s");
    assert_eq!(outliers["max_ejection_percent"], 100);
}

#[test]
fn the_page_with_endpoint_slices_is_one_eds_cluster_with_two_priorities() {
    let stage = Stage::empty();
    let slice = |name: &str, port: u16| {
        format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
endpoints: [{{addresses: [127.0.0.1]}}]
ports: [{{name: http, port: {port}}}]
"
        )
    };
    let slices = slice("active", 3001) + &slice("passive", 3002);
    stage.write("slices.yaml", &slices);
    let resources = translate(
        &["-t", "cluster,endpoint", "-g", "default/eg"],
        &[&page(), &stage.manifests()],
    );
    let [cluster, endpoints] = &resources[..] else {
        panic!("{resources:?}");
    };
    assert_eq!(cluster["type"], "EDS");
    assert_eq!(cluster["name"], endpoints["cluster_name"]);
    assert_eq!(priorities(endpoints), [(0, 1), (1, 1)]);
}

#[test]
fn yaml_and_json_say_the_same() {
    let output = locum()
        .args(["translate", "-f"])
        .arg(page())
        .output()
        .unwrap();
    let yaml: Vec<Value> =
        serde_saphyr::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap();
    assert_eq!(yaml, translate(&[], &[&page()]));
    let types: Vec<&str> = yaml
        .iter()
        .filter_map(|each| each["@type"].as_str())
        .collect();
    assert_eq!(types.len(), yaml.len());
}

#[test]
fn an_unknown_gateway_is_refused_with_those_that_are_there() {
    let output = locum()
        .args(["translate", "-g", "default/nonsense", "-f"])
        .arg(page())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(errors.contains("default/eg"), "{errors}");
}

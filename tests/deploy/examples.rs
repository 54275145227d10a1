//! `deploy/examples`: sound as they are, and what their words say.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{printed, shipped};

const THREE_TIER: &str = "examples/three-tier";

/// What stands in for a cluster where there is none.
const OF_FILES: &str = "endpoints.yaml";

#[test]
fn the_three_tiers_are_clean() {
    let output = Command::new(env!("CARGO_BIN_EXE_locum"))
        .args(["check", "-f"])
        .arg(shipped(THREE_TIER))
        .output()
        .unwrap();
    let said =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(
        !said.contains("error") && !said.contains("warning"),
        "{said}"
    );
}

#[test]
fn the_three_tiers_stand_in_the_order_that_they_say() {
    let folder = shipped(THREE_TIER);
    let folder = folder.to_str().unwrap();
    let clusters = printed(&["translate", "-f", folder, "-t", "cluster", "-o", "json"]);
    let clusters: Value = serde_json::from_str(&clusters).unwrap();
    let clusters = clusters.as_array().unwrap();
    let named = |ending: &str| {
        let mut named = clusters.iter();
        let is_it = |cluster: &&Value| cluster["name"].as_str().unwrap().ends_with(ending);
        named
            .find(is_it)
            .unwrap_or_else(|| panic!("no cluster {ending}: {clusters:#?}"))
    };
    let chain = named("shop-elsewhere@shop+shop");
    let tiers = chain
        .pointer("/cluster_type/typed_config/clusters")
        .unwrap();
    let tiers: Vec<&str> = tiers
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        tiers.len() == 3
            && (0..)
                .zip(&tiers)
                .all(|(tier, name)| name.ends_with(&format!("/tier/{tier}"))),
        "{tiers:?}"
    );
    let endpoints = printed(&["translate", "-f", folder, "-t", "endpoint", "-o", "json"]);
    for (tier, member) in [
        ("0", "Service/shop/shop:80"),
        ("1", "Service/shop-standby/shop:80"),
    ] {
        assert_eq!(named(&format!("/tier/{tier}"))["type"], "EDS");
        assert!(endpoints.contains(member), "{endpoints}");
    }
    let outside = named("/tier/2");
    let endpoint = outside
        .pointer("/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address")
        .unwrap();
    assert_eq!(endpoint["address"], "shop.example.net");
    let tls = outside
        .pointer("/transport_socket_matches/0/transport_socket/typed_config")
        .unwrap();
    assert_eq!(tls["auto_host_sni"], true, "{tls:#}");
    assert_eq!(tls["auto_sni_san_validation"], true, "{tls:#}");
}

#[test]
fn everything_in_the_folder_is_applied_but_what_stands_in_for_a_cluster() {
    let text = fs::read_to_string(shipped(THREE_TIER).join("kustomization.yaml")).unwrap();
    let kustomization: Value = serde_saphyr::from_str(&text).unwrap();
    let resources = kustomization["resources"].as_array().unwrap();
    let mut applied: BTreeSet<String> = resources
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    applied.extend(["kustomization.yaml", OF_FILES].map(str::to_owned));
    let entries = fs::read_dir(shipped(THREE_TIER)).unwrap();
    let files: BTreeSet<String> = entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(applied, files);
}

/// Apart from whom they serve, the example's Envoys are those of `deploy/envoy`.
#[test]
fn the_envoys_of_the_three_tiers_are_the_shipped_ones() {
    let read = |path: &str| -> Value {
        serde_saphyr::from_str(&fs::read_to_string(shipped(path)).unwrap()).unwrap()
    };
    let mut expected = read("envoy/kustomization.yaml");
    expected["namespace"] = "shop".into();
    expected["nameSuffix"] = "-shop".into();
    expected["labels"][0]["pairs"]["gateway.networking.k8s.io/gateway-name"] = "shop".into();
    expected["resources"] = vec!["../../../envoy/base"].into();
    assert_eq!(
        read("examples/three-tier/envoy/kustomization.yaml"),
        expected
    );
}

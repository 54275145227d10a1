//! What names a version of Locum or Envoy names the same one.

use std::fs;

use super::shipped;

/// Every file below `deploy/`, and the Dockerfile, with its text.
fn texts() -> Vec<(String, String)> {
    let mut folders = vec![shipped("")];
    let mut files = vec![shipped("../Dockerfile")];
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
    let end = |rest: &'a str| rest.find(|c: char| c.is_whitespace() || c == '"');
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

#[test]
fn locums_image_is_of_this_version() {
    assert_named("ghcr.io/locum-dev/locum:", env!("CARGO_PKG_VERSION"));
    assert_named(
        "org.opencontainers.image.version=\"",
        env!("CARGO_PKG_VERSION"),
    );
    let kustomization = fs::read_to_string(shipped("control-plane/kustomization.yaml")).unwrap();
    assert_eq!(
        words_after(&kustomization, "newTag: "),
        [env!("CARGO_PKG_VERSION")]
    );
}

#[test]
fn the_builder_is_the_pinned_toolchain() {
    let toolchain = fs::read_to_string(shipped("../rust-toolchain.toml")).unwrap();
    let version = words_after(&toolchain, "channel = \"")[0];
    let image = format!("{version}-slim-bookworm");
    assert_named("docker.io/library/rust:", &image);
}

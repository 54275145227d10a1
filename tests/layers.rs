//! The rules of ARCHITECTURE.md about what a module never does, as far as its source shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What would make a stage depend on more than its input.
const IMPURE: &[&str] = &[
    "tokio",
    "std::fs",
    "std::env",
    "std::process",
    "SystemTime",
    "Instant",
    "::now()",
    "now_utc()",
];

/// What makes it do more than to answer.
const LOGS: &[&str] = &["tracing::"];

/// The types of the APIs that users write.
const API_TYPES: &[&str] = &["k8s_openapi", "gateway_api", "kube::"];

/// The types that go over the wire to proxies.
const WIRE_TYPES: &[&str] = &["envoy_types", "prost", "crate::xds"];

/// What only decides: equal input, equal output.
const PURE: &[&str] = &[
    "model",
    "problem",
    "reference",
    "replicas/election",
    "replicas/peers",
    "resource",
    "serving/ledger",
    "simulate",
    "status",
    "store",
    "translate",
    "trust/authority",
    "trust/secrets/plan",
    "writer/entry",
    "xds/canonical",
    "xds/config_dump",
    "xds/content",
    "xds/delta",
    "xds/json",
    "xds/kind",
    "xds/mentions",
    "xds/message",
    "xds/order",
    "xds/refusal",
    "xds/resource",
    "xds/snapshot",
    "xds/sotw",
    "xds/stream",
    "xds/subscription",
    "xds/wire",
];

/// Modules, each `src/<module>.rs` with the folder beside it, and what none of their lines says.
const RULES: &[(&[&str], &[&str])] = &[
    (PURE, IMPURE),
    (PURE, LOGS),
    // It says what holds writes up.
    (&["writer/desk"], IMPURE),
    (
        &[
            "model",
            "problem",
            "resource",
            "simulate",
            "status",
            "store",
            "translate/resolve",
        ],
        WIRE_TYPES,
    ),
    (&["model", "translate/emit", "xds"], API_TYPES),
    (
        &["xds"],
        &["crate::resource", "crate::translate", "crate::store"],
    ),
    (&["source"], &["crate::translate", "crate::xds"]),
];

/// The source files of a module.
fn files(module: &str) -> Vec<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![source.join(format!("{module}.rs"))];
    let mut folders = vec![source.join(module)];
    while let Some(folder) = folders.pop() {
        // A module without a folder has all its code in the file.
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("a folder of the source can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn no_module_says_what_its_layer_must_not_know() {
    let mut found = Vec::new();
    for (modules, words) in RULES {
        for file in modules.iter().flat_map(|module| files(module)) {
            let text = fs::read_to_string(&file).expect("each module that is named has a file");
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                if let Some(word) = words.iter().find(|word| code.contains(**word)) {
                    let file = file.display();
                    found.push(format!("{file}:{}: {word}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What only fuzzing needs.
const FUZZED: [&str; 3] = ["arbitrary", "libfuzzer-sys", "locum-fuzz"];

/// The crates of a Cargo.lock, each with its version.
fn locked(file: &str) -> BTreeSet<(String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(file).expect("there is a lock file");
    let value = |line: &str| line.split('"').nth(1).map(ToOwned::to_owned);
    let lines: Vec<_> = text.lines().collect();
    let pairs = lines
        .windows(2)
        .filter(|pair| pair[0].starts_with("name = "));
    pairs
        .filter_map(|pair| value(pair[0]).zip(value(pair[1])))
        .collect()
}

#[test]
fn what_is_fuzzed_is_what_is_shipped() {
    let shipped = locked("Cargo.lock");
    let fuzzed = locked("fuzz/Cargo.lock");
    let own = |(name, _): &&(String, String)| FUZZED.contains(&name.as_str());
    let other: Vec<_> = fuzzed
        .difference(&shipped)
        .filter(|one| !own(one))
        .collect();
    assert!(
        fuzzed.len() > FUZZED.len() && other.is_empty(),
        "{other:?}: copy Cargo.lock over fuzz/Cargo.lock, then `cargo metadata --manifest-path fuzz/Cargo.toml`"
    );
}

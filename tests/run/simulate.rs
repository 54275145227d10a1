//! `locum simulate` of the failover page, and of endpoints that are unready and draining.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Stage, locum};

const ACTIVE: &str = "Backend/default/active";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/page")
}

/// Exit status, standard output, standard error.
fn simulate(arguments: &[&str], paths: &[&Path]) -> (Option<i32>, String, String) {
    let mut command = locum();
    command.arg("simulate").args(arguments);
    for path in paths {
        command.arg("-f").arg(path);
    }
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn documents(arguments: &[&str], paths: &[&Path]) -> Vec<Value> {
    let arguments = [arguments, &["-o", "json"]].concat();
    let (status, text, errors) = simulate(&arguments, paths);
    assert_eq!(status, Some(0), "{errors}");
    serde_json::from_str(&text).unwrap()
}

/// The tiers' shares.
fn shares(spread: &Value) -> Vec<f64> {
    let tiers = spread["tiers"].as_array().unwrap();
    let share = |tier: &Value| tier["share"].as_f64().unwrap();
    tiers.iter().map(share).collect()
}

#[test]
fn the_page_is_served_by_its_active_backend_and_by_the_passive_one_when_that_is_down() {
    let [chain] = &documents(&[], &[&page()])[..] else {
        panic!("the page has one chain");
    };
    assert_eq!(chain["rules"][0]["route"], "default/ha-example");
    assert_eq!(shares(&chain["spread"]), [100.0, 0.0]);
    let failures = chain["failures"].as_array().unwrap();
    let failures: Vec<(String, Vec<f64>, bool)> = failures
        .iter()
        .map(|failure| {
            let down = failure["down"].to_string();
            let opens = failure["spread"]["failsOpen"].as_bool().unwrap();
            (down, shares(&failure["spread"]), opens)
        })
        .collect();
    let row =
        |down: &str, first: f64, second: f64, opens| (down.into(), vec![first, second], opens);
    assert_eq!(
        failures,
        [
            row(r#"["Backend/default/active"]"#, 0.0, 100.0, false),
            row(r#"["Backend/default/passive"]"#, 100.0, 0.0, false),
            row(r#"["tier:0","tier:1"]"#, 50.0, 50.0, true),
        ]
    );
    let down = documents(
        &[
            "--down",
            ACTIVE,
            "--rule",
            "0",
            "--route",
            "default/ha-example",
        ],
        &[&page()],
    );
    assert_eq!(shares(&down[0]["spread"]), [0.0, 100.0]);
    assert_eq!(down[0]["failures"], Value::Array(Vec::new()));
}

#[test]
fn a_person_is_shown_a_table_and_what_happens_when_something_fails() {
    let (status, text, errors) = simulate(&[], &[&page()]);
    assert_eq!(status, Some(0), "{errors}");
    let expected = "\
default/active>passive@passive-health-check
  HTTPRoute default/ha-example rule 0 of Gateway default/eg

  TIER   MEMBER                    WEIGHT   ENDPOINTS   SHARE
  0      Backend/default/active    1        1/1         100 %
  1      Backend/default/passive   1        1/1         0 %

  WHEN THIS IS DOWN         REQUESTS GO TO
  Backend/default/active    tier 1: Backend/default/passive 100 %
  Backend/default/passive   tier 0: Backend/default/active 100 %
  tier:0, tier:1            all endpoints alike, well or not: it fails open (panic)
";
    assert_eq!(text, expected);
}

/// Five endpoints of a Service: one ready, one not, three going away.
#[test]
fn unready_endpoints_count_as_failed_and_draining_ones_not_at_all() {
    let stage = Stage::empty();
    let endpoint = |number: u32, conditions: &str| {
        format!("- {{addresses: [127.0.0.{number}], conditions: {{{conditions}}}}}\n")
    };
    let going = "ready: false, serving: true, terminating: true";
    let slice = "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: active, labels: {kubernetes.io/service-name: active}}
addressType: IPv4
ports: [{name: http, port: 3001}]
endpoints:
"
    .to_owned()
        + &endpoint(1, "ready: true")
        + &endpoint(2, "ready: false")
        + &[3, 4, 5].map(|number| endpoint(number, going)).concat();
    stage.write("slice.yaml", &slice);
    let paths: [&Path; 2] = [&page(), &stage.manifests()];
    let chain = &documents(&[], &paths)[0];
    let endpoints = chain["spread"]["tiers"][0]["members"][0]["endpoints"].as_array();
    let endpoints: Vec<(&str, f64)> = endpoints
        .unwrap()
        .iter()
        .map(|it| {
            (
                it["health"].as_str().unwrap(),
                it["share"].as_f64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        endpoints,
        [
            ("healthy", 100.0),
            ("unhealthy", 0.0),
            ("draining", 0.0),
            ("draining", 0.0),
            ("draining", 0.0)
        ]
    );
    let (_, text, _) = simulate(&["--down", "127.0.0.1:3001"], &paths);
    assert!(text.contains("0/5, 3 draining"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(
        last.contains("Backend/default/passive") && last.ends_with("100 %"),
        "{text}"
    );
}

#[test]
fn what_is_not_there_is_refused_with_what_is() {
    for (arguments, words) in [
        (&["--route", "default/other"][..], "default/ha-example"),
        (
            &["--route", "default/ha-example", "--rule", "1"],
            "there are: 0",
        ),
        (
            &["--down", "Backend/default/other"],
            "tier:0, tier:1, Backend/default/active",
        ),
        (&["--rule", "1"], "--route"),
    ] {
        let (status, text, errors) = simulate(arguments, &[&page()]);
        assert_eq!(status, Some(2), "{arguments:?}");
        assert!(errors.contains(words) && text.is_empty(), "{errors}");
    }
}

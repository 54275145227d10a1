//! `locum check` on chains that cannot fail over: the failover page and its variants, the forms for
//! programs, names that do not resolve.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{CLASS, Stage, ask, backend, free_port, locum, until};

const LIMIT: &str = "      maxEjectionPercent: 100\n";

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/page")
}

/// The page with another limit of what may be ejected.
fn page_with(limit: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    for entry in fs::read_dir(page()).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap().replace(LIMIT, limit);
        fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
    }
    folder
}

/// Exit status and standard output of a command.
fn output(arguments: &[&str], path: &Path) -> (Option<i32>, String) {
    let mut command = locum();
    command.args(arguments).arg("-f").arg(path);
    let output = command.output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

/// Those of the problems that are more than notes.
fn problems(path: &Path) -> Vec<Value> {
    let (_, text) = output(&["check", "-o", "json"], path);
    let found: Vec<Value> = serde_json::from_str(&text).unwrap();
    let found = found.into_iter();
    found.filter(|found| found["severity"] != "note").collect()
}

/// FailoverReady of the page's route: status, reason, message.
fn readiness(path: &Path) -> [String; 3] {
    let arguments = ["translate", "-t", "status", "-o", "json"];
    let (_, text) = output(&arguments, path);
    let list: Value = serde_json::from_str(&text).unwrap();
    let objects = list["items"].as_array().or(list.as_array()).unwrap();
    let mut routes = objects
        .iter()
        .filter(|object| object["kind"] == "HTTPRoute");
    let conditions = &routes.next().unwrap()["status"]["parents"][0]["conditions"];
    let mut conditions = conditions.as_array().unwrap().iter();
    let ready = conditions
        .find(|condition| condition["type"] == "locum.dev/FailoverReady")
        .unwrap();
    ["status", "reason", "message"].map(|field| ready[field].as_str().unwrap().to_owned())
}

#[test]
fn the_page_is_clean() {
    let (status, text) = output(&["check", "--strict"], &page());
    assert_eq!(status, Some(0), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("no problems, "), "{text}");
    assert_eq!(problems(&page()), Vec::<Value>::new());
    let [status, reason, _] = readiness(&page());
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Ready"));
}

#[test]
fn the_page_without_its_ejection_limit_is_told_what_cannot_be_ejected() {
    let folder = page_with("");
    let found = problems(folder.path());
    let [found] = found.as_slice() else {
        panic!("{found:#?}");
    };
    assert_eq!(found["code"], "LOC203");
    assert_eq!(found["severity"], "warning");
    assert_eq!(found["object"]["kind"], "BackendTrafficPolicy");
    assert_eq!(found["object"]["namespace"], "default");
    assert_eq!(found["object"]["name"], "passive-health-check");
    assert_eq!(
        found["field"],
        "spec.healthCheck.passive.maxEjectionPercent"
    );
    let message = found["message"].as_str().unwrap();
    let words = "lets 0 of 2 endpoints of chain default/active>passive@passive-health-check (all tiers together) be out \
                 at once, so the one of the first tier (active.default.svc.cluster.local:3000) cannot be ejected.";
    assert!(message.contains(words), "{message}");
    let mend = found["mend"].as_str().unwrap();
    assert!(mend.contains("maxEjectionPercent: 100"), "{mend}");
    let file = Path::new(found["file"].as_str().unwrap());
    let text = fs::read_to_string(file).unwrap();
    let line = usize::try_from(found["line"].as_u64().unwrap()).unwrap();
    assert_eq!(text.lines().nth(line - 1).unwrap().trim(), "passive:");
    let (status, text) = output(&["check"], folder.path());
    assert_eq!(status, Some(0));
    assert!(text.contains("(LOC203 EjectionLimitLeftOut)"), "{text}");
    let (status, _) = output(&["check", "--strict"], folder.path());
    assert_eq!(status, Some(1));
}

#[test]
fn the_page_with_envoy_gateways_ejection_limit_is_not_ready_to_fail_over() {
    let folder = page_with("      maxEjectionPercent: 10\n");
    let codes: Vec<Value> = problems(folder.path())
        .into_iter()
        .map(|found| found["code"].clone())
        .collect();
    assert_eq!(codes, ["LOC202"]);
    let [status, reason, message] = readiness(folder.path());
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "EjectionLimitTooLow")
    );
    assert!(
        message.starts_with("LOC202: maxEjectionPercent 10 lets 0 of 2"),
        "{message}"
    );
}

/// A route to a backend that refuses connections and one that stands by, without retries, under a
/// limit of what may be ejected.
fn limited(name: &str, limit: u32) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\n\
         spec:\n  parentRefs: [{{name: eg}}]\n  rules:\n  - matches: [{{path: {{value: /{name}}}}}]\n    \
         backendRefs:\n    - {{group: gateway.envoyproxy.io, kind: Backend, name: dead}}\n    \
         - {{group: gateway.envoyproxy.io, kind: Backend, name: standby}}\n\
         ---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: BackendTrafficPolicy\nmetadata: {{name: {name}}}\n\
         spec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: {name}}}]\n  \
         retry: {{numRetries: 0}}\n  healthCheck:\n    passive:\n      maxEjectionPercent: {limit}\n      \
         consecutive5XxErrors: 1\n      baseEjectionTime: 60s\n"
    )
}

#[test]
fn what_is_said_to_be_kept_in_stays_in_a_real_envoy_and_the_rest_goes() {
    let port = free_port();
    let (dead, standby) = (free_port(), backend("standby"));
    let stage = Stage::empty();
    let text = format!(
        "{CLASS}---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: eg}}\n\
         spec: {{gatewayClassName: locum, listeners: [{{name: http, protocol: HTTP, port: {port}}}]}}\n\
         ---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: dead}}\n\
         spec: {{endpoints: [{{ip: {{address: 127.0.0.1, port: {dead}}}}}]}}\n\
         ---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: standby}}\n\
         spec: {{fallback: true, endpoints: [{{ip: {{address: 127.0.0.1, port: {standby}}}}}]}}\n{}{}",
        limited("low", 49),
        limited("enough", 50),
    );
    stage.write("all.yaml", &text);
    let found = problems(&stage.manifests());
    let kept: Vec<&Value> = found
        .iter()
        .filter(|found| found["code"] == "LOC202")
        .map(|found| &found["object"]["name"])
        .collect();
    assert_eq!(kept, ["low"], "{found:#?}");
    let _locum = stage.run();
    until("the standby takes over", || {
        ask(port, "/enough") == Some((200, "standby".into()))
    });
    // More than took the other one out.
    for _ in 0..20 {
        let (status, _) = ask(port, "/low").unwrap();
        assert_eq!(status, 503);
    }
}

#[test]
fn sarif_has_what_code_hosts_need() {
    let mistakes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run/mistakes");
    let low = page_with("      maxEjectionPercent: 10\n");
    for path in [mistakes.as_path(), low.path()] {
        let (_, text) = output(&["check", "-o", "sarif"], path);
        let log: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(log["version"], "2.1.0");
        assert!(
            log["$schema"]
                .as_str()
                .unwrap()
                .ends_with("sarif-2.1.0.json")
        );
        let [run] = log["runs"].as_array().unwrap().as_slice() else {
            panic!("one run: {log:#}");
        };
        let driver = &run["tool"]["driver"];
        assert_eq!(driver["name"], "locum");
        let rules = driver["rules"].as_array().unwrap();
        let ids: BTreeSet<&str> = rules
            .iter()
            .map(|rule| rule["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids.len(), rules.len());
        for rule in rules {
            for text in ["shortDescription", "fullDescription", "help"] {
                let text = rule[text]["text"].as_str().unwrap();
                assert!(!text.is_empty() && text.len() <= 1024, "{rule:#}");
            }
        }
        let results = run["results"].as_array().unwrap();
        let (_, json) = output(&["check", "-o", "json"], path);
        let found: Vec<Value> = serde_json::from_str(&json).unwrap();
        assert_eq!(results.len(), found.len());
        for (result, found) in results.iter().zip(&found) {
            let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(result["ruleId"], found["code"]);
            assert_eq!(rules[rule]["id"], found["code"]);
            assert_eq!(result["level"], found["severity"]);
            let message = result["message"]["text"].as_str().unwrap();
            assert!(
                message.contains(found["message"].as_str().unwrap()),
                "{result:#}"
            );
            let [place] = result["locations"].as_array().unwrap().as_slice() else {
                panic!("one place: {result:#}");
            };
            let physical = &place["physicalLocation"];
            assert_eq!(physical["region"]["startLine"], found["line"]);
            let uri = physical["artifactLocation"]["uri"].as_str().unwrap();
            let name = Path::new(found["file"].as_str().unwrap()).file_name();
            assert!(uri.ends_with(name.unwrap().to_str().unwrap()), "{uri}");
            if let Some(object) = found["object"].as_object() {
                let logical = &place["logicalLocations"][0]["fullyQualifiedName"];
                let name = object["name"].as_str().unwrap();
                assert!(logical.as_str().unwrap().contains(name), "{result:#}");
            }
        }
    }
}

#[test]
fn files_below_the_working_directory_are_named_from_there() {
    let folder = page_with("");
    let mut command = locum();
    command.current_dir(folder.path());
    let output = command.args(["check", "-o", "sarif", "-f", "."]).output();
    let log: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let uris = results.iter().map(|result| {
        let physical = &result["locations"][0]["physicalLocation"];
        physical["artifactLocation"]["uri"].as_str().unwrap()
    });
    assert!(
        uris.into_iter().any(|uri| uri == "4-policy.yaml"),
        "{log:#}"
    );
}

#[test]
fn a_name_that_does_not_resolve_is_named_where_it_is_written() {
    let backend = |name: &str, more: &str, hostname: &str| {
        format!(
            "---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: {name}}}\n\
             spec:\n  {more}endpoints:\n  - fqdn: {{hostname: {hostname}, port: 80}}\n"
        )
    };
    let folder = TempDir::new().unwrap();
    let references = ["here", "gone"]
        .map(|name| format!("{{group: gateway.envoyproxy.io, kind: Backend, name: {name}}}"));
    let text = format!(
        "{CLASS}---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: eg}}\n\
         spec: {{gatewayClassName: locum, listeners: [{{name: http, protocol: HTTP, port: 8080}}]}}\n\
         ---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: web}}\n\
         spec: {{parentRefs: [{{name: eg}}], rules: [{{backendRefs: [{}]}}]}}\n{}{}",
        references.join(", "),
        backend("here", "", "localhost"),
        backend("gone", "fallback: true\n  ", "nowhere.invalid"),
    );
    fs::write(folder.path().join("all.yaml"), text).unwrap();
    let codes = |more: &[&str]| {
        let arguments = [&["check", "-o", "json"], more].concat();
        let (status, text) = output(&arguments, folder.path());
        let found: Vec<Value> = serde_json::from_str(&text).unwrap();
        let mut found = found.into_iter().filter(|found| found["code"] == "LOC105");
        let first = found.next();
        assert_eq!(found.next(), None);
        (status, first)
    };
    assert_eq!(codes(&[]), (Some(0), None));
    let (status, found) = codes(&["--resolve", "--resolve-timeout", "3s", "--strict"]);
    let found = found.unwrap();
    assert_eq!(status, Some(1));
    assert_eq!(found["severity"], "warning");
    assert_eq!(found["object"]["name"], "gone");
    assert_eq!(found["field"], "spec.endpoints[0].fqdn.hostname");
    let message = found["message"].as_str().unwrap();
    assert!(
        message.starts_with("nowhere.invalid does not resolve here: "),
        "{message}"
    );
}

#[test]
fn a_code_is_explained() {
    let run = |arguments: &[&str]| {
        let output = locum().args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (status, all) = run(&["check", "--codes"]);
    assert_eq!(status, Some(0));
    for line in all.lines() {
        let code = line.split_whitespace().next().unwrap();
        let (status, text) = run(&["check", "--explain", code]);
        assert_eq!(status, Some(0));
        assert!(text.starts_with(code), "{text}");
    }
    assert!(all.contains("LOC202  EjectionLimitTooLow"), "{all}");
    let (_, text) = run(&["check", "--explain", "EjectionLimitTooLow"]);
    assert!(text.contains("maxEjectionPercent: 100"), "{text}");
    let (status, text) = run(&["check", "--explain", "LOC999"]);
    assert_eq!(status, Some(2));
    assert!(text.contains("--codes"), "{text}");
}

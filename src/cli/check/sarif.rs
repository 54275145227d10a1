//! SARIF 2.1.0, the form in which code hosts take findings of a check and show them beside the
//! lines.
//!
//! In: problems with their places. Out: one run with a rule for each code and a result for each
//! problem.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::pipeline::Located;
use crate::problem::Severity;
use crate::problem::codes::{CODES, Code};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// What paths are relative to, where they are.
const ROOT: &str = "%SRCROOT%";

/// Writes the log to standard output. Files below `here` are named from there.
pub(super) fn print(problems: &[Located], here: Option<&Path>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &log(problems, here))?;
    writeln!(out)?;
    Ok(())
}

fn log(problems: &[Located], here: Option<&Path>) -> Value {
    let mut rules: Vec<Value> = CODES.iter().map(rule).collect();
    let mut places: BTreeMap<&str, usize> = CODES.iter().map(|code| code.id).zip(0..).collect();
    let results: Vec<Value> = problems
        .iter()
        .map(|problem| {
            let code = problem.code();
            let index = *places.entry(code).or_insert_with(|| {
                rules.push(plain_rule(code));
                rules.len() - 1
            });
            result(problem, index, here)
        })
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "locum",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: &Code) -> Value {
    let help = format!("{} {}", code.why, code.mend);
    json!({
        "id": code.id,
        "name": code.reason,
        "shortDescription": { "text": format!("{}.", code.title) },
        "fullDescription": { "text": code.why },
        "help": { "text": help, "markdown": format!("{}\n\n**{}**", code.why, code.mend) },
        "defaultConfiguration": { "level": level(Severity::Warning) },
        "properties": { "tags": ["failover"] },
    })
}

/// A rule for what is wrong with an object itself; the message of each result says what to do.
fn plain_rule(reason: &str) -> Value {
    let text = format!("{}.", words(reason));
    json!({
        "id": reason,
        "name": reason,
        "shortDescription": { "text": text },
        "fullDescription": { "text": text },
        "help": { "text": "Each message says what is wrong and what to do about it." },
        "properties": { "tags": ["manifest"] },
    })
}

/// `BackendNotFound` as `Backend not found`.
fn words(reason: &str) -> String {
    let mut words = String::with_capacity(reason.len() + 4);
    for (index, letter) in reason.char_indices() {
        if index > 0 && letter.is_uppercase() {
            words.push(' ');
            words.extend(letter.to_lowercase());
        } else {
            words.push(letter);
        }
    }
    words
}

fn result(problem: &Located, rule: usize, here: Option<&Path>) -> Value {
    let object = problem.object.as_ref().map(ToString::to_string);
    let subject = match (&object, problem.field.as_str()) {
        (Some(object), "") => format!("{object}: "),
        (Some(object), field) => format!("{object}: {field}: "),
        (None, _) => String::new(),
    };
    let mut place = json!({});
    if let Some(location) = &problem.location {
        place["physicalLocation"] = json!({
            "artifactLocation": artifact(&location.file, here),
            "region": { "startLine": location.line.max(1) },
        });
    }
    if let Some(object) = &object {
        let field = match problem.field.as_str() {
            "" => object.clone(),
            field => format!("{object}: {field}"),
        };
        place["logicalLocations"] = json!([{ "fullyQualifiedName": field, "kind": "object" }]);
    }
    json!({
        "ruleId": problem.code(),
        "ruleIndex": rule,
        "level": level(problem.severity),
        "message": { "text": format!("{subject}{}", problem.sentences()) },
        "locations": [place],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// A file as a URI: relative to `here` where it is below.
fn artifact(file: &Path, here: Option<&Path>) -> Value {
    let relative = match here.map(|here| file.strip_prefix(here)) {
        Some(Ok(below)) => below,
        _ => file,
    };
    if relative.is_absolute() {
        return json!({ "uri": format!("file://{}", escaped(relative)) });
    }
    let relative = relative.strip_prefix(".").unwrap_or(relative);
    json!({ "uri": escaped(relative), "uriBaseId": ROOT })
}

/// A path as it may stand in a URI.
fn escaped(path: &Path) -> String {
    let mut uri = String::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(*byte));
            }
            other => {
                let _ = write!(uri, "%{other:02X}");
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_uris_from_here() {
        let here = Some(Path::new("/repo"));
        let uri = |path: &str| artifact(Path::new(path), here)["uri"].clone();
        assert_eq!(uri("./a b/c.yaml"), "a%20b/c.yaml");
        assert_eq!(uri("/repo/k8s/x.yaml"), "k8s/x.yaml");
        assert_eq!(uri("/other/ü.yaml"), "file:///other/%C3%BC.yaml");
        assert_eq!(
            artifact(Path::new("x.yaml"), here)["uriBaseId"],
            Value::from(ROOT)
        );
    }

    #[test]
    fn a_reason_is_read_as_words() {
        assert_eq!(words("BackendNotFound"), "Backend not found");
    }
}

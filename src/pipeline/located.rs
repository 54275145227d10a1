//! Everything that is wrong, from all stages, with the line of the file where it has to be mended.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::State;
use crate::problem::{Problem, Severity};
use crate::resource::Key;
use crate::source::{Finding, Location};

/// Something wrong and where. The order is that of reading: by file, line and field; what has no
/// line comes last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Located {
    /// Whether there is no place in a file; first, so that those come last.
    nowhere: bool,
    pub location: Option<Location>,
    pub field: String,
    pub severity: Severity,
    pub object: Option<Key>,
    pub reason: String,
    pub message: String,
}

/// The form that `check -o json` and `/debug/problems` give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocatedJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Arc<PathBuf>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    pub severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub field: String,
    pub reason: String,
    pub message: String,
}

impl State {
    /// Everything that is wrong: with the files, with the resources, and what proxies refuse.
    /// Sorted, each once.
    pub fn located_problems(&self) -> Vec<Located> {
        let findings = self.findings.iter().cloned().map(Located::of_finding);
        let problems = self.translation.problems.iter();
        let problems = problems.map(|problem| self.locate(problem));
        let refusals = self.refusal_problems();
        let refusals = refusals.iter().map(|problem| self.locate(problem));
        let mut all: Vec<_> = findings.chain(problems).chain(refusals).collect();
        all.sort();
        all.dedup();
        all
    }

    fn locate(&self, problem: &Problem) -> Located {
        let location = self.origins.locate(&problem.object, &problem.field);
        Located {
            nowhere: location.is_none(),
            location,
            field: problem.field.clone(),
            severity: problem.severity,
            object: Some(problem.object.clone()),
            reason: problem.reason.to_owned(),
            message: problem.message.clone(),
        }
    }
}

impl Located {
    fn of_finding(finding: Finding) -> Self {
        Self {
            nowhere: finding.location.is_none(),
            location: finding.location,
            field: finding.field,
            severity: finding.severity,
            object: finding.object,
            reason: finding.reason.to_owned(),
            message: finding.message,
        }
    }

    /// The form for programs.
    pub fn to_json(&self) -> LocatedJson {
        let object = self.object.as_ref();
        LocatedJson {
            file: self.location.as_ref().map(|location| location.file.clone()),
            line: self.location.as_ref().map(|location| location.line),
            severity: self.severity,
            kind: object.map(|object| object.manifest_kind().to_owned()),
            namespace: object
                .map(|object| object.object.namespace.to_string())
                .filter(|namespace| !namespace.is_empty()),
            name: object.map(|object| object.manifest_name().to_owned()),
            field: self.field.clone(),
            reason: self.reason.clone(),
            message: self.message.clone(),
        }
    }
}

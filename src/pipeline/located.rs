//! Everything that is wrong, from all stages, with the line of the file where it has to be mended.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::State;
use crate::problem::{Problem, Severity, codes};
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
    /// What to write, and where; empty where the message says it.
    pub mend: String,
}

/// The form that `check -o json` and `/debug/problems` give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocatedJson {
    /// Stable: see [`codes::of`].
    pub code: String,
    pub reason: String,
    pub severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectJson>,
    pub field: String,
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mend: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<Arc<PathBuf>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

/// An object as a manifest says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectJson {
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    pub name: String,
}

impl State {
    /// Everything that is wrong: with the files, with the resources, and what proxies refuse.
    /// Sorted, each once.
    pub fn located_problems(&self) -> Vec<Located> {
        let findings = self.findings.iter().cloned().map(Located::of_finding);
        let problems = self.translation.problems.iter();
        let problems = problems.map(|problem| self.located(problem));
        let refusals = self.refusal_problems();
        let refusals = refusals.iter().map(|problem| self.located(problem));
        let mut all: Vec<_> = findings.chain(problems).chain(refusals).collect();
        all.sort();
        all.dedup();
        all
    }

    /// A problem with the line where it has to be mended.
    pub fn located(&self, problem: &Problem) -> Located {
        let location = self.origins.locate(&problem.object, &problem.field);
        Located {
            nowhere: location.is_none(),
            location,
            field: problem.field.clone(),
            severity: problem.severity,
            object: Some(problem.object.clone()),
            reason: problem.reason.to_owned(),
            message: problem.message.clone(),
            mend: mend(problem.reason, &problem.mend),
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
            mend: String::new(),
        }
    }

    /// Its stable code: see [`codes::of`].
    pub fn code(&self) -> &str {
        codes::of(&self.reason)
    }

    /// What is wrong, and what to write.
    pub fn sentences(&self) -> String {
        match self.mend.as_str() {
            "" => self.message.clone(),
            mend => format!("{} {mend}", self.message),
        }
    }

    /// The form for programs.
    pub fn to_json(&self) -> LocatedJson {
        let object = self.object.as_ref().map(|object| ObjectJson {
            kind: object.manifest_kind().to_owned(),
            namespace: Some(object.object.namespace.to_string())
                .filter(|namespace| !namespace.is_empty()),
            name: object.manifest_name().to_owned(),
        });
        LocatedJson {
            code: self.code().to_owned(),
            reason: self.reason.clone(),
            severity: self.severity,
            object,
            field: self.field.clone(),
            message: self.message.clone(),
            mend: self.mend.clone(),
            file: self.location.as_ref().map(|location| location.file.clone()),
            line: self.location.as_ref().map(|location| location.line),
        }
    }
}

/// What to write: as the problem says, or in general.
fn mend(reason: &str, said: &str) -> String {
    let in_general = || codes::in_table(reason).map_or("", |code| code.mend);
    if said.is_empty() { in_general() } else { said }.to_owned()
}

//! Problems: what is wrong with a resource, in words its owner can act on.
//!
//! A problem is a value, not an error: translation notes it and goes on. Where a problem has a form
//! in a status, the same words stand in a [`crate::status::Condition`].

pub mod codes;

use std::fmt;

use serde::Serialize;

use crate::resource::Key;

/// How much a problem weighs. `check` exits 1 on an [`Severity::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something the reader may want to know: a file passed over, say.
    Note,
    /// Works, but perhaps not as meant.
    Warning,
    /// Part of what was asked for is not served.
    Error,
}

/// One thing that is wrong with one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    pub severity: Severity,
    /// The resource that has to be mended.
    pub object: Key,
    /// The field that has to be mended, as a path such as `spec.rules[0].backendRefs[1].port`;
    /// empty for the whole object.
    pub field: String,
    /// A stable CamelCase word, Gateway API's reason where it has one.
    pub reason: &'static str,
    /// What is wrong and, where there is no `mend`, what to do about it, one sentence each.
    pub message: String,
    /// What to write, and where; every problem with a code of [`codes`] has it.
    pub mend: String,
}

impl Problem {
    /// An error in `field` of `object`.
    pub fn error(object: &Key, field: &str, reason: &'static str, message: String) -> Self {
        Self {
            severity: Severity::Error,
            object: object.clone(),
            field: field.into(),
            reason,
            message,
            mend: String::new(),
        }
    }

    /// A warning about `field` of `object`.
    pub fn warning(object: &Key, field: &str, reason: &'static str, message: String) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(object, field, reason, message)
        }
    }

    /// A note on `field` of `object`.
    pub fn note(object: &Key, field: &str, reason: &'static str, message: String) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::error(object, field, reason, message)
        }
    }

    /// The same, with what to write in order to mend it.
    #[must_use]
    pub fn with_mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = mend.into();
        self
    }

    /// Its stable code: see [`codes::of`].
    pub fn code(&self) -> &'static str {
        codes::of(self.reason)
    }
}

impl Severity {
    /// The word for it, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.object)?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.mend.is_empty() {
            write!(f, " {}", self.mend)?;
        }
        write!(f, " ({})", self.reason)
    }
}

//! Faults: what is wrong with one object as it is written, before anything is made of it.

use std::fmt;

use crate::problem::Severity;

/// Stable words for what is wrong with an object.
pub mod reason {
    /// The field is not in the kind's schema.
    pub const UNKNOWN_FIELD: &str = "UnknownField";
    /// A field that must be there is not.
    pub const REQUIRED: &str = "Required";
    /// A text where a number should be, and the like.
    pub const WRONG_TYPE: &str = "WrongType";
    /// The value is not one the field takes.
    pub const INVALID: &str = "InvalidValue";
    /// Two elements that must differ do not.
    pub const DUPLICATE: &str = "Duplicate";
    /// Two fields, or a field and a type, do not go together.
    pub const CONFLICT: &str = "Conflict";
    /// The kind is not one of Locum's.
    pub const PASSED_OVER: &str = "PassedOver";
    /// The kind is known, and nothing is served from it yet.
    pub const NOT_SUPPORTED: &str = "NotSupported";
}

/// One thing that is wrong with an object as it is written, or worth a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub severity: Severity,
    /// The field's path, empty for the whole object.
    pub field: String,
    /// One of [`reason`].
    pub reason: &'static str,
    /// What is wrong and what to do about it.
    pub message: String,
}

/// Everything that was found wrong with an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Notes an error: the object is refused.
    pub fn error(&mut self, at: &At<'_>, reason: &'static str, message: impl Into<String>) {
        self.push(Severity::Error, at, reason, message.into());
    }

    /// Notes a warning: the object is taken.
    pub fn warning(&mut self, at: &At<'_>, reason: &'static str, message: impl Into<String>) {
        self.push(Severity::Warning, at, reason, message.into());
    }

    /// Whether the object must be refused.
    pub fn refuse(&self) -> bool {
        self.0.iter().any(|fault| fault.severity == Severity::Error)
    }

    fn push(&mut self, severity: Severity, at: &At<'_>, reason: &'static str, message: String) {
        self.0.push(Fault {
            severity,
            field: at.to_string(),
            reason,
            message,
        });
    }
}

/// Where in an object: a path that costs nothing until it is written out.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    Root,
    Field(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
    /// An entry of a map whose keys are the user's.
    Entry(&'a At<'a>, &'a str),
}

impl<'a> At<'a> {
    /// A field of what is here.
    pub fn field(&'a self, name: &'a str) -> At<'a> {
        At::Field(self, name)
    }

    /// An element of the list that is here.
    pub fn item(&'a self, index: usize) -> At<'a> {
        At::Item(self, index)
    }

    /// An entry of the map that is here.
    pub fn entry(&'a self, key: &'a str) -> At<'a> {
        At::Entry(self, key)
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root => Ok(()),
            At::Field(At::Root, name) => f.write_str(name),
            At::Field(parent, name) => write!(f, "{parent}.{name}"),
            At::Item(parent, index) => write!(f, "{parent}[{index}]"),
            At::Entry(parent, key) => write!(f, "{parent}[{key}]"),
        }
    }
}

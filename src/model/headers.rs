//! What is changed of a request's headers on its way to one member.

use std::collections::{BTreeMap, BTreeSet};

/// Changes of headers; names are in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Headers of which the client's own values are not sent on.
    pub taken: BTreeSet<String>,
    /// The value that each of these headers gets, beside the client's where those are not taken.
    pub given: BTreeMap<String, String>,
}

impl HeaderChanges {
    /// The headers that are changed in any way.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let given = self.given.keys();
        self.taken.iter().chain(given).map(String::as_str)
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.given.is_empty()
    }
}

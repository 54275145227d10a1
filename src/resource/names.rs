//! The forms of names in Kubernetes and in Gateway API.

use std::net::IpAddr;

use crate::resource::fault::{At, Faults, reason};

/// A form that a name must have.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    max: usize,
    /// What is said of a name that does not have it.
    says: &'static str,
    is_met: fn(&str) -> bool,
}

/// A DNS label (RFC 1123).
pub const LABEL: Form = Form {
    max: 63,
    says: "a DNS label: lower-case letters, digits and '-', beginning and ending with a letter or digit",
    is_met: is_label,
};

/// A DNS label that begins with a letter (RFC 1035).
pub(in crate::resource) const LABEL_1035: Form = Form {
    max: 63,
    says: "a DNS label beginning with a letter: lower-case letters, digits and '-'",
    is_met: |text| is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase()),
};

/// A DNS name (RFC 1123).
pub const SUBDOMAIN: Form = Form {
    max: 253,
    says: "a DNS name: labels of lower-case letters, digits and '-', divided by dots",
    is_met: is_subdomain,
};

/// An API group, which may be empty.
pub(in crate::resource) const GROUP: Form = Form {
    max: 253,
    says: "an API group: a DNS name, or nothing",
    is_met: |text| text.is_empty() || is_subdomain(text),
};

/// The kind of an object.
pub(in crate::resource) const KIND: Form = Form {
    max: 63,
    says: "a kind: letters, digits and '-', beginning with a letter",
    is_met: |text| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    },
};

/// The name of an object that is referred to.
pub(in crate::resource) const OBJECT: Form = Form {
    max: 253,
    says: "a name",
    is_met: |text| !text.is_empty(),
};

/// The name of an HTTP header or query parameter.
pub(in crate::resource) const HEADER: Form = Form {
    max: 256,
    says: "a header's name: letters, digits and !#$%&'*+-.^_`|~",
    is_met: |text| {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !text.is_empty() && text.bytes().all(is_token)
    },
};

/// A host name, perhaps `*.` and a host name.
pub(in crate::resource) const HOSTNAME: Form = Form {
    max: 253,
    says: "a host name in lower case, perhaps beginning with \"*.\", and no IP address",
    is_met: |text| {
        let name = text.strip_prefix("*.").unwrap_or(text);
        is_subdomain(name) && text.parse::<IpAddr>().is_err()
    },
};

/// A host name without a wildcard.
pub(in crate::resource) const PRECISE_HOSTNAME: Form = Form {
    max: 253,
    says: "a host name in lower case, no wildcard and no IP address",
    is_met: |text| is_subdomain(text) && text.parse::<IpAddr>().is_err(),
};

/// A domain and a path, as controllers are named.
pub const DOMAIN_PATH: Form = Form {
    max: 253,
    says: "a domain and a path, such as \"example.com/controller\"",
    is_met: |text| {
        let is_path = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
        text.split_once('/').is_some_and(|(domain, path)| {
            is_subdomain(domain) && !path.is_empty() && path.bytes().all(is_path)
        })
    },
};

/// The protocol of a listener: a word, or a domain and a word.
pub(in crate::resource) const PROTOCOL: Form = Form {
    max: 255,
    says: "a protocol such as HTTP, or a domain and a word, such as \"example.com/proto\"",
    is_met: |text| {
        let (domain, word) = text.rsplit_once('/').unwrap_or(("", text));
        let is_edge = |c: char| c.is_ascii_alphanumeric();
        (GROUP.is_met)(domain)
            && word.starts_with(is_edge)
            && word.ends_with(is_edge)
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    },
};

impl Form {
    /// What is wrong with `text`, to be said after what it is; nothing where it has the form.
    pub fn flaw(self, text: &str) -> Option<String> {
        if text.len() > self.max {
            let length = text.len();
            return Some(format!("is {length} characters long: at most {}", self.max));
        }
        (!(self.is_met)(text)).then(|| format!("is {text:?}: must be {}", self.says))
    }

    /// Notes an error where `text` does not have the form.
    pub(in crate::resource) fn check(self, text: &str, at: &At<'_>, faults: &mut Faults) {
        if let Some(flaw) = self.flaw(text) {
            faults.error(at, reason::INVALID, flaw);
        }
    }
}

fn is_label(text: &str) -> bool {
    text.len() <= LABEL.max && is_part(text)
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_part)
}

/// Whether `text` may stand between the dots of a DNS name.
fn is_part(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Checks a label of an object (Kubernetes' labels, not DNS').
pub(in crate::resource) fn check_label(key: &str, value: &str, at: &At<'_>, faults: &mut Faults) {
    let is_key = match key.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_qualified(name),
        None => is_qualified(key),
    };
    if !is_key {
        faults.error(
            at,
            reason::INVALID,
            format!("has the key {key:?}, which is no label key"),
        );
    }
    if !value.is_empty() && !is_qualified(value) {
        let message = format!(
            "is {value:?}: must be at most 63 letters, digits, '-', '_' and '.', beginning and \
             ending with a letter or digit"
        );
        faults.error(at, reason::INVALID, message);
    }
}

fn is_qualified(text: &str) -> bool {
    let is_edge = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.starts_with(is_edge)
        && text.ends_with(is_edge)
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

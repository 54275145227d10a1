//! Guards: policies that Locum knows by name only and that keep something out, such as
//! SecurityPolicy.
//!
//! Locum cannot do what they ask for. Serving their targets without it would open what their owner
//! closed, so translation closes the targets instead until the policy is supported.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::key::{ENVOY_GATEWAY, GATEWAY_API};
use super::{Key, Kind};

/// A policy whose targets must be closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    pub metadata: ObjectMeta,
    pub policy: GuardKind,
    /// What it targets by name, in its own namespace. Kinds that Locum does not know are left out.
    pub targets: Vec<GuardTarget>,
    /// Whether it also targets by labels.
    pub has_selectors: bool,
    /// Whether it keeps something out. If not, it only sets what Locum leaves as it is.
    pub closes: bool,
}

impl Guard {
    /// Where the guard is filed: its kind is part of the name.
    pub fn key(&self) -> Key {
        let key = Key::of(Kind::Guard, &self.metadata);
        Key::guard(self.policy, &key.object.namespace, &key.object.name)
    }
}

/// The kinds of policies that guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GuardKind {
    SecurityPolicy,
    EnvoyExtensionPolicy,
    ClientTrafficPolicy,
    BackendTlsPolicy,
}

/// One target of a guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardTarget {
    pub key: Key,
    /// A listener of a Gateway, a rule of a route, a port of a Service.
    pub section: Option<String>,
}

impl GuardKind {
    /// Every kind, in order.
    pub const ALL: [GuardKind; 4] = [
        GuardKind::SecurityPolicy,
        GuardKind::EnvoyExtensionPolicy,
        GuardKind::ClientTrafficPolicy,
        GuardKind::BackendTlsPolicy,
    ];

    /// The `kind` that manifests say.
    pub fn name(self) -> &'static str {
        match self {
            GuardKind::SecurityPolicy => "SecurityPolicy",
            GuardKind::EnvoyExtensionPolicy => "EnvoyExtensionPolicy",
            GuardKind::ClientTrafficPolicy => "ClientTrafficPolicy",
            GuardKind::BackendTlsPolicy => "BackendTLSPolicy",
        }
    }

    /// The kind that manifests call `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The API group.
    pub fn group(self) -> &'static str {
        match self {
            GuardKind::BackendTlsPolicy => GATEWAY_API,
            _ => ENVOY_GATEWAY,
        }
    }

    /// The versions that are read, the current one first.
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            GuardKind::BackendTlsPolicy => &["v1", "v1alpha3"],
            _ => &["v1alpha1"],
        }
    }
}

impl fmt::Display for GuardKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

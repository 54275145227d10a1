//! Statuses: what the resources' owners are told, as data. Computed by translation, compared and
//! written elsewhere.
//!
//! A condition here has no time: when it last changed is known only to whoever keeps the previous
//! one.

pub mod merge;
pub mod observations;
pub mod overlay;
pub mod reasons;
pub mod render;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::resource::Key;

/// A time as Kubernetes writes it: RFC 3339 in UTC, with seconds.
pub fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// One condition of a resource, a listener, a parent or an ancestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `Accepted`, `Programmed`, `ResolvedRefs`, ...: the constants of [`reasons`].
    pub kind: &'static str,
    /// True or False.
    pub holds: bool,
    pub reason: &'static str,
    pub message: String,
}

impl Condition {
    /// A condition that is True.
    pub fn yes(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            holds: true,
            reason,
            message: message.into(),
        }
    }

    /// A condition that is False.
    pub fn no(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            holds: false,
            ..Self::yes(kind, reason, message)
        }
    }
}

/// The conditions of one resource and the generation they were computed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `metadata.generation` of the object that was translated; `None` where it has none (files).
    pub observed_generation: Option<i64>,
    pub body: StatusBody,
}

/// What a status holds, by kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusBody {
    /// Backend: conditions and nothing else.
    Conditions(Vec<Condition>),
    Class(ClassStatus),
    Gateway(GatewayStatus),
    /// HTTPRoute: an entry for each parent that is Locum's.
    Route(Vec<ParentStatus>),
    /// Policies: an entry for each ancestor (a Gateway or a listener of it).
    Policy(Vec<AncestorStatus>),
}

/// A GatewayClass's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassStatus {
    pub conditions: Vec<Condition>,
    /// Gateway API's names of what is served, sorted.
    pub supported_features: &'static [&'static str],
}

/// A Gateway's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayStatus {
    pub conditions: Vec<Condition>,
    pub listeners: Vec<ListenerStatus>,
    /// IP addresses or host names.
    pub addresses: Vec<String>,
    /// The controller that the Gateway is served as, nothing where it is nobody's: its class does not
    /// exist. Not written: its class says so.
    pub controller_name: Option<String>,
}

/// The status of one listener of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerStatus {
    pub name: String,
    /// What proxies call the listener of its port and that listener's routes, by which a refusal
    /// finds it. Not written.
    pub envoy_name: String,
    pub attached_routes: i32,
    /// Group and kind.
    pub supported_kinds: Vec<(&'static str, &'static str)>,
    pub conditions: Vec<Condition>,
}

/// A reference to a parent as the route or the policy's ancestor says it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ParentRef {
    pub group: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
    pub section_name: Option<String>,
    pub port: Option<i32>,
}

impl Status {
    /// Whether this is about a Gateway that is nobody's.
    pub fn is_of_nobody(&self) -> bool {
        matches!(&self.body, StatusBody::Gateway(gateway) if gateway.controller_name.is_none())
    }
}

/// What one parent of a route makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentStatus {
    pub parent: ParentRef,
    pub controller_name: String,
    pub conditions: Vec<Condition>,
}

/// What became of a policy at one ancestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AncestorStatus {
    pub ancestor: ParentRef,
    pub controller_name: String,
    pub conditions: Vec<Condition>,
}

/// The statuses of all resources that have one.
pub type Statuses = BTreeMap<Key, Status>;

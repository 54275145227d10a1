//! Objects that are not valid as they are written now: whose they are, told from what is written,
//! and what their status says.

use serde_json::Value;

use super::{Invalid, Overlay};
use crate::problem::Severity;
use crate::resource::{Key, Kind};
use crate::status::reasons::{self, kind};
use crate::status::{
    AncestorStatus, ClassStatus, Condition, GatewayStatus, ListenerStatus, ParentRef, ParentStatus,
    Status, StatusBody,
};

impl Overlay<'_> {
    /// The status of an object that is not taken; nothing if it is not Locum's to speak of.
    /// `translated` is that of its last valid form, where that is still served.
    pub(super) fn invalid(
        &self,
        key: &Key,
        generation: Option<i64>,
        invalid: Invalid<'_>,
        translated: Option<&Status>,
    ) -> Option<Status> {
        let message = message(invalid, translated.is_some());
        let accepted = Condition::no(kind::ACCEPTED, reasons::INVALID, message);
        let last = translated.map(|translated| &translated.body);
        let spec = invalid.spec;
        let body = match key.kind {
            Kind::GatewayClass => {
                let name = spec["controllerName"].as_str()?;
                let is_ours = self.controllers.iter().any(|own| own == name);
                is_ours.then(|| class(accepted, last))?
            }
            Kind::Gateway => {
                let class = spec["gatewayClassName"].as_str()?;
                let is_ours = self.serves(class);
                is_ours.then(|| gateway(&accepted, last))?
            }
            Kind::HttpRoute => self.route(key, &accepted, spec, last)?,
            Kind::Backend => StatusBody::Conditions(vec![accepted]),
            Kind::BackendTrafficPolicy | Kind::FailoverPolicy | Kind::Guard => {
                self.policy(key, &accepted, spec, last)?
            }
            _ => return None,
        };
        Some(Status {
            observed_generation: generation,
            body,
        })
    }

    /// Whether Gateways of a class are served.
    fn serves(&self, class: &str) -> bool {
        let status = self.statuses.get(&Key::new(Kind::GatewayClass, "", class));
        let Some(StatusBody::Class(class)) = status.map(|status| &status.body) else {
            return false;
        };
        class.conditions.iter().all(|condition| condition.holds)
    }

    /// As what the Gateway that a reference means is served, if it is.
    fn controller(&self, reference: &ParentRef, namespace: &str) -> Option<String> {
        let name = reference.gateway(namespace)?;
        let status = self.statuses.get(&Key {
            kind: Kind::Gateway,
            object: name,
        })?;
        match &status.body {
            StatusBody::Gateway(gateway) => gateway.controller_name.clone(),
            _ => None,
        }
    }

    /// A route's status at the parents that are written, or at the last ones that could be read.
    fn route(
        &self,
        key: &Key,
        accepted: &Condition,
        spec: &Value,
        last: Option<&StatusBody>,
    ) -> Option<StatusBody> {
        let written = references(&spec["parentRefs"]);
        let mut parents: Vec<ParentStatus> = written
            .filter_map(|parent| {
                Some(ParentStatus {
                    controller_name: self.controller(&parent, &key.object.namespace)?,
                    parent,
                    conditions: vec![accepted.clone()],
                })
            })
            .collect();
        if let (true, Some(StatusBody::Route(last))) = (parents.is_empty(), last) {
            parents.extend(last.iter().map(|parent| ParentStatus {
                conditions: vec![accepted.clone()],
                ..parent.clone()
            }));
        }
        (!parents.is_empty()).then_some(StatusBody::Route(parents))
    }

    /// A policy's status at the ancestors that its last valid form has, or at the Gateways and the
    /// parents of the routes that are written as its targets.
    fn policy(
        &self,
        key: &Key,
        accepted: &Condition,
        spec: &Value,
        last: Option<&StatusBody>,
    ) -> Option<StatusBody> {
        let namespace = &key.object.namespace;
        let at = |ancestor: ParentRef, controller_name: String| AncestorStatus {
            ancestor,
            controller_name,
            conditions: vec![accepted.clone()],
        };
        let mut ancestors: Vec<AncestorStatus> = Vec::new();
        if let Some(StatusBody::Policy(last)) = last {
            ancestors.extend(
                last.iter()
                    .map(|last| at(last.ancestor.clone(), last.controller_name.clone())),
            );
        } else {
            let one = reference(&spec["targetRef"]);
            for mut target in references(&spec["targetRefs"]).chain(one) {
                target.namespace = Some(namespace.to_string());
                if let Some(controller) = self.controller(&target, namespace) {
                    ancestors.push(at(target, controller));
                } else if target.kind == Kind::HttpRoute.name() {
                    let route = Key::new(Kind::HttpRoute, namespace, &target.name);
                    let status = self.statuses.get(&route).map(|status| &status.body);
                    let Some(StatusBody::Route(parents)) = status else {
                        continue;
                    };
                    ancestors.extend(parents.iter().map(|parent| {
                        let own = || Some(namespace.to_string());
                        let ancestor = ParentRef {
                            namespace: parent.parent.namespace.clone().or_else(own),
                            ..parent.parent.clone()
                        };
                        at(ancestor, parent.controller_name.clone())
                    }));
                }
            }
        }
        (!ancestors.is_empty()).then_some(StatusBody::Policy(ancestors))
    }
}

/// The first thing that is wrong, and what is served meanwhile.
fn message(invalid: Invalid<'_>, is_served: bool) -> String {
    let errors = invalid.faults.iter();
    let mut errors = errors.filter(|fault| fault.severity == Severity::Error);
    let mut message = match errors.next() {
        Some(fault) if fault.field.is_empty() => fault.message.clone(),
        Some(fault) => format!("{}: {}", fault.field, fault.message),
        None => "The object cannot be read".into(),
    };
    let more = errors.count();
    if more > 0 {
        message.push_str(&format!(" (and {more} more)"));
    }
    if is_served {
        message.push_str(". Its last valid form is still served.");
    } else {
        message.push('.');
    }
    message
}

fn class(accepted: Condition, last: Option<&StatusBody>) -> StatusBody {
    let features = match last {
        Some(StatusBody::Class(class)) => class.supported_features,
        _ => &[],
    };
    StatusBody::Class(ClassStatus {
        conditions: vec![accepted],
        supported_features: features,
    })
}

/// Of a Gateway's listeners those of its last valid form are known, and that they are not those of
/// this generation.
fn gateway(accepted: &Condition, last: Option<&StatusBody>) -> StatusBody {
    let programmed = Condition::no(kind::PROGRAMMED, reasons::INVALID, accepted.message.clone());
    let conditions = vec![accepted.clone(), programmed];
    let last = match last {
        Some(StatusBody::Gateway(gateway)) => gateway.clone(),
        _ => GatewayStatus {
            conditions: Vec::new(),
            listeners: Vec::new(),
            addresses: Vec::new(),
            controller_name: None,
        },
    };
    let listeners = last.listeners.into_iter();
    StatusBody::Gateway(GatewayStatus {
        listeners: listeners
            .map(|listener| ListenerStatus {
                conditions: conditions.clone(),
                ..listener
            })
            .collect(),
        conditions,
        ..last
    })
}

/// The references of a list that can be read.
fn references(list: &Value) -> impl Iterator<Item = ParentRef> {
    list.as_array().into_iter().flatten().filter_map(reference)
}

/// A reference as it is written, an API server's defaults filled in.
fn reference(written: &Value) -> Option<ParentRef> {
    let text = |field: &str| written[field].as_str().map(String::from);
    let port = written["port"].as_i64();
    Some(ParentRef {
        group: text("group").unwrap_or_else(|| Kind::Gateway.group().into()),
        kind: text("kind").unwrap_or_else(|| Kind::Gateway.name().into()),
        namespace: text("namespace"),
        name: text("name")?,
        section_name: text("sectionName"),
        port: port.and_then(|port| i32::try_from(port).ok()),
    })
}

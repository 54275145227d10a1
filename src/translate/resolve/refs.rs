//! References to backends: each `backendRef` of a rule to what it leads to.
//!
//! In: a `backendRef`, the Backends and Services. Out: a [`Reference`] that always has a place in
//! the chain, with the reason where it leads nowhere. The checks are made in Gateway API's order:
//! kind, grant, port, object, validity.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use gateway_api::apis::experimental::httproutes::HttpRouteRulesBackendRefs;

use super::backends::Backends;
use super::grants::{From, Grants};
use super::guards::Guards;
use super::services::{self, ServiceEndpoints, Unusable};
use crate::model::{Endpoint, HeaderChanges, Health, Protocol, Tls};
use crate::resource::{Key, Kind, ObjectName};
use crate::status::reasons;
use crate::translate::{Options, read::Reader};

/// A reference without a weight has this one, by Gateway API.
const DEFAULT_WEIGHT: u32 = 1;

/// The tier of what serves first, and of what stands by.
const ACTIVE: usize = 0;
const STANDBY: usize = 1;

/// One `backendRef`, looked up.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// Its place in the rule.
    pub index: usize,
    /// The target's kind as the reference says it.
    pub kind: String,
    pub object: ObjectName,
    /// The port, where it chooses something: not for a Backend, whose endpoints have their own.
    pub port: Option<u16>,
    pub weight: u32,
    /// Where it stands among the others; nothing for a Backend that is missing or not to be looked
    /// at, of which nobody can tell.
    pub tier: Option<usize>,
    pub protocol: Protocol,
    pub tls: Option<Arc<Tls>>,
    pub endpoints: Arc<[Endpoint]>,
    /// The same by the cluster IPs of Services, where that is something else.
    pub by_service: Option<Arc<[Endpoint]>>,
    /// What is changed of requests that go to it.
    pub headers: HeaderChanges,
    /// What the endpoints come from.
    pub sources: Vec<Key>,
    /// Why it cannot be used.
    pub failure: Option<Unusable>,
    /// A Service that its name stands for and that is not there.
    pub missing_service: Option<ObjectName>,
}

impl Reference {
    /// Whether it is one of the usable members of a tier.
    pub(super) fn counts_in(&self, tier: usize) -> bool {
        self.tier == Some(tier) && self.weight > 0 && self.failure.is_none()
    }

    /// Whether it has somewhere to send requests to, as far as is known.
    pub(super) fn can_serve(&self) -> bool {
        let mut endpoints = self.endpoints.iter();
        self.failure.is_none()
            && self.missing_service.is_none()
            && endpoints.any(|endpoint| endpoint.health == Health::Unknown)
    }
}

/// Looks references up; each port of a Service once.
pub(super) struct References<'a, 's> {
    reader: &'s Reader<'a>,
    grants: &'s Grants<'a>,
    backends: &'s Backends,
    guards: &'s Guards,
    options: &'s Options,
    services: BTreeMap<(Key, Option<i32>), Result<ServiceEndpoints, Unusable>>,
}

impl<'a, 's> References<'a, 's> {
    pub(super) fn new(
        reader: &'s Reader<'a>,
        grants: &'s Grants<'a>,
        backends: &'s Backends,
        guards: &'s Guards,
        options: &'s Options,
    ) -> Self {
        Self {
            reader,
            grants,
            backends,
            guards,
            options,
            services: BTreeMap::new(),
        }
    }

    /// What the reference at `index` of an HTTPRoute in `namespace` leads to.
    pub(super) fn resolve(
        &mut self,
        namespace: &str,
        index: usize,
        spec: &HttpRouteRulesBackendRefs,
    ) -> Reference {
        let group = spec.group.as_deref().unwrap_or_default();
        let kind = spec.kind.as_deref().unwrap_or("Service");
        let object = ObjectName::new(spec.namespace.as_deref().unwrap_or(namespace), &spec.name);
        let is_backend = (group, kind) == (Kind::Backend.group(), Kind::Backend.name());
        let mut reference = Reference {
            index,
            kind: kind.into(),
            port: spec
                .port
                .filter(|_| !is_backend)
                .and_then(|port| u16::try_from(port).ok()),
            weight: spec.weight.map_or(DEFAULT_WEIGHT, |weight| {
                u32::try_from(weight).unwrap_or_default()
            }),
            tier: Some(ACTIVE),
            protocol: Protocol::Http1,
            tls: None,
            endpoints: Arc::new([]),
            by_service: None,
            headers: HeaderChanges::default(),
            sources: Vec::new(),
            failure: None,
            missing_service: None,
            object,
        };
        let permitted = |kind, object: &ObjectName| {
            let from = From {
                group: Kind::HttpRoute.group(),
                kind: Kind::HttpRoute.name(),
                namespace,
            };
            self.grants.permit(from, group, kind, object)
        };
        if is_backend {
            if permitted(kind, &reference.object) {
                self.backend(&mut reference);
            } else {
                reference.tier = None;
                reference.failure = Some(not_permitted(kind, &reference.object, namespace, group));
            }
        } else if let Some(of) = service_kind(group, kind) {
            if permitted(kind, &reference.object) {
                self.service(of, &mut reference, spec.port);
            } else {
                reference.failure = Some(not_permitted(kind, &reference.object, namespace, group));
            }
        } else {
            let shown = if group.is_empty() { "core" } else { group };
            let mut message = format!(
                "Kind {kind} of group {shown} is not supported; Service, ServiceImport and Backend are."
            );
            if kind == Kind::Backend.name() {
                let _ = write!(message, " A Backend is of group {}.", Kind::Backend.group());
            }
            reference.failure = Some((reasons::INVALID_KIND, message));
        }
        reference
    }

    fn backend(&self, reference: &mut Reference) {
        let key = Key {
            kind: Kind::Backend,
            object: reference.object.clone(),
        };
        let guarded = self.guards.close_any(&key);
        reference.sources.push(key);
        let Some(plan) = self.backends.get(&reference.object) else {
            reference.tier = None;
            let message = format!("Backend {} does not exist.", reference.object);
            reference.failure = Some((reasons::BACKEND_NOT_FOUND, message));
            return;
        };
        reference.tier = Some(if plan.fallback { STANDBY } else { ACTIVE });
        reference.protocol = plan.protocol;
        reference.tls.clone_from(&plan.tls);
        reference.endpoints = plan.endpoints.clone();
        reference.by_service = plan.by_service.clone();
        reference.sources.extend(plan.services.iter().cloned());
        reference.missing_service = plan.missing_service.clone();
        reference.failure = match &plan.refusal {
            Some(refusal) => {
                let message = format!(
                    "Backend {} is not accepted: {}",
                    reference.object, refusal.message
                );
                Some((refusal.reason, message))
            }
            None => guarded.then(|| closed(reference)),
        };
    }

    /// A Service, or what other clusters have of one.
    fn service(&mut self, kind: Kind, reference: &mut Reference, port: Option<i32>) {
        let key = Key {
            kind,
            object: reference.object.clone(),
        };
        reference.sources.push(key.clone());
        let found = self
            .services
            .entry((key.clone(), port))
            .or_insert_with(|| match kind {
                Kind::ServiceImport => services::imported(self.reader, &reference.object, port),
                _ => services::referenced(self.reader, &reference.object, port, self.options),
            });
        match found {
            Ok(found) => {
                reference.protocol = found.protocol;
                reference.endpoints = found.endpoints.clone();
                reference.by_service = found.by_service.clone();
                if self.guards.close(&key, found.port_name.as_deref()) {
                    reference.failure = Some(closed(reference));
                }
            }
            Err(unusable) => reference.failure = Some(unusable.clone()),
        }
    }
}

/// The kind of a reference that leads to a Service's endpoints.
fn service_kind(group: &str, kind: &str) -> Option<Kind> {
    let mut kinds = [Kind::Service, Kind::ServiceImport].into_iter();
    kinds.find(|known| (known.group(), known.name()) == (group, kind))
}

fn not_permitted(kind: &str, object: &ObjectName, namespace: &str, group: &str) -> Unusable {
    let message = format!(
        "{kind} {object} is in another namespace and no ReferenceGrant there permits HTTPRoutes of namespace \
         {namespace} to refer to it (group {group:?}, kind {kind})."
    );
    (reasons::REF_NOT_PERMITTED, message)
}

fn closed(reference: &Reference) -> Unusable {
    let message = format!(
        "{} {} is the target of a policy that is not supported yet, so nothing is sent to it.",
        reference.kind, reference.object
    );
    (reasons::UNSUPPORTED_VALUE, message)
}

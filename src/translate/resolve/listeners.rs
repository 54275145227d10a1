//! Listeners of a Gateway: which are served, where they bind, and which routes they take.
//!
//! In: a Gateway's listeners. Out: a [`Listener`] for each, with the reason where it is refused.
//! Only HTTP is served; listeners that exclude each other are all refused, as Gateway API asks,
//! whatever their order.

use std::collections::BTreeMap;

use super::certificates::Certificates;
use super::selector::{Expression, selects};
use crate::problem::Problem;
use crate::resource::{Gateway, Key, Kind, Namespace};
use crate::status::{Condition, reasons};
use crate::translate::read::Reader;
use gateway_api::apis::standard::gateways::{
    GatewayListeners, GatewayListenersAllowedRoutes,
    GatewayListenersAllowedRoutesNamespacesFrom as From,
};

/// Ports below this one need privileges to bind.
const FIRST_FREE_PORT: u16 = 1024;

/// Added to a port that needs privileges, as Envoy Gateway does.
const PRIVILEGED_OFFSET: u16 = 10_000;

/// The label that Kubernetes puts on each namespace, so that it is known without the object.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// One listener of a Gateway.
pub(super) struct Listener<'a> {
    pub name: &'a str,
    pub port: u16,
    pub bind_port: u16,
    /// The host name or `*.`suffix it is for; nothing for every host.
    pub hostname: Option<&'a str>,
    /// Why it is not served.
    pub refusal: Option<Refusal>,
    /// Whether HTTPRoutes are among what it takes.
    takes_http_routes: bool,
    /// A kind in `allowedRoutes.kinds` that is not served.
    unknown_kind: Option<String>,
    /// Why a certificate cannot be had.
    uncertified: Option<Refusal>,
    allowed: Option<&'a GatewayListenersAllowedRoutes>,
    gateway_namespace: &'a str,
}

/// Why a listener is not served.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub reason: &'static str,
    pub message: String,
}

/// The listeners of a Gateway, in its order.
pub(super) fn listeners<'a>(
    key: &Key,
    gateway: &'a Gateway,
    certificates: &Certificates<'_, '_>,
    problems: &mut Vec<Problem>,
) -> Vec<Listener<'a>> {
    let namespace = gateway.metadata.namespace.as_deref().unwrap_or_default();
    let specs = &gateway.spec.listeners;
    let mut listeners: Vec<Listener<'a>> = specs
        .iter()
        .map(|spec| Listener::new(spec, namespace))
        .collect();
    refuse_conflicts(specs, &mut listeners);
    refuse_collisions(&mut listeners);
    for (index, listener) in listeners.iter_mut().enumerate() {
        if let Some((at, refusal)) = certificates.flaw(&specs[index], namespace) {
            let field = format!("spec.listeners[{index}].tls.certificateRefs[{at}]");
            let message = refusal.message.clone();
            problems.push(Problem::error(key, &field, refusal.reason, message));
            listener.uncertified = Some(refusal);
        }
        if let Some(refusal) = &listener.refusal {
            let field = format!("spec.listeners[{index}]");
            problems.push(Problem::error(
                key,
                &field,
                refusal.reason,
                refusal.message.clone(),
            ));
        }
        if let Some(kind) = &listener.unknown_kind {
            let field = format!("spec.listeners[{index}].allowedRoutes.kinds");
            let message = unknown_kind_message(kind);
            problems.push(Problem::error(
                key,
                &field,
                reasons::INVALID_ROUTE_KINDS,
                message,
            ));
        }
    }
    listeners
}

impl<'a> Listener<'a> {
    fn new(spec: &'a GatewayListeners, gateway_namespace: &'a str) -> Self {
        let port = u16::try_from(spec.port).unwrap_or_default();
        let kinds = spec
            .allowed_routes
            .as_ref()
            .and_then(|allowed| allowed.kinds.as_ref());
        let http = spec.protocol == "HTTP";
        let is_http_route = |group: Option<&str>, kind: &str| {
            kind == Kind::HttpRoute.name()
                && group.is_none_or(|group| group == Kind::HttpRoute.group())
        };
        let kinds = kinds.filter(|kinds| !kinds.is_empty());
        Self {
            name: &spec.name,
            port,
            bind_port: bind_port(port),
            hostname: spec
                .hostname
                .as_deref()
                .filter(|hostname| !hostname.is_empty()),
            refusal: (!http).then(|| unsupported_protocol(&spec.protocol)),
            takes_http_routes: http
                && kinds.is_none_or(|kinds| {
                    kinds
                        .iter()
                        .any(|kind| is_http_route(kind.group.as_deref(), &kind.kind))
                }),
            unknown_kind: kinds.and_then(|kinds| {
                kinds
                    .iter()
                    .find(|kind| !is_http_route(kind.group.as_deref(), &kind.kind))
                    .map(|kind| kind.kind.clone())
            }),
            uncertified: None,
            allowed: spec.allowed_routes.as_ref(),
            gateway_namespace,
        }
    }

    /// Group and kind of what may attach.
    pub(super) fn supported_kinds(&self) -> Vec<(&'static str, &'static str)> {
        if self.takes_http_routes {
            vec![(Kind::HttpRoute.group(), Kind::HttpRoute.name())]
        } else {
            Vec::new()
        }
    }

    /// Whether an HTTPRoute of `namespace` may attach.
    pub(super) fn allows(&self, namespace: &str, reader: &Reader<'_>) -> bool {
        if !self.takes_http_routes {
            return false;
        }
        let namespaces = self.allowed.and_then(|allowed| allowed.namespaces.as_ref());
        match namespaces
            .and_then(|namespaces| namespaces.from.as_ref())
            .unwrap_or(&From::Same)
        {
            From::All => true,
            From::Same => namespace == self.gateway_namespace,
            From::Selector => {
                let Some(selector) = namespaces.and_then(|namespaces| namespaces.selector.as_ref())
                else {
                    return false;
                };
                let expressions = selector
                    .match_expressions
                    .iter()
                    .flatten()
                    .map(|e| Expression {
                        key: &e.key,
                        operator: &e.operator,
                        values: e.values.as_deref().unwrap_or_default(),
                    });
                selects(
                    selector.match_labels.as_ref(),
                    expressions,
                    &namespace_labels(namespace, reader),
                )
            }
        }
    }

    /// The listener's conditions; `gateway` says whether the Gateway itself is accepted, `unreached`
    /// why no client gets to it.
    pub(super) fn conditions(&self, gateway: bool, unreached: Option<String>) -> Vec<Condition> {
        use reasons::kind::{ACCEPTED, CONFLICTED, PROGRAMMED, RESOLVED_REFS};
        let mut conditions = Vec::with_capacity(4);
        match &self.refusal {
            Some(Refusal { reason, message }) => {
                conditions.push(Condition::no(ACCEPTED, reason, message.clone()));
                conditions.push(Condition::no(PROGRAMMED, reasons::INVALID, message.clone()));
            }
            None => {
                conditions.push(Condition::yes(
                    ACCEPTED,
                    reasons::ACCEPTED,
                    "The listener is accepted.",
                ));
                conditions.push(match (gateway, unreached) {
                    (true, None) => {
                        let message = format!("Bound at port {}.", self.bind_port);
                        Condition::yes(PROGRAMMED, reasons::PROGRAMMED, message)
                    }
                    (true, Some(message)) => Condition::no(PROGRAMMED, reasons::PENDING, message),
                    (false, _) => {
                        let message = "The Gateway is not accepted.";
                        Condition::no(PROGRAMMED, reasons::INVALID, message)
                    }
                });
            }
        }
        conditions.push(match (&self.unknown_kind, &self.uncertified) {
            (Some(kind), _) => Condition::no(
                RESOLVED_REFS,
                reasons::INVALID_ROUTE_KINDS,
                unknown_kind_message(kind),
            ),
            (None, Some(Refusal { reason, message })) => {
                Condition::no(RESOLVED_REFS, reason, message.clone())
            }
            (None, None) => Condition::yes(
                RESOLVED_REFS,
                reasons::RESOLVED_REFS,
                "All references are resolved.",
            ),
        });
        conditions.push(match &self.refusal {
            Some(Refusal { reason, message })
                if [reasons::HOSTNAME_CONFLICT, reasons::PROTOCOL_CONFLICT].contains(reason) =>
            {
                Condition::yes(CONFLICTED, reason, message.clone())
            }
            _ => Condition::no(
                CONFLICTED,
                reasons::NO_CONFLICTS,
                "No other listener is in conflict with it.",
            ),
        });
        conditions
    }
}

/// Where a listener's port is bound: ports that need privileges 10,000 higher.
fn bind_port(port: u16) -> u16 {
    if port < FIRST_FREE_PORT {
        port + PRIVILEGED_OFFSET
    } else {
        port
    }
}

fn unsupported_protocol(protocol: &str) -> Refusal {
    Refusal {
        reason: reasons::UNSUPPORTED_PROTOCOL,
        message: format!("Protocol {protocol} is not supported yet; only HTTP is."),
    }
}

fn unknown_kind_message(kind: &str) -> String {
    format!("Routes of kind {kind} are not supported on this listener; only HTTPRoute is.")
}

/// The labels of a namespace; where the object is not known, the one label that every namespace
/// has.
pub(super) fn namespace_labels(namespace: &str, reader: &Reader<'_>) -> BTreeMap<String, String> {
    let mut labels = reader
        .get::<Namespace>("", namespace)
        .and_then(|object| object.metadata.labels.clone())
        .unwrap_or_default();
    labels.insert(NAMESPACE_NAME_LABEL.into(), namespace.into());
    labels
}

/// Refuses listeners of one port that cannot be told apart, all of them: by protocol, or by host
/// name.
fn refuse_conflicts(specs: &[GatewayListeners], listeners: &mut [Listener<'_>]) {
    let family = |protocol: &str| match protocol {
        "HTTP" => Some(0),
        "HTTPS" | "TLS" => Some(1),
        "TCP" => Some(2),
        _ => None,
    };
    for (index, spec) in specs.iter().enumerate() {
        let Some(own) = family(&spec.protocol) else {
            continue;
        };
        for (other_index, other) in specs.iter().enumerate() {
            if other_index == index || other.port != spec.port {
                continue;
            }
            let refusal = match family(&other.protocol) {
                None => continue,
                Some(theirs) if theirs != own => Refusal {
                    reason: reasons::PROTOCOL_CONFLICT,
                    message: format!(
                        "Listener {} on port {} speaks {}, this one {}: one port has one protocol.",
                        other.name, spec.port, other.protocol, spec.protocol
                    ),
                },
                Some(_) if same_hostname(other, spec) => Refusal {
                    reason: reasons::HOSTNAME_CONFLICT,
                    message: format!(
                        "Listener {} has the same port {} and hostname {}: requests cannot be told apart.",
                        other.name,
                        spec.port,
                        spec.hostname.as_deref().unwrap_or("*")
                    ),
                },
                Some(_) => continue,
            };
            listeners[index].refusal = Some(refusal);
            break;
        }
    }
}

fn same_hostname(one: &GatewayListeners, other: &GatewayListeners) -> bool {
    one.hostname.as_deref().unwrap_or_default() == other.hostname.as_deref().unwrap_or_default()
}

/// Refuses listeners whose bound port is another listener's own: the lower port named by the
/// Gateway keeps it.
fn refuse_collisions(listeners: &mut [Listener<'_>]) {
    let mut owners: BTreeMap<u16, u16> = BTreeMap::new();
    for listener in listeners
        .iter()
        .filter(|listener| listener.refusal.is_none())
    {
        let owner = owners.entry(listener.bind_port).or_insert(listener.port);
        *owner = listener.port.min(*owner);
    }
    for listener in listeners
        .iter_mut()
        .filter(|listener| listener.refusal.is_none())
    {
        let owner = owners[&listener.bind_port];
        if owner != listener.port {
            listener.refusal = Some(Refusal {
                reason: reasons::PORT_UNAVAILABLE,
                message: format!(
                    "Port {} is where port {owner} of this Gateway is bound (ports below {FIRST_FREE_PORT} are \
                     bound {PRIVILEGED_OFFSET} higher). Choose another port.",
                    listener.bind_port
                ),
            });
        }
    }
}

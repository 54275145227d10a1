//! Gateways: their listeners, what each of them takes, and their conditions.
//!
//! In: a Gateway of one of Locum's classes. Out: a [`GatewayPlan`] that routes attach to, and when it is
//! known how many did, the Gateway's status. No route is looked at here.

use std::collections::BTreeSet;

use super::addresses;
use super::certificates::Certificates;
use super::classes::Class;
use super::listeners::{self, Listener};
use crate::problem::Problem;
use crate::resource::{Gateway, Key, Kind, ObjectName};
use crate::status::{Condition, GatewayStatus, ListenerStatus, Status, StatusBody, reasons};
use crate::translate::{GatewayAddresses, Options, names, read::Reader};

/// The annotation that says who runs a Gateway's Envoys.
const PROXIES: &str = "locum.dev/proxies";

/// Someone else does; without the annotation too.
const EXTERNAL: &str = "external";

/// A Gateway that Locum serves.
pub(super) struct GatewayPlan<'a> {
    pub key: Key,
    pub gateway: &'a Gateway,
    pub controller: &'a str,
    pub listeners: Vec<Listener<'a>>,
    /// Why the whole Gateway is refused, with the reason.
    pub refusal: Option<(&'static str, String)>,
}

impl<'a> GatewayPlan<'a> {
    /// The plan of one Gateway; what is wrong with it is noted.
    pub(super) fn new(
        gateway: &'a Gateway,
        class: &Class<'a>,
        certificates: &Certificates<'_, '_>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let key = Key::of(Kind::Gateway, &gateway.metadata);
        let of_class = class.refusal.clone().map(|message| {
            (
                "spec.gatewayClassName",
                reasons::INVALID_PARAMETERS,
                message,
            )
        });
        let refusal = of_class.or_else(|| refusal(gateway));
        let refusal = refusal.map(|(field, reason, message)| {
            problems.push(Problem::error(&key, field, reason, message.clone()));
            (reason, message)
        });
        let listeners = listeners::listeners(&key, gateway, certificates, problems);
        Self {
            key,
            gateway,
            controller: class.controller,
            listeners,
            refusal,
        }
    }

    /// The Gateway's namespace and name.
    pub(super) fn name(&self) -> &ObjectName {
        &self.key.object
    }

    /// Whether requests to the listener are served.
    pub(super) fn serves(&self, listener: &Listener<'_>) -> bool {
        self.refusal.is_none() && listener.refusal.is_none()
    }

    /// The Gateway's status, given the routes attached to each listener.
    pub(super) fn status(
        &self,
        attached: &[BTreeSet<ObjectName>],
        reader: &Reader<'_>,
        options: &Options,
    ) -> Status {
        let serving = self
            .listeners
            .iter()
            .filter(|listener| self.serves(listener))
            .count();
        let listeners = self
            .listeners
            .iter()
            .zip(attached)
            .map(|(listener, routes)| ListenerStatus {
                name: listener.name.into(),
                envoy_name: names::listener(self.name(), listener.port),
                attached_routes: i32::try_from(routes.len()).unwrap_or(i32::MAX),
                supported_kinds: listener.supported_kinds(),
                conditions: listener.conditions(
                    self.refusal.is_none(),
                    addresses::unreached(
                        &self.key,
                        listener.port,
                        listener.bind_port,
                        reader,
                        options,
                    ),
                ),
            })
            .collect();
        let (addresses, programmed) = self.reached(serving, reader, options);
        Status {
            observed_generation: self.gateway.metadata.generation,
            body: StatusBody::Gateway(GatewayStatus {
                conditions: self.conditions(serving, programmed),
                listeners,
                addresses,
                controller_name: Some(self.controller.into()),
            }),
        }
    }

    /// The addresses, and Programmed of a Gateway with so many listeners that are served.
    fn reached(
        &self,
        serving: usize,
        reader: &Reader<'_>,
        options: &Options,
    ) -> (Vec<String>, Condition) {
        use reasons::kind::PROGRAMMED;
        let message = format!("Configuration for {serving} listener(s) is ready for the proxies.");
        let programmed = Condition::yes(PROGRAMMED, reasons::PROGRAMMED, message);
        if serving == 0 {
            return (Vec::new(), programmed);
        }
        let addresses = addresses::addresses(&self.key, reader, options);
        let is_found = !addresses.is_empty() || options.addresses == GatewayAddresses::Listeners;
        if is_found {
            return (addresses, programmed);
        }
        let message = addresses::none(self.name());
        let reason = reasons::ADDRESS_NOT_ASSIGNED;
        (addresses, Condition::no(PROGRAMMED, reason, message))
    }

    fn conditions(&self, serving: usize, programmed: Condition) -> Vec<Condition> {
        use reasons::kind::{ACCEPTED, PROGRAMMED};
        if let Some((reason, message)) = &self.refusal {
            return vec![
                Condition::no(ACCEPTED, reason, message.clone()),
                Condition::no(PROGRAMMED, reasons::INVALID, message.clone()),
            ];
        }
        let refused: Vec<&str> = self
            .listeners
            .iter()
            .filter(|listener| listener.refusal.is_some())
            .map(|listener| listener.name)
            .collect();
        if serving == 0 {
            let message = "No listener can be served; see their conditions.";
            return vec![
                Condition::no(ACCEPTED, reasons::LISTENERS_NOT_VALID, message),
                Condition::no(PROGRAMMED, reasons::INVALID, message),
            ];
        }
        let accepted = if refused.is_empty() {
            Condition::yes(
                ACCEPTED,
                reasons::ACCEPTED,
                "The Gateway is served by Locum.",
            )
        } else {
            let message = format!(
                "Served without these listeners, which are refused: {}.",
                refused.join(", ")
            );
            Condition::yes(ACCEPTED, reasons::LISTENERS_NOT_VALID, message)
        };
        vec![accepted, programmed]
    }
}

/// What a Gateway asks for that is not served, whatever its listeners say: field, reason, message.
fn refusal(gateway: &Gateway) -> Option<(&'static str, &'static str, String)> {
    let spec = &gateway.spec;
    if spec
        .addresses
        .as_ref()
        .is_some_and(|addresses| !addresses.is_empty())
    {
        let message =
            "spec.addresses is not supported yet: the address is chosen with --listen. Remove it.";
        return Some((
            "spec.addresses",
            reasons::UNSUPPORTED_ADDRESS,
            message.into(),
        ));
    }
    if let Some(parameters) = spec
        .infrastructure
        .as_ref()
        .and_then(|i| i.parameters_ref.as_ref())
    {
        let message = format!(
            "spec.infrastructure.parametersRef to {} {} is not supported yet. Remove it.",
            parameters.kind, parameters.name
        );
        let field = "spec.infrastructure.parametersRef";
        return Some((field, reasons::INVALID_PARAMETERS, message));
    }
    let annotations = gateway.metadata.annotations.as_ref();
    match annotations.and_then(|annotations| annotations.get(PROXIES)) {
        Some(who) if who != EXTERNAL => {
            let message = format!(
                "Annotation {PROXIES} is {who:?}; the one value there is yet is {EXTERNAL:?}: Envoys \
                 that something else runs."
            );
            Some(("metadata.annotations", reasons::INVALID_PARAMETERS, message))
        }
        _ => None,
    }
}

//! Gateways: their listeners, what each of them takes, and their conditions.
//!
//! In: a Gateway of an accepted class. Out: a [`GatewayPlan`] that routes attach to, and when it is
//! known how many did, the Gateway's status. No route is looked at here.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::listeners::{self, Listener};
use crate::problem::Problem;
use crate::resource::{Gateway, Key, Kind, ObjectName};
use crate::status::{Condition, GatewayStatus, ListenerStatus, Status, StatusBody, reasons};
use crate::translate::Options;

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
        controller: &'a str,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let key = Key::of(Kind::Gateway, &gateway.metadata);
        let refusal = refusal(gateway);
        if let Some((reason, message)) = &refusal {
            problems.push(Problem::error(&key, "spec", reason, message.clone()));
        }
        let listeners = listeners::listeners(&key, gateway, problems);
        Self {
            key,
            gateway,
            controller,
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

    /// The Gateway's status, given the number of routes attached to each listener.
    pub(super) fn status(&self, attached: &[BTreeSet<ObjectName>], options: &Options) -> Status {
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
                attached_routes: i32::try_from(routes.len()).unwrap_or(i32::MAX),
                supported_kinds: listener.supported_kinds(),
                conditions: listener.conditions(self.refusal.is_none()),
            })
            .collect();
        Status {
            observed_generation: self.gateway.metadata.generation,
            body: StatusBody::Gateway(GatewayStatus {
                conditions: self.conditions(serving),
                listeners,
                addresses: if serving == 0 {
                    Vec::new()
                } else {
                    addresses(options.listen)
                },
            }),
        }
    }

    fn conditions(&self, serving: usize) -> Vec<Condition> {
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
        let message = format!("Configuration for {serving} listener(s) is ready for the proxies.");
        vec![
            accepted,
            Condition::yes(PROGRAMMED, reasons::PROGRAMMED, message),
        ]
    }
}

/// What a Gateway asks for that is not served, whatever its listeners say.
fn refusal(gateway: &Gateway) -> Option<(&'static str, String)> {
    let spec = &gateway.spec;
    if spec
        .addresses
        .as_ref()
        .is_some_and(|addresses| !addresses.is_empty())
    {
        let message =
            "spec.addresses is not supported yet: the address is chosen with --listen. Remove it.";
        return Some((reasons::UNSUPPORTED_ADDRESS, message.into()));
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
        return Some((reasons::INVALID_PARAMETERS, message));
    }
    None
}

/// The addresses that clients can be told: none where every address of the host is bound.
fn addresses(listen: IpAddr) -> Vec<String> {
    if listen.is_unspecified() {
        Vec::new()
    } else {
        vec![listen.to_string()]
    }
}

//! GatewayClasses: which of them are Locum's.
//!
//! In: every GatewayClass and the controller names of the options. Out: Locum's own with their
//! controller, and for each a status; a class of nobody is a warning. A Gateway of a class that does
//! not exist is an error, and has a status of nobody's.

use std::collections::BTreeMap;

use crate::problem::Problem;
use crate::resource::{Gateway, GatewayClass, Key, Kind};
use crate::status::{ClassStatus, Condition, GatewayStatus, Status, StatusBody, Statuses, reasons};
use crate::translate::{Options, read::Reader};

/// What is served of Gateway API, by the names its conformance tests go by. A feature stands here
/// when everything that it means is served. That is why the three core ones are missing: Gateway and
/// ReferenceGrant take in certificates of HTTPS listeners, HTTPRoute takes in filters.
const SUPPORTED_FEATURES: &[&str] = &[
    "GatewayHTTPListenerIsolation",
    "GatewayPort8080",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestTimeout",
    "HTTPRouteRetry",
    "HTTPRouteRetryBackendTimeout",
    "HTTPRouteRetryConnectionError",
];

/// A class of one of Locum's controllers.
pub(super) struct Class<'a> {
    pub controller: &'a str,
    /// Why its Gateways are not served.
    pub refusal: Option<String>,
}

/// Locum's own classes, by name.
pub(super) type Classes<'a> = BTreeMap<&'a str, Class<'a>>;

/// The classes of Locum's controllers.
pub(super) fn classes<'a>(
    reader: &Reader<'a>,
    options: &Options,
    statuses: &mut Statuses,
    problems: &mut Vec<Problem>,
) -> Classes<'a> {
    let mut classes = Classes::new();
    for class in reader.all::<GatewayClass>() {
        let name = class.metadata.name.as_deref().unwrap_or_default();
        let controller = class.spec.controller_name.as_str();
        let key = Key::of(Kind::GatewayClass, &class.metadata);
        if !options
            .controller_names
            .iter()
            .any(|ours| ours == controller)
        {
            problems.push(unknown_controller(&key, controller, options));
            continue;
        }
        let refusal = class.spec.parameters_ref.as_ref().map(|parameters| {
            format!(
                "Parameters of kind {} are not supported yet, so Gateways of class {name} are not served. \
                 Remove spec.parametersRef of the class.",
                parameters.kind
            )
        });
        let accepted = reasons::kind::ACCEPTED;
        let condition = match &refusal {
            None => Condition::yes(accepted, reasons::ACCEPTED, "The class is served by Locum."),
            Some(message) => {
                let (field, reason) = ("spec.parametersRef", reasons::INVALID_PARAMETERS);
                problems.push(Problem::error(&key, field, reason, message.clone()));
                Condition::no(accepted, reason, message.clone())
            }
        };
        classes.insert(
            name,
            Class {
                controller,
                refusal,
            },
        );
        statuses.insert(
            key,
            Status {
                observed_generation: class.metadata.generation,
                body: StatusBody::Class(ClassStatus {
                    conditions: vec![condition],
                    supported_features: SUPPORTED_FEATURES,
                }),
            },
        );
    }
    classes
}

/// Notes Gateways whose class does not exist: nobody serves them, and nobody else says so.
pub(super) fn note_missing(
    reader: &Reader<'_>,
    statuses: &mut Statuses,
    problems: &mut Vec<Problem>,
) {
    use reasons::kind::{ACCEPTED, PROGRAMMED};
    for gateway in reader.all::<Gateway>() {
        let class = gateway.spec.gateway_class_name.as_str();
        if reader.get::<GatewayClass>("", class).is_some() {
            continue;
        }
        let key = Key::of(Kind::Gateway, &gateway.metadata);
        let (field, reason) = ("spec.gatewayClassName", reasons::GATEWAY_CLASS_NOT_FOUND);
        let message = format!("GatewayClass {class} does not exist, so the Gateway is not served.");
        problems.push(Problem::error(&key, field, reason, message.clone()));
        let status = Status {
            observed_generation: gateway.metadata.generation,
            body: StatusBody::Gateway(GatewayStatus {
                conditions: vec![
                    Condition::no(ACCEPTED, reason, message.clone()),
                    Condition::no(PROGRAMMED, reasons::INVALID, message),
                ],
                listeners: Vec::new(),
                addresses: Vec::new(),
                controller_name: None,
            }),
        };
        statuses.insert(key, status);
    }
}

fn unknown_controller(key: &Key, controller: &str, options: &Options) -> Problem {
    Problem::warning(
        key,
        "spec.controllerName",
        reasons::UNKNOWN_CONTROLLER,
        format!(
            "Controller {controller} is not Locum, which answers to {}. \
             To serve Gateways of this class, start Locum with --controller-name {controller}.",
            options.controller_names.join(", ")
        ),
    )
}

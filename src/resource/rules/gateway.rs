//! The rules of Gateway.

use std::collections::BTreeMap;

use gateway_api::apis::standard::gateways::{
    GatewayAddresses, GatewayInfrastructure, GatewayListeners, GatewayListenersAllowedRoutes,
    GatewayListenersAllowedRoutesNamespaces, GatewayListenersAllowedRoutesNamespacesFrom,
    GatewayListenersTls, GatewayListenersTlsMode,
};

use super::{check_length, check_port, check_unique};
use crate::resource::Gateway;
use crate::resource::fault::{At, Faults, reason};
use crate::resource::key::GATEWAY_API;
use crate::resource::names;

const LISTENER_LIMIT: usize = 64;
const ADDRESS_LIMIT: usize = 16;
const ROUTE_KIND_LIMIT: usize = 8;
const CERTIFICATE_LIMIT: usize = 64;
const OPTION_LIMIT: usize = 16;
const ANNOTATION_LIMIT: usize = 16;
const LABEL_LIMIT: usize = 8;

/// The kinds of addresses that have no domain before them.
const ADDRESS_TYPES: [&str; 3] = ["IPAddress", "Hostname", "NamedAddress"];

/// Fills in defaults and notes what an API server would refuse.
pub(in crate::resource) fn complete(gateway: &mut Gateway, faults: &mut Faults) {
    let at = At::Root.field("spec");
    let spec = &mut gateway.spec;
    names::OBJECT.check(
        &spec.gateway_class_name,
        &at.field("gatewayClassName"),
        faults,
    );
    let at_listeners = at.field("listeners");
    check_length(
        spec.listeners.len(),
        1,
        LISTENER_LIMIT,
        &at_listeners,
        faults,
    );
    for (index, listener) in spec.listeners.iter_mut().enumerate() {
        default_listener(listener);
        check_listener(listener, &at_listeners.item(index), faults);
    }
    let names = spec.listeners.iter().map(|listener| &listener.name);
    check_unique(names, "name", &at_listeners, faults);
    let sockets = spec
        .listeners
        .iter()
        .map(|listener| (listener.port, &listener.protocol, &listener.hostname));
    check_unique(
        sockets,
        "port, protocol and hostname",
        &at_listeners,
        faults,
    );
    if let Some(addresses) = &mut spec.addresses {
        check_addresses(addresses, &at.field("addresses"), faults);
    }
    if let Some(infrastructure) = &spec.infrastructure {
        check_infrastructure(infrastructure, &at.field("infrastructure"), faults);
    }
}

fn default_listener(listener: &mut GatewayListeners) {
    let routes = listener
        .allowed_routes
        .get_or_insert_with(GatewayListenersAllowedRoutes::default);
    let namespaces = routes
        .namespaces
        .get_or_insert_with(GatewayListenersAllowedRoutesNamespaces::default);
    namespaces
        .from
        .get_or_insert(GatewayListenersAllowedRoutesNamespacesFrom::Same);
    for kind in routes.kinds.iter_mut().flatten() {
        kind.group.get_or_insert_with(|| GATEWAY_API.into());
    }
    if let Some(tls) = &mut listener.tls {
        tls.mode.get_or_insert(GatewayListenersTlsMode::Terminate);
        for certificate in tls.certificate_refs.iter_mut().flatten() {
            certificate.group.get_or_insert_default();
            certificate.kind.get_or_insert_with(|| "Secret".into());
        }
    }
}

fn check_listener(listener: &GatewayListeners, at: &At<'_>, faults: &mut Faults) {
    names::SUBDOMAIN.check(&listener.name, &at.field("name"), faults);
    check_port(listener.port, &at.field("port"), faults);
    let protocol = listener.protocol.as_str();
    names::PROTOCOL.check(protocol, &at.field("protocol"), faults);
    if let Some(hostname) = &listener.hostname {
        let at = at.field("hostname");
        names::HOSTNAME.check(hostname, &at, faults);
        if matches!(protocol, "TCP" | "UDP") {
            let message = format!("must not be set where protocol is {protocol}");
            faults.error(&at, reason::CONFLICT, message);
        }
    }
    check_tls(listener, &at.field("tls"), faults);
    let kinds = listener
        .allowed_routes
        .as_ref()
        .and_then(|routes| routes.kinds.as_ref());
    let at_routes = at.field("allowedRoutes");
    let at_kinds = at_routes.field("kinds");
    check_length(
        kinds.map_or(0, Vec::len),
        0,
        ROUTE_KIND_LIMIT,
        &at_kinds,
        faults,
    );
    for (index, kind) in kinds.into_iter().flatten().enumerate() {
        let at = at_kinds.item(index);
        names::KIND.check(&kind.kind, &at.field("kind"), faults);
        if let Some(group) = &kind.group {
            names::GROUP.check(group, &at.field("group"), faults);
        }
    }
}

fn check_tls(listener: &GatewayListeners, at: &At<'_>, faults: &mut Faults) {
    let protocol = listener.protocol.as_str();
    let Some(tls) = &listener.tls else {
        if protocol == "TLS" {
            faults.error(
                at,
                reason::REQUIRED,
                "is missing: protocol TLS needs a tls.mode",
            );
        }
        return;
    };
    if matches!(protocol, "HTTP" | "TCP" | "UDP") {
        let message = format!("must not be set where protocol is {protocol}");
        faults.error(at, reason::CONFLICT, message);
    }
    let is_passthrough = tls.mode == Some(GatewayListenersTlsMode::Passthrough);
    if protocol == "HTTPS" && is_passthrough {
        let message = "must be Terminate where protocol is HTTPS";
        faults.error(&at.field("mode"), reason::CONFLICT, message);
    }
    check_certificates(tls, is_passthrough, at, faults);
}

fn check_certificates(
    tls: &GatewayListenersTls,
    is_passthrough: bool,
    at: &At<'_>,
    faults: &mut Faults,
) {
    let certificates = tls.certificate_refs.as_deref().unwrap_or_default();
    let options = tls.options.as_ref().map_or(0, BTreeMap::len);
    if !is_passthrough && certificates.is_empty() && options == 0 {
        let message = "needs certificateRefs or options where mode is Terminate";
        faults.error(at, reason::REQUIRED, message);
    }
    check_length(options, 0, OPTION_LIMIT, &at.field("options"), faults);
    let at_certificates = at.field("certificateRefs");
    check_length(
        certificates.len(),
        0,
        CERTIFICATE_LIMIT,
        &at_certificates,
        faults,
    );
    for (index, certificate) in certificates.iter().enumerate() {
        let at = at_certificates.item(index);
        names::OBJECT.check(&certificate.name, &at.field("name"), faults);
        if let Some(namespace) = &certificate.namespace {
            names::LABEL.check(namespace, &at.field("namespace"), faults);
        }
    }
}

fn check_addresses(addresses: &mut [GatewayAddresses], at: &At<'_>, faults: &mut Faults) {
    check_length(addresses.len(), 0, ADDRESS_LIMIT, at, faults);
    for (index, address) in addresses.iter_mut().enumerate() {
        let kind = address
            .r#type
            .get_or_insert_with(|| "IPAddress".into())
            .as_str();
        let at = at.item(index);
        if !ADDRESS_TYPES.contains(&kind) {
            names::DOMAIN_PATH.check(kind, &at.field("type"), faults);
        }
        let Some(value) = &address.value else {
            continue;
        };
        let at_value = at.field("value");
        match kind {
            "IPAddress" if value.parse::<std::net::IpAddr>().is_err() => {
                let message = format!("is {value:?}: must be an IP address");
                faults.error(&at_value, reason::INVALID, message);
            }
            "Hostname" => names::HOSTNAME.check(value, &at_value, faults),
            _ => {}
        }
    }
    let keys = addresses
        .iter()
        .enumerate()
        .map(|(index, address)| match &address.value {
            Some(value) => (address.r#type.as_deref(), value.as_str(), 0),
            // Addresses without a value are all different.
            None => (address.r#type.as_deref(), "", index + 1),
        });
    check_unique(keys, "type and value", at, faults);
}

fn check_infrastructure(infrastructure: &GatewayInfrastructure, at: &At<'_>, faults: &mut Faults) {
    let at_labels = at.field("labels");
    let labels = infrastructure.labels.iter().flatten();
    check_length(labels.clone().count(), 0, LABEL_LIMIT, &at_labels, faults);
    for (key, value) in labels {
        names::check_label(key, value, &at_labels.entry(key), faults);
    }
    let at_annotations = at.field("annotations");
    let annotations = infrastructure.annotations.iter().flatten();
    check_length(
        annotations.clone().count(),
        0,
        ANNOTATION_LIMIT,
        &at_annotations,
        faults,
    );
    for (key, _) in annotations {
        names::check_label(key, "", &at_annotations.entry(key), faults);
    }
}

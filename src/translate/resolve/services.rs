//! Services: the endpoints behind a Service's port, from its EndpointSlices.
//!
//! In: a Service's name and a port. Out: endpoints with what Kubernetes says of their readiness,
//! and the protocol; or Gateway API's reason why the reference cannot be used.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ServicePort;
use k8s_openapi::api::discovery::v1::{Endpoint as SliceEndpoint, EndpointSlice};

use crate::model::{Address, Endpoint, Health, Protocol};
use crate::resource::{Key, Kind, ObjectName, Service};
use crate::status::reasons;
use crate::translate::read::Reader;

/// The endpoints of a Service's port.
#[derive(Clone, Debug)]
pub(super) struct ServiceEndpoints {
    pub endpoints: Arc<[Endpoint]>,
    /// The Service's own address instead, where it has one.
    pub by_service: Option<Arc<[Endpoint]>>,
    pub protocol: Protocol,
    pub port_name: Option<String>,
}

/// Why a reference cannot be used: reason and message.
pub(super) type Unusable = (&'static str, String);

/// How a port of a Service is found in its slices.
enum SlicePort<'a> {
    /// By the Service port's name.
    Named(&'a str),
    /// By its number, the Service not being known.
    Numbered(i32),
    /// This number at every address: a headless Service's name leads to the Pods themselves.
    AsGiven(u16),
}

/// What a `backendRef` to a Service leads to.
pub(super) fn referenced(
    reader: &Reader<'_>,
    name: &ObjectName,
    port: Option<i32>,
) -> Result<ServiceEndpoints, Unusable> {
    let Some(port) = port else {
        let message = format!("A reference to Service {name} needs a port.");
        return Err((reasons::PORT_NOT_SPECIFIED, message));
    };
    let Some(service) = reader.get::<Service>(&name.namespace, &name.name) else {
        return Err((
            reasons::BACKEND_NOT_FOUND,
            format!("Service {name} does not exist."),
        ));
    };
    if service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
        let message = format!(
            "Service {name} is of type ExternalName, which is not supported. \
             Use a Backend with an fqdn endpoint instead."
        );
        return Err((reasons::UNSUPPORTED_VALUE, message));
    }
    let Some(found) = service_port(service, port) else {
        return Err((
            reasons::PORT_NOT_FOUND,
            format!("Service {name} has no TCP port {port}."),
        ));
    };
    let protocol = match found.app_protocol.as_deref() {
        Some("kubernetes.io/h2c") => Protocol::Http2,
        Some("kubernetes.io/wss") => {
            let message = format!(
                "Port {port} of Service {name} speaks kubernetes.io/wss: TLS towards backends is not supported yet."
            );
            return Err((reasons::UNSUPPORTED_VALUE, message));
        }
        _ => Protocol::Http1,
    };
    let by = SlicePort::Named(found.name.as_deref().unwrap_or_default());
    let slices = slices(reader, name);
    Ok(ServiceEndpoints {
        endpoints: endpoints(&slices, Some(service), &by).into(),
        by_service: cluster_ip(service, found.port).map(|endpoint| [endpoint].into()),
        protocol,
        port_name: found.name.clone(),
    })
}

/// The endpoints behind `<service>.<namespace>.svc` at `port`, or nothing where the store holds no
/// slice of that Service, so that only DNS knows.
pub(super) fn named(reader: &Reader<'_>, name: &ObjectName, port: u16) -> Option<Vec<Endpoint>> {
    let slices = slices(reader, name);
    if slices.is_empty() {
        return None;
    }
    let service = reader
        .get::<Service>(&name.namespace, &name.name)
        .map(Arc::as_ref);
    let by = match service {
        None => SlicePort::Numbered(port.into()),
        Some(service) if is_headless(service) => SlicePort::AsGiven(port),
        Some(service) => match service_port(service, port.into()) {
            Some(found) => SlicePort::Named(found.name.as_deref().unwrap_or_default()),
            // Nothing answers at a port that the Service does not have.
            None => return Some(Vec::new()),
        },
    };
    Some(endpoints(&slices, service, &by))
}

/// Where a Service's name leads to by itself, or nothing where it has no address of its own.
fn cluster_ip(service: &Service, port: i32) -> Option<Endpoint> {
    let address = service.spec.as_ref()?.cluster_ip.as_ref()?.parse().ok()?;
    Some(Endpoint {
        address: Address::Ip(SocketAddr::new(address, u16::try_from(port).ok()?)),
        hostname: None,
        health: Health::Unknown,
    })
}

/// The same of the Service `name`, where it is known and has the port.
pub(super) fn named_by_service(
    reader: &Reader<'_>,
    name: &ObjectName,
    port: u16,
) -> Option<Endpoint> {
    let service = reader.get::<Service>(&name.namespace, &name.name)?;
    let found = service_port(service, port.into())?;
    cluster_ip(service, found.port)
}

fn is_headless(service: &Service) -> bool {
    service
        .spec
        .as_ref()
        .and_then(|spec| spec.cluster_ip.as_deref())
        == Some("None")
}

fn service_port(service: &Service, port: i32) -> Option<&ServicePort> {
    let ports = service.spec.as_ref()?.ports.as_deref()?;
    ports
        .iter()
        .find(|candidate| candidate.port == port && is_tcp(candidate.protocol.as_deref()))
}

fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP")
}

fn slices<'a>(reader: &Reader<'a>, name: &ObjectName) -> Vec<&'a EndpointSlice> {
    let key = Key {
        kind: Kind::Service,
        object: name.clone(),
    };
    reader
        .referrers::<EndpointSlice>(&key)
        .map(Arc::as_ref)
        .collect()
}

/// The endpoints in `slices` at one port, each address once, in the order of the addresses.
fn endpoints(
    slices: &[&EndpointSlice],
    service: Option<&Service>,
    by: &SlicePort<'_>,
) -> Vec<Endpoint> {
    let family = family(slices, service);
    let mut found: BTreeMap<SocketAddr, Health> = BTreeMap::new();
    for slice in slices {
        if family.is_some_and(|family| slice.address_type != family) {
            continue;
        }
        let Some(port) = port_in(slice, by) else {
            continue;
        };
        for endpoint in slice.endpoints.iter().flatten() {
            let health = health(endpoint);
            for address in endpoint
                .addresses
                .iter()
                .filter_map(|address| address.parse::<IpAddr>().ok())
            {
                // An address can be in two slices while it moves between them: the better word
                // counts.
                let known = found
                    .entry(SocketAddr::new(address, port))
                    .or_insert(health);
                *known = health.min(*known);
            }
        }
    }
    found
        .into_iter()
        .map(|(address, health)| Endpoint {
            address: Address::Ip(address),
            hostname: None,
            health,
        })
        .collect()
}

/// The one address family to use where slices of both hold the same Pods: the Service's first.
fn family(slices: &[&EndpointSlice], service: Option<&Service>) -> Option<&'static str> {
    let has = |family: &str| slices.iter().any(|slice| slice.address_type == family);
    if !(has("IPv4") && has("IPv6")) {
        return None;
    }
    let families = service.and_then(|service| service.spec.as_ref()?.ip_families.as_deref());
    match families
        .and_then(|families| families.first())
        .map(String::as_str)
    {
        Some("IPv6") => Some("IPv6"),
        _ => Some("IPv4"),
    }
}

fn port_in(slice: &EndpointSlice, by: &SlicePort<'_>) -> Option<u16> {
    let ports = slice.ports.as_deref().unwrap_or_default();
    let mut tcp = ports.iter().filter(|port| is_tcp(port.protocol.as_deref()));
    let number = match by {
        SlicePort::AsGiven(port) => return Some(*port),
        SlicePort::Named(name) => {
            tcp.find(|port| port.name.as_deref().unwrap_or_default() == *name)?
                .port?
        }
        SlicePort::Numbered(number) => tcp.find(|port| port.port == Some(*number))?.port?,
    };
    u16::try_from(number).ok().filter(|port| *port > 0)
}

/// What an endpoint's conditions say; what is not said counts as ready (Kubernetes' reading of an
/// unknown state).
fn health(endpoint: &SliceEndpoint) -> Health {
    let Some(conditions) = &endpoint.conditions else {
        return Health::Unknown;
    };
    let ready = conditions.ready.unwrap_or(true);
    let terminating = conditions.terminating.unwrap_or(false);
    if terminating && conditions.serving.unwrap_or(ready) {
        Health::Draining
    } else if ready {
        Health::Unknown
    } else {
        Health::Unhealthy
    }
}

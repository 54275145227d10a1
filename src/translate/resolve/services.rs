//! Services: the endpoints behind a Service's port, from its EndpointSlices.
//!
//! In: a Service's name and a port. Out: endpoints with what Kubernetes says of their readiness,
//! and the protocol; or Gateway API's reason why the reference cannot be used.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::ServicePort;
use k8s_openapi::api::discovery::v1::{Endpoint as SliceEndpoint, EndpointSlice};

use super::local;
use crate::model::{Address, Endpoint, Health, Protocol};
use crate::resource::{Key, Kind, ObjectName, Service, ServiceImport, names};
use crate::status::reasons;
use crate::translate::{Options, read::Reader};

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
    options: &Options,
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
        return external_name(service, name, port, options);
    }
    let Some(found) = service_port(service, port) else {
        return Err((
            reasons::PORT_NOT_FOUND,
            format!("Service {name} has no TCP port {port}."),
        ));
    };
    let protocol = protocol(found, "Service", name)?;
    let by = SlicePort::Named(found.name.as_deref().unwrap_or_default());
    let slices = slices(reader, Kind::Service, name);
    Ok(ServiceEndpoints {
        endpoints: endpoints(&slices, families(Some(service)), &by).into(),
        by_service: cluster_ip(service, found.port).map(|endpoint| [endpoint].into()),
        protocol,
        port_name: found.name.clone(),
    })
}

/// What a `backendRef` to a ServiceImport leads to: in whatever clusters its endpoints are.
pub(super) fn imported(
    reader: &Reader<'_>,
    name: &ObjectName,
    port: Option<i32>,
) -> Result<ServiceEndpoints, Unusable> {
    let Some(port) = port else {
        let message = format!("A reference to ServiceImport {name} needs a port.");
        return Err((reasons::PORT_NOT_SPECIFIED, message));
    };
    let Some(import) = reader.get::<ServiceImport>(&name.namespace, &name.name) else {
        let message = format!("ServiceImport {name} does not exist.");
        return Err((reasons::BACKEND_NOT_FOUND, message));
    };
    let spec = &import.spec;
    let Some(found) = tcp_port(&spec.ports, port) else {
        let message = format!("ServiceImport {name} has no TCP port {port}.");
        return Err((reasons::PORT_NOT_FOUND, message));
    };
    let by = SlicePort::Named(found.name.as_deref().unwrap_or_default());
    let slices = slices(reader, Kind::ServiceImport, name);
    let own = spec.ips.first().and_then(|ip| own_address(ip, port));
    Ok(ServiceEndpoints {
        endpoints: endpoints(&slices, &spec.ip_families, &by).into(),
        by_service: own.map(|endpoint| [endpoint].into()),
        protocol: protocol(found, "ServiceImport", name)?,
        port_name: found.name.clone(),
    })
}

/// What a Service leads to that is another name for one outside: that name, at the reference's port.
fn external_name(
    service: &Service,
    name: &ObjectName,
    port: i32,
    options: &Options,
) -> Result<ServiceEndpoints, Unusable> {
    let refuse = |message: String| {
        let message = format!("Service {name} is of type ExternalName: {message}");
        Err((reasons::INVALID_ADDRESS, message))
    };
    let external = service
        .spec
        .as_ref()
        .and_then(|spec| spec.external_name.as_deref());
    let external = external.unwrap_or_default().trim_end_matches('.');
    if external.is_empty() {
        return refuse("it has no externalName.".into());
    }
    if let Some(flaw) = names::SUBDOMAIN.flaw(external) {
        return refuse(format!("its externalName {flaw}."));
    }
    if let Some(message) = local::unfit_name(external, options.allow_local_backends) {
        return refuse(message);
    }
    let Some(number) = u16::try_from(port).ok().filter(|port| *port > 0) else {
        return refuse(format!("port {port} cannot be connected to."));
    };
    let known = service_port(service, port);
    let endpoint = Endpoint {
        address: Address::Name(external.into(), number),
        hostname: None,
        health: Health::Unknown,
    };
    Ok(ServiceEndpoints {
        endpoints: [endpoint].into(),
        by_service: None,
        protocol: known.map_or(Ok(Protocol::Http1), |known| {
            protocol(known, "Service", name)
        })?,
        port_name: known.and_then(|known| known.name.clone()),
    })
}

/// What a port speaks.
fn protocol(port: &ServicePort, kind: &str, name: &ObjectName) -> Result<Protocol, Unusable> {
    match port.app_protocol.as_deref() {
        Some("kubernetes.io/h2c") => Ok(Protocol::Http2),
        Some("kubernetes.io/wss") => {
            let message = format!(
                "Port {} of {kind} {name} speaks kubernetes.io/wss, and nothing says whose certificates are \
                 good there: BackendTLSPolicy is not supported yet. Use a Backend with tls instead.",
                port.port
            );
            Err((reasons::UNSUPPORTED_VALUE, message))
        }
        _ => Ok(Protocol::Http1),
    }
}

/// The endpoints behind `<service>.<namespace>.svc` at `port`, or nothing where the store holds no
/// slice of that Service, so that only DNS knows.
pub(super) fn named(reader: &Reader<'_>, name: &ObjectName, port: u16) -> Option<Vec<Endpoint>> {
    let slices = slices(reader, Kind::Service, name);
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
    Some(endpoints(&slices, families(service), &by))
}

/// Where a Service's name leads to by itself, or nothing where it has no address of its own.
fn cluster_ip(service: &Service, port: i32) -> Option<Endpoint> {
    own_address(service.spec.as_ref()?.cluster_ip.as_ref()?, port)
}

fn own_address(ip: &str, port: i32) -> Option<Endpoint> {
    let address = SocketAddr::new(ip.parse().ok()?, u16::try_from(port).ok()?);
    Some(Endpoint {
        address: Address::Ip(address),
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
    tcp_port(service.spec.as_ref()?.ports.as_deref()?, port)
}

fn tcp_port(ports: &[ServicePort], port: i32) -> Option<&ServicePort> {
    ports
        .iter()
        .find(|candidate| candidate.port == port && is_tcp(candidate.protocol.as_deref()))
}

fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP")
}

/// The slices of a Service or ServiceImport.
fn slices<'a>(reader: &Reader<'a>, kind: Kind, name: &ObjectName) -> Vec<&'a EndpointSlice> {
    let key = Key {
        kind,
        object: name.clone(),
    };
    reader
        .referrers::<EndpointSlice>(&key)
        .map(Arc::as_ref)
        .collect()
}

/// The endpoints in `slices` at one port, each address once, in the order of the addresses.
fn endpoints(slices: &[&EndpointSlice], families: &[String], by: &SlicePort<'_>) -> Vec<Endpoint> {
    let family = family(slices, families);
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

/// The address families of a Service, the first one preferred.
fn families(service: Option<&Service>) -> &[String] {
    let families = service.and_then(|service| service.spec.as_ref()?.ip_families.as_deref());
    families.unwrap_or_default()
}

/// The one address family to use where slices of both hold the same Pods: the first of these.
fn family(slices: &[&EndpointSlice], families: &[String]) -> Option<&'static str> {
    let has = |family: &str| slices.iter().any(|slice| slice.address_type == family);
    if !(has("IPv4") && has("IPv6")) {
        return None;
    }
    match families.first().map(String::as_str) {
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

//! Backends: what each leads to, and whether it is accepted.
//!
//! In: every Backend in the store. Out: its endpoints, protocol and role, its status, and the
//! reason where it cannot be used. A name inside the cluster leads to its Service's endpoints (so
//! that one bad Pod is one bad Pod); every other name is left to Envoy's DNS.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::backend_tls;
use super::grants::{From, Grants};
use super::{local, services};
use crate::model::{Address, Endpoint, Health, Protocol, Secret, SecretName, Tls};
use crate::problem::Problem;
use crate::resource::backend::{AppProtocol, BackendEndpoint, BackendType};
use crate::resource::{Backend, Key, Kind, ObjectName, Service};
use crate::status::{Condition, Status, StatusBody, Statuses, reasons};
use crate::translate::{GatewayAddresses, Options, read::Reader};

/// What one Backend leads to.
#[derive(Debug)]
pub(super) struct BackendPlan {
    pub key: Key,
    /// Whether it stands by.
    pub fallback: bool,
    pub protocol: Protocol,
    pub tls: Option<Arc<Tls>>,
    /// What proxies need for that.
    pub secrets: Vec<(SecretName, Secret)>,
    pub endpoints: Arc<[Endpoint]>,
    /// The same by the cluster IPs of Services, where that is something else.
    pub by_service: Option<Arc<[Endpoint]>>,
    /// Why references to it cannot be used.
    pub refusal: Option<Refusal>,
    /// The Services whose endpoints stand in for its names.
    pub services: Vec<Key>,
    /// A Service that its only name stands for and that is not there.
    pub missing_service: Option<ObjectName>,
}

/// What is wrong with a Backend.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// The reason that a route's ResolvedRefs gives.
    pub reason: &'static str,
    /// The Backend's field.
    pub field: String,
    pub message: String,
}

impl Refusal {
    pub(super) fn new(
        reason: &'static str,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            reason,
            field: field.into(),
            message: message.into(),
        }
    }
}

/// All Backends, by namespace and name.
pub(super) type Backends = BTreeMap<ObjectName, BackendPlan>;

/// What every Backend leads to.
pub(super) fn backends(
    reader: &Reader<'_>,
    grants: &Grants<'_>,
    options: &Options,
    statuses: &mut Statuses,
    problems: &mut Vec<Problem>,
) -> Backends {
    let mut backends = Backends::new();
    for backend in reader.all::<Backend>() {
        let plan = plan(backend, reader, grants, options);
        if plan.refusal.is_none() {
            problems.extend(left_to_dns(&plan.key, backend, reader, grants, options));
            problems.extend(backend_tls::notes(&plan.key, backend));
        }
        let condition = match &plan.refusal {
            None => Condition::yes(
                reasons::kind::ACCEPTED,
                reasons::ACCEPTED,
                "The Backend was accepted.",
            ),
            Some(refusal) => {
                problems.push(Problem::error(
                    &plan.key,
                    &refusal.field,
                    refusal.reason,
                    refusal.message.clone(),
                ));
                let message = format!("The Backend was not accepted: {}", refusal.message);
                Condition::no(reasons::kind::ACCEPTED, reasons::INVALID, message)
            }
        };
        let status = Status {
            observed_generation: backend.metadata.generation,
            body: StatusBody::Conditions(vec![condition]),
        };
        statuses.insert(plan.key.clone(), status);
        backends.insert(plan.key.object.clone(), plan);
    }
    backends
}

/// The secrets of all Backends that can be used.
pub(super) fn secrets(backends: &Backends) -> BTreeMap<SecretName, Secret> {
    let mut secrets: BTreeMap<SecretName, Secret> = BTreeMap::new();
    for (name, secret) in backends.values().flat_map(|plan| &plan.secrets) {
        let known = secrets
            .entry(name.clone())
            .or_insert_with(|| secret.clone());
        known.owners.extend(secret.owners.iter().cloned());
    }
    secrets
}

fn plan(
    backend: &Backend,
    reader: &Reader<'_>,
    grants: &Grants<'_>,
    options: &Options,
) -> BackendPlan {
    let mut plan = BackendPlan {
        key: Key::of(Kind::Backend, &backend.metadata),
        fallback: backend.spec.fallback.unwrap_or(false),
        protocol: Protocol::Http1,
        tls: None,
        secrets: Vec::new(),
        endpoints: Arc::new([]),
        by_service: None,
        refusal: None,
        services: Vec::new(),
        missing_service: None,
    };
    let checked = protocol(backend).and_then(|protocol| {
        supported(backend)?;
        for (index, endpoint) in backend.spec.endpoints.iter().enumerate() {
            check_endpoint(index, endpoint, options)?;
        }
        check_resolver(backend, options)?;
        Ok((protocol, backend_tls::tls(backend, reader)?))
    });
    match checked {
        Err(refusal) => plan.refusal = Some(refusal),
        Ok((protocol, tls)) => {
            plan.protocol = protocol;
            if let Some(found) = tls {
                plan.tls = Some(found.tls);
                plan.secrets = found.secrets;
            }
            let mut endpoints = Vec::with_capacity(backend.spec.endpoints.len());
            let mut by_service = Vec::new();
            if backend.spec.r#type == BackendType::DynamicResolver {
                endpoints.push(Endpoint {
                    address: Address::OfRequest,
                    hostname: None,
                    health: Health::Unknown,
                });
                by_service.clone_from(&endpoints);
            }
            for endpoint in &backend.spec.endpoints {
                let before = endpoints.len();
                place(endpoint, &mut plan, reader, grants, options, &mut endpoints);
                match virtual_ip(
                    endpoint,
                    &plan.key.object.namespace,
                    reader,
                    grants,
                    options,
                ) {
                    Some(endpoint) => by_service.push(endpoint),
                    None => by_service.extend_from_slice(&endpoints[before..]),
                }
            }
            plan.by_service = (by_service != endpoints).then(|| by_service.into());
            plan.endpoints = endpoints.into();
            plan.missing_service = missing_service(backend, reader, grants, options);
        }
    }
    plan
}

/// Refuses a Backend that leads wherever clients say, where that must not be to the proxy itself.
fn check_resolver(backend: &Backend, options: &Options) -> Result<(), Refusal> {
    if backend.spec.r#type != BackendType::DynamicResolver {
        return Ok(());
    }
    if !options.allow_local_backends {
        let message = "Type DynamicResolver lets clients reach whatever the proxy can, its own admin interface too. \
                       Start Locum with --allow-local-backends to use it.";
        return Err(Refusal::new(reasons::INVALID_ADDRESS, "spec.type", message));
    }
    let tls = backend.spec.tls.as_ref();
    if tls.is_some_and(|tls| tls.sni.is_some()) {
        let message = "With type DynamicResolver each request's host is the server name.";
        let field = "spec.tls.sni";
        return Err(Refusal::new(reasons::INVALID_BACKEND_TLS, field, message));
    }
    Ok(())
}

/// Refuses what has nowhere to lead.
fn supported(backend: &Backend) -> Result<(), Refusal> {
    let spec = &backend.spec;
    if spec.endpoints.is_empty() && spec.r#type == BackendType::Endpoints {
        let message = "A Backend needs at least one endpoint.";
        return Err(Refusal::new(
            reasons::INVALID_BACKEND_REF,
            "spec.endpoints",
            message,
        ));
    }
    Ok(())
}

fn protocol(backend: &Backend) -> Result<Protocol, Refusal> {
    const FIELD: &str = "spec.appProtocols";
    const EXCLUSIVE: &str = "h2c excludes ws and wss: one is HTTP/2, the others HTTP/1.1.";
    let protocols = &backend.spec.app_protocols;
    let refuse = |message: &str| Err(Refusal::new(reasons::UNSUPPORTED_VALUE, FIELD, message));
    let wss = protocols.contains(&AppProtocol::Wss);
    let Some(tls) = &backend.spec.tls else {
        return match (
            protocols.contains(&AppProtocol::H2c),
            protocols.contains(&AppProtocol::Ws),
        ) {
            _ if wss => refuse("gateway.envoyproxy.io/wss is TLS, of which spec.tls says nothing."),
            (true, true) => refuse(EXCLUSIVE),
            (true, false) => Ok(Protocol::Http2),
            (false, _) => Ok(Protocol::Http1),
        };
    };
    let websocket = wss || protocols.contains(&AppProtocol::Ws);
    let offers = |name: &str| {
        let offered = tls.alpn_protocols.as_ref();
        offered.is_none_or(|offered| offered.iter().any(|offered| offered == name))
    };
    let http1 = offers("http/1.1") || !offers("h2");
    match (protocols.contains(&AppProtocol::H2c), websocket) {
        (true, true) => refuse(EXCLUSIVE),
        (true, false) if !offers("h2") => {
            refuse("h2c is HTTP/2, which spec.tls.alpnProtocols does not offer.")
        }
        (false, true) if !http1 => {
            refuse("ws and wss are HTTP/1.1, which spec.tls.alpnProtocols does not offer.")
        }
        (true, false) => Ok(Protocol::Http2),
        (false, true) => Ok(Protocol::Http1),
        (false, false) => Ok(match (http1, offers("h2")) {
            (true, true) => Protocol::Negotiated,
            (true, false) => Protocol::Http1,
            (false, _) => Protocol::Http2,
        }),
    }
}

fn check_endpoint(
    index: usize,
    endpoint: &BackendEndpoint,
    options: &Options,
) -> Result<(), Refusal> {
    let invalid = |field: &str, message: String| {
        let field = format!("spec.endpoints[{index}].{field}");
        Err(Refusal::new(reasons::INVALID_ADDRESS, field, message))
    };
    let allowed = options.allow_local_backends;
    if let Some(ip) = &endpoint.ip {
        let Ok(address) = ip.address.parse::<IpAddr>() else {
            return invalid("ip.address", format!("{:?} is no IP address.", ip.address));
        };
        if let Some(why) = local::unfit_address(address, allowed) {
            return invalid(
                "ip.address",
                format!("{address} is {why}, which backends must not be."),
            );
        }
        if ip.port == 0 {
            return invalid("ip.port", "Port 0 cannot be connected to.".into());
        }
    }
    if let Some(fqdn) = &endpoint.fqdn {
        let name = fqdn.hostname.trim_end_matches('.');
        if let Some(message) = local::unfit_name(name, allowed) {
            return invalid("fqdn.hostname", message);
        }
        if fqdn.port == 0 {
            return invalid("fqdn.port", "Port 0 cannot be connected to.".into());
        }
    }
    if endpoint.unix.is_some() && !allowed {
        let message = "Unix sockets are refused, since they reach the proxy's own admin interface. \
                       Start Locum with --allow-local-backends to use them.";
        return invalid("unix", message.into());
    }
    Ok(())
}

/// Adds where `endpoint` is, a Service's endpoints where its name is one.
fn place(
    endpoint: &BackendEndpoint,
    plan: &mut BackendPlan,
    reader: &Reader<'_>,
    grants: &Grants<'_>,
    options: &Options,
    endpoints: &mut Vec<Endpoint>,
) {
    let mut add = |address| {
        endpoints.push(Endpoint {
            address,
            hostname: endpoint.hostname.clone(),
            health: Health::Unknown,
        });
    };
    if let Some(ip) = &endpoint.ip {
        if let Ok(address) = ip.address.parse() {
            add(Address::Ip(SocketAddr::new(address, ip.port)));
        }
    } else if let Some(unix) = &endpoint.unix {
        add(Address::Unix(unix.path.clone()));
    } else if let Some(fqdn) = &endpoint.fqdn {
        let name = fqdn.hostname.trim_end_matches('.');
        let service = service_meant(name, &plan.key.object.namespace, grants, options);
        let found = service
            .as_ref()
            .and_then(|service| services::named(reader, service, fqdn.port));
        match (found, service) {
            (Some(found), Some(service)) => {
                let hostname = endpoint.hostname.as_deref().unwrap_or(name);
                endpoints.extend(found.into_iter().map(|endpoint| Endpoint {
                    hostname: Some(hostname.into()),
                    ..endpoint
                }));
                plan.services.push(Key {
                    kind: Kind::Service,
                    object: service,
                });
            }
            _ => add(Address::Name(name.into(), fqdn.port)),
        }
    }
}

/// The cluster IP of the Service that an endpoint's name stands for.
fn virtual_ip(
    endpoint: &BackendEndpoint,
    namespace: &str,
    reader: &Reader<'_>,
    grants: &Grants<'_>,
    options: &Options,
) -> Option<Endpoint> {
    let fqdn = endpoint.fqdn.as_ref()?;
    let name = fqdn.hostname.trim_end_matches('.');
    let service = service_meant(name, namespace, grants, options)?;
    let found = services::named_by_service(reader, &service, fqdn.port)?;
    let hostname = endpoint.hostname.as_deref().unwrap_or(name);
    Some(Endpoint {
        hostname: Some(hostname.into()),
        ..found
    })
}

/// Names that are left to DNS although they stand for a Service. Only a cluster's own DNS answers
/// them, which is not there where files of a cluster are tried out on one machine.
fn left_to_dns(
    key: &Key,
    backend: &Backend,
    reader: &Reader<'_>,
    grants: &Grants<'_>,
    options: &Options,
) -> Vec<Problem> {
    let namespace = &key.object.namespace;
    let named = backend.spec.endpoints.iter().enumerate();
    named
        .filter_map(|(index, endpoint)| {
            let fqdn = endpoint.fqdn.as_ref()?;
            let name = fqdn.hostname.trim_end_matches('.');
            let (reason, message) =
                if let Some(service) = missing(endpoint, namespace, reader, grants, options) {
                    let message = format!(
                        "Service {service} does not exist, so {name} is left to DNS, and nothing is served \
                         where DNS does not know it either."
                    );
                    (reasons::SERVICE_NOT_FOUND, message)
                } else {
                    let service = in_cluster(name, &options.cluster_domain)?;
                    reader.get::<Service>(&service.namespace, &service.name)?;
                    if services::named(reader, &service, fqdn.port).is_some() {
                        return None;
                    }
                    let message = format!(
                        "Service {service} has no EndpointSlice, so {name} is left to DNS. Where no DNS knows \
                         it, it serves nothing until there is an EndpointSlice."
                    );
                    (reasons::LEFT_TO_DNS, message)
                };
            let field = format!("spec.endpoints[{index}].fqdn.hostname");
            Some(Problem::warning(key, &field, reason, message))
        })
        .collect()
}

/// The Service that is not there, where all endpoints of a Backend are names of such.
fn missing_service(
    backend: &Backend,
    reader: &Reader<'_>,
    grants: &Grants<'_>,
    options: &Options,
) -> Option<ObjectName> {
    let namespace = backend.metadata.namespace.as_deref().unwrap_or_default();
    let endpoints = backend.spec.endpoints.iter();
    let missing = endpoints.map(|endpoint| missing(endpoint, namespace, reader, grants, options));
    let missing: Option<Vec<ObjectName>> = missing.collect();
    missing?.into_iter().next()
}

/// The Service that an endpoint's name stands for, where all Services are known and this one is not
/// there.
fn missing(
    endpoint: &BackendEndpoint,
    namespace: &str,
    reader: &Reader<'_>,
    grants: &Grants<'_>,
    options: &Options,
) -> Option<ObjectName> {
    // Files need not hold all that a cluster has.
    if options.addresses != GatewayAddresses::Services {
        return None;
    }
    let name = endpoint.fqdn.as_ref()?.hostname.trim_end_matches('.');
    let service = service_meant(name, namespace, grants, options)?;
    let known = reader.get::<Service>(&service.namespace, &service.name);
    known.is_none().then_some(service)
}

/// The Service whose endpoints a Backend of `namespace` may mean by a name.
fn service_meant(
    name: &str,
    namespace: &str,
    grants: &Grants<'_>,
    options: &Options,
) -> Option<ObjectName> {
    let from = From {
        group: Kind::Backend.group(),
        kind: Kind::Backend.name(),
        namespace,
    };
    in_cluster(name, &options.cluster_domain)
        .filter(|service| grants.permit(from, "", "Service", service))
}

/// The Service that a name inside the cluster stands for: `<service>.<namespace>.svc`, with or
/// without the cluster's domain.
fn in_cluster(name: &str, cluster_domain: &str) -> Option<ObjectName> {
    let name = name
        .strip_suffix(cluster_domain)
        .and_then(|name| name.strip_suffix('.'))
        .unwrap_or(name);
    let mut labels = name.split('.');
    let (service, namespace, svc) = (labels.next()?, labels.next()?, labels.next()?);
    (svc == "svc" && labels.next().is_none()).then(|| ObjectName::new(namespace, service))
}

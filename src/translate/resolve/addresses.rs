//! Addresses of a Gateway: where its clients reach it.
//!
//! In: where listeners bind, or the Services that lead to the Gateway's proxies. Out: IP addresses
//! and host names for its status.

use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::resource::{Key, ObjectName, Service};
use crate::store::GATEWAY_NAME;
use crate::translate::{GatewayAddresses, Options, read::Reader};

/// Gateway API allows so many addresses in a status.
const MAX_ADDRESSES: usize = 16;

/// What stands for the address of a headless Service.
const HEADLESS: &str = "None";

/// The addresses of a Gateway, sorted, each once.
pub(super) fn addresses(gateway: &Key, reader: &Reader<'_>, options: &Options) -> Vec<String> {
    let mut addresses = match options.addresses {
        GatewayAddresses::Listeners => of_listeners(options.listen),
        GatewayAddresses::Services => {
            let services = reader.referrers::<Service>(gateway);
            services.flat_map(|service| of_service(service)).collect()
        }
    };
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

/// What to do where no Service leads to a Gateway's proxies.
pub(super) fn none(gateway: &ObjectName) -> String {
    format!(
        "No Service in namespace {} with the label {GATEWAY_NAME}: {} has an address. Label the \
         Service in front of the Gateway's Envoys.",
        gateway.namespace, gateway.name
    )
}

/// What to do where Services lead to a Gateway's proxies, and none of them to this port of theirs, at
/// which a listener for `port` is bound.
pub(super) fn unreached(
    gateway: &Key,
    port: u16,
    bind_port: u16,
    reader: &Reader<'_>,
    options: &Options,
) -> Option<String> {
    if options.addresses == GatewayAddresses::Listeners {
        return None;
    }
    let services: Vec<_> = reader.referrers::<Service>(gateway).collect();
    let first = services.first()?;
    if services.iter().any(|service| leads_to(service, bind_port)) {
        return None;
    }
    let name = first.metadata.name.as_deref().unwrap_or_default();
    Some(format!(
        "Bound at port {bind_port}, where no Service leads: add port {port} with targetPort {bind_port} to Service \
         {}/{name}.",
        gateway.object.namespace
    ))
}

/// Whether a Service has a port that leads to this one of its Pods, or may.
fn leads_to(service: &Service, bind_port: u16) -> bool {
    let spec = service.spec.as_ref();
    let is_headless = spec.and_then(|spec| spec.cluster_ip.as_deref()) == Some(HEADLESS);
    let ports = spec.and_then(|spec| spec.ports.as_ref());
    let Some(ports) = ports.filter(|_| !is_headless) else {
        // Clients go to the Pods themselves, or to what somebody else knows.
        return true;
    };
    ports.iter().any(|port| match &port.target_port {
        Some(IntOrString::Int(target)) => *target == i32::from(bind_port),
        // Only the Pods say which one it means.
        Some(IntOrString::String(_)) => true,
        None => port.port == i32::from(bind_port),
    })
}

/// The addresses that clients can be told: none where every address of the host is bound.
fn of_listeners(listen: IpAddr) -> Vec<String> {
    if listen.is_unspecified() {
        Vec::new()
    } else {
        vec![listen.to_string()]
    }
}

/// Where a Service is reached: from outside the cluster if it has a load balancer, else from inside.
fn of_service(service: &Service) -> Vec<String> {
    let balancer = service.status.as_ref().and_then(|status| {
        let balancer = status.load_balancer.as_ref()?;
        balancer.ingress.as_ref()
    });
    let outside: Vec<String> = balancer
        .into_iter()
        .flatten()
        .filter_map(|ingress| ingress.ip.clone().or_else(|| ingress.hostname.clone()))
        .filter(|address| !address.is_empty())
        .collect();
    if !outside.is_empty() {
        return outside;
    }
    let spec = service.spec.as_ref();
    let every = spec.and_then(|spec| spec.cluster_ips.clone());
    let one = || spec.and_then(|spec| spec.cluster_ip.clone());
    every
        .unwrap_or_else(|| one().into_iter().collect())
        .into_iter()
        .filter(|address| !address.is_empty() && address != HEADLESS)
        .collect()
}

//! Addresses of a Gateway: where its clients reach it.
//!
//! In: where listeners bind, or the Services that lead to the Gateway's proxies. Out: IP addresses
//! and host names for its status.

use std::net::IpAddr;

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

//! The rules of EndpointSlice, as far as they matter to Locum.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{check_length, check_port, check_unique};
use crate::resource::EndpointSlice;
use crate::resource::fault::{At, Faults, reason};
use crate::resource::names;

const ENDPOINT_LIMIT: usize = 1000;
const ADDRESS_LIMIT: usize = 100;
const PORT_LIMIT: usize = 20_000;

/// Fills in defaults and notes what an API server would refuse.
pub(in crate::resource) fn complete(slice: &mut EndpointSlice, faults: &mut Faults) {
    let family = slice.address_type.as_str();
    if !matches!(family, "IPv4" | "IPv6" | "FQDN") {
        let message = format!("is {family:?}: must be IPv4, IPv6 or FQDN");
        faults.error(&At::Root.field("addressType"), reason::INVALID, message);
        return;
    }
    let at_endpoints = At::Root.field("endpoints");
    let endpoints = slice.endpoints.as_deref().unwrap_or_default();
    check_length(endpoints.len(), 0, ENDPOINT_LIMIT, &at_endpoints, faults);
    for (index, endpoint) in endpoints.iter().enumerate() {
        let at_endpoint = at_endpoints.item(index);
        let at = at_endpoint.field("addresses");
        check_length(endpoint.addresses.len(), 1, ADDRESS_LIMIT, &at, faults);
        for (index, address) in endpoint.addresses.iter().enumerate() {
            check_address(address, family, &at.item(index), faults);
        }
    }
    let at_ports = At::Root.field("ports");
    let ports = slice.ports.as_deref_mut().unwrap_or_default();
    check_length(ports.len(), 0, PORT_LIMIT, &at_ports, faults);
    for (index, port) in ports.iter_mut().enumerate() {
        let at = at_ports.item(index);
        let name = port.name.get_or_insert_default();
        if !name.is_empty() {
            names::LABEL.check(name, &at.field("name"), faults);
        }
        port.protocol.get_or_insert_with(|| "TCP".into());
        if let Some(port) = port.port {
            check_port(port, &at.field("port"), faults);
        }
    }
    check_unique(
        ports.iter().map(|port| &port.name),
        "name",
        &at_ports,
        faults,
    );
}

fn check_address(address: &str, family: &str, at: &At<'_>, faults: &mut Faults) {
    let (is_met, expected) = match family {
        "IPv4" => (address.parse::<Ipv4Addr>().is_ok(), "an IPv4 address"),
        "IPv6" => (address.parse::<Ipv6Addr>().is_ok(), "an IPv6 address"),
        _ => return names::SUBDOMAIN.check(address, at, faults),
    };
    if !is_met {
        let message = format!("is {address:?}: must be {expected}, as addressType says");
        faults.error(at, reason::INVALID, message);
    }
}

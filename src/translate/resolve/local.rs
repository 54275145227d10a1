//! What no backend may be, and what is local to the proxy: its own admin interface among it.

use std::net::IpAddr;

/// Why an address cannot be a backend's, unless local ones are `allowed`.
pub(super) fn unfit_address(address: IpAddr, allowed: bool) -> Option<&'static str> {
    unreachable(address).or_else(|| (!allowed).then(|| local_kind(address)).flatten())
}

/// The same of a name, without a dot at its end.
pub(super) fn unfit_name(name: &str, allowed: bool) -> Option<String> {
    if name.parse::<IpAddr>().is_ok() {
        return Some(format!(
            "{name} is an IP address. Use a Backend with ip instead of a name."
        ));
    }
    let is_local = !name.contains('.') || name == "localhost" || name.ends_with(".localhost");
    (is_local && !allowed).then(|| {
        format!("{name:?} is no full name: at least two labels are needed, not below localhost.")
    })
}

/// What is wrong with an address that no request can be sent to.
fn unreachable(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        return Some("the unspecified address");
    }
    address.is_multicast().then_some("a multicast address")
}

/// How an address is local to the proxy, where it is.
fn local_kind(address: IpAddr) -> Option<&'static str> {
    let address = address.to_canonical();
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if address.is_loopback() {
        Some("a loopback address")
    } else if link_local {
        Some("a link-local address")
    } else {
        None
    }
}

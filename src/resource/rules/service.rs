//! The rules of Service, as far as they matter to Locum.

use super::{check_port, check_unique};
use crate::resource::Service;
use crate::resource::fault::{At, Faults, reason};
use crate::resource::names;

/// Fills in defaults and notes what an API server would refuse.
pub(in crate::resource) fn complete(service: &mut Service, faults: &mut Faults) {
    let at = At::Root.field("spec");
    let Some(spec) = &mut service.spec else {
        faults.error(&at, reason::REQUIRED, "is missing");
        return;
    };
    let kind = spec
        .type_
        .get_or_insert_with(|| "ClusterIP".into())
        .as_str();
    if !matches!(
        kind,
        "ClusterIP" | "NodePort" | "LoadBalancer" | "ExternalName"
    ) {
        let message =
            format!("is {kind:?}: must be ClusterIP, NodePort, LoadBalancer or ExternalName");
        faults.error(&at.field("type"), reason::INVALID, message);
    }
    let is_headless = spec.cluster_ip.as_deref() == Some("None");
    let ports = spec.ports.get_or_insert_default();
    let at_ports = at.field("ports");
    if ports.is_empty() && !is_headless && kind != "ExternalName" {
        faults.error(
            &at_ports,
            reason::REQUIRED,
            "is missing: a Service needs a port",
        );
    }
    let has_several = ports.len() > 1;
    for (index, port) in ports.iter_mut().enumerate() {
        let at = at_ports.item(index);
        port.protocol.get_or_insert_with(|| "TCP".into());
        check_port(port.port, &at.field("port"), faults);
        match &port.name {
            Some(name) => names::LABEL.check(name, &at.field("name"), faults),
            None if has_several => {
                let message = "is missing: each of several ports needs a name";
                faults.error(&at.field("name"), reason::REQUIRED, message);
            }
            None => {}
        }
    }
    let names = ports
        .iter()
        .enumerate()
        .map(|(index, port)| match &port.name {
            Some(name) => (name.as_str(), 0),
            // That names are missing was said already.
            None => ("", index + 1),
        });
    check_unique(names, "name", &at_ports, faults);
    let sockets = ports.iter().map(|port| (port.port, &port.protocol));
    check_unique(sockets, "port and protocol", &at_ports, faults);
}

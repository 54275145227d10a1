//! The other replicas: where they are, as the EndpointSlices of Locum's own Service say. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use super::Member;
use crate::store::SERVICE_NAME;

/// The Service that stands for all replicas, and its port for them.
pub const SERVICE: &str = "locum";
const PORT: &str = "xds";

/// Another replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Whether proxies are sent to it.
    pub(super) ready: bool,
}

/// The replicas but for this one, by the names of their Pods (where a slice does not say them, by
/// their addresses). Those too that are not ready: proxies may still be connected to one that is
/// about to end.
pub(super) fn peers<'a>(
    slices: impl Iterator<Item = &'a EndpointSlice>,
    own: &Member,
) -> BTreeMap<String, Peer> {
    let mut peers = BTreeMap::new();
    for slice in slices.filter(|slice| is_of_locum(slice, &own.namespace)) {
        let ports = slice.ports.iter().flatten();
        let port = ports
            .filter(|port| port.name.as_deref() == Some(PORT))
            .find_map(|port| u16::try_from(port.port?).ok());
        let Some(port) = port else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let Some((name, address)) = place(endpoint) else {
                continue;
            };
            if name == own.name || Some(address) == own.ip {
                continue;
            }
            // A Pod with two families of addresses stands in two slices.
            let conditions = endpoint.conditions.as_ref();
            peers.entry(name).or_insert(Peer {
                address: SocketAddr::new(address, port),
                ready: conditions.and_then(|conditions| conditions.ready) == Some(true),
            });
        }
    }
    peers
}

fn is_of_locum(slice: &EndpointSlice, namespace: &str) -> bool {
    let labels = slice.metadata.labels.as_ref();
    slice.metadata.namespace.as_deref() == Some(namespace)
        && labels
            .and_then(|labels| labels.get(SERVICE_NAME))
            .map(String::as_str)
            == Some(SERVICE)
}

fn place(endpoint: &Endpoint) -> Option<(String, IpAddr)> {
    let address = endpoint.addresses.first()?;
    let pod = endpoint.target_ref.as_ref();
    let pod = pod.and_then(|target| target.name.clone());
    Some((
        pod.unwrap_or_else(|| address.clone()),
        address.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(namespace: &str, service: &str, endpoints: &serde_json::Value) -> EndpointSlice {
        let slice = serde_json::json!({
            "metadata": {"namespace": namespace, "labels": {SERVICE_NAME: service}},
            "addressType": "IPv4",
            "ports": [{"name": "health", "port": 18081}, {"name": PORT, "port": 18000}],
            "endpoints": endpoints,
        });
        serde_json::from_value(slice).unwrap()
    }

    fn endpoint(pod: &str, address: &str, ready: bool) -> serde_json::Value {
        serde_json::json!({
            "addresses": [address],
            "conditions": {"ready": ready},
            "targetRef": {"kind": "Pod", "name": pod},
        })
    }

    fn own() -> Member {
        Member {
            name: "locum-a".into(),
            namespace: "locum-system".into(),
            ip: Some("10.0.0.1".parse().unwrap()),
        }
    }

    #[test]
    fn peers_are_the_endpoints_of_the_service_ready_or_not_without_oneself() {
        let ours = slice(
            "locum-system",
            "locum",
            &serde_json::json!([
                endpoint("locum-a", "10.0.0.1", true),
                endpoint("locum-b", "10.0.0.2", true),
                endpoint("locum-c", "10.0.0.3", false),
            ]),
        );
        let six = slice(
            "locum-system",
            "locum",
            &serde_json::json!([
                endpoint("locum-a", "fd00::1", true),
                endpoint("locum-b", "fd00::2", true),
            ]),
        );
        let others = serde_json::json!([endpoint("x", "10.0.0.9", true)]);
        let slices = [
            ours,
            six,
            slice("default", "locum", &others),
            slice("locum-system", "other", &others),
        ];
        let found = peers(slices.iter(), &own());
        let peer = |address: &str, ready| Peer {
            address: address.parse().unwrap(),
            ready,
        };
        let expected = BTreeMap::from([
            ("locum-b".into(), peer("10.0.0.2:18000", true)),
            ("locum-c".into(), peer("10.0.0.3:18000", false)),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn a_replica_that_does_not_know_its_pod_knows_its_address() {
        let mut own = own();
        own.name = "elsewhere".into();
        let endpoints = serde_json::json!([
            endpoint("locum-a", "10.0.0.1", true),
            endpoint("locum-b", "10.0.0.2", true),
        ]);
        let slices = [slice("locum-system", "locum", &endpoints)];
        let found = peers(slices.iter(), &own);
        assert!(found.keys().eq(["locum-b"]), "{found:?}");
    }
}

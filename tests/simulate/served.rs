//! What the Envoy is told: a Gateway with a route to each chain, as Locum emits it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::{HealthStatus, address, socket_address};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use locum::model::{
    Action, BackOff, ChainName, Filters, Forward, Gateway, HashInput, PathMatch, Port, Retry,
    Route, RouteMatch, VirtualHost,
};
use locum::resource::{Key, Kind, ObjectName};
use locum::translate::emit;
use locum::translate::{GatewayAddresses, Options};
use locum::xds::kind::Kind as ResourceKind;
use locum::xds::resource::Resource;
use locum::xds::snapshot::Snapshot;
use prost::Message as _;

use crate::chains::Scene;

/// The namespace of the Gateway, and its name.
pub(crate) const GATEWAY: (&str, &str) = ("simulate", "envoy");

/// The clusters of the scene of that number begin so.
fn chain_name(number: usize) -> ChainName {
    ChainName(format!("default/{number}"))
}

/// The clusters that have endpoints, each with how many it has.
pub(crate) fn clusters(scenes: &[Scene]) -> BTreeMap<String, usize> {
    let mut clusters = BTreeMap::new();
    for (number, scene) in scenes.iter().enumerate() {
        let ChainName(name) = chain_name(number);
        for tier in &scene.situation.tiers {
            let cluster = match scene.situation.aggregate {
                true => format!("{name}/tier/{}", tier.number),
                false => name.clone(),
            };
            // That of a drained tier is beside the aggregate, with its endpoints.
            if scene.situation.aggregate && scene.chain.tiers[tier.number].drained {
                continue;
            }
            let endpoints = tier.members.iter().map(|member| member.endpoints.len());
            *clusters.entry(cluster).or_default() += endpoints.sum::<usize>();
        }
    }
    clusters
}

/// The path `/<number>` leads to the scene of that number.
pub(crate) fn snapshot(scenes: &[Scene], listener: SocketAddr) -> anyhow::Result<Snapshot> {
    let routes = (0..scenes.len()).map(route);
    let host = VirtualHost {
        domain: "*".into(),
        routes: routes.collect(),
        owners: BTreeSet::new(),
    };
    let port = Port {
        port: listener.port(),
        bind_port: listener.port(),
        virtual_hosts: vec![host],
        owners: BTreeSet::new(),
    };
    let chains = scenes.iter().enumerate();
    let gateway = Gateway {
        ports: [(listener.port(), port)].into(),
        chains: chains
            .map(|(number, scene)| (chain_name(number), scene.chain.clone()))
            .collect(),
        secrets: BTreeMap::new(),
        owners: BTreeSet::new(),
    };
    let name = ObjectName::new(GATEWAY.0, GATEWAY.1);
    let emitted = emit::emit(&name, &gateway, &options(), None);
    let resources: anyhow::Result<Vec<_>> = emitted
        .resources()
        .map(|resource| with_what_the_model_cannot_say(resource, scenes))
        .collect();
    let snapshot = Snapshot::new(resources?, None);
    snapshot.check_closed()?;
    Ok(snapshot)
}

fn options() -> Options {
    Options {
        controller_names: Vec::new(),
        listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
        allow_local_backends: true,
        cluster_domain: "cluster.local".into(),
        addresses: GatewayAddresses::Listeners,
    }
}

/// Without retries: each request is one attempt.
fn route(number: usize) -> Route {
    let forward = Forward {
        chain: chain_name(number),
        failing_millionths: 0,
        timeout: None,
        stream_idle_timeout: None,
        max_stream_duration: None,
        retry: Retry {
            retries: 0,
            on: BTreeSet::new(),
            on_repeatable: BTreeSet::new(),
            status_codes: Vec::new(),
            per_try_timeout: None,
            back_off: BackOff {
                base: std::time::Duration::from_millis(5),
                max: None,
            },
            attempts_per_tier: None,
            body_limit: 0,
        },
        hash: vec![HashInput::Header("x-key".into())],
        filters: Filters::default(),
        upgrades: None,
        stat_prefix: None,
        last_resort: None,
    };
    Route {
        name: number.to_string(),
        matches: RouteMatch {
            path: PathMatch::Exact(format!("/{number}")),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        },
        action: Action::Forward(Box::new(forward)),
        owner: Key::new(Kind::HttpRoute, "default", "all"),
        rule: number,
    }
}

/// The model has no degraded endpoints: they are written into what was emitted.
fn with_what_the_model_cannot_say(
    resource: Arc<Resource>,
    scenes: &[Scene],
) -> anyhow::Result<Arc<Resource>> {
    let mut changed = match resource.kind {
        ResourceKind::Endpoint => {
            let mut message = ClusterLoadAssignment::decode(&*resource.body)?;
            let scene = scene_of(&resource.name, scenes)?;
            adapt(&mut message, scene);
            Resource::new(resource.kind, &resource.name, &message)
        }
        ResourceKind::Cluster => {
            let mut message = Cluster::decode(&*resource.body)?;
            let Some(assignment) = &mut message.load_assignment else {
                return Ok(resource);
            };
            adapt(assignment, scene_of(&resource.name, scenes)?);
            Resource::new(resource.kind, &resource.name, &message)
        }
        _ => return Ok(resource),
    };
    changed.references = resource.references.clone();
    changed.readiness = resource.readiness;
    changed.owners = resource.owners.clone();
    Ok(Arc::new(changed))
}

/// The scene whose cluster is called so.
fn scene_of<'a>(cluster: &str, scenes: &'a [Scene]) -> anyhow::Result<&'a Scene> {
    let number = cluster.split('/').nth(1).unwrap_or_default();
    Ok(&scenes[number.parse::<usize>()?])
}

fn adapt(assignment: &mut ClusterLoadAssignment, scene: &Scene) {
    let degraded = scene.degraded();
    let localities = assignment.endpoints.iter_mut();
    for endpoint in localities.flat_map(|locality| &mut locality.lb_endpoints) {
        let is_well = endpoint.health_status == i32::from(HealthStatus::Unknown);
        let port = port(endpoint.host_identifier.as_ref());
        if is_well && port.is_some_and(|port| degraded.contains(&port)) {
            endpoint.health_status = HealthStatus::Degraded.into();
        }
    }
}

fn port(host: Option<&HostIdentifier>) -> Option<u16> {
    let Some(HostIdentifier::Endpoint(endpoint)) = host else {
        return None;
    };
    let address::Address::SocketAddress(address) = endpoint.address.as_ref()?.address.as_ref()?
    else {
        return None;
    };
    let socket_address::PortSpecifier::PortValue(port) = address.port_specifier.as_ref()? else {
        return None;
    };
    u16::try_from(*port).ok()
}

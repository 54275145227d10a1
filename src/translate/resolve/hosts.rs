//! Hosts: the virtual hosts of a Gateway's ports, filled route by route.
//!
//! In: routes with the listener they are attached to. Out: the model's Gateway. A host belongs to
//! the most specific listener on its port (Gateway API's listener isolation): routes of a wider one
//! never answer for it.

use std::collections::{BTreeMap, BTreeSet};

use super::gateways::GatewayPlan;
use super::hostnames::{ANY, covers, narrowness};
use super::matches::Precedence;
use super::readiness::Readiness;
use crate::model::{
    Action, Chain, ChainName, Gateway, Port, Route, Secret, SecretName, Tls, VirtualHost,
};
use crate::resource::{Key, ObjectName};

/// A route in the making, with its place in the order.
pub(super) type Placed = (Precedence, Route);

/// The hosts of one Gateway.
pub(super) struct Hosts<'a> {
    ports: BTreeMap<u16, BTreeMap<&'a str, Vec<Placed>>>,
    pub chains: BTreeMap<ChainName, Chain>,
    /// What stands against the failover of each chain.
    pub readiness: BTreeMap<ChainName, Readiness>,
    /// The routes attached to each listener.
    pub attached: Vec<BTreeSet<ObjectName>>,
}

impl<'a> Hosts<'a> {
    /// The hosts of the Gateway's listeners, without routes.
    pub(super) fn new(plan: &GatewayPlan<'a>) -> Self {
        let mut ports: BTreeMap<u16, BTreeMap<&str, Vec<Placed>>> = BTreeMap::new();
        for listener in plan
            .listeners
            .iter()
            .filter(|listener| plan.serves(listener))
        {
            let hosts = ports.entry(listener.port).or_default();
            hosts.insert(listener.hostname.unwrap_or(ANY), Vec::new());
        }
        Self {
            ports,
            chains: BTreeMap::new(),
            readiness: BTreeMap::new(),
            attached: vec![BTreeSet::new(); plan.listeners.len()],
        }
    }

    /// Adds a route to a host of a port.
    pub(super) fn add(&mut self, port: u16, host: &'a str, placed: Placed) {
        self.ports
            .entry(port)
            .or_default()
            .entry(host)
            .or_default()
            .push(placed);
    }

    /// The model of the Gateway.
    pub(super) fn into_gateway(
        self,
        plan: &GatewayPlan<'_>,
        secrets: &BTreeMap<SecretName, Secret>,
    ) -> Gateway {
        let owners = BTreeSet::from([plan.key.clone()]);
        let mut chains = self.chains;
        let ports: BTreeMap<u16, Port> = self
            .ports
            .into_iter()
            .filter_map(|(port, hosts)| {
                let listener = plan
                    .listeners
                    .iter()
                    .find(|listener| listener.port == port && plan.serves(listener))?;
                let model = Port {
                    port,
                    bind_port: listener.bind_port,
                    virtual_hosts: virtual_hosts(hosts, &plan.key),
                    owners: owners.clone(),
                };
                Some((port, model))
            })
            .collect();
        let used: BTreeSet<&ChainName> = ports
            .values()
            .flat_map(|port| &port.virtual_hosts)
            .flat_map(|host| &host.routes)
            .filter_map(|route| match &route.action {
                Action::Forward(forward) => Some(&forward.chain),
                Action::Respond { .. } => None,
            })
            .collect();
        chains.retain(|name, _| used.contains(name));
        let members = chains.values().flat_map(Chain::members);
        let named = members.filter_map(|member| member.tls.as_deref());
        let secrets = named
            .flat_map(Tls::secrets)
            .filter_map(|name| Some((name.clone(), secrets.get(name)?.clone())))
            .collect();
        Gateway {
            ports,
            chains,
            secrets,
            owners,
        }
    }
}

/// The most specific listener that is served on `port` and takes `host`.
pub(super) fn owner(plan: &GatewayPlan<'_>, port: u16, host: &str) -> Option<usize> {
    let listeners = plan.listeners.iter().enumerate();
    listeners
        .filter(|(_, listener)| {
            listener.port == port
                && plan.serves(listener)
                && covers(listener.hostname.unwrap_or(ANY), host)
        })
        .max_by_key(|(_, listener)| narrowness(listener.hostname.unwrap_or(ANY)))
        .map(|(index, _)| index)
}

/// The virtual hosts, in the order of their names, their routes in the order they are tried.
fn virtual_hosts(hosts: BTreeMap<&str, Vec<Placed>>, gateway: &Key) -> Vec<VirtualHost> {
    // An empty host keeps a wider one from answering for it; where there is none, it says nothing.
    let shadowing: BTreeSet<&str> = hosts
        .iter()
        .filter(|(host, routes)| {
            routes.is_empty()
                && hosts.iter().any(|(wider, routes)| {
                    wider != *host && !routes.is_empty() && covers(wider, host)
                })
        })
        .map(|(host, _)| *host)
        .collect();
    hosts
        .into_iter()
        .filter(|(host, routes)| !routes.is_empty() || shadowing.contains(host))
        .map(|(host, mut placed)| {
            placed.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            let mut owners = BTreeSet::from([gateway.clone()]);
            for (_, route) in &placed {
                if !owners.contains(&route.owner) {
                    owners.insert(route.owner.clone());
                }
            }
            VirtualHost {
                domain: host.into(),
                routes: placed.into_iter().map(|(_, route)| route).collect(),
                owners,
            }
        })
        .collect()
}

//! What a reload changes for the proxies, in few words.

use std::collections::BTreeMap;

use crate::model::{ChainName, Gateway, Model, Route};
use crate::resource::ObjectName;

/// The most names of one sort of change that are said.
const NAME_LIMIT: usize = 3;

/// What differs between two models, a phrase for each sort of change; empty if nothing does.
pub(super) fn between(before: &Model, after: &Model) -> Vec<String> {
    let gateways = Difference::of(by_name(before), by_name(after), |_, _| true);
    let ports = Difference::of(
        by_gateway(before, |gateway| &gateway.ports),
        by_gateway(after, |gateway| &gateway.ports),
        |a, b| (a.port, a.bind_port) == (b.port, b.bind_port),
    );
    let routes = Difference::of(routes(before), routes(after), |a, b| {
        a.matches == b.matches && a.action == b.action
    });
    let chains = Difference::of(
        by_gateway(before, |gateway| &gateway.chains),
        by_gateway(after, |gateway| &gateway.chains),
        |a, b| a.tiers == b.tiers && a.settings == b.settings,
    );
    let mut phrases = gateways.phrases("Gateway", ToString::to_string);
    phrases.extend(ports.phrases("listener", |(_, port)| format!("port {port}")));
    phrases.extend(routes.phrases("route", |key: &RouteKey<'_>| format!("{} {}", key.2, key.3)));
    let name = |(_, name): &(&ObjectName, &ChainName)| name.0.clone();
    phrases.extend(chains.phrases("chain", name));
    phrases
}

fn by_name(model: &Model) -> BTreeMap<&ObjectName, &Gateway> {
    model.gateways.iter().collect()
}

/// Gateway, port, domain, name.
type RouteKey<'a> = (&'a ObjectName, u16, &'a str, &'a str);

fn routes(model: &Model) -> BTreeMap<RouteKey<'_>, &Route> {
    let mut routes = BTreeMap::new();
    for (gateway, content) in &model.gateways {
        for port in content.ports.values() {
            for host in &port.virtual_hosts {
                for route in &host.routes {
                    let key = (
                        gateway,
                        port.port,
                        host.domain.as_str(),
                        route.name.as_str(),
                    );
                    routes.insert(key, route);
                }
            }
        }
    }
    routes
}

fn by_gateway<'a, K: Ord + 'a, V: 'a>(
    model: &'a Model,
    parts: impl Fn(&'a Gateway) -> &'a BTreeMap<K, V>,
) -> BTreeMap<(&'a ObjectName, &'a K), &'a V> {
    let gateways = model.gateways.iter();
    gateways
        .flat_map(|(name, gateway)| {
            let parts = parts(gateway).iter();
            parts.map(move |(key, value)| ((name, key), value))
        })
        .collect()
}

/// The keys that two maps do not share, or share with other values.
struct Difference<K> {
    added: Vec<K>,
    removed: Vec<K>,
    changed: Vec<K>,
}

impl<K: Ord> Difference<K> {
    fn of<V>(
        mut before: BTreeMap<K, V>,
        after: BTreeMap<K, V>,
        same: impl Fn(&V, &V) -> bool,
    ) -> Self {
        let (mut added, mut changed) = (Vec::new(), Vec::new());
        for (key, value) in after {
            match before.remove(&key) {
                None => added.push(key),
                Some(old) if !same(&old, &value) => changed.push(key),
                Some(_) => {}
            }
        }
        let removed = before.into_keys().collect();
        Self {
            added,
            removed,
            changed,
        }
    }

    fn phrases(&self, noun: &str, name: impl Fn(&K) -> String) -> Vec<String> {
        [
            phrase(&self.added, "added", noun, &name),
            phrase(&self.removed, "removed", noun, &name),
            phrase(&self.changed, "changed", noun, &name),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn phrase<K>(keys: &[K], verb: &str, noun: &str, name: impl Fn(&K) -> String) -> Option<String> {
    if keys.is_empty() {
        return None;
    }
    let mut names: Vec<String> = keys.iter().take(NAME_LIMIT).map(name).collect();
    if keys.len() > NAME_LIMIT {
        names.push(format!("and {} more", keys.len() - NAME_LIMIT));
    }
    let plural = if keys.len() == 1 { "" } else { "s" };
    Some(format!(
        "{} {noun}{plural} {verb} ({})",
        keys.len(),
        names.join(", ")
    ))
}

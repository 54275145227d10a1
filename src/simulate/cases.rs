//! What there is to simulate: the chains of a model, with the rules that use them, and what may fail of
//! each.

use std::collections::{BTreeMap, BTreeSet};

use super::situation::{Situation, Target};
use crate::model::{Action, Chain, ChainName, Model, Route};
use crate::resource::ObjectName;

/// What Envoy answers when it has no endpoint.
const UNSERVED: u16 = 503;

/// A chain and where it is used.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    pub name: &'a ChainName,
    pub chain: &'a Chain,
    /// The Gateways whose proxies serve it.
    pub gateways: BTreeSet<&'a ObjectName>,
    /// The rules that forward to it.
    pub uses: BTreeSet<Use<'a>>,
    /// See [`crate::model::Forward::failing_millionths`].
    pub failing_millionths: u32,
    /// What is answered when no tier can: 503, or the rules' last resorts.
    pub last_resorts: BTreeSet<u16>,
}

/// A rule of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use<'a> {
    pub route: &'a ObjectName,
    /// Counted from 0.
    pub rule: usize,
}

/// Every chain that a rule forwards to, once, by name.
pub fn cases(model: &Model) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    // Gateways may have one of the same name and other settings: then there are several.
    let mut known: BTreeMap<&ChainName, Vec<usize>> = BTreeMap::new();
    for (gateway, served) in &model.gateways {
        let mut here: BTreeMap<&ChainName, usize> = BTreeMap::new();
        for (name, chain) in &served.chains {
            let of_name = known.entry(name).or_default();
            let same = |index: &&usize| {
                let other = cases[**index].chain;
                // Whoever it was made from.
                *other
                    == Chain {
                        owners: other.owners.clone(),
                        ..chain.clone()
                    }
            };
            let index = of_name.iter().find(same).copied().unwrap_or(cases.len());
            if index == cases.len() {
                of_name.push(index);
                cases.push(Case {
                    name,
                    chain,
                    gateways: BTreeSet::new(),
                    uses: BTreeSet::new(),
                    failing_millionths: 0,
                    last_resorts: BTreeSet::new(),
                });
            }
            cases[index].gateways.insert(gateway);
            here.insert(name, index);
        }
        let ports = served.ports.values();
        let hosts = ports.flat_map(|port| &port.virtual_hosts);
        for route in hosts.flat_map(|host| &host.routes) {
            if let Action::Forward(forward) = &route.action
                && let Some(index) = here.get(&forward.chain)
            {
                cases[*index].uses.insert(rule_of(route));
                cases[*index].failing_millionths = forward.failing_millionths;
                let last_resort = forward.last_resort.as_ref();
                let status = last_resort.map_or(UNSERVED, |answer| answer.status);
                cases[*index].last_resorts.insert(status);
            }
        }
    }
    cases.sort_by(|one, other| (one.name, &one.gateways).cmp(&(other.name, &other.gateways)));
    cases
}

/// Every rule that is served, with the status that the proxy answers where it forwards to no chain.
pub fn rules(model: &Model) -> BTreeMap<Use<'_>, Option<u16>> {
    let ports = model.gateways.values().flat_map(|it| it.ports.values());
    let hosts = ports.flat_map(|port| &port.virtual_hosts);
    let routes = hosts.flat_map(|host| &host.routes);
    let answered = |action: &Action| match action {
        Action::Respond { status } => Some(*status),
        Action::Forward(_) => None,
    };
    routes
        .map(|route| (rule_of(route), answered(&route.action)))
        .collect()
}

fn rule_of(route: &Route) -> Use<'_> {
    Use {
        route: &route.owner.object,
        rule: route.rule,
    }
}

/// Something that fails, and what is then.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Nothing: as it is now.
    pub down: Vec<Target>,
    pub situation: Situation,
}

/// Each single failure of a tier or a member after what is down already, and in the end all tiers
/// together. A tier of one member is one failure.
pub fn failures(situation: &Situation) -> Vec<Failure> {
    let mut targets: Vec<Target> = Vec::new();
    for tier in &situation.tiers {
        let names = tier.members.iter().map(|member| &member.name);
        let members = names.map(|name| Target::Named(name.clone()));
        let whole = (tier.members.len() != 1).then_some(Target::Tier(tier.number));
        targets.extend(members.chain(whole));
    }
    let mut known = BTreeSet::new();
    targets.retain(|target| known.insert(target.clone()));
    let mut failures: Vec<Failure> = targets
        .into_iter()
        .filter_map(|target| {
            let situation = situation.without(&target)?;
            let down = vec![target];
            Some(Failure { down, situation })
        })
        .collect();
    if situation.tiers.len() > 1 {
        let tiers = situation.tiers.iter();
        let down: Vec<Target> = tiers.map(|tier| Target::Tier(tier.number)).collect();
        let all = down
            .iter()
            .try_fold(situation.clone(), |situation, tier| situation.without(tier));
        failures.extend(all.map(|situation| Failure { down, situation }));
    }
    failures
}

//! A situation: a chain as Envoy has it at one moment, and what takes parts of it down.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::model::{self, Address, Balancer, Chain};
use crate::translate::emit::{self, Discovery, Layout};

/// A chain at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Situation {
    /// In the order in which Envoy prefers them.
    pub tiers: Vec<Tier>,
    /// What a tier's share of endpoints that are well is multiplied by, in percent.
    pub overprovisioning_factor: u32,
    /// Below this share of endpoints that are well, in percent, the others are used too.
    pub panic_percent: u32,
    /// Whether endpoints are chosen by a hash (Maglev).
    pub by_hash: bool,
    /// Whether each tier has a cluster of its own, under an aggregate.
    pub aggregate: bool,
}

/// One tier of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// Its number in the chain.
    pub number: usize,
    /// Those that Envoy hears of.
    pub members: Vec<Member>,
}

/// One member of a tier.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// What it is, `Backend/default/active`.
    pub name: String,
    /// At least 1.
    pub weight: u32,
    pub endpoints: Vec<Endpoint>,
}

/// One endpoint of a member. A name is one, however many addresses DNS has for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    pub address: Address,
    pub health: Health,
}

/// What an endpoint is to Envoy, from whatever source: EDS, health checks, ejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    Healthy,
    /// Used when no tier has enough healthy ones: what is less preferred by hand.
    Degraded,
    /// Failed, ejected, unready. It lowers its tier's share of endpoints that are well.
    Unhealthy,
    /// Draining: gets nothing, and counts neither as well nor as failed.
    Excluded,
}

impl Situation {
    /// The chain with nothing failed but what its sources say.
    pub fn of(chain: &Chain) -> Self {
        let layout = emit::layout(chain);
        let mut seen = BTreeSet::new();
        let tiers = emit::turns(chain).map(|number| {
            let tier = &chain.tiers[number];
            let discovery = match &layout {
                Layout::OneCluster(discovery) => *discovery,
                Layout::Aggregate(tiers) => {
                    seen.clear();
                    tiers[number]
                }
            };
            let members = emit::members(tier).into_iter();
            let members = members.map(|(member, weight)| Member {
                name: member.name.clone(),
                weight,
                // Of a drained tier Envoy hears nothing.
                endpoints: match tier.drained {
                    true => Vec::new(),
                    false => endpoints(&member.endpoints, discovery, &mut seen),
                },
            });
            Tier {
                number,
                members: members.collect(),
            }
        });
        Self {
            tiers: tiers.collect(),
            overprovisioning_factor: emit::overprovisioning_factor(chain.switch),
            panic_percent: chain.settings.panic_percent,
            by_hash: matches!(chain.settings.balancer, Balancer::ConsistentHash { .. }),
            aggregate: matches!(layout, Layout::Aggregate(_)),
        }
    }

    /// The same with everything that `target` names down: all that fails of it at once, and that Envoy has
    /// found failed. An endpoint that stands in several places fails in all of them. Nothing where the
    /// target names nothing here.
    pub fn without(&self, target: &Target) -> Option<Self> {
        let mut found = false;
        let mut failed = BTreeSet::new();
        for tier in &self.tiers {
            let whole = *target == Target::Tier(tier.number);
            found |= whole;
            for member in &tier.members {
                let whole = whole || target.is_member(&member.name);
                found |= whole;
                let addresses = member.endpoints.iter().map(|it| &it.address);
                failed.extend(addresses.filter(|it| whole || target.is_endpoint(it)));
            }
        }
        let mut situation = self.clone();
        let members = situation.tiers.iter_mut().flat_map(|it| &mut it.members);
        for endpoint in members.flat_map(|member| &mut member.endpoints) {
            if failed.contains(&endpoint.address) {
                endpoint.health.fail();
            }
        }
        (found || !failed.is_empty()).then_some(situation)
    }

    /// All that can be named: tiers, members, endpoints, each once.
    pub fn targets(&self) -> Vec<String> {
        let members = || self.tiers.iter().flat_map(|tier| &tier.members);
        let tiers = self.tiers.iter().map(|tier| Target::Tier(tier.number));
        let names = members().map(|member| member.name.clone());
        let endpoints = members().flat_map(|member| &member.endpoints);
        let addresses = endpoints.map(|endpoint| endpoint.address.to_string());
        let mut known = BTreeSet::new();
        let all = tiers.map(|tier| tier.to_string()).chain(names);
        all.chain(addresses)
            .filter(|name| known.insert(name.clone()))
            .collect()
    }
}

/// The endpoints as a cluster has them. Of several with one address, which may stand in any of its tiers,
/// Envoy keeps the first, unless it finds them by name.
fn endpoints<'a>(
    endpoints: &'a [model::Endpoint],
    discovery: Discovery,
    seen: &mut BTreeSet<&'a Address>,
) -> Vec<Endpoint> {
    let kept = endpoints.iter().filter(|endpoint| {
        let is_new = seen.insert(&endpoint.address);
        is_new || discovery == Discovery::Dns
    });
    kept.map(|endpoint| Endpoint {
        address: endpoint.address.clone(),
        health: endpoint.health.into(),
    })
    .collect()
}

impl Health {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Excluded => "draining",
        }
    }

    /// Envoy goes on excluding what is excluded.
    fn fail(&mut self) {
        if *self != Self::Excluded {
            *self = Self::Unhealthy;
        }
    }
}

impl From<model::Health> for Health {
    fn from(health: model::Health) -> Self {
        match health {
            model::Health::Unknown => Self::Healthy,
            model::Health::Unhealthy => Self::Unhealthy,
            model::Health::Draining => Self::Excluded,
        }
    }
}

/// What may be down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// All of a tier: `tier:0`.
    Tier(usize),
    /// A member, with or without the port that its reference chose (`Service/default/web:80`), or an
    /// endpoint (`10.0.0.1:8080`).
    Named(String),
}

impl Target {
    fn is_member(&self, member: &str) -> bool {
        let Self::Named(name) = self else {
            return false;
        };
        let without_port = member.rsplit_once(':').map(|(member, _)| member);
        name == member || Some(name.as_str()) == without_port
    }

    fn is_endpoint(&self, address: &Address) -> bool {
        matches!(self, Self::Named(name) if *name == address.to_string())
    }
}

impl FromStr for Target {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let tier = text.strip_prefix("tier:");
        let number = tier.and_then(|number| number.parse().ok());
        Ok(number.map_or_else(|| Self::Named(text.to_owned()), Self::Tier))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tier(number) => write!(formatter, "tier:{number}"),
            Self::Named(name) => formatter.write_str(name),
        }
    }
}

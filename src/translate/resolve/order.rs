//! What one FailoverPolicy says: which of a rule's references are in which tier, and how the tiers
//! take turns.
//!
//! In: a policy's spec, and whether the time has come until which its pin lasts. Out: an [`Order`],
//! which knows whether it fits a rule.

use std::fmt;
use std::time::Duration;

use gateway_api::apis::experimental::httproutes::{HttpRouteRules, HttpRouteRulesBackendRefs};

use crate::model::{HealthCheck, LastResort, Probe, Probing, Switch};
use crate::resource::failover_policy::{Mode, Pin, Retry, TierHealthCheck, TierRef};
use crate::resource::{FailoverPolicy, Key, Kind, ObjectName};
use crate::status::stamp;
use crate::translate::read::Reader;

/// A policy's tiers.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub policy: Key,
    pub tiers: Vec<OrderedTier>,
    /// When requests go to the next tier.
    pub switch: Switch,
    /// What it says of retries.
    pub retry: Option<Retry>,
    /// What is answered when no tier can serve.
    pub last_resort: Option<LastResort>,
    /// The tier that is preferred now.
    pub pinned: Option<usize>,
    /// What the owner is told of the pin, where there is one.
    pub pin_says: Option<String>,
}

/// One tier of a policy.
#[derive(Clone, Debug)]
pub(super) struct OrderedTier {
    pub name: String,
    pub drained: bool,
    pub connect_timeout: Option<Duration>,
    pub health_check: Option<TierHealthCheck>,
    members: Vec<Named>,
}

/// Why a policy does not fit.
pub(super) struct Misfit {
    /// The policy's field.
    pub field: String,
    pub message: String,
}

/// What a reference names. A port that chooses nothing is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    group: String,
    kind: String,
    object: ObjectName,
    port: Option<u16>,
}

impl Order {
    /// What a policy says.
    pub(super) fn of(policy: &FailoverPolicy, reader: &Reader<'_>) -> Self {
        let key = Key::of(Kind::FailoverPolicy, &policy.metadata);
        let spec = &policy.spec;
        let namespace = &key.object.namespace;
        let tiers = spec.tiers.iter().map(|tier| {
            let members = tier.backend_refs.iter();
            OrderedTier {
                name: tier.name.clone(),
                drained: tier.drain == Some(true),
                connect_timeout: tier.connect_timeout.map(Into::into),
                health_check: tier.health_check.clone(),
                members: members
                    .map(|member| Named::in_policy(member, namespace))
                    .collect(),
            }
        });
        let pin = spec.pin.as_ref();
        let is_over = |pin: &Pin| {
            let until = pin.until.as_ref();
            until.is_some_and(|until| reader.has_passed(until.0))
        };
        Self {
            tiers: tiers.collect(),
            retry: spec.retry.clone(),
            last_resort: spec.last_resort.as_ref().map(|said| LastResort {
                status: said.status,
                body: said.body.clone().unwrap_or_default(),
                content_type: said.content_type.clone(),
            }),
            pinned: pin.filter(|pin| !is_over(pin)).and_then(|pin| {
                let mut tiers = spec.tiers.iter();
                tiers.position(|tier| tier.name == pin.tier)
            }),
            pin_says: pin.map(|pin| pin_says(pin, is_over(pin))),
            switch: match (spec.mode, spec.threshold) {
                (Mode::Spill, Some(threshold)) => Switch::Spill {
                    threshold: threshold.into(),
                },
                _ => Switch::Whole,
            },
            policy: key,
        }
    }

    /// Whether it says how often a request is tried again.
    pub(super) fn counts_attempts(&self) -> bool {
        let retry = self.retry.as_ref();
        retry.is_some_and(|retry| retry.attempts.is_some())
    }

    /// How a tier is probed where the chain has this check.
    pub(super) fn probing(&self, tier: usize, check: Option<&HealthCheck>) -> Probing {
        let tier = self.tiers.get(tier);
        let said = tier.and_then(|tier| tier.health_check.as_ref());
        let (Some(said), Some(check)) = (said, check) else {
            return Probing::AsChain;
        };
        if said.disabled == Some(true) {
            return Probing::Off;
        }
        let mut own = check.clone();
        own.port = said.port.or(own.port);
        if let Probe::Http { path, hostname, .. } = &mut own.probe {
            if let Some(said) = &said.path {
                path.clone_from(said);
            }
            if said.hostname.is_some() {
                hostname.clone_from(&said.hostname);
            }
        }
        match own == *check {
            true => Probing::AsChain,
            false => Probing::Own(Box::new(own)),
        }
    }

    /// What a tier says of a health check that the chain has not: its field below the tier and why
    /// it does nothing.
    pub(super) fn idle_probing(
        &self,
        check: Option<&HealthCheck>,
    ) -> impl Iterator<Item = (String, String)> {
        let is_http = check.is_some_and(|check| matches!(check.probe, Probe::Http { .. }));
        let is_checked = check.is_some();
        let tiers = self.tiers.iter().enumerate();
        tiers.filter_map(move |(index, tier)| {
            let said = tier.health_check.as_ref()?;
            let asks = said.path.is_some() || said.hostname.is_some();
            let why = if !is_checked && (asks || said.port.is_some()) {
                "no BackendTrafficPolicy of it has healthCheck.active"
            } else if is_checked && asks && !is_http {
                "path and hostname are for HTTP probes"
            } else {
                return None;
            };
            let field = format!("spec.tiers[{index}].healthCheck");
            Some((field, format!("Tier {}: {why}", tier.name)))
        })
    }

    /// The tier that names a reference of a rule of a route in `namespace`.
    pub(super) fn tier_of(
        &self,
        namespace: &str,
        reference: &HttpRouteRulesBackendRefs,
    ) -> Option<usize> {
        let named = Named::in_rule(reference, namespace);
        self.tiers
            .iter()
            .position(|tier| tier.members.contains(&named))
    }

    /// A reference that is named more than once.
    pub(super) fn named_twice(&self) -> Option<Misfit> {
        let mut seen: Vec<(&Named, &str)> = Vec::new();
        for (field, tier, member) in self.members() {
            if let Some((_, first)) = seen.iter().find(|(known, _)| *known == member) {
                let message = format!(
                    "{member} is named twice: in tier {first} and in tier {}. It can be in one only.",
                    tier.name
                );
                return Some(Misfit { field, message });
            }
            seen.push((member, &tier.name));
        }
        None
    }

    /// What Envoy would refuse.
    pub(super) fn refused(&self) -> Option<Misfit> {
        let mut tiers = self.tiers.iter().enumerate();
        let (index, tier) = tiers.find(|(_, tier)| tier.connect_timeout == Some(Duration::ZERO))?;
        Some(Misfit {
            field: format!("spec.tiers[{index}].connectTimeout"),
            message: format!(
                "The connectTimeout of tier {} must be more than 0s.",
                tier.name
            ),
        })
    }

    /// What is named and is no reference of the rule at `index` of `route`.
    pub(super) fn misfit(
        &self,
        route: &Key,
        index: usize,
        rule: &HttpRouteRules,
    ) -> Option<Misfit> {
        let references = rule.backend_refs.iter().flatten();
        let of_rule: Vec<Named> = references
            .map(|reference| Named::in_rule(reference, &route.object.namespace))
            .collect();
        let (field, tier, member) = self
            .members()
            .find(|(_, _, member)| !of_rule.contains(member))?;
        let message = format!(
            "Tier {} names {member}, which is none of the backendRefs of rule {index} of {route}. A policy for one \
             rule says its name in sectionName.",
            tier.name
        );
        Some(Misfit { field, message })
    }

    /// Everything that is named, with the field and the tier.
    fn members(&self) -> impl Iterator<Item = (String, &OrderedTier, &Named)> {
        self.tiers.iter().enumerate().flat_map(|(index, tier)| {
            let members = tier.members.iter().enumerate();
            members.map(move |(at, member)| {
                let field = format!("spec.tiers[{index}].backendRefs[{at}]");
                (field, tier, member)
            })
        })
    }
}

/// What a pin says, in a sentence.
fn pin_says(pin: &Pin, is_over: bool) -> String {
    let until = pin.until.as_ref().map(|until| stamp(until.0));
    let tier = &pin.tier;
    let mut said = match (until, is_over) {
        (Some(until), true) => format!("The pin to tier {tier} ended at {until}"),
        (Some(until), false) => format!("Tier {tier} is preferred until {until}"),
        (None, _) => format!("Tier {tier} is preferred"),
    };
    if let Some(reason) = &pin.reason {
        said.push_str(": ");
        said.push_str(reason.trim_end_matches('.'));
    }
    said.push('.');
    said
}

impl Named {
    fn in_policy(reference: &TierRef, namespace: &str) -> Self {
        let own = reference.namespace.as_deref().unwrap_or(namespace);
        let object = ObjectName::new(own, &reference.name);
        Self::new(&reference.group, &reference.kind, object, reference.port)
    }

    fn in_rule(reference: &HttpRouteRulesBackendRefs, namespace: &str) -> Self {
        let own = reference.namespace.as_deref().unwrap_or(namespace);
        Self::new(
            reference.group.as_deref().unwrap_or_default(),
            reference.kind.as_deref().unwrap_or(Kind::Service.name()),
            ObjectName::new(own, &reference.name),
            reference.port.and_then(|port| u16::try_from(port).ok()),
        )
    }

    fn new(group: &str, kind: &str, object: ObjectName, port: Option<u16>) -> Self {
        let is_backend = (group, kind) == (Kind::Backend.group(), Kind::Backend.name());
        Self {
            group: group.into(),
            kind: kind.into(),
            object,
            port: port.filter(|_| !is_backend),
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.object)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

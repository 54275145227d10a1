//! What there is at one moment, and which answers are right then.
//!
//! A family is an HTTPRoute (or two, for the same host) with up to four rules, four Backends and
//! their pods, which no other family has; what it is made of is edited all the time. Steady families
//! always have a live backend for each of their requests. Everything here is plain data: `manifests`
//! writes it down, `edit` changes it.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Backends of a family.
pub(crate) const BACKENDS: usize = 4;
/// Pods of a Backend, which no other has.
pub(crate) const PODS_OF_BACKEND: usize = 3;
/// Pods of a family.
pub(crate) const PODS: usize = BACKENDS * PODS_OF_BACKEND;
/// Rules beside the base, each of which may be missing.
pub(crate) const MORE_RULES: [Rule; 3] = [Rule::Blue, Rule::Deep, Rule::Exact];
/// Names for listeners on ports of their own.
pub(crate) const PORT_LISTENERS: usize = 3;
/// Names for listeners that share a port with the steady ones.
pub(crate) const HOST_LISTENERS: usize = 4;

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) families: Vec<Arc<Family>>,
    /// Which of the listeners on further ports are there.
    pub(crate) ports: [bool; PORT_LISTENERS],
    /// Of the listeners on the steady ports: the number in the host name of each that is there.
    pub(crate) hosts: [Option<usize>; HOST_LISTENERS],
}

/// Routes, Backends and a policy that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) number: usize,
    /// Whether all of its requests have to be answered by a backend.
    pub(crate) is_steady: bool,
    /// Whether its HTTPRoutes are there at all.
    pub(crate) is_routed: bool,
    pub(crate) backends: [Option<Backend>; BACKENDS],
    pub(crate) base: References,
    /// What [`MORE_RULES`] lead to, where they are there.
    pub(crate) more: [Option<References>; 3],
    /// Whether those rules are in an HTTPRoute of their own.
    pub(crate) is_split: bool,
    /// Whether there is a second host.
    pub(crate) has_other_host: bool,
    pub(crate) policy: Option<Policy>,
    /// Seconds that a request to the base may take.
    pub(crate) timeout: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) shape: Shape,
    pub(crate) is_standby: bool,
    /// Which of the family's pods; never another Backend's.
    pub(crate) pods: BTreeSet<usize>,
}

/// How a Backend says where its pods are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Addresses,
    /// Names that Envoy looks up.
    Names,
    /// The name of a Service, whose EndpointSlice is there.
    Service,
}

/// A rule's references: a Backend and its weight, each Backend at most once.
pub(crate) type References = Vec<(usize, usize)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Requests with a header.
    Blue,
    /// A longer path.
    Deep,
    /// A single path.
    Exact,
}

/// A BackendTrafficPolicy for the family's first HTTPRoute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) balancer: &'static str,
    pub(crate) check: Option<&'static str>,
    pub(crate) connect_timeout: usize,
    pub(crate) request_timeout: Option<usize>,
    pub(crate) retries: Option<usize>,
    pub(crate) errors: Option<usize>,
    pub(crate) connections: Option<usize>,
    pub(crate) keepalive: Option<usize>,
    pub(crate) buffer: Option<usize>,
    pub(crate) refresh: Option<usize>,
}

/// A request that is sent again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Probe {
    Plain,
    Blue,
    Deep,
    Exact,
    OtherHost,
}

/// Every probe of a family.
pub(crate) const PROBES: [Probe; 5] = [
    Probe::Plain,
    Probe::Blue,
    Probe::Deep,
    Probe::Exact,
    Probe::OtherHost,
];

impl Probe {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Plain | Self::Blue | Self::OtherHost => "/",
            Self::Deep => "/deep/er",
            Self::Exact => "/deep/exact",
        }
    }

    /// The rules beside the base that match it, the narrowest first, by Gateway API's order.
    fn rules(self) -> &'static [usize] {
        match self {
            Self::Plain | Self::OtherHost => &[],
            Self::Blue => &[0],
            Self::Deep => &[1],
            Self::Exact => &[2, 1],
        }
    }
}

/// Which answers to a request are right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Right {
    /// From these pods of the family.
    pub(crate) pods: BTreeSet<usize>,
    /// From these for as long as the names of the active ones are looked up, which is Envoy's way
    /// with a cluster of names (ARCHITECTURE.md, "Where a DNS chain breaks the rule").
    pub(crate) early: BTreeSet<usize>,
    /// That there is no such host.
    pub(crate) not_found: bool,
}

impl Family {
    /// What a request leads to; nothing where its host is not there.
    pub(crate) fn references(&self, probe: Probe) -> Option<&References> {
        if !self.is_routed || (probe == Probe::OtherHost && !self.has_other_host) {
            return None;
        }
        let mut more = probe.rules().iter();
        let more = more.find_map(|rule| self.more[*rule].as_ref());
        Some(more.unwrap_or(&self.base))
    }

    /// The pods that serve these references: those of the first tier that has any.
    fn serving(&self, references: &References) -> BTreeSet<usize> {
        let pods = |is_standby: bool| -> BTreeSet<usize> {
            let counted = references.iter().filter(|(_, weight)| *weight > 0);
            let there = counted.filter_map(|(backend, _)| self.backends[*backend].as_ref());
            let tier = there.filter(|backend| backend.is_standby == is_standby);
            tier.flat_map(|backend| backend.pods.iter().copied())
                .collect()
        };
        let active = pods(false);
        if active.is_empty() {
            pods(true)
        } else {
            active
        }
    }

    /// Whether a backend can answer every probe whose host is there.
    pub(crate) fn is_live(&self) -> bool {
        let asked = PROBES.iter().filter_map(|probe| {
            self.references(*probe)
                .map(|references| (probe, references))
        });
        let mut asked = asked.peekable();
        asked.peek().is_some() && asked.all(|(_, to)| !self.serving(to).is_empty())
    }
}

/// The answers that are right for a request while these states of its family, oldest first, may be
/// in force. Routes and what they lead to reach a proxy apart from each other, so of several states
/// a route of one may lead to a Backend of another.
pub(crate) fn right_answers(states: &[Arc<Family>], probe: Probe) -> Right {
    let mut right = Right::default();
    if let [state] = states {
        match state.references(probe) {
            Some(references) => right.pods = state.serving(references),
            None => right.not_found = true,
        }
        return right;
    }
    for state in states {
        let Some(references) = state.references(probe) else {
            right.not_found = true;
            continue;
        };
        let counted: Vec<_> = references.iter().filter(|(_, w)| *w > 0).collect();
        for (backend, _) in &counted {
            let others: Vec<_> = counted
                .iter()
                .filter(|(other, _)| other != backend)
                .map(|(other, _)| *other)
                .collect();
            let may_stand_in = others.iter().all(|other| may_be_idle(states, *other));
            let is_named = counted.iter().any(|(any, _)| has_names(states, *any));
            for form in states.iter().filter_map(|s| s.backends[*backend].as_ref()) {
                if !form.is_standby || may_stand_in {
                    right.pods.extend(&form.pods);
                } else if is_named {
                    right.early.extend(&form.pods);
                }
            }
        }
    }
    right
}

/// Whether a Backend is, in one of the states, none that goes before a standby.
fn may_be_idle(states: &[Arc<Family>], backend: usize) -> bool {
    states.iter().any(|state| match &state.backends[backend] {
        Some(backend) => backend.is_standby || backend.pods.is_empty(),
        None => true,
    })
}

fn has_names(states: &[Arc<Family>], backend: usize) -> bool {
    let mut forms = states
        .iter()
        .filter_map(|state| state.backends[backend].as_ref());
    forms.any(|backend| backend.shape == Shape::Names)
}

//! What there is at one moment, and which answers are right then.
//!
//! A family is an HTTPRoute (or two, for the same host) with up to four rules, four Backends and
//! their pods, which no other family has; what it is made of is edited all the time. Steady families
//! always have a live backend for each of their requests. Everything here is plain data: `manifests`
//! writes it down, `edit` changes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::order::Order;

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
    /// The FailoverPolicy of the base.
    pub(crate) order: Option<Order>,
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
    /// From these for as long as the names of those that go before are looked up, which is Envoy's
    /// way with a cluster of names (ARCHITECTURE.md, "Where a DNS chain breaks the rule"); or as they
    /// are probed for the first time in a tier that spills, which counts them as not healthy.
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
        Some(self.more_rule(probe).unwrap_or(&self.base))
    }

    /// The rule beside the base that a request leads to.
    fn more_rule(&self, probe: Probe) -> Option<&References> {
        let mut more = probe.rules().iter();
        more.find_map(|rule| self.more[*rule].as_ref())
    }

    /// The FailoverPolicy that holds for a request.
    fn order(&self, probe: Probe) -> Option<&Order> {
        let order = self.order.as_ref().filter(|order| order.fits(&self.base));
        order.filter(|_| self.more_rule(probe).is_none())
    }

    /// Whether its FailoverPolicy holds and others serve than without it.
    pub(crate) fn is_reordered(&self) -> bool {
        let order = self.order.as_ref().filter(|order| order.fits(&self.base));
        order.is_some() && self.serving(&self.base, order) != self.serving(&self.base, None)
    }

    /// Whether a missing Backend may keep a share of 500 in the base, as Gateway API asks where there
    /// is one tier.
    fn fails_a_share(&self) -> bool {
        let order = self.order.as_ref().filter(|order| order.fits(&self.base));
        let tiers = order.map_or(&[][..], |order| &order.tiers);
        let is_missing = |index: &usize| self.backends[*index].is_none();
        matches!(tiers, [only] if only.iter().any(is_missing))
    }

    /// The pods that serve these references: those whose turn is the first of any that has some.
    fn serving(&self, references: &References, order: Option<&Order>) -> BTreeSet<usize> {
        let counted = references.iter().filter(|(_, weight)| *weight > 0);
        let there = counted.filter_map(|(index, _)| {
            let backend = self.backends[*index].as_ref()?;
            let turn = turn(order, *index, backend)?;
            (!backend.pods.is_empty()).then_some((turn, backend))
        });
        let there: Vec<_> = there.collect();
        let first = there.iter().map(|(turn, _)| *turn).min();
        let serving = there.iter().filter(|(turn, _)| Some(*turn) == first);
        let pods = serving.flat_map(|(_, backend)| backend.pods.iter().copied());
        pods.collect()
    }

    /// Whether a backend can answer every probe whose host is there.
    pub(crate) fn is_live(&self) -> bool {
        if self.fails_a_share() {
            return false;
        }
        let mut asked = PROBES.iter().filter_map(|probe| {
            let references = self.references(*probe)?;
            Some(self.serving(references, self.order(*probe)))
        });
        let first = asked.next();
        first.is_some_and(|pods| !pods.is_empty()) && asked.all(|pods| !pods.is_empty())
    }
}

/// Whose turn a Backend is in: by the policy that holds, or by what it says itself.
fn turn(order: Option<&Order>, index: usize, backend: &Backend) -> Option<usize> {
    match order {
        Some(order) => order.turn(index, backend.is_standby),
        None => Some(usize::from(backend.is_standby)),
    }
}

/// The answers that are right for a request while these states of its family, oldest first, may be
/// in force. Routes and what they lead to reach a proxy apart from each other, so of several states
/// a route of one may lead to a Backend of another, in the order that a third one's policy says.
pub(crate) fn right_answers(states: &[Arc<Family>], probe: Probe) -> Right {
    let mut right = Right::default();
    if let [state] = states {
        match state.references(probe) {
            Some(references) => right.pods = state.serving(references, state.order(probe)),
            None => right.not_found = true,
        }
        return right;
    }
    for state in states {
        let Some(references) = state.references(probe) else {
            right.not_found = true;
            continue;
        };
        // A chain with a policy is another one than that without, and a policy's edit changes it in
        // place.
        let orders: Vec<Option<&Order>> = match state.order(probe) {
            None => vec![None],
            Some(_) => {
                let orders = states.iter().filter_map(|state| state.order.as_ref());
                let fitting = orders.filter(|order| order.fits(references));
                fitting.map(Some).collect()
            }
        };
        for order in orders {
            add_right(states, references, order, &mut right);
        }
    }
    right
}

/// Adds the answers that are right where a route has these references, in this order.
fn add_right(
    states: &[Arc<Family>],
    references: &References,
    order: Option<&Order>,
    right: &mut Right,
) {
    let counted = references.iter().filter(|(_, weight)| *weight > 0);
    let counted: Vec<usize> = counted.map(|(index, _)| *index).collect();
    let is_named = counted.iter().any(|any| has_names(states, *any));
    let may_spill = order.is_some_and(|order| order.threshold.is_some()) && has_check(states);
    for index in &counted {
        for form in forms(states, *index) {
            let Some(turn) = turn(order, *index, form) else {
                continue;
            };
            let mut others = counted.iter().filter(|other| *other != index);
            if others.all(|other| may_be_behind(states, *other, order, turn)) {
                right.pods.extend(&form.pods);
            } else if is_named || may_spill {
                right.early.extend(&form.pods);
            }
        }
    }
}

/// Whether a Backend is, in one of the states, none that goes before this turn.
fn may_be_behind(states: &[Arc<Family>], index: usize, order: Option<&Order>, of: usize) -> bool {
    states.iter().any(|state| match &state.backends[index] {
        Some(backend) => {
            let turn = turn(order, index, backend);
            backend.pods.is_empty() || turn.is_none_or(|turn| turn >= of)
        }
        None => true,
    })
}

fn forms(states: &[Arc<Family>], index: usize) -> impl Iterator<Item = &Backend> {
    states
        .iter()
        .filter_map(move |state| state.backends[index].as_ref())
}

fn has_names(states: &[Arc<Family>], index: usize) -> bool {
    forms(states, index).any(|backend| backend.shape == Shape::Names)
}

fn has_check(states: &[Arc<Family>]) -> bool {
    let mut policies = states.iter().filter_map(|state| state.policy.as_ref());
    policies.any(|policy| policy.check.is_some())
}

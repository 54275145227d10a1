//! What can be combined, and a small set of combinations in which every pair is.
//!
//! A combination is a kind for each of three tiers and a fault, which hits tier 0 and then tier 1
//! too. So a fault must be able to hit the kinds of those two; of tier 2 nothing is asked.

use std::collections::BTreeSet;
use std::fmt;

/// How a tier says where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A Service, with an EndpointSlice.
    Service,
    /// A Backend with an address.
    Ip,
    /// A Backend with a name that DNS knows.
    Fqdn,
    /// A Backend with the name of a Service inside the cluster.
    Cluster,
    /// A Backend with a name that DNS knows, in TLS.
    Tls,
}

/// What happens to a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Its process ends: connections break and are refused.
    Refuse,
    /// It answers 503 to everything.
    Unavailable,
    /// Its process stands still: connections come about, and nothing is answered.
    Hang,
    /// Packets to it and from it vanish.
    Vanish,
    /// It has no endpoints: an empty slice, a DNS answer without addresses. A Backend may not be
    /// without endpoints, so one with an address is deleted.
    Empty,
    /// Its endpoints are not ready. Nobody says that of an address or of a name.
    Unready,
    /// What it is called is not there any more: DNS does not know the name, or the Service is
    /// deleted. An address has no name.
    Gone,
}

pub(crate) const KINDS: [Kind; 5] = [
    Kind::Service,
    Kind::Ip,
    Kind::Fqdn,
    Kind::Cluster,
    Kind::Tls,
];
pub(crate) const FAULTS: [Fault; 7] = [
    Fault::Refuse,
    Fault::Unavailable,
    Fault::Hang,
    Fault::Vanish,
    Fault::Empty,
    Fault::Unready,
    Fault::Gone,
];
/// How many tiers a chain has.
pub(crate) const TIERS: usize = 3;

/// One case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Combination {
    pub(crate) fault: Fault,
    pub(crate) kinds: [Kind; TIERS],
}

/// Two things in one combination: which they are, as it lists them.
pub(crate) type Pair = [(usize, &'static str); 2];

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Ip => "ip",
            Self::Fqdn => "fqdn",
            Self::Cluster => "cluster",
            Self::Tls => "tls",
        }
    }
}

impl Fault {
    fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Unavailable => "503",
            Self::Hang => "hang",
            Self::Vanish => "vanish",
            Self::Empty => "empty",
            Self::Unready => "unready",
            Self::Gone => "gone",
        }
    }

    /// Whether it can happen to a tier of this kind.
    pub(crate) fn can_hit(self, kind: Kind) -> bool {
        match self {
            Self::Refuse | Self::Unavailable | Self::Hang | Self::Vanish | Self::Empty => true,
            Self::Unready => matches!(kind, Kind::Service | Kind::Cluster),
            Self::Gone => kind != Kind::Ip,
        }
    }
}

impl Combination {
    fn is_possible(self) -> bool {
        let [first, second, _] = self.kinds;
        self.fault.can_hit(first) && self.fault.can_hit(second)
    }

    /// Every pair that is in it.
    pub(crate) fn pairs(self) -> impl Iterator<Item = Pair> {
        let [first, second, third] = self.kinds.map(Kind::word);
        let words = [self.fault.word(), first, second, third];
        (0..words.len()).flat_map(move |one| {
            (one + 1..words.len()).map(move |other| [(one, words[one]), (other, words[other])])
        })
    }
}

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third] = self.kinds.map(Kind::word);
        write!(f, "{}_{first}_{second}_{third}", self.fault.word())
    }
}

/// Everything that can be combined, in order.
pub(crate) fn all() -> Vec<Combination> {
    let mut all = Vec::new();
    for fault in FAULTS {
        for first in KINDS {
            for second in KINDS {
                for third in KINDS {
                    let kinds = [first, second, third];
                    all.push(Combination { fault, kinds });
                }
            }
        }
    }
    all.retain(|one| one.is_possible());
    all
}

/// A few combinations that have every pair that any has: each time the first of those that have the
/// most pairs which no other has yet.
pub(crate) fn covering() -> Vec<Combination> {
    let all = all();
    let mut open: BTreeSet<Pair> = all.iter().flat_map(|one| one.pairs()).collect();
    let mut chosen = Vec::new();
    while !open.is_empty() {
        let news = |one: &Combination| one.pairs().filter(|pair| open.contains(pair)).count();
        let best = all.iter().rev().max_by_key(|one| news(one));
        let best = *best.expect("an open pair is one of a combination");
        for pair in best.pairs() {
            open.remove(&pair);
        }
        chosen.push(best);
    }
    chosen
}

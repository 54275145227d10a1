//! Observations: what the proxies of every Gateway made of what they were sent, as all replicas of
//! Locum saw it.
//!
//! In: what each replica sees of the proxies connected to it (an [`Observation`]), its own
//! included. Out: one [`Observed`], which statuses are laid over with. How to read it:
//!
//! - Whether a Gateway is programmed is what [`Observed::verdict`] says of the generation that was
//!   translated. A route's change makes no proxy late: only a new generation of the Gateway does.
//! - [`Verdict::Unknown`] means that nothing speaks against what the status says already: keep that.
//!   It is the answer as long as a replica was not heard yet, or proxies may be on their way here.
//! - [`Observed::refusals`] is complete only when [`Observed::complete`] is. Until then a refusal
//!   that is missing may still be there: do not take back what a status says of one.
//!
//! A proxy that goes away is remembered for [`LINGER`], so that one which moves from a replica to
//! another takes nothing from a status. No clock here: time comes in.

mod join;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::resource::{Key, ObjectName};

pub use join::Join;

/// How long a proxy that went away still counts. One that moves to another replica is back within
/// a second or two: Envoy's longest pause between attempts is 1 s, and a connection may take 1 s.
pub const LINGER: Duration = Duration::from_secs(5);

/// How long a replica that says nothing, or nothing any more, is waited for: then what it said
/// last is forgotten. As long as a proxy of it may take to find another replica. One that is said to
/// be ready keeps everything incomplete beyond that.
pub const REPLICA_BOUND: Duration = Duration::from_secs(5);

/// How far a connected proxy is with what was made from its Gateway. The later, the further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Progress {
    /// It has not yet acknowledged a whole snapshot since it connected.
    Starting,
    /// It has not yet acknowledged everything that came with the Gateway's newest generation.
    Behind,
    /// It has acknowledged everything that was made from this generation.
    Acknowledged { generation: i64 },
}

/// Proxies by their Gateway and their `node.id`.
pub type ByGateway<T> = BTreeMap<ObjectName, BTreeMap<String, T>>;

/// What one replica sees of the proxies connected to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    pub proxies: ByGateway<Progress>,
    pub refusals: BTreeSet<Refusal>,
}

/// A resource that a proxy will not have in its present form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    pub gateway: ObjectName,
    /// The proxy's `node.id`.
    pub node: String,
    /// The kind of the Envoy resource, such as `cluster`, and its name.
    pub kind: String,
    pub name: String,
    /// The resources that it was made from.
    pub owners: Vec<Key>,
    /// The proxy's own words.
    pub message: String,
}

impl fmt::Display for Refusal {
    /// A sentence for the owner.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the proxy {} refuses {} {} and keeps its last good form: {}",
            self.node, self.kind, self.name, self.message
        )
    }
}

/// A proxy as all replicas together know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub progress: Progress,
    /// Whether it is connected now; else it went away less than [`LINGER`] ago.
    pub connected: bool,
}

/// What all replicas saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Whether every replica was heard and no proxy may be on its way from one to another.
    pub complete: bool,
    pub proxies: ByGateway<Proxy>,
    pub refusals: BTreeSet<Refusal>,
}

/// What became of one generation of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// At least one proxy serves it, and all that served before do.
    Programmed,
    /// Not all proxies have acknowledged it: the `node.id` of those that have not, sorted, out of
    /// `connected` that there are.
    Waiting {
        late: Vec<&'a str>,
        connected: usize,
    },
    /// No proxy is connected to any replica.
    NoProxies,
    /// Not known yet: what the status says already holds.
    Unknown,
}

impl Observed {
    /// What became of this generation of a Gateway. A proxy that has acknowledged a later one has
    /// acknowledged it too; one that is only starting makes no Gateway unprogrammed that others
    /// serve.
    pub fn verdict(&self, gateway: &ObjectName, generation: i64) -> Verdict<'_> {
        let proxies = self.proxies.get(gateway).into_iter().flatten();
        let mut late = Vec::new();
        let mut starting = Vec::new();
        let mut connected = 0;
        let mut served = false;
        for (node, proxy) in proxies {
            connected += usize::from(proxy.connected);
            match proxy.progress {
                Progress::Acknowledged { generation: has } if has >= generation => served = true,
                Progress::Starting if proxy.connected => starting.push(node.as_str()),
                _ if proxy.connected => late.push(node.as_str()),
                _ => {}
            }
        }
        if late.is_empty() && served {
            return Verdict::Programmed;
        }
        if late.is_empty() && !self.complete {
            return Verdict::Unknown;
        }
        late.extend(starting);
        late.sort_unstable();
        if late.is_empty() {
            Verdict::NoProxies
        } else {
            Verdict::Waiting { late, connected }
        }
    }

    /// What proxies refuse of the resources made from `owner`.
    pub fn refusals_of<'a>(&'a self, owner: &'a Key) -> impl Iterator<Item = &'a Refusal> {
        let refusals = self.refusals.iter();
        refusals.filter(|refusal| refusal.owners.contains(owner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACKNOWLEDGED: Progress = Progress::Acknowledged { generation: 3 };

    fn gateway() -> ObjectName {
        ObjectName::new("default", "eg")
    }

    fn observed(complete: bool, proxies: &[(&str, Progress, bool)]) -> Observed {
        let proxies = proxies.iter().map(|(node, progress, connected)| {
            let proxy = Proxy {
                progress: *progress,
                connected: *connected,
            };
            ((*node).to_owned(), proxy)
        });
        Observed {
            complete,
            proxies: [(gateway(), proxies.collect())].into(),
            refusals: BTreeSet::new(),
        }
    }

    #[test]
    fn a_gateway_is_programmed_when_all_its_proxies_acknowledged_its_generation() {
        let observed = observed(
            true,
            &[("a", ACKNOWLEDGED, true), ("b", ACKNOWLEDGED, true)],
        );
        assert_eq!(observed.verdict(&gateway(), 3), Verdict::Programmed);
        assert_eq!(observed.verdict(&gateway(), 2), Verdict::Programmed);
        let late = vec!["a", "b"];
        let waiting = Verdict::Waiting { late, connected: 2 };
        assert_eq!(observed.verdict(&gateway(), 4), waiting);
    }

    #[test]
    fn one_proxy_behind_holds_its_gateway_up() {
        let proxies = [
            ("a", ACKNOWLEDGED, true),
            ("b", Progress::Behind, true),
            ("c", Progress::Starting, true),
        ];
        let late = vec!["b", "c"];
        let waiting = Verdict::Waiting { late, connected: 3 };
        assert_eq!(observed(true, &proxies).verdict(&gateway(), 3), waiting);
        assert_eq!(observed(false, &proxies).verdict(&gateway(), 3), waiting);
    }

    #[test]
    fn a_proxy_that_starts_takes_nothing_from_one_that_serves() {
        let proxies = [("a", ACKNOWLEDGED, true), ("b", Progress::Starting, true)];
        assert_eq!(
            observed(true, &proxies).verdict(&gateway(), 3),
            Verdict::Programmed
        );
    }

    #[test]
    fn absence_proves_nothing_before_all_is_known() {
        assert_eq!(
            observed(false, &[]).verdict(&gateway(), 3),
            Verdict::Unknown
        );
        assert_eq!(
            observed(true, &[]).verdict(&gateway(), 3),
            Verdict::NoProxies
        );
        let starting = [("a", Progress::Starting, true)];
        assert_eq!(
            observed(false, &starting).verdict(&gateway(), 3),
            Verdict::Unknown
        );
        let late = vec!["a"];
        let waiting = Verdict::Waiting { late, connected: 1 };
        assert_eq!(observed(true, &starting).verdict(&gateway(), 3), waiting);
    }

    #[test]
    fn a_proxy_that_just_left_speaks_for_what_it_had_and_against_nothing() {
        let left = [("a", ACKNOWLEDGED, false)];
        assert_eq!(
            observed(true, &left).verdict(&gateway(), 3),
            Verdict::Programmed
        );
        assert_eq!(
            observed(true, &left).verdict(&gateway(), 4),
            Verdict::NoProxies
        );
    }
}

//! Joins what single replicas see, and remembers for a while what has just gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{ByGateway, LINGER, Observation, Observed, Progress, Proxy, REPLICA_BOUND};
use crate::resource::ObjectName;

/// The join over time. Time is the [`Duration`] since any fixed moment; it never goes back.
#[derive(Clone, Debug)]
pub struct Join {
    replicas: BTreeMap<String, Replica>,
    /// Those that are said to be ready: as long as one of them is not heard, its proxies may be
    /// there.
    ready: BTreeSet<String>,
    departed: BTreeMap<(ObjectName, String), Departed>,
    /// Before it proxies may be on their way here from a replica that nobody remembers.
    settles: Duration,
}

/// What is known of a replica.
#[derive(Clone, Debug)]
struct Replica {
    observation: Observation,
    /// When it is given up; none while it is being heard.
    until: Option<Duration>,
    heard: bool,
}

/// A proxy that went away.
#[derive(Clone, Copy, Debug)]
struct Departed {
    generation: i64,
    until: Duration,
}

impl Join {
    /// Knows no replica yet.
    pub fn new(now: Duration) -> Self {
        Self {
            replicas: BTreeMap::new(),
            ready: BTreeSet::new(),
            departed: BTreeMap::new(),
            settles: now + LINGER,
        }
    }

    /// Takes in that there is a replica, which is to be heard soon. One that is known already stays
    /// as it is.
    pub fn awaits(&mut self, now: Duration, replica: &str) {
        if !self.replicas.contains_key(replica) {
            let replica_awaited = Replica {
                observation: Observation::default(),
                until: Some(now + REPLICA_BOUND),
                heard: false,
            };
            self.replicas.insert(replica.to_owned(), replica_awaited);
        }
    }

    /// Takes in which other replicas are ready, so that proxies can be connected to them.
    pub fn ready(&mut self, replicas: BTreeSet<String>) {
        self.ready = replicas;
    }

    /// Takes in what a replica sees now.
    pub fn heard(&mut self, now: Duration, replica: &str, observation: Observation) {
        let heard = Replica {
            observation,
            until: None,
            heard: true,
        };
        let before = self.replicas.insert(replica.to_owned(), heard);
        let before = before.map(|before| before.observation.proxies);
        let now_there = &self.replicas[replica].observation.proxies;
        for (gateway, node, generation) in acknowledged(before.as_ref()) {
            let stays = now_there
                .get(gateway)
                .is_some_and(|of_gateway| of_gateway.contains_key(node));
            if !stays {
                let departed = Departed {
                    generation,
                    until: now + LINGER,
                };
                let key = (gateway.clone(), node.to_owned());
                self.departed.insert(key, departed);
            }
        }
    }

    /// Takes in that a replica can no longer be heard. What it said last counts until the bound.
    pub fn lost(&mut self, now: Duration, replica: &str) {
        if let Some(replica) = self.replicas.get_mut(replica) {
            replica.until.get_or_insert(now + REPLICA_BOUND);
        }
    }

    /// What all replicas saw, as of now. What is too old is forgotten.
    pub fn observed(&mut self, now: Duration) -> Observed {
        let over = |until: Duration| until <= now;
        self.replicas
            .retain(|_, replica| !replica.until.is_some_and(over));
        self.departed.retain(|_, departed| !over(departed.until));
        let awaited = self.replicas.values().any(|replica| !replica.heard);
        let unheard = !self
            .ready
            .iter()
            .all(|ready| self.replicas.contains_key(ready));
        let mut observed = Observed {
            complete: over(self.settles) && !awaited && !unheard,
            proxies: self.live(),
            refusals: BTreeSet::new(),
        };
        for ((gateway, node), departed) in &self.departed {
            let of_gateway = observed.proxies.entry(gateway.clone()).or_default();
            let progress = Progress::Acknowledged {
                generation: departed.generation,
            };
            let proxy = of_gateway.entry(node.clone()).or_insert(Proxy {
                progress,
                connected: false,
            });
            // It moved, and has what it had.
            if proxy.progress == Progress::Starting {
                proxy.progress = progress;
            }
        }
        for replica in self.replicas.values() {
            let refusals = replica.observation.refusals.iter().cloned();
            observed.refusals.extend(refusals);
        }
        observed
    }

    /// When [`Join::observed`] says something else although nothing was heard.
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        let replicas = self.replicas.values().filter_map(|replica| replica.until);
        let departed = self.departed.values().map(|departed| departed.until);
        let settles = Some(self.settles).filter(|settles| *settles > now);
        replicas.chain(departed).chain(settles).min()
    }

    /// Proxies that replicas say are connected. One that two replicas have is on its way from one to
    /// the other: what it acknowledged to either, it has.
    fn live(&self) -> ByGateway<Proxy> {
        let mut proxies = ByGateway::<Proxy>::new();
        for replica in self.replicas.values() {
            for (gateway, of_replica) in &replica.observation.proxies {
                let of_gateway = proxies.entry(gateway.clone()).or_default();
                for (node, progress) in of_replica {
                    let proxy = of_gateway.entry(node.clone()).or_insert(Proxy {
                        progress: *progress,
                        connected: true,
                    });
                    proxy.progress = proxy.progress.max(*progress);
                }
            }
        }
        proxies
    }
}

/// The proxies that have acknowledged everything, with their Gateway and its generation.
fn acknowledged(
    proxies: Option<&ByGateway<Progress>>,
) -> impl Iterator<Item = (&ObjectName, &str, i64)> {
    let proxies = proxies.into_iter().flatten();
    proxies.flat_map(|(gateway, of_gateway)| {
        of_gateway.iter().filter_map(move |(node, progress)| {
            let Progress::Acknowledged { generation } = progress else {
                return None;
            };
            Some((gateway, node.as_str(), *generation))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Key, Kind};
    use crate::status::observations::{Refusal, Verdict};

    const ACKNOWLEDGED: Progress = Progress::Acknowledged { generation: 1 };

    fn gateway() -> ObjectName {
        ObjectName::new("default", "eg")
    }

    fn sees(proxies: &[(&str, Progress)]) -> Observation {
        let proxies = proxies.iter();
        let proxies = proxies.map(|(node, progress)| ((*node).to_owned(), *progress));
        Observation {
            proxies: [(gateway(), proxies.collect())].into(),
            refusals: BTreeSet::new(),
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A join that has settled long ago and heard `own`.
    fn settled(own: &[(&str, Progress)]) -> Join {
        let mut join = Join::new(Duration::ZERO);
        join.heard(seconds(50), "own", sees(own));
        join
    }

    #[test]
    fn proxies_of_all_replicas_count() {
        let mut join = settled(&[("a", ACKNOWLEDGED)]);
        join.awaits(seconds(60), "peer");
        join.heard(seconds(60), "peer", sees(&[("b", Progress::Behind)]));
        let observed = join.observed(seconds(60));
        assert!(observed.complete);
        let late = vec!["b"];
        let waiting = Verdict::Waiting { late, connected: 2 };
        assert_eq!(observed.verdict(&gateway(), 1), waiting);
        join.heard(seconds(61), "peer", sees(&[("b", ACKNOWLEDGED)]));
        assert_eq!(
            join.observed(seconds(61)).verdict(&gateway(), 1),
            Verdict::Programmed
        );
    }

    #[test]
    fn nothing_is_complete_before_each_replica_was_heard_or_its_bound_has_passed() {
        let mut join = settled(&[]);
        join.awaits(seconds(60), "peer");
        assert!(!join.observed(seconds(60)).complete);
        assert_eq!(
            join.deadline(seconds(60)),
            Some(seconds(60) + REPLICA_BOUND)
        );
        assert!(join.observed(seconds(60) + REPLICA_BOUND).complete);

        join.awaits(seconds(70), "peer");
        join.heard(seconds(71), "peer", sees(&[]));
        assert!(join.observed(seconds(71)).complete);
    }

    #[test]
    fn nothing_is_complete_while_a_replica_that_is_ready_cannot_be_heard() {
        let mut join = settled(&[]);
        join.ready(["peer".to_owned()].into());
        join.awaits(seconds(60), "peer");
        let late = seconds(60) + REPLICA_BOUND * 10;
        let observed = join.observed(late);
        assert_eq!(observed.verdict(&gateway(), 1), Verdict::Unknown);
        join.ready(BTreeSet::new());
        let observed = join.observed(late);
        assert_eq!(observed.verdict(&gateway(), 1), Verdict::NoProxies);
    }

    #[test]
    fn nothing_is_complete_while_proxies_may_be_on_their_way_to_a_new_leader() {
        let mut join = Join::new(seconds(10));
        join.heard(seconds(10), "own", sees(&[]));
        assert!(!join.observed(seconds(10)).complete);
        assert_eq!(join.deadline(seconds(10)), Some(seconds(10) + LINGER));
        assert!(join.observed(seconds(10) + LINGER).complete);
        assert_eq!(join.deadline(seconds(10) + LINGER), None);
    }

    #[test]
    fn a_lost_replica_counts_until_its_bound_and_no_longer() {
        let mut join = settled(&[]);
        join.heard(seconds(60), "peer", sees(&[("b", ACKNOWLEDGED)]));
        join.lost(seconds(61), "peer");
        join.lost(seconds(65), "peer");
        let before = seconds(61) + REPLICA_BOUND - Duration::from_millis(1);
        assert_eq!(
            join.observed(before).verdict(&gateway(), 1),
            Verdict::Programmed
        );
        let observed = join.observed(seconds(61) + REPLICA_BOUND);
        assert!(observed.complete);
        assert_eq!(observed.verdict(&gateway(), 1), Verdict::NoProxies);
        assert_eq!(join.deadline(seconds(70)), None);
    }

    #[test]
    fn a_proxy_that_moves_takes_nothing_from_its_gateway() {
        let mut join = settled(&[("a", ACKNOWLEDGED)]);
        join.heard(seconds(60), "peer", sees(&[]));
        join.heard(seconds(60), "own", sees(&[]));
        assert_eq!(
            join.observed(seconds(61)).verdict(&gateway(), 1),
            Verdict::Programmed,
            "it is on its way"
        );
        join.heard(seconds(61), "peer", sees(&[("a", Progress::Starting)]));
        let observed = join.observed(seconds(61));
        let there = Proxy {
            progress: ACKNOWLEDGED,
            connected: true,
        };
        assert_eq!(observed.proxies[&gateway()]["a"], there);
        join.heard(seconds(61), "peer", sees(&[("a", ACKNOWLEDGED)]));
        let observed = join.observed(seconds(61) + LINGER);
        assert_eq!(observed.proxies[&gateway()]["a"], there);
    }

    #[test]
    fn a_proxy_that_stays_away_is_forgotten() {
        let mut join = settled(&[("a", ACKNOWLEDGED), ("late", Progress::Behind)]);
        join.heard(seconds(60), "own", sees(&[]));
        let observed = join.observed(seconds(60));
        assert_eq!(observed.proxies[&gateway()].len(), 1, "{observed:?}");
        let observed = join.observed(seconds(60) + LINGER);
        assert_eq!(observed.verdict(&gateway(), 1), Verdict::NoProxies);
    }

    #[test]
    fn a_refusal_of_any_replicas_proxy_is_there_until_that_replica_takes_it_back() {
        let owner = Key::new(Kind::Backend, "default", "active");
        let refusal = Refusal {
            gateway: gateway(),
            node: "b".into(),
            kind: "cluster".into(),
            name: "c".into(),
            owners: vec![owner.clone()],
            message: "no good".into(),
        };
        let mut join = settled(&[]);
        let mut observation = sees(&[("b", ACKNOWLEDGED)]);
        observation.refusals.insert(refusal.clone());
        join.heard(seconds(60), "peer", observation);
        let observed = join.observed(seconds(60));
        assert!(observed.refusals_of(&owner).eq([&refusal]));
        join.heard(seconds(61), "peer", sees(&[("b", ACKNOWLEDGED)]));
        assert!(join.observed(seconds(61)).refusals.is_empty());
    }
}

//! The books of who serves. Pure: reports and their time come in, the state is there to read.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::endpoint::v3::{ClusterStats, UpstreamLocalityStats};
use jiff::{SignedDuration, Timestamp};

use crate::model::ChainName;
use crate::serving::{Chain, Counts, Layout, State, Tier};
use crate::translate::names;

/// What a load report's clusters and localities stand for. A locality is named for its member, so
/// that a tier is known whatever its priority is just now: a pin gives its tier the first.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    state: State,
    /// By Gateway: the chain of each cluster that Envoy reports.
    clusters: BTreeMap<String, BTreeMap<String, ChainName>>,
    /// By Gateway and stream: gRPC opens several with one `node.id`, each with what it alone sent.
    counts: BTreeMap<(String, u64), Last>,
}

/// What a stream's last report said.
#[derive(Debug)]
struct Last {
    at: Timestamp,
    chains: BTreeMap<ChainName, BTreeMap<usize, Counts>>,
}

/// For how long a report counts: proxies report each second, and one that is silent may be gone
/// without a word, and may be back on another stream already.
const FRESH: SignedDuration = SignedDuration::from_secs(5);

impl Ledger {
    /// What is known.
    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Takes over which chains there are.
    pub(super) fn observe(&mut self, layout: Layout) {
        let mut known = std::mem::take(&mut self.state);
        self.clusters.clear();
        for (gateway, chains) in layout {
            let mut known = known.remove(&gateway).unwrap_or_default();
            let mut clusters = BTreeMap::new();
            let mut states = BTreeMap::new();
            for (name, tiers) in chains {
                clusters.insert(name.0.clone(), name.clone());
                for tier in 0..tiers.len() {
                    let cluster = names::tier_cluster(&name, tier);
                    clusters.insert(cluster, name.clone());
                }
                let state = known.remove(&name.0).unwrap_or_default();
                states.insert(name.0, of_tiers(state, tiers));
            }
            self.clusters.insert(gateway.clone(), clusters);
            self.state.insert(gateway, states);
        }
        let state = &self.state;
        self.counts
            .retain(|(gateway, _), _| state.contains_key(gateway));
    }

    /// Takes in what a proxy says on a stream that it sent where since the last report there.
    pub(super) fn report(
        &mut self,
        now: Timestamp,
        gateway: &str,
        stream: u64,
        stats: &[ClusterStats],
    ) {
        let known = self.clusters.get(gateway).zip(self.state.get(gateway));
        let Some((clusters, states)) = known else {
            return;
        };
        let mut chains: BTreeMap<ChainName, BTreeMap<usize, Counts>> = BTreeMap::new();
        for cluster in stats {
            let Some(chain) = clusters.get(&cluster.cluster_name) else {
                continue;
            };
            for locality in &cluster.upstream_locality_stats {
                let Some(tier) = states.get(&chain.0).and_then(|it| tier_of(it, locality)) else {
                    continue;
                };
                let tiers = chains.entry(chain.clone()).or_default();
                let counts = tiers.entry(tier).or_default();
                counts.errors += locality.total_error_requests;
                counts.requests +=
                    locality.total_error_requests + locality.total_successful_requests;
            }
        }
        let of_stream = (gateway.to_owned(), stream);
        if chains.is_empty() {
            self.counts.remove(&of_stream);
        } else {
            self.counts.insert(of_stream, Last { at: now, chains });
        }
        self.judge(now, gateway);
    }

    /// Adds up what was said last on the streams of the Gateway's proxies, and sees which tier that makes the serving
    /// one.
    fn judge(&mut self, now: Timestamp, gateway: &str) {
        let is_fresh = |last: &Last| now.duration_since(last.at) <= FRESH;
        self.counts.retain(|_, last| is_fresh(last));
        let streams: Vec<_> = self
            .counts
            .iter()
            .filter(|((of, _), _)| of == gateway)
            .map(|(_, last)| &last.chains)
            .collect();
        for (name, chain) in self.state.get_mut(gateway).into_iter().flatten() {
            let name = ChainName(name.clone());
            for (index, tier) in chain.tiers.iter_mut().enumerate() {
                tier.counts = Counts::default();
                for counts in streams
                    .iter()
                    .filter_map(|chains| chains.get(&name)?.get(&index))
                {
                    tier.counts.requests += counts.requests;
                    tier.counts.errors += counts.errors;
                }
            }
            let serving = serving(&chain.tiers);
            if serving.is_some() && serving != chain.serving_tier {
                chain.serving_tier = serving;
                chain.since = Some(now);
                chain.why = why(chain);
            }
        }
    }
}

/// What is known of a chain that now has these tiers.
fn of_tiers(mut chain: Chain, tiers: Vec<Vec<String>>) -> Chain {
    if !tiers
        .iter()
        .eq(chain.tiers.iter().map(|tier| &tier.members))
    {
        let served = chain.serving_tier.and_then(|tier| chain.tiers.get(tier));
        let serving = served.and_then(|served| tiers.iter().position(|it| *it == served.members));
        if serving != chain.serving_tier {
            // It speaks of tiers by numbers that they have no more.
            chain.why.clear();
            chain.since = chain.since.filter(|_| serving.is_some());
            chain.serving_tier = serving;
        }
        let tiers = tiers.into_iter().map(|members| Tier {
            members,
            counts: Counts::default(),
        });
        chain.tiers = tiers.collect();
    }
    chain
}

/// The tier that a locality is of.
fn tier_of(chain: &Chain, locality: &UpstreamLocalityStats) -> Option<usize> {
    let member = &locality.locality.as_ref()?.region;
    let mut tiers = chain.tiers.iter();
    tiers.position(|tier| tier.members.contains(member))
}

/// The tier that answered most, the first of equals.
fn serving(tiers: &[Tier]) -> Option<usize> {
    let answered = |tier: &Tier| tier.counts.requests - tier.counts.errors;
    let tiers = tiers.iter().enumerate().rev();
    let most = tiers.max_by_key(|(_, tier)| answered(tier))?;
    (answered(most.1) > 0).then_some(most.0)
}

/// What the last reports said, tier by tier.
fn why(chain: &Chain) -> String {
    let asked = chain.tiers.iter().enumerate();
    let asked = asked.filter(|(_, tier)| tier.counts.requests > 0);
    let said: Vec<_> = asked
        .map(|(index, tier)| {
            let Counts { requests, errors } = tier.counts;
            format!(
                "tier {index} answered {} of {requests} requests",
                requests - errors
            )
        })
        .collect();
    said.join(", ")
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::Locality;

    use super::*;

    /// A Gateway with one chain of two tiers.
    fn ledger() -> Ledger {
        let tiers = vec![vec!["active".to_owned()], vec!["passive".to_owned()]];
        let chains = [(ChainName("chain".into()), tiers)].into();
        let mut ledger = Ledger::default();
        ledger.observe([("gw".to_owned(), chains)].into());
        ledger
    }

    /// Cluster, member, successes, errors.
    fn stats(said: &[(&str, &str, u64, u64)]) -> Vec<ClusterStats> {
        let said = said
            .iter()
            .map(|(cluster, member, successes, errors)| ClusterStats {
                cluster_name: (*cluster).into(),
                upstream_locality_stats: vec![UpstreamLocalityStats {
                    locality: Some(Locality {
                        region: (*member).into(),
                        ..Default::default()
                    }),
                    total_successful_requests: *successes,
                    total_error_requests: *errors,
                    ..Default::default()
                }],
                ..Default::default()
            });
        said.collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn chain(ledger: &Ledger) -> Chain {
        ledger.state()["gw"]["chain"].clone()
    }

    #[test]
    fn the_tier_that_answers_most_serves_since_it_first_did() {
        let mut ledger = ledger();
        assert_eq!(chain(&ledger).serving_tier, None);
        ledger.report(at(1), "gw", 1, &stats(&[("chain", "active", 200, 0)]));
        ledger.report(at(2), "gw", 1, &stats(&[("chain", "active", 200, 0)]));
        assert_eq!(
            (chain(&ledger).serving_tier, chain(&ledger).since),
            (Some(0), Some(at(1)))
        );
        ledger.report(
            at(3),
            "gw",
            1,
            &stats(&[("chain", "active", 0, 2), ("chain", "passive", 198, 0)]),
        );
        let now = chain(&ledger);
        assert_eq!((now.serving_tier, now.since), (Some(1), Some(at(3))));
        assert_eq!(
            now.why,
            "tier 0 answered 0 of 2 requests, tier 1 answered 198 of 198 requests"
        );
    }

    #[test]
    fn no_traffic_changes_no_verdict() {
        let mut ledger = ledger();
        ledger.report(at(1), "gw", 1, &stats(&[("chain", "passive", 5, 0)]));
        ledger.report(at(2), "gw", 1, &[]);
        let now = chain(&ledger);
        assert_eq!((now.serving_tier, now.since), (Some(1), Some(at(1))));
        assert_eq!(now.tiers[1].counts, Counts::default());
    }

    #[test]
    fn only_errors_change_no_verdict() {
        let mut ledger = ledger();
        ledger.report(at(1), "gw", 1, &stats(&[("chain", "active", 5, 0)]));
        ledger.report(at(2), "gw", 1, &stats(&[("chain", "passive", 0, 9)]));
        assert_eq!(chain(&ledger).serving_tier, Some(0));
        assert_eq!(chain(&ledger).tiers[1].counts.errors, 9);
    }

    #[test]
    fn clusters_of_single_tiers_are_their_chains_tiers() {
        let mut ledger = ledger();
        ledger.report(
            at(1),
            "gw",
            1,
            &stats(&[
                ("chain/tier/0", "active", 0, 3),
                ("chain/tier/1", "passive", 7, 0),
            ]),
        );
        assert_eq!(chain(&ledger).serving_tier, Some(1));
    }

    #[test]
    fn a_member_that_is_in_another_tier_now_is_known_again() {
        let mut ledger = ledger();
        ledger.report(at(1), "gw", 1, &stats(&[("chain", "active", 5, 0)]));
        let tiers = vec![vec!["passive".to_owned()], vec!["active".to_owned()]];
        let chains = [(ChainName("chain".into()), tiers)].into();
        ledger.observe([("gw".to_owned(), chains)].into());
        let now = chain(&ledger);
        assert_eq!((now.serving_tier, now.since), (Some(1), Some(at(1))));
        ledger.report(at(2), "gw", 1, &stats(&[("chain", "passive", 5, 0)]));
        assert_eq!(chain(&ledger).serving_tier, Some(0));
    }

    #[test]
    fn a_tier_of_other_members_has_not_served_yet() {
        let mut ledger = ledger();
        ledger.report(at(1), "gw", 1, &stats(&[("chain", "active", 5, 0)]));
        let tiers = vec![vec!["new".to_owned()], vec!["passive".to_owned()]];
        let chains = [(ChainName("chain".into()), tiers)].into();
        ledger.observe([("gw".to_owned(), chains)].into());
        let now = chain(&ledger);
        assert_eq!((now.serving_tier, now.since), (None, None));
    }

    #[test]
    fn streams_are_added_up_and_one_that_ends_takes_only_its_own_counts() {
        let mut ledger = ledger();
        ledger.report(at(1), "gw", 1, &stats(&[("chain", "active", 10, 0)]));
        ledger.report(
            at(1),
            "gw",
            2,
            &stats(&[("chain", "active", 5, 1), ("other", "active", 9, 9)]),
        );
        let counts = chain(&ledger).tiers[0].counts;
        assert_eq!((counts.requests, counts.errors), (16, 1));
        ledger.report(at(1), "gw", 1, &[]);
        let counts = chain(&ledger).tiers[0].counts;
        assert_eq!((counts.requests, counts.errors), (6, 1));
    }

    #[test]
    fn a_stream_that_is_silent_counts_no_longer() {
        let mut ledger = ledger();
        ledger.report(at(1), "gw", 1, &stats(&[("chain", "active", 10, 0)]));
        ledger.report(at(6), "gw", 2, &stats(&[("chain", "passive", 7, 0)]));
        assert_eq!(chain(&ledger).serving_tier, Some(0));
        ledger.report(at(7), "gw", 2, &stats(&[("chain", "passive", 7, 0)]));
        assert_eq!(chain(&ledger).tiers[0].counts, Counts::default());
        assert_eq!(chain(&ledger).serving_tier, Some(1));
    }
}

//! How much each tier gets: Envoy's priority load and panic.
//!
//! A tier's health is its share of endpoints that are well, times the overprovisioning factor, 100 at
//! most. Tiers take what they can of 100 in their order, those that are healthy of every tier before
//! those that are degraded of any. Envoy: `recalculatePerPriorityState`,
//! `recalculatePerPriorityPanic`, `recalculateLoadInTotalPanic`.

use super::situation::{Health, Situation, Tier};

/// All that is given, in percent.
const ALL: u64 = 100;

/// What all tiers are given.
pub(super) struct Loads {
    /// In the order of the situation's.
    pub(super) tiers: Vec<Load>,
    /// Whether every tier is in panic: they are given requests by their size.
    pub(super) fail_open: bool,
}

/// What one tier is given, in percent of all requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// For its healthy endpoints.
    pub(super) healthy: u64,
    /// For its degraded ones.
    pub(super) degraded: u64,
    /// Whether the choice of an endpoint looks at health no more.
    pub(super) panics: bool,
}

/// A tier's endpoints.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    all: u32,
    healthy: u32,
    degraded: u32,
    /// All but the excluded ones.
    counted: u32,
}

impl Counts {
    fn of(tier: &Tier) -> Self {
        let mut counts = Self::default();
        for endpoint in tier.members.iter().flat_map(|member| &member.endpoints) {
            counts.all += 1;
            match endpoint.health {
                Health::Excluded => continue,
                Health::Healthy => counts.healthy += 1,
                Health::Degraded => counts.degraded += 1,
                Health::Unhealthy => {}
            }
            counts.counted += 1;
        }
        counts
    }

    /// What `count` of the endpoints are worth.
    fn health(&self, count: u32, factor: u32) -> u64 {
        let share = u64::from(factor) * u64::from(count);
        share.checked_div(self.counted.into()).unwrap_or(0).min(ALL)
    }

    /// Whether fewer than `percent` of the endpoints can be used. Envoy adds two quotients, as here.
    fn are_fewer_than(&self, percent: u32) -> bool {
        let share = |count: u32| match self.counted {
            0 => 0.0,
            counted => 100.0 * f64::from(count) / f64::from(counted),
        };
        share(self.healthy) + share(self.degraded) < f64::from(percent.min(100))
    }
}

/// What each tier is given. Nothing to any where Envoy finds nobody to send to.
pub(super) fn loads(situation: &Situation) -> Loads {
    let counts: Vec<Counts> = situation.tiers.iter().map(Counts::of).collect();
    let factor = situation.overprovisioning_factor;
    let health: Vec<[u64; 2]> = counts
        .iter()
        .map(|tier| [tier.healthy, tier.degraded].map(|count| tier.health(count, factor)))
        .collect();
    let total = health.iter().flatten().sum::<u64>().min(ALL);
    let is_low = |tier: &Counts| tier.are_fewer_than(situation.panic_percent);
    let fail_open =
        total < ALL && counts.iter().all(is_low) && counts.iter().any(|tier| tier.all > 0);
    let given = if fail_open {
        by_size(&counts)
    } else {
        by_health(&health, total)
    };
    let tiers = counts.iter().zip(&health).zip(given);
    let tiers = tiers.map(|((counts, health), [healthy, degraded])| {
        // Under an aggregate the tier's own cluster looks at its own health alone.
        let seen = match situation.aggregate {
            true => health.iter().sum(),
            false => total,
        };
        Load {
            healthy,
            degraded,
            panics: seen < ALL && is_low(counts),
        }
    });
    Loads {
        tiers: tiers.collect(),
        fail_open,
    }
}

/// By health: the first tiers first. What rounding leaves over goes to the first tier that has any.
fn by_health(health: &[[u64; 2]], total: u64) -> Vec<[u64; 2]> {
    let mut given = vec![[0; 2]; health.len()];
    if total == 0 {
        return given;
    }
    let mut left = ALL;
    for kind in [0, 1] {
        for (tier, health) in health.iter().enumerate() {
            given[tier][kind] = left.min(health[kind] * ALL / total);
            left -= given[tier][kind];
        }
    }
    for kind in [0, 1] {
        if let Some(first) = health.iter().position(|health| health[kind] > 0) {
            given[first][kind] += left;
            break;
        }
    }
    given
}

/// By number of endpoints, of whatever health.
fn by_size(counts: &[Counts]) -> Vec<[u64; 2]> {
    let all: u64 = counts.iter().map(|tier| u64::from(tier.all)).sum();
    let share = |tier: &Counts| (ALL * u64::from(tier.all)).checked_div(all).unwrap_or(0);
    let mut given: Vec<[u64; 2]> = counts.iter().map(|tier| [share(tier), 0]).collect();
    let left = ALL - given.iter().flatten().sum::<u64>();
    if let Some(first) = counts.iter().position(|tier| tier.all > 0) {
        given[first][0] += left;
    }
    given
}

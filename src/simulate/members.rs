//! How a tier's requests are divided among its members, and theirs among their endpoints.
//!
//! Members are localities with a weight. The weight counts in full while enough of a member's
//! endpoints are well, and less after that. Envoy: `HostSetImpl::effectiveLocalityWeight`,
//! `ZoneAwareLoadBalancerBase::hostSourceToUse`; for a hash `ThreadAwareLoadBalancerBase`.

use super::load::Load;
use super::situation::{Health, Member, Situation, Tier};
use super::{MemberSpread, TierSpread};

/// What becomes of the tier's load.
pub(super) fn spread(tier: &Tier, load: Load, situation: &Situation) -> TierSpread {
    let mut spread = TierSpread {
        panics: load.panics,
        members: tier.members.iter().map(nothing).collect(),
    };
    let factor = f64::from(situation.overprovisioning_factor) / 100.0;
    if situation.by_hash {
        // One table for both, of the healthy endpoints alone, whatever share of a member's they are.
        let is_in = |health: Health| load.panics || health == Health::Healthy;
        let all = load.healthy + load.degraded;
        divide(all, tier, is_in, |_, _| 1.0, &mut spread);
    } else if load.panics {
        let all = load.healthy + load.degraded;
        let by_size = |member: &Member, chosen: u32| f64::from(chosen) / f64::from(member.weight);
        divide(all, tier, |_| true, by_size, &mut spread);
    } else {
        for (load, kind) in [
            (load.healthy, Health::Healthy),
            (load.degraded, Health::Degraded),
        ] {
            let available = |member: &Member, chosen: u32| {
                let counted = count(member, |health| health != Health::Excluded);
                (factor * f64::from(chosen) / f64::from(counted)).min(1.0)
            };
            divide(load, tier, |health| health == kind, available, &mut spread);
        }
    }
    spread
}

fn nothing(member: &Member) -> MemberSpread {
    MemberSpread {
        endpoints: vec![0.0; member.endpoints.len()],
    }
}

/// Adds `load` to the endpoints that are chosen by their health: by the weight of their member, times what
/// `part` says of the member and the number of its chosen endpoints. It is lost where none is.
fn divide(
    load: u64,
    tier: &Tier,
    is_chosen: impl Fn(Health) -> bool,
    part: impl Fn(&Member, u32) -> f64,
    spread: &mut TierSpread,
) {
    let weight = |member: &Member| match count(member, &is_chosen) {
        0 => 0.0,
        chosen => f64::from(member.weight) * part(member, chosen),
    };
    let all: f64 = tier.members.iter().map(weight).sum();
    for (member, spread) in tier.members.iter().zip(&mut spread.members) {
        let chosen = f64::from(count(member, &is_chosen));
        let endpoints = member.endpoints.iter().zip(&mut spread.endpoints);
        for (_, share) in endpoints.filter(|(endpoint, _)| is_chosen(endpoint.health)) {
            *share += load_share(load) * (weight(member) / all) / chosen;
        }
    }
}

/// A load in percent.
fn load_share(load: u64) -> f64 {
    f64::from(u32::try_from(load).expect("a load is at most 100"))
}

fn count(member: &Member, is_counted: impl Fn(Health) -> bool) -> u32 {
    let endpoints = member.endpoints.iter();
    let counted = endpoints.filter(|endpoint| is_counted(endpoint.health));
    u32::try_from(counted.count()).expect("endpoints are fewer than 2^32")
}

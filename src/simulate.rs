//! Simulation: the share of a chain's requests that each member gets, whatever of it is down.
//!
//! In: a [`Chain`](crate::model::Chain), as emission takes it, and what has failed. Out: shares as
//! Envoy spreads first attempts. It is Envoy's own arithmetic (`load_balancer_impl.cc` and
//! `upstream_impl.cc` of 1.40), in whole numbers where Envoy has whole numbers, in its two steps: `load`
//! says how much each tier gets, `members` how that is divided within it. `tests/simulate` holds it
//! against a real Envoy.
//!
//! It knows no time: what is down has been taken out by Envoy already (an ejection, a failed health
//! check, an endpoint that Kubernetes calls unready), within the limits of the policy or not. It sends
//! nothing and asks nobody.

mod cases;
mod load;
mod members;
mod situation;
#[cfg(test)]
mod tests;

pub use cases::{Case, Failure, Use, cases, failures, rules};
pub use situation::{Endpoint, Health, Member, Situation, Target, Tier};

/// Who gets how much, in percent of all requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// In the order of [`Situation::tiers`].
    pub tiers: Vec<TierSpread>,
    /// For what Envoy has no endpoint: answered 503.
    pub unserved: f64,
    /// No tier has enough endpoints that are well, so that Envoy sends to all of them alike, well or not
    /// (total panic).
    pub fails_open: bool,
}

/// What one tier gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TierSpread {
    /// Its endpoints get their requests alike, well or not, whatever the weights (panic).
    pub panics: bool,
    /// In the order of [`Tier::members`].
    pub members: Vec<MemberSpread>,
}

/// What one member gets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberSpread {
    /// In the order of [`Member::endpoints`]. Within a member Envoy's balancers come to equal parts, but
    /// for slow start and for requests that take unequally long.
    pub endpoints: Vec<f64>,
}

impl TierSpread {
    /// All that its members get.
    pub fn share(&self) -> f64 {
        total(self.members.iter().map(MemberSpread::share))
    }
}

impl MemberSpread {
    /// All that its endpoints get.
    pub fn share(&self) -> f64 {
        total(self.endpoints.iter().copied())
    }
}

/// Of nothing it is 0, where `sum` has -0.
fn total(shares: impl Iterator<Item = f64>) -> f64 {
    shares.fold(0.0, |all, share| all + share)
}

/// How Envoy spreads requests in `situation`.
pub fn spread(situation: &Situation) -> Spread {
    let loads = load::loads(situation);
    let tiers: Vec<TierSpread> = situation
        .tiers
        .iter()
        .zip(&loads.tiers)
        .map(|(tier, load)| members::spread(tier, *load, situation))
        .collect();
    let served: f64 = tiers.iter().map(TierSpread::share).sum();
    let unserved = 100.0 - served;
    Spread {
        tiers,
        // What is left over of dividing.
        unserved: if unserved < 1e-6 { 0.0 } else { unserved },
        fails_open: loads.fail_open,
    }
}

//! A FailoverPolicy of a family's base rule: which Backend is in which tier, and whose turn it is.

use crate::random::Random;
use crate::world::References;

/// Statuses that a last resort may have.
const STATUSES: [usize; 3] = [200, 404, 503];

/// What a policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Backends by tier; each is in one at most, and no tier is empty.
    pub(crate) tiers: Vec<Vec<usize>>,
    pub(crate) pinned: Option<usize>,
    /// Never the pinned one.
    pub(crate) drained: Option<usize>,
    /// The threshold of mode Spill, in percent.
    pub(crate) threshold: Option<usize>,
    /// The last resort's status.
    pub(crate) last_resort: Option<usize>,
    pub(crate) attempts: Option<usize>,
    pub(crate) at_once: bool,
    /// Whether the first tier has a connect timeout of its own, so that each needs a cluster.
    pub(crate) is_apart: bool,
}

impl Order {
    /// A policy for these references.
    pub(crate) fn of(random: &mut Random, references: &References) -> Self {
        let mut order = Self {
            tiers: tiers(random, references),
            pinned: None,
            drained: None,
            threshold: None,
            last_resort: None,
            attempts: None,
            at_once: false,
            is_apart: false,
        };
        for _ in 0..random.below(3) {
            order.change(random, references);
        }
        order
    }

    /// Whether it holds for a rule with these references: it may name no other.
    pub(crate) fn fits(&self, references: &References) -> bool {
        let mut named = self.tiers.iter().flatten();
        named.all(|backend| references.iter().any(|(it, _)| it == backend))
    }

    /// Whose turn a Backend is in, from 0; none if it gets nothing. One that is not named is in the
    /// first tier, or in the second if it stands by.
    pub(crate) fn turn(&self, backend: usize, is_standby: bool) -> Option<usize> {
        let mut tiers = self.tiers.iter();
        let named = tiers.position(|tier| tier.contains(&backend));
        let tier = named.unwrap_or(usize::from(is_standby));
        if self.drained == Some(tier) {
            return None;
        }
        Some(match self.pinned == Some(tier) {
            true => 0,
            false => tier + 1,
        })
    }

    /// Changes one thing of it.
    pub(crate) fn change(&mut self, random: &mut Random, references: &References) {
        let count = self.tiers.len();
        let is_set = random.percent(60);
        let mut some = |values: usize| is_set.then(|| random.below(values));
        match some(9).unwrap_or(8) {
            0 | 1 | 7 => {
                self.pinned = some(count);
                self.drained = self.drained.filter(|tier| self.pinned != Some(*tier));
            }
            2 => {
                self.drained = some(count).filter(|tier| self.pinned != Some(*tier));
            }
            3 => self.threshold = some(100).map(|below| below + 1),
            4 => self.last_resort = Some(random.one_of(&STATUSES)),
            5 => self.attempts = some(4).map(|more| more + 1),
            6 => {
                self.is_apart ^= true;
                self.at_once = random.percent(50);
            }
            _ => match random.below(4) {
                0 => self.pinned = None,
                1 => self.drained = None,
                2 => (self.threshold, self.last_resort) = (None, None),
                _ => self.arrange(random, references),
            },
        }
    }

    /// Puts these references in tiers anew.
    pub(crate) fn arrange(&mut self, random: &mut Random, references: &References) {
        self.tiers = tiers(random, references);
        let is_there = |tier: &usize| *tier < self.tiers.len();
        self.pinned = self.pinned.filter(is_there);
        self.drained = self.drained.filter(is_there);
    }
}

/// Some of a rule's Backends, in tiers.
fn tiers(random: &mut Random, references: &References) -> Vec<Vec<usize>> {
    let count = references.len();
    let named = 1 + random.below(count);
    let mut tiers: Vec<Vec<usize>> = Vec::new();
    for index in random.distinct(named, count) {
        let backend = references[index].0;
        match tiers.last_mut() {
            Some(last) if random.percent(25) => last.push(backend),
            _ => tiers.push(vec![backend]),
        }
    }
    tiers
}

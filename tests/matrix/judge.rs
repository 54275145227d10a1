//! Which tier may have answered a request, by when it was under way.

use std::time::Instant;

use locum_demo::report::{Record, Report};

use crate::tier::NAMES;

/// What happened when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    /// The fault of tier 0.
    pub(crate) first: Instant,
    /// From here on tier 1 serves all.
    pub(crate) on_second: Instant,
    /// The fault of tier 1.
    pub(crate) second: Instant,
    /// From here on tier 2 serves all.
    pub(crate) on_third: Instant,
    /// Both are mended.
    pub(crate) mended: Instant,
    /// From here on tier 0 serves all.
    pub(crate) on_first: Instant,
}

impl Moments {
    /// Until when which tiers may answer. While a fault is noticed its own tier may, and the next;
    /// none further down, since the next is well. While both return each may: which is noticed
    /// first is chance.
    fn phases(&self, end: Instant) -> [(Instant, &'static [usize]); 7] {
        [
            (self.first, &[0]),
            (self.on_second, &[0, 1]),
            (self.second, &[1]),
            (self.on_third, &[1, 2]),
            (self.mended, &[2]),
            (self.on_first, &[0, 1, 2]),
            (end, &[0]),
        ]
    }

    /// The requests that a tier answered whose turn it was not, at no moment from when they were due
    /// until they were answered.
    pub(crate) fn misplaced<'a>(&self, report: &'a Report) -> Vec<&'a Record> {
        let end = Instant::now();
        let phases = self.phases(end);
        let is_right = |record: &Record| {
            let Some(pod) = record.pod() else { return true };
            let mut from = None;
            phases.iter().any(|(until, tiers)| {
                let begins = from.replace(report.offset(*until)).unwrap_or_default();
                let under_way =
                    record.answered() >= begins && record.scheduled <= report.offset(*until);
                under_way && tiers.iter().any(|tier| *NAMES[*tier] == **pod)
            })
        };
        let records = report.records().iter();
        records.filter(|record| !is_right(record)).collect()
    }
}

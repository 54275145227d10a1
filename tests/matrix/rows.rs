//! What the cases counted, a row each.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use locum_demo::report::Report;
use locum_demo::table::{self, say, time};

use crate::cover::Combination;
use crate::tier::NAMES;

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// What one case counted.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) case: Combination,
    pub(crate) requests: usize,
    pub(crate) lost: usize,
    /// Answered by a tier whose turn it was not.
    pub(crate) misplaced: usize,
    /// From a fault to the first answer by the next tier.
    pub(crate) to_second: Option<Duration>,
    pub(crate) to_third: Option<Duration>,
    /// From the end of the faults to the first request from which on tier 0 serves all.
    pub(crate) back: Option<Duration>,
    pub(crate) worst: Duration,
    /// The longest time in which nothing ran here, which counts for everything else in the row.
    pub(crate) stall: Duration,
    pub(crate) note: String,
}

impl Row {
    /// A case that did not come to its end: what was where is not judged.
    pub(crate) fn unfinished(case: Combination, report: &Report, stall: Duration) -> Self {
        let by = NAMES.map(|name| format!("{} on {name}", report.served_by(name)));
        Self {
            case,
            requests: report.requests(),
            lost: report.lost(),
            misplaced: 0,
            to_second: None,
            to_third: None,
            back: None,
            worst: report.worst(),
            stall,
            note: format!("unfinished: {}", by.join(", ")),
        }
    }

    fn cells(&self) -> [String; 10] {
        [
            self.case.to_string(),
            self.requests.to_string(),
            self.lost.to_string(),
            self.misplaced.to_string(),
            time(self.to_second),
            time(self.to_third),
            time(self.back),
            time(Some(self.worst)),
            time(Some(self.stall)),
            self.note.clone(),
        ]
    }
}

/// Puts a row into the table.
pub(crate) fn record(row: Row) {
    let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    rows.push(row);
}

/// Says the table and what it comes to, and writes it to the target folder.
pub(crate) fn show() -> anyhow::Result<()> {
    let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    rows.sort_by_key(|row| row.case);
    let head = [
        "fault and tiers",
        "requests",
        "lost",
        "on a wrong tier",
        "on tier 1 after",
        "on tier 2 after",
        "back on tier 0 after",
        "worst",
        "machine still",
        "",
    ];
    let cells: Vec<_> = rows.iter().map(Row::cells).collect();
    let program = Path::new(env!("CARGO_BIN_EXE_locum"));
    table::show(program, "matrix.md", head, 1, &cells)?;
    let sum = |of: fn(&Row) -> usize| rows.iter().map(of).sum::<usize>();
    say(&format!(
        "{} cases, {} requests, {} lost, {} on a wrong tier",
        rows.len(),
        sum(|row| row.requests),
        sum(|row| row.lost),
        sum(|row| row.misplaced)
    ));
    Ok(())
}

//! What the cases counted: a line for each as it ends, a table at the end.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use locum_demo::report::Report;
use serde::{Deserialize, Serialize};

pub(crate) use locum_demo::table::{say, time};

/// Marks a row in the output of a case that runs in another process.
const MARK: &str = "ROW ";

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());
/// Whether rows go to standard output for the process that has the table.
static FORWARD: AtomicBool = AtomicBool::new(false);

/// What one case counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) requests: usize,
    pub(crate) lost: usize,
    /// Served by the standby.
    pub(crate) passive: usize,
    /// From the failure to the standby's first answer.
    pub(crate) first_passive: Option<Duration>,
    /// From the return to the first request from which on `active` serves all.
    pub(crate) back: Option<Duration>,
    /// The longest that any request took.
    pub(crate) worst: Duration,
    pub(crate) note: String,
}

impl Row {
    /// What a report says, with the moments of the failure and of the return where there were such.
    pub(crate) fn of(report: &Report, failure: Option<Instant>, back: Option<Instant>) -> Self {
        Self {
            case: String::new(),
            requests: report.requests(),
            lost: report.lost(),
            passive: report.served_by("passive"),
            first_passive: failure.and_then(|at| report.first_answer("passive", at)),
            back: back.and_then(|at| report.settled("active", at)),
            worst: report.worst(),
            note: String::new(),
        }
    }

    /// The same with a remark.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn cells(&self) -> [String; 8] {
        [
            self.case.clone(),
            self.requests.to_string(),
            self.lost.to_string(),
            self.passive.to_string(),
            time(self.first_passive),
            time(self.back),
            time(Some(self.worst)),
            self.note.clone(),
        ]
    }
}

/// Puts a row into the table and says it.
pub(crate) fn record(row: Row) {
    if FORWARD.load(Ordering::Relaxed) {
        match serde_json::to_string(&row) {
            Ok(row) => say(&format!("{MARK}{row}")),
            Err(error) => say(&format!("a row that cannot be passed on: {error}")),
        }
        return;
    }
    let [case, requests, lost, passive, first, back, worst, note] = row.cells();
    say(&format!(
        "  {case}: {requests} requests, {lost} lost, {passive} on passive, first passive {first}, \
         back {back}, worst {worst} {note}"
    ));
    ROWS.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(row);
}

/// From now on rows go to whoever started this process.
pub(crate) fn forward() {
    FORWARD.store(true, Ordering::Relaxed);
}

/// Takes the rows from another process's output.
pub(crate) fn adopt(output: &str) {
    let rows = output.lines().filter_map(|line| line.strip_prefix(MARK));
    rows.filter_map(|row| serde_json::from_str(row).ok())
        .for_each(record);
}

/// Writes the table to standard output and to the target folder.
pub(crate) fn show() -> anyhow::Result<()> {
    let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    rows.sort_by(|one, other| one.case.cmp(&other.case));
    let head = [
        "case",
        "requests",
        "lost",
        "on passive",
        "first passive after",
        "back after",
        "worst",
        "",
    ];
    let rows: Vec<_> = rows.iter().map(Row::cells).collect();
    let program = Path::new(env!("CARGO_BIN_EXE_locum"));
    locum_demo::table::show(program, "failover.md", head, 1, &rows)
}

//! What the demo shows while it runs: one line that changes on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::report::{Record, Report};

/// How far back the live line's rates look.
const WINDOW: Duration = Duration::from_secs(1);
/// How often a plain line is written.
const PLAIN_INTERVAL: Duration = Duration::from_secs(2);

/// The demo's standard output.
#[derive(Debug)]
pub struct View {
    terminal: bool,
    /// Whether the cursor stands in a line that is to be written over.
    live: bool,
    last_plain: Option<Instant>,
}

impl View {
    /// A view on this process's standard output.
    pub fn new() -> Self {
        Self {
            terminal: io::stdout().is_terminal(),
            live: false,
            last_plain: None,
        }
    }

    /// Writes a line that stays.
    ///
    /// # Errors
    ///
    /// When standard output is closed.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        let mut output = io::stdout().lock();
        if self.live {
            write!(output, "\r\x1b[2K")?;
            self.live = false;
        }
        writeln!(output, "{line}")?;
        output.flush()
    }

    /// Shows how a load is doing; call it a few times a second.
    ///
    /// # Errors
    ///
    /// When standard output is closed.
    pub fn show(&mut self, report: &Report, now: Instant) -> io::Result<()> {
        if self.terminal {
            let mut output = io::stdout().lock();
            write!(output, "\r\x1b[2K{}", self.line(report, now))?;
            self.live = true;
            return output.flush();
        }
        if self
            .last_plain
            .is_some_and(|last| now.duration_since(last) < PLAIN_INTERVAL)
        {
            return Ok(());
        }
        self.last_plain = Some(now);
        let line = self.line(report, now);
        self.say(&line)
    }

    /// `  12.0 s  serving: active   active 200/s   passive 0/s   lost 0`
    fn line(&self, report: &Report, now: Instant) -> String {
        let rates = recent(report, now);
        let serving = rates
            .iter()
            .max_by_key(|(_, rate)| **rate)
            .filter(|(_, rate)| **rate > 0);
        let serving = serving.map_or("nobody", |(pod, _)| pod);
        let lost = report.lost();
        let mut line = format!("  {:5.1} s  serving: ", report.offset(now).as_secs_f64());
        line += &self.coloured(
            &format!("{serving:<8}"),
            if serving == "active" { 32 } else { 33 },
        );
        for (pod, rate) in &rates {
            line += &format!("  {pod} {rate:>3}/s");
        }
        line + "  " + &self.coloured(&format!("lost {lost}"), if lost == 0 { 32 } else { 31 })
    }

    /// Text in one of a terminal's colours.
    fn coloured(&self, text: &str, colour: u8) -> String {
        if self.terminal {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

impl Default for View {
    fn default() -> Self {
        Self::new()
    }
}

/// Answers in the last second by each backend that ever answered.
fn recent(report: &Report, now: Instant) -> BTreeMap<Arc<str>, usize> {
    let since = report.offset(now).saturating_sub(WINDOW);
    let mut rates: BTreeMap<_, _> = report.by_pod().into_keys().map(|pod| (pod, 0)).collect();
    let late = |record: &&Record| record.answered() >= since;
    for pod in report.records().iter().filter(late).filter_map(Record::pod) {
        *rates.entry(pod.clone()).or_default() += 1;
    }
    rates
}

//! What is said at the end, and how.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

/// Writes a line to standard output.
pub fn say(line: &str) {
    // Nobody is left to tell when it is closed.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Says a table and writes it to `file` in the target folder that `program` is in; nothing where it
/// has no rows. The columns before `first_number` and the last one are text.
///
/// # Errors
///
/// When the file cannot be written.
pub fn show<const COLUMNS: usize>(
    program: &Path,
    file: &str,
    head: [&str; COLUMNS],
    first_number: usize,
    rows: &[[String; COLUMNS]],
) -> anyhow::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let is_text = |column: usize| column < first_number || column + 1 == COLUMNS;
    let marks = (0..COLUMNS).map(|column| if is_text(column) { "---|" } else { "---:|" });
    let mut table = format!("| {} |\n|{}\n", head.join(" | "), marks.collect::<String>());
    for row in rows {
        table += &format!("| {} |\n", row.join(" | "));
    }
    say(&table);
    // Programs under test are in target/<profile>.
    let target = program.ancestors().nth(2);
    let path = target
        .context("programs are in the target folder")?
        .join(file);
    fs::write(&path, table).with_context(|| path.display().to_string())
}

/// A time as people read it.
pub fn time(time: Option<Duration>) -> String {
    match time {
        None => "-".to_owned(),
        Some(time) if time < Duration::from_millis(10) => {
            format!("{:.1} ms", time.as_secs_f64() * 1e3)
        }
        Some(time) if time < Duration::from_secs(1) => {
            format!("{:.0} ms", time.as_secs_f64() * 1e3)
        }
        Some(time) => format!("{:.1} s", time.as_secs_f64()),
    }
}

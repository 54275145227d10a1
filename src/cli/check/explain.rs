//! What the codes of findings stand for, from the one table.

use std::io::{self, Write as _};

use crate::problem::codes::{CODES, Code};

/// Prints a line for each code.
pub(super) fn all() -> io::Result<()> {
    let mut out = io::stdout().lock();
    let widest = CODES.iter().map(|code| code.reason.len()).max();
    let width = widest.unwrap_or_default();
    for code in &CODES {
        writeln!(out, "{}  {:width$}  {}", code.id, code.reason, code.title)?;
    }
    Ok(())
}

/// Prints everything that is known of one.
pub(super) fn code(code: &Code) -> io::Result<()> {
    let against = match code.stands_against {
        true => "locum.dev/FailoverReady is False with it.",
        false => "locum.dev/FailoverReady does not depend on it.",
    };
    let Code {
        id,
        reason,
        title,
        why,
        mend,
        ..
    } = code;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{id} {reason}: {title}\n\n{why}\n\n{mend}\n\n{against}"
    )
}

//! How a problem is written for a person: `file:line: field: severity: message (reason)`, with the
//! code before the reason where it has one of its own.

use super::output::Style;
use crate::pipeline::Located;
use crate::problem::Severity;

/// One problem in one line.
pub(super) fn line(problem: &Located, style: Style) -> String {
    let place = match (&problem.location, &problem.object) {
        (Some(location), _) => format!("{}:{}", location.file.display(), location.line),
        (None, Some(object)) => object.to_string(),
        (None, None) => "-".to_owned(),
    };
    let field = if problem.field.is_empty() {
        String::new()
    } else {
        format!("{}: ", problem.field)
    };
    let object = match (&problem.location, &problem.object) {
        (Some(_), Some(object)) => format!("{object}: "),
        _ => String::new(),
    };
    let severity = match problem.severity {
        Severity::Error => style.bad(problem.severity),
        Severity::Warning => style.warning(problem.severity),
        Severity::Note => style.faint(problem.severity),
    };
    let code = match problem.code() {
        code if code == problem.reason => code.to_owned(),
        code => format!("{code} {}", problem.reason),
    };
    format!(
        "{}: {field}{severity}: {object}{} ({code})",
        style.strong(place),
        problem.sentences()
    )
}

/// How many problems of each severity there are, in words. Notes alone are no problems.
pub(super) fn counts(problems: &[Located]) -> String {
    let said: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .filter_map(|severity| {
            let of_it = problems
                .iter()
                .filter(|problem| problem.severity == severity);
            match of_it.count() {
                0 => None,
                1 => Some(format!("1 {severity}")),
                count => Some(format!("{count} {severity}s")),
            }
        })
        .collect();
    let is_clean = problems
        .iter()
        .all(|problem| problem.severity == Severity::Note);
    let clean = is_clean.then(|| "no problems".to_owned());
    let said: Vec<String> = clean.into_iter().chain(said).collect();
    said.join(", ")
}

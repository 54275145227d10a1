//! `locum check`: everything that is wrong with manifests, before anything is served from them, and
//! whether their chains can fail over.

mod explain;
mod resolve;
mod sarif;

use std::env;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::PROBLEMS;
use super::options::{DefaultListen, Misuse, SourceOptions, duration};
use super::output::Style;
use super::problems::{counts, line};
use crate::pipeline::{Located, State};
use crate::problem::{Severity, codes};

/// Say what is wrong with manifests and which chains cannot fail over, with file, line and field
///
/// Each line has a code that never changes its meaning; --explain says more of it. Errors are about
/// what is not served, warnings about what works now but perhaps not when it must, notes about what
/// may be meant. The exit status is 1 if anything is an error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum check -f manifests/
  locum check -f manifests/ --resolve --strict
  locum check -f manifests/ -o sarif > locum.sarif
  kustomize build overlays/production | locum check -f -
  locum check --codes
  locum check --explain LOC202")]
pub(super) struct Options {
    #[command(flatten)]
    source: SourceOptions,
    /// The form of what is printed
    #[arg(
        short,
        long,
        env = "LOCUM_OUTPUT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    output: Format,
    /// Fail on warnings too
    #[arg(long, env = "LOCUM_STRICT", value_parser = BoolishValueParser::new())]
    strict: bool,
    /// Look up the names that chains use, by this machine's resolver
    #[arg(long, env = "LOCUM_RESOLVE", value_parser = BoolishValueParser::new())]
    resolve: bool,
    /// The longest that all look-ups may take together
    #[arg(
        long,
        env = "LOCUM_RESOLVE_TIMEOUT",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "5s"
    )]
    resolve_timeout: Duration,
    /// Print the codes and what each stands for, and check nothing
    // An action: from the environment it would have every check pass.
    #[arg(long, conflicts_with = "explain")]
    codes: bool,
    /// Print what a code stands for, what follows from it and what to write, and check nothing
    #[arg(long, value_name = "CODE")]
    explain: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
}

impl Options {
    /// Reads, translates and says what is wrong.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(code) = &self.explain {
            let known = codes::in_table(code).ok_or_else(|| {
                Misuse::new(format!(
                    "{code} has no text of its own: --codes lists those that have"
                ))
            })?;
            explain::code(known)?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.codes {
            explain::all()?;
            return Ok(ExitCode::SUCCESS);
        }
        let source = self.source.files(DefaultListen::Everywhere)?;
        let update = source.load()?;
        let state = State::of(update, &source.translation);
        let mut problems = state.located_problems();
        if self.resolve {
            let found = resolve::problems(&state, self.resolve_timeout);
            problems.extend(found.iter().map(|problem| state.located(problem)));
            problems.sort();
        }
        match self.output {
            Format::Text => print_text(&problems)?,
            Format::Json => print_json(&problems)?,
            Format::Sarif => sarif::print(&problems, env::current_dir().ok().as_deref())?,
        }
        let bad = match self.strict {
            true => Severity::Warning,
            false => Severity::Error,
        };
        let failed = problems.iter().any(|problem| problem.severity >= bad);
        Ok(ExitCode::from(if failed { PROBLEMS } else { 0 }))
    }
}

fn print_text(problems: &[Located]) -> std::io::Result<()> {
    let style = Style::of_stdout();
    let mut out = std::io::stdout().lock();
    for problem in problems {
        writeln!(out, "{}", line(problem, style))?;
    }
    writeln!(out, "{}", counts(problems))
}

fn print_json(problems: &[Located]) -> anyhow::Result<()> {
    let problems: Vec<_> = problems.iter().map(Located::to_json).collect();
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &problems)?;
    writeln!(out)?;
    Ok(())
}

//! `locum check`: everything that is wrong with manifests, before anything is served from them.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::PROBLEMS;
use super::options::{DefaultListen, SourceOptions};
use super::output::Style;
use super::problems::{counts, line};
use crate::pipeline::{Located, State};
use crate::problem::Severity;

/// Say what is wrong with manifests, with file, line and field
///
/// The exit status is 1 if anything is an error. Warnings are about what works, but perhaps not as
/// meant.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum check -f manifests/
  locum check -f manifests/ -o json
  kustomize build overlays/production | locum check -f -")]
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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Options {
    /// Reads, translates and says what is wrong.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let source = self.source.files(DefaultListen::Everywhere)?;
        let update = source.load()?;
        let problems = State::of(update, &source.translation).located_problems();
        match self.output {
            Format::Text => print_text(&problems)?,
            Format::Json => print_json(&problems)?,
        }
        let failed = problems
            .iter()
            .any(|problem| problem.severity == Severity::Error);
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

//! `locum reference`: what the pages in `docs/reference` are made with.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::crds;
use crate::reference;

/// Print the reference page of a kind that Locum brings along: its fields, their defaults, and what
/// Envoy gets of them
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum reference Backend
  locum reference btp")]
pub(super) struct Options {
    /// By its plural, its kind, a short name or its full name
    name: String,
}

impl Options {
    /// Prints the page.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let chosen = crds::chosen(&[self.name])?;
        let mut out = std::io::stdout().lock();
        for definition in &chosen {
            write!(out, "{}", reference::page(definition))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

//! `locum completions`: a script that teaches a shell to complete Locum's command line.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum completions bash > ~/.local/share/bash-completion/completions/locum
  locum completions zsh > ~/.zfunc/_locum
  locum completions fish > ~/.config/fish/completions/locum.fish")]
pub(super) struct Options {
    /// The shell
    shell: Supported,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Supported {
    Bash,
    Zsh,
    Fish,
}

impl Options {
    /// Prints the script for `command`, which is the whole command line.
    pub(super) fn run(&self, command: &mut clap::Command) -> anyhow::Result<ExitCode> {
        let shell = match self.shell {
            Supported::Bash => Shell::Bash,
            Supported::Zsh => Shell::Zsh,
            Supported::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, command, "locum", &mut script);
        std::io::stdout().lock().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

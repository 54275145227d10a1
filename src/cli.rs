//! The command line: what each command takes, and what it does with it.
//!
//! In: arguments and `LOCUM_...` variables. Out: text on standard output, messages on standard
//! error, an exit status (0 done, 1 problems found or failed, 2 wrong use). A command parses into a
//! struct of its own (`options` holds what they share), is validated into values, and then runs. No
//! command decides anything about traffic.

mod bootstrap;
mod certs;
mod check;
mod completions;
mod control_plane;
mod crds;
mod debug;
mod kubernetes;
mod log_changes;
mod logging;
mod options;
mod output;
mod problems;
mod rate_limit;
mod reference;
mod replica;
mod report;
mod run;
mod serve;
mod shutdown;
mod signals;
mod simulate;
mod tls;
mod translate;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::causes::in_words;
use logging::Verbosity;
pub use options::Misuse;

/// The exit status when a command has done what it was asked to, and found problems, or failed.
const PROBLEMS: u8 = 1;
/// The exit status when the command line makes no sense.
const WRONG_USE: u8 = 2;

/// A control plane for stock Envoy proxies that never misses a backend.
///
/// Locum reads Gateway API resources and tells Envoy where traffic goes while the active backend is
/// well, and where it goes when it is not. Envoy makes every switch by itself.
#[derive(Debug, Parser)]
#[command(name = "locum", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    logging: logging::Options,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  locum run -f manifests/                 serve the manifests of a folder with an Envoy of its own
  locum check -f manifests/               say what is wrong with them, with file and line
  locum translate -f manifests/ -t cluster,endpoint
                                          show what Envoy would be told
  locum simulate -f manifests/            show who serves when a backend fails

Each option can be given as an environment variable too; the command's --help names them.";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Options),
    Serve(Box<serve::Options>),
    Check(check::Options),
    Translate(translate::Options),
    Simulate(simulate::Options),
    Bootstrap(bootstrap::Options),
    Certs(certs::Options),
    Crds(crds::Options),
    #[command(hide = true)]
    Reference(reference::Options),
    Debug(debug::Options),
    Shutdown(shutdown::Options),
    Completions(completions::Options),
}

/// Parses the process's arguments, runs the command and gives its exit status.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(status) => status,
        Err(error) => {
            let wrong_use = error.downcast_ref::<Misuse>().is_some();
            #[allow(
                clippy::print_stderr,
                reason = "the last word of a command that failed"
            )]
            {
                eprintln!("locum: {}", in_words(error.as_ref()));
            }
            ExitCode::from(if wrong_use { WRONG_USE } else { PROBLEMS })
        }
    }
}

impl Cli {
    fn run(self) -> anyhow::Result<ExitCode> {
        let verbosity = match self.command {
            Command::Serve(_) => Verbosity::Information,
            _ => Verbosity::Warnings,
        };
        self.logging.start(verbosity)?;
        match self.command {
            Command::Run(options) => runtime()?.block_on(options.run()),
            Command::Serve(options) => runtime()?.block_on(options.run()),
            Command::Check(options) => options.run(),
            Command::Translate(options) => options.run(),
            Command::Simulate(options) => options.run(),
            Command::Bootstrap(options) => options.run(),
            Command::Certs(options) => runtime()?.block_on(options.run()),
            Command::Crds(options) => options.run(),
            Command::Reference(options) => options.run(),
            Command::Debug(options) => runtime()?.block_on(options.run()),
            Command::Shutdown(options) => runtime()?.block_on(options.run()),
            Command::Completions(options) => options.run(&mut Cli::command()),
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    /// A command and all below it.
    fn with_all_below(command: &clap::Command) -> Vec<&clap::Command> {
        let below = command.get_subcommands().flat_map(with_all_below);
        std::iter::once(command).chain(below).collect()
    }

    /// The words of each `locum ...` that the help texts give as an example.
    fn examples() -> Vec<Vec<String>> {
        let command = Cli::command();
        let commands = with_all_below(&command).into_iter();
        let helps = commands.filter_map(clap::Command::get_after_help);
        let texts = helps.map(ToString::to_string);
        let lines: Vec<String> = texts.flat_map(|text| lines(&text)).collect();
        let commands = lines.iter().filter_map(|line| {
            let inside = line.split_once(" -- /").or_else(|| line.split_once(" | "));
            let line = inside.map_or(line.as_str(), |(_, after)| after);
            line.trim_start()
                .starts_with("locum ")
                .then_some(line.trim_start())
        });
        commands
            .map(|line| {
                let end = line.find("  ").unwrap_or(line.len());
                let words = line[..end].split(' ').take_while(|word| *word != ">");
                words.map(str::to_owned).collect()
            })
            .collect()
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn every_example_of_the_help_texts_parses() {
        let examples = examples();
        assert!(examples.len() > 10, "{examples:?}");
        for example in examples {
            if let Err(error) = Cli::try_parse_from(&example) {
                panic!("{example:?}: {error}");
            }
        }
    }

    /// Options that have a command do something else: set for good, they would have it never do its
    /// own work.
    const ACTIONS: [&str; 4] = ["help", "version", "codes", "explain"];

    #[test]
    fn every_flag_takes_1_as_a_variable() {
        let command = Cli::command();
        for each in with_all_below(&command) {
            let flags = each
                .get_arguments()
                .filter(|argument| matches!(argument.get_action(), clap::ArgAction::SetTrue))
                .filter(|argument| !ACTIONS.contains(&argument.get_id().as_str()));
            for flag in flags {
                let values = flag.get_possible_values();
                let takes_1 = values.iter().any(|value| value.matches("1", true));
                assert!(takes_1, "{} {}", each.get_name(), flag.get_id());
            }
        }
    }

    #[test]
    fn every_option_is_an_environment_variable_too() {
        let command = Cli::command();
        for each in with_all_below(&command) {
            let options = each
                .get_arguments()
                .filter(|argument| !argument.is_positional());
            for option in options.filter(|option| !ACTIONS.contains(&option.get_id().as_str())) {
                let variable = option.get_env().and_then(|name| name.to_str());
                let named = variable.is_some_and(|name| name.starts_with("LOCUM_"));
                assert!(named, "{} {}", each.get_name(), option.get_id());
            }
        }
    }
}

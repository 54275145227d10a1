//! Logging: to standard error, as text or as JSON, filtered by level or by directives.

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::options::Misuse;
use super::output::Style;

/// What is logged and how.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// What is logged: error, warn, info, debug, trace or off, or directives such as
    /// `info,envoy=debug` [default: info for serve, else warn]
    #[arg(long, global = true, env = "LOCUM_LOG_LEVEL", value_name = "LEVEL")]
    log_level: Option<String>,
    /// How log lines on standard error look
    #[arg(
        long,
        global = true,
        env = "LOCUM_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// What a command logs when nothing is said.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verbosity {
    /// For commands that talk to a person by themselves.
    Warnings,
    /// For commands that only log.
    Information,
}

impl Options {
    /// Starts logging for the whole process. Wrong directives are wrong use.
    pub(super) fn start(&self, verbosity: Verbosity) -> Result<(), Misuse> {
        let directives = self.log_level.as_deref().unwrap_or(match verbosity {
            Verbosity::Warnings => "warn",
            Verbosity::Information => "info",
        });
        let filter = filter(directives)?;
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        let started = match self.log_format {
            Format::Text => subscriber
                .with_ansi(Style::of_stderr() == Style::Coloured)
                .try_init(),
            Format::Json => subscriber.json().try_init(),
        };
        started.map_err(|error| Misuse::new(format!("logging cannot start: {error}")))
    }
}

/// The filter of `directives`. A word alone is a level: taken for a target, a slip would silence
/// everything.
fn filter(directives: &str) -> Result<EnvFilter, Misuse> {
    let wrong = |why: String| Misuse::new(format!("--log-level {directives}: {why}"));
    let is_word = |each: &&str| each.chars().all(|letter| letter.is_ascii_alphanumeric());
    let mut words = directives.split(',').map(str::trim).filter(is_word);
    if let Some(word) = words.find(|word| word.parse::<LevelFilter>().is_err()) {
        let levels = "error, warn, info, debug, trace or off";
        return Err(wrong(format!(
            "{word:?} is no level: expected {levels}, or directives such as info,envoy=debug"
        )));
    }
    EnvFilter::builder()
        .parse(directives)
        .map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for right in [
            "info",
            "WARN",
            "off",
            "info,envoy=debug",
            "locum::xds=trace",
        ] {
            assert!(filter(right).is_ok(), "{right}");
        }
        for wrong in ["verbose", "info,zap", "info,envoy=loud"] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }
}

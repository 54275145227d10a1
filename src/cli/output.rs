//! Writing to standard output and standard error: colours only where a person looks at them.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

/// The form of a document for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Yaml,
    Json,
}

/// The option for the form of what a command has to give.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct FormatOption {
    /// The form of what is printed or written
    #[arg(
        short,
        long,
        env = "LOCUM_OUTPUT",
        value_name = "FORMAT",
        default_value = "yaml"
    )]
    pub(super) output: Format,
}

/// Writes a document to standard output.
pub(super) fn write_document(document: &Value, format: Format) -> anyhow::Result<()> {
    io::stdout()
        .lock()
        .write_all(in_form(document, format)?.as_bytes())?;
    Ok(())
}

/// The text of a document.
pub(super) fn in_form(document: &Value, format: Format) -> anyhow::Result<String> {
    Ok(match format {
        Format::Yaml => serde_saphyr::to_string(document)?,
        Format::Json => serde_json::to_string_pretty(document)? + "\n",
    })
}

/// Writes objects to standard output: a document for each in YAML, in JSON a `List` if they are
/// several. Both are what `kubectl apply -f -` reads.
pub(super) fn write_documents(objects: &[Value], format: Format) -> anyhow::Result<()> {
    match (objects, format) {
        ([object], _) => write_document(object, format),
        (_, Format::Yaml) => {
            for object in objects {
                io::stdout().lock().write_all(b"---\n")?;
                write_document(object, format)?;
            }
            Ok(())
        }
        (_, Format::Json) => {
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
            write_document(&list, format)
        }
    }
}

/// Rows as lines: columns as wide as their widest cell.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("   ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Whether the user refuses colours: `NO_COLOR` is set and not empty (no-color.org).
pub(super) fn colour_is_refused() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// How standard output is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Plain lines, for files and pipes.
    Plain,
    /// A person's terminal, with colours.
    Coloured,
}

impl Style {
    /// The style that standard output asks for.
    pub(super) fn of_stdout() -> Self {
        Self::for_terminal(io::stdout().is_terminal())
    }

    /// The style that standard error asks for.
    pub(super) fn of_stderr() -> Self {
        Self::for_terminal(io::stderr().is_terminal())
    }

    fn for_terminal(is_terminal: bool) -> Self {
        if is_terminal && !colour_is_refused() {
            Style::Coloured
        } else {
            Style::Plain
        }
    }

    /// `text` in bold.
    pub(super) fn strong(self, text: impl Display) -> String {
        self.paint("1", text)
    }

    /// `text` for what is well.
    pub(super) fn good(self, text: impl Display) -> String {
        self.paint("32", text)
    }

    /// `text` for what needs a look.
    pub(super) fn warning(self, text: impl Display) -> String {
        self.paint("33", text)
    }

    /// `text` for what is wrong.
    pub(super) fn bad(self, text: impl Display) -> String {
        self.paint("31", text)
    }

    /// `text` for what is said beside the point.
    pub(super) fn faint(self, text: impl Display) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: impl Display) -> String {
        match self {
            Style::Plain => text.to_string(),
            Style::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

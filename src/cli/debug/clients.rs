//! `locum debug clients`: the connected proxies, a line for each.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::Value;

use super::Admin;
use crate::cli::output::{Format, write_document};

/// Show the connected proxies, and how far each is
///
/// ACKED is the revision of the Gateway's configuration that the proxy has acknowledged in full,
/// SENT the one that it is being told; XDS is the variant of the protocol, delta or sotw. What a
/// proxy refuses stands below, in its own words.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum debug clients
  locum debug clients -o json")]
pub(super) struct Options {
    #[command(flatten)]
    admin: Admin,
    /// The form of what is printed
    #[arg(
        short,
        long,
        env = "LOCUM_OUTPUT",
        value_name = "FORMAT",
        default_value = "table"
    )]
    output: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Yaml,
    Json,
}

const HEAD: [&str; 10] = [
    "GATEWAY",
    "NODE",
    "PROXY",
    "XDS",
    "PEER",
    "CONNECTED",
    "ACKED",
    "SENT",
    "PENDING",
    "REFUSED",
];

impl Options {
    /// Asks and prints.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let clients: Value = self.admin.ask("/debug/clients").await?;
        match self.output {
            Form::Table => {
                let text = in_lines(&clients, Timestamp::now());
                io::stdout().lock().write_all(text.as_bytes())?;
            }
            Form::Yaml => write_document(&clients, Format::Yaml)?,
            Form::Json => write_document(&clients, Format::Json)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The table, and what is refused.
fn in_lines(clients: &Value, now: Timestamp) -> String {
    let clients = clients.as_array().map(Vec::as_slice).unwrap_or_default();
    if clients.is_empty() {
        return "no proxy is connected\n".into();
    }
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(clients.iter().map(|client| row(client, now)));
    let mut text = table(&rows);
    for client in clients {
        for (kind, name, words) in refused(client) {
            text += &format!(
                "{} refuses {kind} {name}: {words}\n",
                string(&client["node"])
            );
        }
    }
    text
}

fn row(client: &Value, now: Timestamp) -> [String; 10] {
    let pending: usize = types(client)
        .filter_map(|(_, report)| report["pending"].as_array())
        .map(Vec::len)
        .sum();
    [
        string(&client["gateway"]),
        string(&client["node"]),
        string(&client["user_agent"]),
        string(&client["variant"]),
        string(&client["peer"]),
        age(&client["connected_since"], now),
        client["settled_revision"].to_string(),
        client["revision"].to_string(),
        pending.to_string(),
        refused(client).count().to_string(),
    ]
}

fn types(client: &Value) -> impl Iterator<Item = (&String, &Value)> {
    client["types"].as_object().into_iter().flatten()
}

/// Kind, name and the proxy's words.
fn refused(client: &Value) -> impl Iterator<Item = (&String, &String, String)> {
    types(client).flat_map(|(kind, report)| {
        let refused = report["refused"].as_object().into_iter().flatten();
        refused.map(move |(name, words)| (kind, name, string(words)))
    })
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

/// How long ago that was, in its two largest units: `3h 12m`.
fn age(since: &Value, now: Timestamp) -> String {
    let since: Option<Timestamp> = since.as_str().and_then(|text| text.parse().ok());
    let Some(since) = since else {
        return "-".into();
    };
    let seconds = now.duration_since(since).as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// Columns as wide as their widest cell.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_proxy_is_a_line_and_a_refusal_one_below() {
        let clients = json!([{
            "gateway": "default/eg",
            "node": "envoy-1",
            "user_agent": "envoy 1.40.0",
            "variant": "delta",
            "peer": "10.0.0.7:40000",
            "connected_since": "2026-01-01T00:00:00Z",
            "revision": 12,
            "settled_revision": 11,
            "types": {
                "cluster": { "pending": ["a", "b"], "refused": { "a": "no such thing" } },
            },
        }]);
        let now = "2026-01-01T03:12:40Z".parse().expect("a time");
        let expected = "\
GATEWAY      NODE      PROXY          XDS     PEER             CONNECTED   ACKED   SENT   PENDING   REFUSED
default/eg   envoy-1   envoy 1.40.0   delta   10.0.0.7:40000   3h 12m      11      12     2         1
envoy-1 refuses cluster a: no such thing
";
        assert_eq!(in_lines(&clients, now), expected);
    }

    #[test]
    fn no_proxy_is_said() {
        assert_eq!(
            in_lines(&json!([]), Timestamp::now()),
            "no proxy is connected\n"
        );
    }

    #[test]
    fn ages_have_two_units() {
        let now = "2026-01-03T00:00:00Z".parse().expect("a time");
        let of = |since: &str| age(&json!(since), now);
        assert_eq!(of("2026-01-02T23:59:55Z"), "5s");
        assert_eq!(of("2026-01-02T23:48:55Z"), "11m 5s");
        assert_eq!(of("2026-01-01T21:00:00Z"), "1d 3h");
    }
}

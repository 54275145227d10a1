//! `locum debug clients`: the connected proxies, a line for each of their streams.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::Admin;
use crate::cli::output::{Format, table, write_document};
use crate::xds::clients::{CERTIFICATE_NOTICE, Report};

/// Show the connected proxies, and how far each is
///
/// ACKED is the revision of the Gateway's configuration that the proxy has acknowledged in full,
/// SENT the one that it is being told; PENDING is how many resources it has not answered, and how
/// long the oldest waits; XDS is the variant of the protocol, delta or sotw. A proxy that asks for
/// each type apart, without ADS, has a line for each of its streams. What a proxy refuses stands
/// below, in its own words, and whose certificate runs out within a week.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum debug clients
  locum debug clients -o json")]
pub(super) struct Options {
    #[command(flatten)]
    admin: Admin,
    /// Print it for programs instead of as a table
    #[arg(short, long, env = "LOCUM_OUTPUT", value_name = "FORMAT")]
    output: Option<Format>,
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
        let clients: Vec<Report> = self.admin.ask("/debug/clients").await?;
        match self.output {
            None => {
                let text = in_lines(&clients, Timestamp::now());
                io::stdout().lock().write_all(text.as_bytes())?;
            }
            Some(format) => write_document(&serde_json::to_value(clients)?, format)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The table, and what is refused.
fn in_lines(clients: &[Report], now: Timestamp) -> String {
    if clients.is_empty() {
        return "no proxy is connected to this Locum\n".into();
    }
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(clients.iter().map(|client| row(client, now)));
    let mut text = table(&rows);
    for client in clients {
        for (kind, name, words) in refused(client) {
            text += &format!("{} refuses {kind} {name}: {words}\n", client.node);
        }
        let soon = client
            .certificate_expires
            .filter(|at| at.duration_since(now) < CERTIFICATE_NOTICE);
        if let Some(at) = soon {
            let when = match at > now {
                true => format!("runs out in {}", age(now, at)),
                false => format!("ran out {} ago", age(at, now)),
            };
            text += &format!(
                "{}: the certificate that it connected with {when}\n",
                client.node
            );
        }
    }
    text
}

fn row(client: &Report, now: Timestamp) -> [String; 10] {
    let types = client.types.values();
    let pending: usize = types.clone().map(|of_type| of_type.pending.len()).sum();
    let oldest = types.filter_map(|of_type| of_type.pending_since).min();
    let waits = oldest.map_or_else(String::new, |since| format!(" ({})", age(since, now)));
    let peer = client.peer.map(|peer| peer.to_string());
    [
        client.gateway.clone(),
        client.node.clone(),
        client.user_agent.clone(),
        client.variant.name().into(),
        // Over a Unix socket.
        peer.unwrap_or_else(|| "-".into()),
        age(client.connected_since, now),
        client.settled_revision.to_string(),
        client.revision.to_string(),
        format!("{pending}{waits}"),
        refused(client).count().to_string(),
    ]
}

/// Kind, name and the proxy's words.
fn refused(client: &Report) -> impl Iterator<Item = (&String, &String, &String)> {
    client.types.iter().flat_map(|(kind, of_type)| {
        let refused = of_type.refused.iter();
        refused.map(move |(name, words)| (kind, name, words))
    })
}

/// How long ago that was, in its two largest units: `3h 12m`.
fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::xds::clients::{Counts, TypeReport};
    use crate::xds::message::Variant;

    fn at(time: &str) -> Timestamp {
        time.parse().expect("a time")
    }

    #[test]
    fn a_proxy_is_a_line_and_a_refusal_one_below() {
        let of_type = TypeReport {
            wildcard: true,
            subscribed: 0,
            names: Vec::new(),
            acknowledged: 3,
            versions: BTreeMap::new(),
            pending: vec!["a".into(), "b".into()],
            refused: [("a".to_owned(), "no such thing".to_owned())].into(),
            pending_since: Some(at("2026-01-01T03:12:36Z")),
            last_ack: None,
            last_nack: None,
            sent: Counts::default(),
        };
        let client = Report {
            gateway: "default/eg".into(),
            node: "envoy-1".into(),
            user_agent: "envoy 1.40.0".into(),
            variant: Variant::Delta,
            peer: Some(([10, 0, 0, 7], 40000).into()),
            certificate_expires: Some(at("2026-01-06T08:00:00Z")),
            connected_since: at("2026-01-01T00:00:00Z"),
            revision: 12,
            settled_revision: 11,
            types: [("cluster".to_owned(), of_type)].into(),
        };
        let expected = "\
GATEWAY      NODE      PROXY          XDS     PEER             CONNECTED   ACKED   SENT   PENDING   REFUSED
default/eg   envoy-1   envoy 1.40.0   delta   10.0.0.7:40000   3h 12m      11      12     2 (4s)    1
envoy-1 refuses cluster a: no such thing
envoy-1: the certificate that it connected with runs out in 5d 4h
";
        assert_eq!(in_lines(&[client], at("2026-01-01T03:12:40Z")), expected);
    }

    #[test]
    fn no_proxy_is_said() {
        let text = in_lines(&[], at("2026-01-01T00:00:00Z"));
        assert_eq!(text, "no proxy is connected to this Locum\n");
    }

    #[test]
    fn ages_have_two_units() {
        let of = |since: &str| age(at(since), at("2026-01-03T00:00:00Z"));
        assert_eq!(of("2026-01-02T23:59:55Z"), "5s");
        assert_eq!(of("2026-01-02T23:48:55Z"), "11m 5s");
        assert_eq!(of("2026-01-01T21:00:00Z"), "1d 3h");
    }
}

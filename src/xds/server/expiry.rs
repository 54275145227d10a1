//! Certificates of connected proxies that run out within days, said in time in the log.
//!
//! In: who is connected. Out: a line for each group of proxies, once a day. It refuses nobody: whose
//! certificate has run out is not let in when it connects the next time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use crate::xds::clients::{CERTIFICATE_NOTICE, Clients};

/// How long the same is not said again.
const AGAIN: SignedDuration = SignedDuration::from_hours(24);
/// How often certificates are looked at: when somebody came or went, and when nobody did.
const PAUSE: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_secs(600);

/// Looks for as long as it is polled.
pub(super) async fn watch(clients: Arc<Clients>) {
    let mut reminders = Reminders::default();
    let mut ticks = clients.ticks();
    loop {
        for (group, (expires, node)) in reminders.due(Timestamp::now(), clients.certificates()) {
            tracing::warn!(
                gateway = group,
                node,
                "the certificate that the proxy connected with runs out at {expires}: if it is not \
                 renewed yet, do so with `locum certs --gateway {group}`, or by cert-manager where it \
                 signs; without it the proxy is refused when it connects the next time"
            );
        }
        sleep(PAUSE).await;
        tokio::select! {
            // An error means that the registry is gone, and with it this.
            Ok(()) = ticks.changed() => {}
            () = sleep(INTERVAL) => {}
        }
    }
}

/// By group: what runs out, and when that was said.
#[derive(Debug, Default)]
struct Reminders(BTreeMap<String, (Timestamp, Timestamp)>);

impl Reminders {
    /// Which of these are to be said now.
    fn due(
        &mut self,
        now: Timestamp,
        certificates: BTreeMap<String, (Timestamp, String)>,
    ) -> Vec<(String, (Timestamp, String))> {
        self.0
            .retain(|_, (_, said)| now.duration_since(*said) < AGAIN);
        let soon = certificates.into_iter().filter(|(group, (expires, _))| {
            let is_soon = expires.duration_since(now) < CERTIFICATE_NOTICE;
            let is_said = self
                .0
                .get(group)
                .is_some_and(|(said_of, _)| said_of == expires);
            is_soon && !is_said
        });
        let soon: Vec<_> = soon.collect();
        for (group, (expires, _)) in &soon {
            self.0.insert(group.clone(), (*expires, now));
        }
        soon
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(days: i64) -> SignedDuration {
        SignedDuration::from_hours(24 * days)
    }

    #[test]
    fn what_runs_out_within_a_week_is_said_once_a_day() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let certificates = || {
            let of = |at| (start + days(at), "proxy".to_owned());
            BTreeMap::from([
                ("ns/soon".to_owned(), of(6)),
                ("ns/later".to_owned(), of(9)),
            ])
        };
        let mut reminders = Reminders::default();
        let mut said = |after: SignedDuration| {
            let due = reminders.due(start + after, certificates());
            due.into_iter().map(|(group, _)| group).collect::<Vec<_>>()
        };
        assert_eq!(said(days(0)), ["ns/soon"]);
        assert!(said(SignedDuration::from_hours(1)).is_empty());
        assert_eq!(said(days(1)), ["ns/soon"]);
        assert_eq!(said(days(3)), ["ns/later", "ns/soon"]);
    }

    #[test]
    fn another_certificate_is_said_at_once_and_one_that_is_renewed_no_more() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let runs_out = |at| BTreeMap::from([("ns/gw".to_owned(), (start + days(at), "a".into()))]);
        let mut reminders = Reminders::default();
        assert_eq!(reminders.due(start, runs_out(6)).len(), 1);
        assert_eq!(reminders.due(start, runs_out(2)).len(), 1);
        assert!(reminders.due(start, runs_out(365)).is_empty());
    }
}

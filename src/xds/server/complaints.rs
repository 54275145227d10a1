//! Log lines about peers that are refused, come again at once, and are refused again.
//!
//! In: each refusal. Out: one line for each peer and text within [`INTERVAL`], which says how many
//! there were since the last. What is remembered of peers is bounded, and forgotten by and by.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use crate::trust::Peer;

/// How long nothing is logged twice.
const INTERVAL: Duration = Duration::from_secs(60);
/// The most lines that are remembered; all further ones count as one and the same.
const MAX_LINES: usize = 1000;

/// What was logged of late.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Lines>);

impl Complaints {
    /// Logs `what` about `peer`, unless that was logged a moment ago.
    pub(super) fn warn(&self, peer: &Peer, what: &str) {
        let line = Line {
            peer: peer.address().map(|address| address.ip()),
            what: xxh3_64(what.as_bytes()),
        };
        // Poisoned only by a panic, a defect that is reported where it happens.
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = lines.due(Instant::now(), line);
        drop(lines);
        match due {
            None => {}
            Some(0) => tracing::warn!(%peer, "{what}"),
            Some(not_logged) => tracing::warn!(%peer, not_logged, "{what}"),
        }
    }
}

/// What is said about whom. Ports do not count: each attempt has one of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Line {
    peer: Option<IpAddr>,
    /// A hash: peers choose some of the words, and how many.
    what: u64,
}

#[derive(Debug, Default)]
struct Lines(HashMap<Line, Logged>);

#[derive(Debug)]
struct Logged {
    at: Instant,
    /// How many have not been logged since.
    more: u64,
}

impl Lines {
    /// Whether `line` is to be logged, with how many like it were not since it last was.
    fn due(&mut self, now: Instant, line: Line) -> Option<u64> {
        let is_recent = |logged: &Logged| now.duration_since(logged.at) < INTERVAL;
        let is_known = self.0.contains_key(&line);
        if !is_known && self.0.len() >= MAX_LINES {
            self.0.retain(|_, logged| is_recent(logged));
        }
        let line = match is_known || self.0.len() < MAX_LINES {
            true => line,
            false => Line::default(),
        };
        match self.0.get_mut(&line) {
            Some(logged) if is_recent(logged) => {
                logged.more += 1;
                None
            }
            known => {
                let more = known.map_or(0, |logged| logged.more);
                self.0.insert(line, Logged { at: now, more: 0 });
                Some(more)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(peer: u32, what: &str) -> Line {
        Line {
            peer: Some(IpAddr::from(peer.to_be_bytes())),
            what: xxh3_64(what.as_bytes()),
        }
    }

    #[test]
    fn the_same_of_the_same_peer_is_logged_once_an_interval_with_how_many_there_were() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        assert_eq!(lines.due(start, line(1, "a")), Some(0));
        for second in 0..40 {
            let now = start + Duration::from_secs(second);
            assert_eq!(lines.due(now, line(1, "a")), None);
        }
        assert_eq!(lines.due(start, line(1, "b")), Some(0));
        assert_eq!(lines.due(start, line(2, "a")), Some(0));
        let later = start + INTERVAL;
        assert_eq!(lines.due(later, line(1, "a")), Some(40));
        assert_eq!(lines.due(later, line(1, "a")), None);
        assert_eq!(lines.due(later + INTERVAL, line(1, "a")), Some(1));
    }

    #[test]
    fn what_many_peers_do_costs_bounded_memory_and_lines_and_is_forgotten() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        let peers = u32::try_from(2 * MAX_LINES).unwrap();
        let logged = (0..peers).filter_map(|peer| lines.due(start, line(peer, "a")));
        assert_eq!(logged.count(), MAX_LINES + 1);
        assert!(lines.0.len() <= MAX_LINES + 1);
        assert_eq!(lines.due(start + INTERVAL, line(peers, "a")), Some(0));
        assert_eq!(lines.0.len(), 1);
    }
}

//! Which process a Gateway's Envoy is, written down so that the next Locum finds it.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::state_dir::{Place, write_whole};

/// The process that serves a Gateway and what it was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) pid: u32,
    /// When the process started, in clock ticks since boot: a number that a later process with this
    /// id has not.
    pub(super) start_time: u64,
    pub(super) launch: LaunchRecord,
}

/// What an Envoy was started with; one that was started otherwise is not adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LaunchRecord {
    pub(super) binary: PathBuf,
    pub(super) build: String,
    /// A hash of the bootstrap's text.
    pub(super) bootstrap: String,
    pub(super) arguments: Vec<String>,
}

impl Record {
    /// What is written down in `place`, if it can be read.
    pub(super) fn read(place: &Place) -> Option<Self> {
        serde_json::from_slice(&fs::read(place.record()).ok()?).ok()
    }

    /// Writes it down.
    pub(super) fn write(&self, place: &Place) -> io::Result<()> {
        let text = serde_json::to_string(self).expect("a record has a JSON form");
        write_whole(&place.record(), &text)
    }

    /// Takes away what is written down: its process has ended.
    pub(super) fn remove(place: &Place) {
        if let Err(error) = fs::remove_file(place.record())
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %place.record().display(), %error, "cannot be removed");
        }
    }

    /// Whether this very process is running.
    pub(super) fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.start_time)
    }
}

/// When process `pid` started, in clock ticks since boot, or nothing if it is not there or a
/// zombie.
pub(super) fn start_time(pid: u32) -> Option<u64> {
    of_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 22 of `/proc/<pid>/stat` (proc_pid_stat(5)); the second may hold spaces and parentheses.
fn of_stat(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_a_strange_name() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 7777 20 21";
        assert_eq!(of_stat(stat), Some(7777));
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let stat = "42 (envoy) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 7777 20 21";
        assert_eq!(of_stat(stat), None);
    }

    #[test]
    fn this_process_is_alive_and_its_successor_is_not_taken_for_it() {
        let pid = std::process::id();
        let mut record = Record {
            pid,
            start_time: start_time(pid).unwrap(),
            launch: LaunchRecord {
                binary: "/envoy".into(),
                build: String::new(),
                bootstrap: String::new(),
                arguments: Vec::new(),
            },
        };
        assert!(record.is_alive());
        record.start_time += 1;
        assert!(!record.is_alive());
    }
}

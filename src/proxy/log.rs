//! An Envoy's log: written by Envoy into a file, so that it survives this process, and passed on
//! from there.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};

use super::admin::EnvoyAdmin;
use super::state_dir::Place;
use crate::resource::ObjectName;

/// A log file that has grown to this many bytes is put aside; the one put aside before is removed.
const ROTATE_AT: u64 = 16 << 20;
/// A line that is longer is passed on in parts of this many bytes.
const LINE_LIMIT: usize = 64 << 10;
/// How much is read at once, in bytes.
const READ_SIZE: usize = 64 << 10;
/// What stands between the parts of a line; no logger's name and no level has one.
const LINE_FORMAT: &str = "%Y-%m-%dT%T.%e%z %l %n %v";
/// The logger of lines from before Envoy's loggers began.
const BEFORE_LOGGING: &str = "start";
/// How soon a line is in the file; left alone, Envoy takes ten seconds.
const FLUSH_INTERVAL_MS: &str = "100";

/// The arguments that make Envoy log in the form that is read here.
pub(super) fn arguments(place: &Place) -> [String; 7] {
    [
        "--file-flush-interval-msec".into(),
        FLUSH_INTERVAL_MS.into(),
        "--log-path".into(),
        place.log().to_string_lossy().into_owned(),
        "--log-format-escaped".into(),
        "--log-format".into(),
        LINE_FORMAT.into(),
    ]
}

/// How much a line weighs, in Envoy's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Trace,
    Debug,
    Info,
    Warning,
    Error,
}

/// Reads what an Envoy has logged since the last time and passes it on.
#[derive(Debug)]
pub(super) struct LogTail {
    gateway: ObjectName,
    place: Place,
    file: Option<File>,
    /// How far the file was read.
    offset: u64,
    /// The start of a line whose end is not written yet.
    partial: Vec<u8>,
    /// The last error that was logged, for saying why Envoy ended.
    last_error: Option<String>,
    /// Whether Envoy is being ended. What it warns about then, signals and closed streams, is as it
    /// should be.
    is_ending: bool,
}

impl LogTail {
    /// Begins at the end of what is there.
    pub(super) fn new(gateway: &ObjectName, place: &Place) -> Self {
        let offset = fs::metadata(place.log()).map_or(0, |metadata| metadata.len());
        Self {
            gateway: gateway.clone(),
            place: place.clone(),
            file: None,
            offset,
            partial: Vec::new(),
            last_error: None,
            is_ending: false,
        }
    }

    /// From now on warnings are only worth a note.
    pub(super) fn expect_the_end(&mut self) {
        self.pass_on();
        self.is_ending = true;
    }

    /// The last error that was logged since this was asked for.
    pub(super) fn take_last_error(&mut self) -> Option<String> {
        self.last_error.take()
    }

    /// Passes on what is new.
    pub(super) fn pass_on(&mut self) {
        if let Err(error) = self.read() {
            let log = self.place.log();
            tracing::debug!(file = %log.display(), %error, "Envoy's log cannot be read");
        }
    }

    /// Puts the file aside if it has grown too large.
    pub(super) async fn rotate(&mut self, admin: &EnvoyAdmin) {
        if self.offset < ROTATE_AT {
            return;
        }
        let moved = fs::rename(self.place.log(), self.place.old_log());
        let reopened = match moved {
            Ok(()) => admin.reopen_log().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = reopened {
            tracing::warn!(gateway = %self.gateway, error, "Envoy's log cannot be rotated");
        }
        // What was written between the last look and the rotation is still in the open file.
        self.pass_on();
        self.file = None;
        self.offset = 0;
    }

    fn read(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            match File::open(self.place.log()) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let file = self.file.as_mut().expect("opened above");
        file.seek(SeekFrom::Start(self.offset))?;
        let mut buffer = vec![0; READ_SIZE];
        let mut lines = Vec::new();
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            self.offset += read as u64;
            for byte in &buffer[..read] {
                if *byte == b'\n' || self.partial.len() >= LINE_LIMIT {
                    lines.push(std::mem::take(&mut self.partial));
                }
                if *byte != b'\n' {
                    self.partial.push(*byte);
                }
            }
        }
        for line in lines {
            self.line(&String::from_utf8_lossy(&line));
        }
        Ok(())
    }

    fn line(&mut self, line: &str) {
        let (level, logger, message) = parts(line);
        if message.trim().is_empty() {
            return;
        }
        if level == Level::Error {
            self.last_error = Some(message.to_owned());
        }
        let gateway = &self.gateway;
        if logger == BEFORE_LOGGING {
            // A wrong argument brings a page of usage. The last line says what is wrong; it is told
            // with the end.
            tracing::info!(target: "envoy", %gateway, "{message}");
            return;
        }
        match level {
            Level::Trace => tracing::trace!(target: "envoy", %gateway, logger, "{message}"),
            Level::Debug => tracing::debug!(target: "envoy", %gateway, logger, "{message}"),
            Level::Info => tracing::info!(target: "envoy", %gateway, logger, "{message}"),
            Level::Warning if self.is_ending => {
                tracing::info!(target: "envoy", %gateway, logger, "{message}");
            }
            Level::Warning => tracing::warn!(target: "envoy", %gateway, logger, "{message}"),
            Level::Error => tracing::error!(target: "envoy", %gateway, logger, "{message}"),
        }
    }
}

/// Level, logger and message of a line; what is not in our form was written before Envoy's logger
/// began, to say that it cannot start.
fn parts(line: &str) -> (Level, &str, &str) {
    let mut parts = line.splitn(4, ' ').skip(1);
    let (Some(level), Some(logger), Some(message)) = (parts.next(), parts.next(), parts.next())
    else {
        return (Level::Error, BEFORE_LOGGING, line);
    };
    let level = match level {
        "trace" => Level::Trace,
        "debug" => Level::Debug,
        "info" => Level::Info,
        "warning" => Level::Warning,
        "error" | "critical" => Level::Error,
        _ => return (Level::Error, BEFORE_LOGGING, line),
    };
    (level, logger, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_line_has_a_level_a_logger_and_a_message() {
        let line = "2026-01-02T03:04:05.678+00:00 warning main no configured limit";
        assert_eq!(parts(line), (Level::Warning, "main", "no configured limit"));
    }

    #[test]
    fn what_envoy_says_before_it_logs_is_an_error() {
        let line = "PARSE ERROR: Argument: --nonsense";
        assert_eq!(parts(line), (Level::Error, BEFORE_LOGGING, line));
    }

    #[test]
    fn the_last_error_of_a_new_run_is_kept_across_partial_writes() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            folder: folder.path().to_owned(),
            admin_socket: folder.path().join("admin.sock"),
        };
        fs::write(place.log(), "t critical main of a run before\n").unwrap();
        let mut tail = LogTail::new(&ObjectName::new("default", "eg"), &place);
        tail.pass_on();
        assert_eq!(tail.take_last_error(), None);
        let mut log = fs::OpenOptions::new()
            .append(true)
            .open(place.log())
            .unwrap();
        log.write_all(b"t critical main cannot bi").unwrap();
        tail.pass_on();
        assert_eq!(tail.take_last_error(), None);
        log.write_all(b"nd\nt info main more\n").unwrap();
        tail.pass_on();
        assert_eq!(tail.take_last_error().as_deref(), Some("cannot bind"));
    }
}

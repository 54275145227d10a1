//! One Envoy process: a child, or one that another Locum left behind. It is signalled through its
//! pidfd and known by its start time, so that a later process with the same number is never meant.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::record::start_time;

/// How often it is looked whether a process that is not our child is still there. (tokio can only
/// wait for its pidfd with unsafe code.)
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A process that is or was running.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Clock ticks since boot.
    pub(super) start_time: u64,
    handle: OwnedFd,
    /// Nothing if it is not our child; then nobody tells us how it ended.
    child: Option<Child>,
}

impl Process {
    /// Starts `binary`. It gets a process group of its own, so that Ctrl-C on a terminal does not
    /// end it before it was drained, and it outlives this process.
    pub(super) fn start(binary: &Path, arguments: &[String], log: &Path) -> io::Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        let child = Command::new(binary)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(false)
            .spawn()?;
        let pid = child
            .id()
            .expect("a child that was not waited for has an id");
        let handle = open(pid)?;
        // A child that has died already is a zombie and has no start time any more; nobody will
        // look for it.
        let start_time = start_time(pid).unwrap_or_default();
        Ok(Self {
            pid,
            start_time,
            handle,
            child: Some(child),
        })
    }

    /// Takes over a process that is not our child, or nothing if it has gone.
    pub(super) fn adopt(pid: u32, expected_start_time: u64) -> io::Result<Option<Self>> {
        let handle = match open(pid) {
            Ok(handle) => handle,
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        // Looked at after the handle was opened: the handle then is of the process with this start
        // time.
        if start_time(pid) != Some(expected_start_time) {
            return Ok(None);
        }
        Ok(Some(Self {
            pid,
            start_time: expected_start_time,
            handle,
            child: None,
        }))
    }

    /// Waits until the process has ended; gives how, as far as it is known.
    pub(super) async fn ended(&mut self) -> String {
        match &mut self.child {
            Some(child) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => format!("status unknown: {error}"),
            },
            None => {
                while start_time(self.pid) == Some(self.start_time) {
                    sleep(LOOK_INTERVAL).await;
                }
                "status unknown: an earlier Locum started it".into()
            }
        }
    }

    /// Waits for the end, at most `bound`; whether it came.
    pub(super) async fn ends_within(&mut self, bound: Duration) -> bool {
        timeout(bound, self.ended()).await.is_ok()
    }

    /// Asks the process to end. Envoy does so at once.
    pub(super) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends the process without asking.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = pidfd_send_signal(&self.handle, signal) {
            tracing::debug!(pid = self.pid, ?signal, %error, "a signal found no process");
        }
    }
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

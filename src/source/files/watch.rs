//! Watching: when to look at the files again.
//!
//! In: the file system's events. Out: an [`Update`] for each burst of them. Directories are
//! watched, never files, so that a file which an editor or a volume puts in another's place is
//! seen. Events can be lost (a full queue, a network file system), so everything is looked at again
//! now and then anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::listing::is_manifest;
use super::{Files, LoadError, Origins, STDIN};
use crate::source::Update;

/// A burst of events is over when none has come for this long.
const QUIET: Duration = Duration::from_millis(5);

/// The longest that one burst holds an update back.
const LONGEST_BURST: Duration = Duration::from_millis(100);

/// How long a file may be gone or empty before that is believed: editors take a file away, or empty
/// it, and write it anew.
const SETTLE: Duration = Duration::from_millis(80);

/// How often everything is looked at without any event.
const RESCAN: Duration = Duration::from_secs(5);

/// The same where the system cannot tell of changes.
const POLL: Duration = Duration::from_millis(500);

/// Events that may wait; what does not fit is found all the same, since any event means looking at
/// everything.
const EVENT_QUEUE: usize = 1024;

/// Why watching ends.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// At the start only.
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("reading files failed")]
    Stopped,
}

impl Files {
    /// Sends an update for what the files hold (unless they were loaded before) and one for each
    /// burst of changes, until nobody receives them any more.
    ///
    /// # Errors
    ///
    /// A path that cannot be read at the start.
    pub async fn watch(self, updates: mpsc::Sender<Update>) -> Result<(), WatchError> {
        let mut files = self;
        let mut is_first = !files.is_loaded;
        let mut watch = Watch::new();
        watch.follow(&files.paths);
        let mut last = (Arc::from([]), files.origins.clone());
        loop {
            let update;
            (files, update) = look(files).await?;
            let is_news = is_first
                || !update.changes.is_empty()
                || update.findings != last.0
                || !update.origins.is_same(&last.1);
            is_first = false;
            last = (update.findings.clone(), Origins::clone(&update.origins));
            if is_news && updates.send(update).await.is_err() {
                return Ok(());
            }
            // What happened to a directory before it was watched has to be looked for.
            if watch.follow(&files.paths) {
                continue;
            }
            tokio::select! {
                () = watch.burst() => {}
                () = updates.closed() => return Ok(()),
            }
        }
    }
}

/// Loads outside the runtime's own threads: it reads files and may take long.
async fn look(mut files: Files) -> Result<(Files, Update), WatchError> {
    let task = tokio::task::spawn_blocking(move || {
        let update = files.load();
        (files, update)
    });
    let (files, update) = task.await.map_err(|_| WatchError::Stopped)?;
    Ok((files, update?))
}

/// The system's watch over the directories.
struct Watch {
    /// `None` where the system cannot tell of changes.
    watcher: Option<RecommendedWatcher>,
    /// The directories watched, as device and inode: another in its place has to be watched anew.
    directories: BTreeMap<PathBuf, (u64, u64)>,
    events: mpsc::Receiver<Event>,
}

impl Watch {
    fn new() -> Self {
        let (sender, events) = mpsc::channel(EVENT_QUEUE);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error, such as a queue that ran over, is a reason to look like any other. What
            // does not fit into the queue may be left out: there are events enough in it to look
            // again.
            let event = event.unwrap_or_else(|_| Event::new(EventKind::Any));
            if is_change(&event) {
                let _ = sender.try_send(event);
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, every = ?POLL, "cannot be told of changes in files: looking at them");
        }
        Self {
            watcher: watcher.ok(),
            directories: BTreeMap::new(),
            events,
        }
    }

    /// Watches the directories of `paths` as they are now. Says whether one of them is new.
    fn follow(&mut self, paths: &[PathBuf]) -> bool {
        let Some(watcher) = &mut self.watcher else {
            return false;
        };
        let wanted = directories(paths);
        let mut is_new = false;
        self.directories.retain(|directory, identity| {
            let stays = wanted.get(directory) == Some(identity);
            if !stays {
                // It fails where the directory is gone, and with it the watch.
                let _ = watcher.unwatch(directory);
            }
            stays
        });
        for (directory, identity) in wanted {
            if self.directories.contains_key(&directory) {
                continue;
            }
            match watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => is_new |= self.directories.insert(directory, identity).is_none(),
                Err(error) => {
                    let directory = directory.display();
                    tracing::warn!(%directory, %error, every = ?RESCAN, "cannot be watched: looking at it");
                }
            }
        }
        is_new
    }

    /// Waits for events and for the end of their burst, or for the time to look anyway.
    async fn burst(&mut self) {
        if self.watcher.is_none() {
            return sleep(POLL).await;
        }
        let Ok(Some(first)) = timeout(RESCAN, self.events.recv()).await else {
            return;
        };
        let begin = Instant::now();
        let mut unsettled = BTreeSet::new();
        note(first, &mut unsettled);
        let end = begin + LONGEST_BURST;
        while let Some(event) = self.next(end.min(Instant::now() + QUIET)).await {
            note(event, &mut unsettled);
        }
        // Quiet, but perhaps in the middle of an editor's replacement.
        let settled = begin + SETTLE;
        while Instant::now() < settled && unsettled.iter().any(|path| is_gone_or_empty(path)) {
            if let Some(event) = self.next(settled.min(Instant::now() + QUIET)).await {
                note(event, &mut unsettled);
            }
        }
    }

    async fn next(&mut self, until: Instant) -> Option<Event> {
        timeout_at(until, self.events.recv()).await.ok().flatten()
    }
}

/// Reading a file is an event too, and no reason to read it again.
fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Notes files that may be about to be replaced.
fn note(event: Event, unsettled: &mut BTreeSet<PathBuf>) {
    unsettled.extend(event.paths.into_iter().filter(|path| is_manifest(path)));
}

fn is_gone_or_empty(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| metadata.len() == 0)
}

/// The directories in which something can happen to `paths`, by device and inode.
fn directories(paths: &[PathBuf]) -> BTreeMap<PathBuf, (u64, u64)> {
    let mut found = BTreeMap::new();
    let mut add = |directory: &Path| {
        let directory = match directory.as_os_str().is_empty() {
            true => Path::new("."),
            false => directory,
        };
        if let Ok(metadata) = fs::metadata(directory)
            && metadata.is_dir()
        {
            let identity = (metadata.dev(), metadata.ino());
            // One watch for each directory, whatever it is called.
            if !found.values().any(|known| *known == identity) {
                found.insert(directory.to_owned(), identity);
            }
        }
    };
    for path in paths.iter().filter(|path| path.as_os_str() != STDIN) {
        let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        let real = fs::canonicalize(path);
        for path in [Some(path), real.as_ref().ok()].into_iter().flatten() {
            add(path);
            if is_link || !path.is_dir() {
                path.parent().iter().for_each(|parent| add(parent));
            }
        }
    }
    found
}

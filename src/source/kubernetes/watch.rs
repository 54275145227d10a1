//! One watch: everything there is, then every change, for as long as it takes.
//!
//! In: the API server's answers. Out: [`News`], and how the watch stands. It asks for a list that
//! is current (never for one that may be old, so that time does not go backwards), and where the
//! server can, for list and watch in one stream. A watch that the server ends in good order is
//! resumed where it was; after any failure everything is asked for anew, and only what differs is
//! said. Whatever fails, what was read last stays.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kube::api::WatchEvent;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::api::{Events, Failure, Server};
use super::backoff::{Backoff, between};
use super::definition::{Definition, definition};
use super::objects::{News, Objects};
use super::seen::Seen;
use super::standing::{Standing, WatchId};
use super::target::{Need, Target};

/// How long a watch is asked for, in seconds; not all end together.
const SHORTEST_WATCH: Duration = Duration::from_secs(240);
const LONGEST_WATCH: Duration = Duration::from_secs(290);

/// How long a watch may be silent. Servers send a bookmark each minute; where none comes, the watch
/// is resumed on another connection.
const SILENCE: Duration = Duration::from_secs(90);

/// How long a list may be silent before it is over.
const LIST_SILENCE: Duration = Duration::from_secs(30);

/// A watch that the server ends sooner counts as a failure.
const BRIEF: Duration = Duration::from_secs(1);

/// A watch that lasted this long was a success, whatever ended it.
const STEADY: Duration = Duration::from_secs(5);

/// How often a kind that is not installed is looked for.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// The annotation of the bookmark that ends a list in a stream.
const LIST_ENDS: &str = "k8s.io/initial-events-end";

/// What a watch has to say.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) id: WatchId,
    pub(super) news: News,
    /// Whether everything that was there at first has been said.
    pub(super) is_complete: bool,
}

/// What all watches share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) server: Server,
    pub(super) seen: Seen,
    pub(super) standing: Arc<Standing>,
    /// How often a kind that is not installed is looked for.
    pub(super) look_again: Duration,
}

impl Shared {
    pub(super) fn new(server: Server, standing: Standing) -> Self {
        Self {
            server,
            seen: Seen::default(),
            standing: Arc::new(standing),
            look_again: LOOK_AGAIN,
        }
    }
}

/// One watch.
pub(super) struct Watch {
    id: WatchId,
    target: Target,
    shared: Shared,
    out: mpsc::Sender<Said>,
    version: &'static str,
    /// Whether list and watch are asked for in one stream.
    streams: bool,
    objects: Objects,
    /// What has not been said yet.
    news: News,
    /// Since when it hears of changes.
    heard_since: Option<Instant>,
    /// Whether the last failure was that no answer came.
    was_unreachable: bool,
}

/// Why following ends.
enum Ended {
    /// Nobody listens any more.
    Closed,
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Ended::Failed(failure)
    }
}

impl Watch {
    pub(super) fn new(
        id: WatchId,
        target: Target,
        shared: Shared,
        out: mpsc::Sender<Said>,
    ) -> Self {
        let version = target.watched.versions()[0];
        shared.standing.add(id, &target);
        Self {
            id,
            objects: Objects::new(target.watched, version, shared.seen.clone()),
            target,
            shared,
            out,
            version,
            streams: true,
            news: News::default(),
            heard_since: None,
            was_unreachable: false,
        }
    }

    /// Runs until nobody listens any more.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let Err(ended) = self.follow().await;
            let next = match ended {
                Ended::Closed => return,
                Ended::Failed(failure) => self.mend(failure, &mut backoff).await,
            };
            if next.is_err() {
                return;
            }
        }
    }

    /// Asks for everything and hears of changes until that fails.
    async fn follow(&mut self) -> Result<Infallible, Ended> {
        self.shared.standing.listing(self.id);
        let (mut version, mut events) = self.list().await?;
        self.shared.standing.watching(self.id);
        self.heard_since = Some(Instant::now());
        loop {
            let begun = Instant::now();
            let mut open = match events.take() {
                Some(open) => open,
                None => self.open(false, &version).await?,
            };
            self.hear(&mut open, &mut version).await?;
            if begun.elapsed() < BRIEF {
                return Err(Failure::Brief.into());
            }
        }
    }

    async fn open(&self, with_list: bool, version: &str) -> Result<Events, Failure> {
        let time = between(SHORTEST_WATCH, LONGEST_WATCH).as_secs();
        let time = u32::try_from(time).expect("some minutes");
        let params = self.target.watch(time, with_list);
        let path = self.target.path(self.version);
        self.shared.server.watch(&path, &params, version).await
    }

    /// Takes changes in until the server ends the watch in good order, or is silent.
    async fn hear(&mut self, events: &mut Events, version: &mut String) -> Result<(), Ended> {
        loop {
            match events.next(SILENCE).await {
                Ok(Some(event)) => self.take(event, version),
                Ok(None) | Err(Failure::Silent(_)) => return Ok(()),
                Err(failure) => return Err(failure.into()),
            }
            if !events.is_waiting() {
                self.say(false).await?;
            }
        }
    }

    fn take(&mut self, event: WatchEvent<Value>, version: &mut String) {
        let (WatchEvent::Added(object)
        | WatchEvent::Modified(object)
        | WatchEvent::Deleted(object)) = &event
        else {
            if let WatchEvent::Bookmark(bookmark) = event {
                *version = bookmark.metadata.resource_version;
            }
            return;
        };
        if let Some(newer) = object["metadata"]["resourceVersion"].as_str() {
            *version = newer.to_owned();
        }
        match event {
            WatchEvent::Deleted(object) => self.objects.delete(object, &mut self.news),
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                self.objects.apply(object, &mut self.news)
            }
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => None,
        };
    }

    /// Everything there is: the version from which to watch and, where list and watch are one
    /// stream, the rest of it.
    async fn list(&mut self) -> Result<(String, Option<Events>), Ended> {
        if self.streams {
            match self.list_in_stream().await {
                Ok((version, events)) => return Ok((version, Some(events))),
                Err(Ended::Failed(failure)) if may_not_stream(&failure) => {
                    tracing::debug!(resource = %self.target, %failure, "listed by pages");
                    self.streams = false;
                }
                Err(ended) => return Err(ended),
            }
        }
        let version = self.list_by_pages().await?;
        Ok((version, None))
    }

    async fn list_in_stream(&mut self) -> Result<(String, Events), Ended> {
        // No version: the list is as new as this request.
        let mut events = self.open(true, "").await?;
        let mut listed = HashSet::new();
        loop {
            let event = events.next(LIST_SILENCE).await?;
            match event.ok_or(Failure::Brief)? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    listed.extend(self.objects.apply(object, &mut self.news));
                }
                WatchEvent::Deleted(object) => {
                    if let Some(key) = self.objects.delete(object, &mut self.news) {
                        listed.remove(&key);
                    }
                }
                WatchEvent::Bookmark(bookmark)
                    if bookmark.metadata.annotations.contains_key(LIST_ENDS) =>
                {
                    self.objects.retain(&listed, &mut self.news);
                    self.say(true).await?;
                    return Ok((bookmark.metadata.resource_version, events));
                }
                WatchEvent::Bookmark(_) | WatchEvent::Error(_) => {}
            }
        }
    }

    async fn list_by_pages(&mut self) -> Result<String, Ended> {
        let path = self.target.path(self.version);
        let mut listed = HashSet::new();
        let mut from = None;
        loop {
            let params = self.target.list(from);
            let page = self.shared.server.page(&path, &params).await?;
            for object in page.items.into_iter().flatten() {
                listed.extend(self.objects.apply(object, &mut self.news));
            }
            from = page.metadata.continue_.filter(|token| !token.is_empty());
            if from.is_none() {
                let version = page.metadata.resource_version;
                let version = version.filter(|version| !version.is_empty());
                let version = version
                    .ok_or_else(|| Failure::Illegible("a list without a resourceVersion".into()))?;
                self.objects.retain(&listed, &mut self.news);
                self.say(true).await?;
                return Ok(version);
            }
        }
    }

    /// Says what there is to say.
    async fn say(&mut self, is_complete: bool) -> Result<(), Ended> {
        if self.news.is_empty() && !is_complete {
            return Ok(());
        }
        let said = Said {
            id: self.id,
            news: std::mem::take(&mut self.news),
            is_complete,
        };
        self.out.send(said).await.map_err(|_| Ended::Closed)
    }

    /// Waits until it is worth while to follow again.
    async fn mend(&mut self, failure: Failure, backoff: &mut Backoff) -> Result<(), Ended> {
        // What was read before the failure is true.
        self.say(false).await?;
        let was_steady = self.heard_since.take();
        let was_steady = was_steady.is_some_and(|since| since.elapsed() >= STEADY);
        if was_steady || self.was_unreachable && !failure.is_unreachable() {
            backoff.reset();
        }
        self.was_unreachable = failure.is_unreachable();
        let failure = if failure.code() == Some(404) && self.target.watched.need() != Need::BuiltIn
        {
            self.look_for_definition(failure).await?
        } else {
            Some(failure)
        };
        let Some(failure) = failure else {
            backoff.reset();
            return Ok(());
        };
        if failure.code() == Some(403) && self.target.is_one() {
            // One Secret that may not be read must not hold up everything else.
            self.say(true).await?;
        }
        self.shared.standing.failing(self.id, &failure);
        self.pause(&failure, backoff).await;
        Ok(())
    }

    async fn pause(&self, failure: &Failure, backoff: &mut Backoff) {
        // A server that has too much to do is given time. One that is only starting asks for more
        // than it needs.
        let asked = match failure {
            Failure::Refused { retry_after, .. } if failure.code() == Some(429) => *retry_after,
            _ => None,
        };
        let mut returns = self.shared.standing.returns();
        let wait = sleep(backoff.next(asked));
        tokio::select! {
            () = wait => {}
            // Another watch was answered: the server is back.
            Ok(()) = returns.changed(), if asked.is_none() => backoff.reset(),
        }
    }

    /// Finds out why the kind's path answers 404: it does so for a while after a server's start
    /// too, and that must never be taken for "all are gone". Gives what is wrong, or nothing once
    /// the kind is there.
    async fn look_for_definition(&mut self, failure: Failure) -> Result<Option<Failure>, Ended> {
        let mut was_absent = false;
        loop {
            match definition(self.target.watched, &self.shared.server).await {
                Ok(Definition::Absent) => {
                    was_absent = true;
                    self.shared.standing.missing(self.id);
                    self.objects.retain(&HashSet::new(), &mut self.news);
                    let is_complete = self.target.watched.need() == Need::Optional;
                    self.say(is_complete).await?;
                    sleep(self.shared.look_again).await;
                }
                Ok(Definition::Serves(version)) => {
                    let is_other = version != self.version;
                    self.version = version;
                    self.objects.set_version(version);
                    return Ok((!is_other && !was_absent).then_some(failure));
                }
                Err(failure) => return Ok(Some(failure)),
            }
        }
    }
}

/// Whether a server that gives this answer to a list in a stream may give one by pages.
fn may_not_stream(failure: &Failure) -> bool {
    matches!(failure, Failure::Silent(_)) || matches!(failure.code(), Some(400 | 405 | 422))
}

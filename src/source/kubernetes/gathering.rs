//! Gathering: what all watches say, as one stream of updates.
//!
//! In: the news of each watch. Out: [`Update`]s: the first once every first list is there, later
//! ones as soon as they are taken, with everything that came meanwhile. It also begins and ends the
//! watches over single Secrets and ConfigMaps, as references to them come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use super::standing::WatchId;
use super::target::Target;
use super::watch::{Said, Shared, Watch};
use super::{Options, WatchError};
use crate::resource::{Key, Kind, Object};
use crate::source::files::Origins;
use crate::source::{Finding, Update};
use crate::store::{Change, references_of};

/// Messages of watches that may wait; a watch that is quicker waits itself.
const WAITING: usize = 64;

/// How often it is said what the first update waits for.
const REMIND: Duration = Duration::from_secs(30);

/// All watches and what they said.
pub(super) struct Gathering {
    options: Options,
    shared: Shared,
    tasks: JoinSet<()>,
    running: BTreeMap<WatchId, Running>,
    next_id: WatchId,
    /// The watches over single objects.
    ones: BTreeMap<Key, WatchId>,
    /// By object: the Secrets and ConfigMaps that it refers to, and a Gateway's class.
    references: BTreeMap<Key, BTreeSet<Key>>,
    /// The classes whose Gateways are Locum's.
    own_classes: BTreeSet<Key>,
    findings: BTreeMap<Key, Vec<Finding>>,
    /// All findings as they were sent last; nothing where they are different now.
    listed_findings: Option<Arc<[Finding]>>,
    /// What was not sent yet.
    changes: Vec<Change>,
    has_news: bool,
    is_synced: bool,
    /// Nothing from here is written in a file.
    origins: Arc<Origins>,
    said: mpsc::Sender<Said>,
    heard: mpsc::Receiver<Said>,
}

/// A watch that runs.
#[derive(Debug)]
struct Running {
    task: AbortHandle,
    is_complete: bool,
}

impl Gathering {
    pub(super) fn new(options: Options, shared: Shared) -> Self {
        let (said, heard) = mpsc::channel(WAITING);
        Self {
            options,
            shared,
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            next_id: 0,
            ones: BTreeMap::new(),
            references: BTreeMap::new(),
            own_classes: BTreeSet::new(),
            findings: BTreeMap::new(),
            listed_findings: None,
            changes: Vec::new(),
            has_news: false,
            is_synced: false,
            origins: Arc::default(),
            said,
            heard,
        }
    }

    /// Runs until nobody receives updates any more.
    pub(super) async fn run(mut self, updates: mpsc::Sender<Update>) -> Result<(), WatchError> {
        for target in Target::all(&self.options) {
            self.begin(target);
        }
        let mut remind = interval(REMIND);
        remind.set_missed_tick_behavior(MissedTickBehavior::Delay);
        remind.reset();
        loop {
            tokio::select! {
                permit = updates.reserve(), if self.is_synced && self.has_news => match permit {
                    Ok(permit) => permit.send(self.update()),
                    Err(_) => return Ok(()),
                },
                Some(said) = self.heard.recv() => {
                    self.take(said);
                    // What else waits goes into the same update, so much of it that sending has its
                    // turn.
                    for _ in 0..WAITING {
                        let Ok(said) = self.heard.try_recv() else { break };
                        self.take(said);
                    }
                }
                Some(ended) = self.tasks.join_next() => match ended {
                    Err(error) if error.is_panic() => return Err(WatchError::Broken(error)),
                    _ => {}
                },
                _ = remind.tick(), if !self.is_synced => self.remind(),
                () = updates.closed() => return Ok(()),
            }
        }
    }

    fn remind(&self) {
        for what in self.shared.standing.waiting().borrow().iter() {
            tracing::info!("still waiting: {what}");
        }
    }

    fn begin(&mut self, target: Target) -> WatchId {
        let id = self.next_id;
        self.next_id += 1;
        let watch = Watch::new(id, target, self.shared.clone(), self.said.clone());
        let task = self.tasks.spawn(watch.run());
        let is_complete = false;
        self.running.insert(id, Running { task, is_complete });
        id
    }

    fn take(&mut self, said: Said) {
        let Some(running) = self.running.get_mut(&said.id) else {
            // Said before the watch was ended.
            return;
        };
        if said.is_complete && !running.is_complete {
            running.is_complete = true;
            self.shared.standing.complete(said.id);
        }
        for (key, findings) in said.news.findings {
            self.note(key, findings);
        }
        let mut are_references_new = false;
        for change in said.news.changes {
            are_references_new |= self.note_references(&change);
            self.push(change);
        }
        if are_references_new {
            self.follow_references();
        }
        if !self.is_synced && self.running.values().all(|watch| watch.is_complete) {
            self.push(Change::Synced);
            self.is_synced = true;
            self.shared.standing.all_read();
        }
    }

    fn push(&mut self, change: Change) {
        self.changes.push(change);
        self.has_news = true;
    }

    fn note(&mut self, key: Key, findings: Vec<Finding>) {
        let known = self.findings.get(&key).map(Vec::as_slice);
        if known.unwrap_or_default() == findings {
            return;
        }
        if findings.is_empty() {
            self.findings.remove(&key);
        } else {
            self.findings.insert(key, findings);
        }
        self.listed_findings = None;
        self.has_news = true;
    }

    /// Notes what an object refers to. Says whether that is new.
    fn note_references(&mut self, change: &Change) -> bool {
        let (key, targets) = match change {
            Change::Applied(Object::GatewayClass(class)) => {
                let key = Key::of(Kind::GatewayClass, &class.metadata);
                let names = &self.options.controller_names;
                return match names.contains(&class.spec.controller_name) {
                    true => self.own_classes.insert(key),
                    false => self.own_classes.remove(&key),
                };
            }
            Change::Applied(object @ (Object::Gateway(_) | Object::Backend(_))) => {
                let targets: BTreeSet<Key> = references_of(object).into_iter().collect();
                (object.key(), targets)
            }
            Change::Deleted(key) if key.kind == Kind::GatewayClass => {
                return self.own_classes.remove(key);
            }
            Change::Deleted(key) => (key.clone(), BTreeSet::new()),
            Change::Applied(_) | Change::Synced | Change::Passed(_) => return false,
        };
        if !targets.iter().any(|target| self.is_one(target)) {
            return self.references.remove(&key).is_some();
        }
        let known = self.references.insert(key, targets.clone());
        known.is_none_or(|known| known != targets)
    }

    /// Whether it is an object that is read only where it is referred to.
    fn is_one(&self, key: &Key) -> bool {
        let namespaces = &self.options.namespaces;
        matches!(key.kind, Kind::Secret | Kind::ConfigMap)
            && (namespaces.is_empty()
                || namespaces
                    .iter()
                    .any(|name| **name == *key.object.namespace))
    }

    /// Begins and ends watches over single objects.
    fn follow_references(&mut self) {
        let is_own = |targets: &&BTreeSet<Key>| {
            let mut classes = targets.iter().filter(|key| key.kind == Kind::GatewayClass);
            classes.all(|class| self.own_classes.contains(class))
        };
        let targets = self.references.values().filter(is_own).flatten();
        let wanted: BTreeSet<Key> = targets.filter(|key| self.is_one(key)).cloned().collect();
        let unwanted = self.ones.keys().filter(|key| !wanted.contains(*key));
        for key in unwanted.cloned().collect::<Vec<_>>() {
            if let Some(id) = self.ones.remove(&key) {
                self.end(id);
                self.note(key.clone(), Vec::new());
                self.push(Change::Deleted(key));
            }
        }
        for key in wanted {
            if !self.ones.contains_key(&key) {
                let id = self.begin(Target::one(&key));
                self.ones.insert(key, id);
            }
        }
    }

    fn end(&mut self, id: WatchId) {
        if let Some(running) = self.running.remove(&id) {
            running.task.abort();
            self.shared.standing.remove(id);
        }
    }

    /// What came since the last update.
    fn update(&mut self) -> Update {
        self.has_news = false;
        let findings = &self.findings;
        let list = || findings.values().flatten().cloned().collect();
        Update {
            changes: std::mem::take(&mut self.changes),
            findings: self.listed_findings.get_or_insert_with(list).clone(),
            origins: self.origins.clone(),
        }
    }
}

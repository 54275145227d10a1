//! What comes out of an API server that behaves well, and badly.

mod cases;
mod objects;
mod server;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::server::ApiServer;
use super::{Kubernetes, Options, Seen, WatchError};
use crate::resource::Key;
use crate::source::{Finding, Update};
use crate::store::{Change, Store};

/// The longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long it is looked whether something happens that must not.
const A_WHILE: Duration = Duration::from_millis(400);

/// The controller that is served.
const CONTROLLER: &str = "example.com/own";

fn options() -> Options {
    Options {
        controller_names: vec![CONTROLLER.into()],
        ..Options::default()
    }
}

/// A source over a server, and what came of it.
struct Reading {
    updates: mpsc::Receiver<Update>,
    seen: Seen,
    waiting: channel::Receiver<Arc<[String]>>,
    store: Store,
    findings: Arc<[Finding]>,
    /// Each change, in words.
    log: Vec<String>,
    _task: JoinHandle<Result<(), WatchError>>,
}

fn read(server: &ApiServer, options: Options) -> Reading {
    let mut kubernetes = Kubernetes::new(server.client(), options, &mut Registry::default());
    kubernetes.shared.look_again = Duration::from_millis(50);
    let (sender, updates) = mpsc::channel(16);
    Reading {
        updates,
        seen: kubernetes.seen(),
        waiting: kubernetes.waiting(),
        store: Store::default(),
        findings: Arc::new([]),
        log: Vec::new(),
        _task: tokio::spawn(kubernetes.watch(sender)),
    }
}

impl Reading {
    async fn next(&mut self) {
        let update = self.updates.recv().await.expect("the source runs");
        self.findings = update.findings;
        for change in update.changes {
            self.log.push(match &change {
                Change::Applied(object) => format!("+ {}", object.key()),
                Change::Deleted(key) => format!("- {key}"),
                Change::Synced => "synced".into(),
                Change::Passed(time) => time.to_string(),
            });
            self.store.apply(change);
        }
    }

    /// Takes updates in until `done`.
    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let taking = async {
            while !done(self) {
                self.next().await;
            }
        };
        let ended = timeout(PATIENCE, taking).await;
        ended.unwrap_or_else(|_| panic!("it does not come: {:#?}", self.log));
    }

    async fn synced(&mut self) {
        self.until(|reading| reading.store.is_synced()).await;
    }

    /// Whether nothing is said for a while.
    async fn is_quiet(&mut self) -> bool {
        timeout(A_WHILE, self.next()).await.is_err()
    }

    fn has(&self, key: &str) -> bool {
        let key: Key = key.parse().unwrap();
        self.store.get(&key).is_some()
    }
}

/// Waits until the server, or what is seen, has got somewhere.
async fn eventually(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it does not come");
}

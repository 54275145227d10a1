//! The loop: who writes, and when it begins to.

use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::pipeline::State;
use crate::resource::{Key, Kind};
use crate::source::kubernetes::Observed as SeenObject;
use crate::status::{Condition, Status, StatusBody, Statuses, reasons};
use crate::translate::Translation;

const BOUND: Duration = Duration::from_secs(10);

/// An API server that takes everything and says what it got.
struct Taking(mpsc::UnboundedSender<Write>);

impl StatusApi for Taking {
    async fn write(&self, write: Write) -> Result<Written, Failure> {
        let written = Written {
            resource_version: "8".into(),
            generation: Some(1),
            status: write.status.clone(),
        };
        // An error means that the test is over.
        let _ = self.0.send(write);
        Ok(written)
    }
}

/// A writer that runs, and what the test holds of it.
struct Rig {
    states: watch::Sender<Arc<State>>,
    may_write: watch::Sender<bool>,
    writes: mpsc::UnboundedReceiver<Write>,
    _observed: watch::Sender<Arc<Observed>>,
}

fn key() -> Key {
    Key::new(Kind::Backend, "default", "active")
}

/// The state after the first translation, in which the Backend's condition has this message.
fn state(message: &str) -> Arc<State> {
    let accepted = Condition::yes(reasons::kind::ACCEPTED, reasons::ACCEPTED, message);
    let status = Status {
        observed_generation: Some(1),
        body: StatusBody::Conditions(vec![accepted]),
    };
    let translation = Translation {
        statuses: Statuses::from([(key(), status)]),
        ..Translation::default()
    };
    Arc::new(State {
        revision: 1,
        translation: Arc::new(translation),
        ..State::default()
    })
}

fn start(may_write: bool, held: Value) -> Rig {
    let seen = Seen::default();
    let object = SeenObject {
        api_version: key().api_version().into(),
        uid: "1".into(),
        resource_version: "7".into(),
        generation: Some(1),
        status: held,
        written_by: None,
        refused: None,
    };
    seen.set(key(), object);
    let (states, states_seen) = watch::channel(Arc::default());
    let (observed, observed_seen) = watch::channel(Arc::default());
    let (may_write, may_write_seen) = watch::channel(may_write);
    let (sender, writes) = mpsc::unbounded_channel();
    let inputs = Inputs {
        states: states_seen,
        observed: observed_seen,
        seen,
        may_write: may_write_seen,
        controllers: ["locum.dev/gatewayclass-controller".to_owned()].into(),
    };
    let metrics = Metrics::register(&mut Registry::default());
    tokio::spawn(Writer::new(Taking(sender), inputs, metrics).run());
    Rig {
        states,
        may_write,
        writes,
        _observed: observed,
    }
}

impl Rig {
    /// The message of the next write.
    async fn written(&mut self) -> String {
        let write = timeout(BOUND, self.writes.recv()).await;
        let write = write.expect("it is written in time").expect("a write");
        let message = write.status["conditions"][0]["message"].as_str();
        message.expect("a message").to_owned()
    }
}

#[tokio::test]
async fn who_is_not_the_leader_writes_nothing_and_who_becomes_it_what_is_wanted_then() {
    let mut rig = start(false, Value::Null);
    rig.states.send_replace(state("Old."));
    tokio::task::yield_now().await;
    rig.states.send_replace(state("New."));
    rig.may_write.send_replace(true);
    assert_eq!(rig.written().await, "New.");
}

#[tokio::test]
async fn before_the_first_translation_nothing_is_written() {
    let mut rig = start(true, json!({}));
    let mut untranslated = (*state("Too early.")).clone();
    untranslated.revision = 0;
    rig.states.send_replace(Arc::new(untranslated));
    tokio::task::yield_now().await;
    rig.states.send_replace(state("In time."));
    assert_eq!(rig.written().await, "In time.");
}

#[tokio::test]
async fn what_changes_is_written_as_it_comes() {
    let mut rig = start(true, Value::Null);
    rig.states.send_replace(state("One."));
    assert_eq!(rig.written().await, "One.");
    let refused = Condition::no(reasons::kind::ACCEPTED, reasons::INVALID, "Two.");
    let mut next = (*state("")).clone();
    let translation = Arc::make_mut(&mut next.translation);
    for status in translation.statuses.values_mut() {
        status.body = StatusBody::Conditions(vec![refused.clone()]);
    }
    rig.states.send_replace(Arc::new(next));
    assert_eq!(rig.written().await, "Two.");
}

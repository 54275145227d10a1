//! What `serve` logs about resources: each translation, and each problem when it is new.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use super::problems::counts;
use crate::pipeline::{Located, State};
use crate::problem::Severity;

/// Logs each translation and each problem that is new.
pub(super) async fn log_changes(mut states: watch::Receiver<Arc<State>>) {
    let mut told: BTreeSet<Located> = BTreeSet::new();
    let mut revision = 0;
    while states.changed().await.is_ok() {
        let state = states.borrow_and_update().clone();
        let problems = state.located_problems();
        if state.revision != revision {
            revision = state.revision;
            let gateways = state.snapshots.len();
            tracing::info!(
                revision,
                gateways,
                problems = counts(&problems),
                "translated"
            );
        }
        let problems: BTreeSet<Located> = problems.into_iter().collect();
        problems.difference(&told).for_each(log);
        told = problems;
    }
}

fn log(problem: &Located) {
    let json = problem.to_json();
    let file = json.file.as_ref().map(|file| file.display().to_string());
    let object = json.object.as_ref();
    let kind = object.map(|object| object.kind.as_str());
    let namespace = object.and_then(|object| object.namespace.as_deref());
    let name = object.map(|object| object.name.as_str());
    let (line, field, reason, code) = (json.line, json.field, json.reason, json.code);
    let message = problem.sentences();
    // The level of an event has to be known when Locum is compiled.
    macro_rules! log {
        ($level:ident) => {
            tracing::$level!(
                file,
                line,
                kind,
                namespace,
                name,
                field,
                reason,
                code,
                "{message}"
            )
        };
    }
    match problem.severity {
        Severity::Error => log!(error),
        Severity::Warning => log!(warn),
        Severity::Note => log!(debug),
    }
}

//! Liveness and readiness.

use std::fmt;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::Sources;
use crate::pipeline;
use crate::proxy::{Phase, Proxies};

/// Something without which Locum is not ready.
#[derive(Clone)]
pub struct Gate(Arc<dyn Fn() -> Vec<String> + Send + Sync>);

impl Gate {
    /// A gate that is open when `missing` has nothing to say; else it says what is missing, a line
    /// each.
    pub fn new(missing: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(missing))
    }

    /// Whether nothing is missing.
    pub fn is_open(&self) -> bool {
        (self.0)().is_empty()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&(self.0)()).finish()
    }
}

/// 200: the process runs.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 when proxies can be served, with `run` when they serve; else 503 and what is missing, a line
/// each.
pub(super) async fn readyz(State(sources): State<Sources>) -> (StatusCode, String) {
    let state = sources.states.borrow().clone();
    let proxies = sources
        .proxies
        .as_ref()
        .map(|proxies| proxies.borrow().clone());
    let gates = sources.gates.iter().flat_map(|gate| (gate.0)());
    let missing: Vec<_> = gates.chain(missing(&state, proxies.as_ref())).collect();
    if missing.is_empty() {
        (StatusCode::OK, "ok\n".into())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, missing.join("\n") + "\n")
    }
}

fn missing(state: &pipeline::State, proxies: Option<&Proxies>) -> Vec<String> {
    if state.revision == 0 {
        return vec!["waiting for the first snapshot: the resources are still being read".into()];
    }
    let Some(proxies) = proxies else {
        return Vec::new();
    };
    let gateways = state.snapshots.keys();
    gateways
        .filter_map(|gateway| {
            let what = match proxies.get(gateway).map(|proxy| &proxy.phase) {
                Some(Phase::Live) => return None,
                Some(Phase::Starting) => "waits for its configuration".to_owned(),
                Some(Phase::Draining) => "is draining".to_owned(),
                Some(Phase::Silent { why } | Phase::Down { why }) => why.clone(),
                None => "is not started yet".to_owned(),
            };
            Some(format!("the Envoy of Gateway {gateway}: {what}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Proxy;
    use crate::resource::ObjectName;

    fn proxies(phase: Phase) -> Proxies {
        let proxy = Proxy {
            pid: Some(1),
            adopted: false,
            restarts: 0,
            phase,
        };
        Proxies::from([(ObjectName::new("default", "eg"), proxy)])
    }

    fn translated() -> pipeline::State {
        let snapshots = [(ObjectName::new("default", "eg"), Arc::default())];
        pipeline::State {
            revision: 1,
            snapshots: snapshots.into(),
            ..pipeline::State::default()
        }
    }

    #[test]
    fn not_ready_before_the_first_snapshot() {
        let missing = missing(&pipeline::State::default(), None);
        assert!(missing[0].contains("first snapshot"), "{missing:?}");
    }

    #[test]
    fn ready_without_envoys_of_its_own_once_there_is_a_snapshot() {
        assert!(missing(&translated(), None).is_empty());
    }

    #[test]
    fn ready_when_each_gateways_envoy_is_live() {
        assert!(missing(&translated(), Some(&proxies(Phase::Live))).is_empty());
    }

    #[test]
    fn an_envoy_that_is_down_is_named_with_its_reason() {
        let down = proxies(Phase::Down {
            why: "port taken".into(),
        });
        let missing = missing(&translated(), Some(&down));
        assert_eq!(missing, ["the Envoy of Gateway default/eg: port taken"]);
    }
}

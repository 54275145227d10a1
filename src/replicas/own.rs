//! What this replica sees of the proxies connected to it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::pipeline::State;
use crate::resource::ObjectName;
use crate::status::observations::{Observation, Progress, Refusal};
use crate::xds::clients::{Clients, Refused, Settled};

/// How much time changes are gathered for before they are told.
const GATHER: Duration = Duration::from_millis(100);

/// Where this replica's own observation can be seen, now and whenever it changes.
#[derive(Clone, Debug)]
pub struct Own(watch::Receiver<Arc<Observation>>);

impl Own {
    /// The observation that `watch` makes, and where it sends it.
    pub fn new() -> (watch::Sender<Arc<Observation>>, Self) {
        let (sender, receiver) = watch::channel(Arc::default());
        (sender, Self(receiver))
    }

    /// The observation now.
    pub(super) fn newest(&mut self) -> Arc<Observation> {
        self.0.borrow_and_update().clone()
    }

    /// Waits for another one than the newest seen; `false` when none will come.
    pub(super) async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// Keeps the observation up to date, for as long as someone can see it.
pub async fn watch(
    clients: Arc<Clients>,
    mut states: watch::Receiver<Arc<State>>,
    own: watch::Sender<Arc<Observation>>,
) {
    let mut ticks = clients.ticks();
    let mut refusals = clients.refusals();
    loop {
        let state = states.borrow_and_update().clone();
        ticks.mark_unchanged();
        let refused = refusals.borrow_and_update().clone();
        let observation = observation(&clients.settled(), &refused, &state);
        own.send_if_modified(|before| {
            let changed = **before != observation;
            if changed {
                *before = Arc::new(observation);
            }
            changed
        });
        sleep(GATHER).await;
        let goes_on = tokio::select! {
            changed = states.changed() => changed.is_ok(),
            changed = ticks.changed() => changed.is_ok(),
            changed = refusals.changed() => changed.is_ok(),
            () = own.closed() => false,
        };
        if !goes_on {
            return;
        }
    }
}

fn observation(settled: &[Settled], refused: &[Refused], state: &State) -> Observation {
    let mut observation = Observation::default();
    for proxy in settled {
        let Some(gateway) = name(&proxy.gateway) else {
            continue;
        };
        let progress = progress(proxy.revision, &gateway, state);
        let of_gateway = observation.proxies.entry(gateway).or_default();
        of_gateway.insert(proxy.node.clone(), progress);
    }
    observation.refusals = refused.iter().filter_map(refusal).collect();
    observation
}

fn progress(settled: u64, gateway: &ObjectName, state: &State) -> Progress {
    match state.told.get(gateway) {
        _ if settled == 0 => Progress::Starting,
        Some(told) if settled >= told.revision => Progress::Acknowledged {
            generation: told.generation,
        },
        // A Gateway that is not there is not asked about.
        _ => Progress::Behind,
    }
}

fn refusal(refused: &Refused) -> Option<Refusal> {
    let resource = &refused.resource;
    let owners = resource.owners.iter();
    Some(Refusal {
        gateway: name(&refused.gateway)?,
        node: refused.node.clone(),
        kind: resource.kind.to_string(),
        name: resource.name.to_string(),
        owners: owners.filter_map(|owner| owner.parse().ok()).collect(),
        message: refused.message.clone(),
    })
}

/// A Gateway as `namespace/name`.
pub(super) fn name(gateway: &str) -> Option<ObjectName> {
    let (namespace, name) = gateway.split_once('/')?;
    Some(ObjectName::new(namespace, name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::pipeline::Told;

    fn state(generation: i64, revision: u64) -> State {
        let told = Told {
            generation,
            revision,
        };
        State {
            told: BTreeMap::from([(ObjectName::new("default", "eg"), told)]),
            ..State::default()
        }
    }

    fn proxy(node: &str, revision: u64) -> Settled {
        Settled {
            gateway: "default/eg".into(),
            node: node.into(),
            revision,
        }
    }

    #[test]
    fn a_proxy_has_a_generation_when_it_acknowledged_a_snapshot_that_was_made_from_it() {
        let proxies = [proxy("a", 8), proxy("b", 7), proxy("c", 6), proxy("d", 0)];
        let observation = observation(&proxies, &[], &state(3, 7));
        let found = &observation.proxies[&ObjectName::new("default", "eg")];
        let acknowledged = Progress::Acknowledged { generation: 3 };
        assert_eq!(found["a"], acknowledged, "a later one: a route has changed");
        assert_eq!(found["b"], acknowledged);
        assert_eq!(found["c"], Progress::Behind);
        assert_eq!(found["d"], Progress::Starting);
    }
}

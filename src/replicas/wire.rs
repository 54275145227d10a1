//! Observations as they go from a replica to another.

use std::collections::BTreeMap;

use super::own::name;
use crate::api::v1;
use crate::resource::ObjectName;
use crate::status::observations::{Observation, Progress, Refusal};

/// The message that says `observation`.
pub(super) fn message(observation: &Observation) -> v1::Observation {
    let gateways = observation.proxies.iter();
    let refusals = observation.refusals.iter();
    v1::Observation {
        gateways: gateways
            .map(|(gateway, proxies)| v1::ObservedGateway {
                namespace: gateway.namespace.to_string(),
                name: gateway.name.to_string(),
                proxies: proxies
                    .iter()
                    .map(|(node, progress)| proxy(node, *progress))
                    .collect(),
            })
            .collect(),
        refusals: refusals.map(refusal_message).collect(),
    }
}

fn proxy(node: &str, progress: Progress) -> v1::ObservedProxy {
    let (progress, generation) = match progress {
        Progress::Starting => (v1::Progress::Starting, 0),
        Progress::Behind => (v1::Progress::Behind, 0),
        Progress::Acknowledged { generation } => (v1::Progress::Acknowledged, generation),
    };
    v1::ObservedProxy {
        node: node.to_owned(),
        progress: progress.into(),
        generation,
    }
}

fn refusal_message(refusal: &Refusal) -> v1::Refusal {
    v1::Refusal {
        gateway: refusal.gateway.to_string(),
        node: refusal.node.clone(),
        kind: refusal.kind.clone(),
        name: refusal.name.clone(),
        owners: refusal.owners.iter().map(ToString::to_string).collect(),
        message: refusal.message.clone(),
    }
}

/// What `message` says. What another version of Locum says and this one does not know is left out.
pub(super) fn observation(message: v1::Observation) -> Observation {
    let mut observation = Observation::default();
    for gateway in message.gateways {
        let proxies: BTreeMap<_, _> = gateway
            .proxies
            .into_iter()
            .map(|proxy| (proxy.node.clone(), progress(&proxy)))
            .collect();
        let gateway = ObjectName::new(&gateway.namespace, &gateway.name);
        observation.proxies.insert(gateway, proxies);
    }
    observation.refusals = message.refusals.into_iter().filter_map(refusal).collect();
    observation
}

fn progress(proxy: &v1::ObservedProxy) -> Progress {
    match proxy.progress() {
        v1::Progress::Acknowledged => Progress::Acknowledged {
            generation: proxy.generation,
        },
        v1::Progress::Behind => Progress::Behind,
        v1::Progress::Starting | v1::Progress::Unspecified => Progress::Starting,
    }
}

fn refusal(refusal: v1::Refusal) -> Option<Refusal> {
    let owners = refusal.owners.iter();
    Some(Refusal {
        gateway: name(&refusal.gateway)?,
        node: refusal.node,
        kind: refusal.kind,
        name: refusal.name,
        owners: owners.filter_map(|owner| owner.parse().ok()).collect(),
        message: refusal.message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Key, Kind};

    #[test]
    fn an_observation_arrives_as_it_was_sent() {
        let gateway = ObjectName::new("default", "eg");
        let proxies = [
            ("a".to_owned(), Progress::Starting),
            ("b".to_owned(), Progress::Behind),
            ("c".to_owned(), Progress::Acknowledged { generation: 7 }),
        ];
        let refusal = Refusal {
            gateway: gateway.clone(),
            node: "c".into(),
            kind: "cluster".into(),
            name: "default/web".into(),
            owners: vec![Key::new(Kind::Backend, "default", "active")],
            message: "no good".into(),
        };
        let sent = Observation {
            proxies: [(gateway, proxies.into())].into(),
            refusals: [refusal].into(),
        };
        assert_eq!(observation(message(&sent)), sent);
    }
}

//! Proxies, of which each may have several streams.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Client, Settled, lock};

/// What the streams of one proxy are that tell together how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Streams {
    /// Those of one connection that carry all types: an Envoy has one, gRPC one for each service.
    Of(Option<SocketAddr>),
    /// Those that carry one type each.
    OfOneType,
}

/// How far each of these proxies is, which are known by group and `node.id`. A proxy has acknowledged
/// what all of its streams have; but of one that comes back before its old connection has ended,
/// only the newer one goes on. Streams of one type may be too many for one connection, so there all
/// count.
pub(super) fn settled(clients: &[Arc<Client>]) -> Vec<Settled> {
    let mut least: BTreeMap<(&str, &str, Streams), u64> = BTreeMap::new();
    for client in clients {
        let state = lock(&client.state);
        let streams = match state.stream.only() {
            None => Streams::Of(client.peer),
            Some(_) => Streams::OfOneType,
        };
        let (gateway, node) = (&*client.proxy.gateway, &*client.proxy.id);
        let revision = least.entry((gateway, node, streams)).or_insert(u64::MAX);
        *revision = state.settled.min(*revision);
    }
    let least: Vec<_> = least.into_iter().collect();
    let is_one = |(a, _): &Of<'_>, (b, _): &Of<'_>| (a.0, a.1) == (b.0, b.1);
    least.chunk_by(is_one).map(proxy).collect()
}

/// Of some streams of a proxy, the revision that all of them have.
type Of<'a> = ((&'a str, &'a str, Streams), u64);

/// The proxy of all these streams.
fn proxy(streams: &[Of<'_>]) -> Settled {
    let of_one_type = |((.., streams), _): &&Of<'_>| *streams == Streams::OfOneType;
    let apart = streams.iter().filter(of_one_type).map(|(_, has)| *has);
    let together = streams.iter().filter(|of| !of_one_type(of));
    let furthest = together.map(|(_, has)| *has).max();
    let ((gateway, node, _), _) = streams[0];
    Settled {
        gateway: gateway.to_owned(),
        node: node.to_owned(),
        revision: apart.chain(furthest).min().unwrap_or_default(),
    }
}

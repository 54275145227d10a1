//! Proxies, of which each may have several streams.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use jiff::SignedDuration;

use super::{Client, lock};

/// How long before a proxy's certificate runs out that is said: in the log, and by who lists proxies.
pub const CERTIFICATE_NOTICE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What the streams of one proxy are that tell together how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Streams {
    /// Those of one connection that carry all types: an Envoy has one, gRPC one for each service.
    Of(Option<SocketAddr>),
    /// Those that carry one type each.
    OfOneType,
}

/// How far each of these proxies is, by group and `node.id`. A proxy has acknowledged what all of
/// its streams have; but on one that comes back before its old connection has ended, only the newer
/// one goes on. Streams of one type may be too many for one connection, so there all count.
pub(super) fn revisions(clients: &[Arc<Client>]) -> BTreeMap<(&str, &str), u64> {
    let mut least: BTreeMap<_, BTreeMap<Streams, u64>> = BTreeMap::new();
    for client in clients {
        let state = lock(&client.state);
        let streams = match state.stream.only() {
            None => Streams::Of(client.peer),
            Some(_) => Streams::OfOneType,
        };
        let proxy = (&*client.proxy.gateway, &*client.proxy.id);
        let of_proxy = least.entry(proxy).or_default();
        let revision = of_proxy.entry(streams).or_insert(state.settled);
        *revision = state.settled.min(*revision);
    }
    let of_all = least.into_iter().map(|(proxy, mut least)| {
        let of_one_type = least.remove(&Streams::OfOneType);
        let others = least.into_values().max();
        let revision = others.into_iter().chain(of_one_type).min();
        (proxy, revision.unwrap_or_default())
    });
    of_all.collect()
}

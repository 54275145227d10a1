//! Virtual hosts that are resources of their own (VHDS), apart from their route configuration.
//!
//! Envoy has them in delta only. It is sent all that there are of the route configurations it has,
//! so a host is there before it is asked for, and it is told of those that have none; one that it asks
//! for on demand (the filter `on_demand`) is answered too, also that there is none. A proxy in the
//! state of the world gets route configurations that hold all of their virtual hosts.
//!
//! A virtual host is called `<route configuration>/<host>`, in its message too: by that name Envoy
//! finds the one that is taken away. The part after the last slash is the host's own, since a route
//! configuration's name may have slashes.

use std::collections::BTreeSet;
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use prost::Message as _;

use crate::xds::kind::Kind;
use crate::xds::resource::{Readiness, Resource};
use crate::xds::snapshot::Snapshot;

/// The answer to the question which virtual host serves a host.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was asked for: `<route configuration>/<host>`.
    pub asked: Arc<str>,
    /// The virtual host; nothing if there is none for it.
    pub found: Option<Arc<Resource>>,
}

/// The name that stands for every virtual host of a route configuration.
pub fn every(route: &str) -> String {
    format!("{route}/*")
}

/// The route configuration that a virtual host is part of.
pub fn route_of(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(route, _)| route)
}

/// Whether a route configuration has virtual hosts apart.
pub(super) fn are_apart(route: &Resource) -> bool {
    route.targets(Kind::VirtualHost).next().is_some()
}

/// The virtual hosts of a route configuration.
pub(super) fn of<'a>(
    snapshot: &'a Snapshot,
    route: &'a str,
) -> impl Iterator<Item = &'a Arc<Resource>> {
    let all = snapshot.of_kind(Kind::VirtualHost);
    all.filter(move |host| route_of(&host.name) == Some(route))
}

/// The route configurations that get their virtual hosts by VHDS, over whatever stream, and have none.
pub(super) fn without_any(snapshot: &Snapshot) -> BTreeSet<Arc<str>> {
    let hosts = snapshot.of_kind(Kind::VirtualHost);
    let with: BTreeSet<_> = hosts.filter_map(|host| route_of(&host.name)).collect();
    let without = snapshot
        .of_kind(Kind::Route)
        .filter(|route| !with.contains(&*route.name));
    let says_so = |route: &&Arc<Resource>| {
        let message = RouteConfiguration::decode(&*route.body);
        message.is_ok_and(|message| message.vhds.is_some())
    };
    let without = without.filter(says_so);
    without.map(|route| route.name.clone()).collect()
}

/// The virtual host that serves a host, which is asked for as `<route configuration>/<host>`. The
/// protocol leaves it to the server to know; here it is the one of that name, or else the one whose
/// domains Envoy would choose.
pub(super) fn find<'a>(snapshot: &'a Snapshot, asked: &str) -> Option<&'a Arc<Resource>> {
    if let Some(named) = snapshot.get(Kind::VirtualHost, asked) {
        return Some(named);
    }
    let (route, host) = asked.rsplit_once('/')?;
    let all = snapshot.of_kind(Kind::VirtualHost);
    let hosts = all.filter(|virtual_host| route_of(&virtual_host.name) == Some(route));
    let fitting = hosts.filter_map(|virtual_host| {
        let message = VirtualHost::decode(&*virtual_host.body).ok()?;
        let domains = message.domains.iter();
        let best = domains.filter_map(|domain| fit(domain, host)).max()?;
        Some((best, virtual_host))
    });
    let best = fitting.max_by_key(|(fit, _)| *fit);
    best.map(|(_, virtual_host)| virtual_host)
}

/// How well a domain of a virtual host fits a host, in Envoy's order: the same, then the longest
/// ending (`*.example.com`), then the longest beginning (`example.*`), then anything (`*`).
fn fit(domain: &str, host: &str) -> Option<(u8, usize)> {
    let (domain, host) = (domain.to_ascii_lowercase(), host.to_ascii_lowercase());
    if domain == host {
        return Some((3, 0));
    }
    if domain == "*" {
        return Some((0, 0));
    }
    // The star stands for at least one character.
    let is_longer = host.len() >= domain.len();
    if let Some(ending) = domain.strip_prefix('*') {
        return (is_longer && host.ends_with(ending)).then_some((2, ending.len()));
    }
    let beginning = domain.strip_suffix('*')?;
    (is_longer && host.starts_with(beginning)).then_some((1, beginning.len()))
}

/// The same resources with all virtual hosts in their route configurations, for the state of the
/// world; nothing if there are none apart.
pub(super) fn inlined(snapshot: &Snapshot) -> Option<Snapshot> {
    let routes = snapshot.of_kind(Kind::Route);
    let apart: Vec<_> = routes.filter(|route| are_apart(route)).collect();
    if apart.is_empty() {
        return None;
    }
    let mut inlined = snapshot.clone();
    for route in apart {
        inlined = inlined.with(merged(route, of(snapshot, &route.name), false));
    }
    for host in snapshot.of_kind(Kind::VirtualHost) {
        inlined = inlined.without(Kind::VirtualHost, &host.name);
    }
    Some(inlined)
}

/// A route configuration that holds virtual hosts which are apart from it. Whether it goes on to say
/// that there are such is the caller's choice.
pub(super) fn merged<'a>(
    route: &Resource,
    hosts: impl Iterator<Item = &'a Arc<Resource>>,
    says_so: bool,
) -> Resource {
    let mut message = RouteConfiguration::decode(&*route.body).unwrap_or_default();
    let mut references = route.references.clone();
    let mut owners: BTreeSet<_> = route.owners.iter().cloned().collect();
    for host in hosts {
        let decoded = VirtualHost::decode(&*host.body);
        message.virtual_hosts.extend(decoded.ok());
        references.extend(host.references.iter().cloned());
        owners.extend(host.owners.iter().cloned());
    }
    if !says_so {
        message.vhds = None;
        references.retain(|(kind, _)| *kind != Kind::VirtualHost);
    }
    Resource {
        references,
        readiness: Readiness::Immediate,
        owners: owners.into_iter().collect(),
        ..Resource::new(Kind::Route, &route.name, &message)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::xds::json;

    fn host(name: &str, domains: &[&str], cluster: &str) -> Resource {
        json::read(&json!({
            "@type": Kind::VirtualHost.type_url(),
            "name": name,
            "domains": domains,
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": cluster}}],
        }))
        .unwrap()
    }

    fn snapshot() -> Snapshot {
        let routes = json::read(&json!({
            "@type": Kind::Route.type_url(),
            "name": "a/web",
            "vhds": {"config_source": {"ads": {}}},
        }));
        let hosts = [
            host("a/web/one", &["one.test"], "one"),
            host("a/web/all", &["*.test", "one.*"], "all"),
            host("a/web/deep", &["*.deep.test"], "deep"),
            host("web/other", &["other.test"], "other"),
        ];
        Snapshot::new(hosts.into_iter().chain([routes.unwrap()]), None)
    }

    #[test]
    fn a_host_is_served_by_the_virtual_host_that_envoy_would_choose() {
        let snapshot = snapshot();
        let found = |asked: &str| find(&snapshot, asked).map(|found| found.name.to_string());
        let cases = [
            ("a/web/one.test", Some("a/web/one")),
            ("a/web/ONE.test", Some("a/web/one")),
            ("a/web/x.test", Some("a/web/all")),
            ("a/web/x.deep.test", Some("a/web/deep")),
            ("a/web/one.other", Some("a/web/all")),
            ("a/web/.test", None),
            ("a/web/other.test", Some("a/web/all")),
            ("a/web/else", None),
            ("a/web/deep", Some("a/web/deep")),
            ("nothing", None),
        ];
        for (asked, expected) in cases {
            assert_eq!(found(asked).as_deref(), expected, "{asked}");
        }
    }

    #[test]
    fn in_the_state_of_the_world_a_route_configuration_holds_its_virtual_hosts() {
        let inlined = inlined(&snapshot()).unwrap();
        let route = inlined.get(Kind::Route, "a/web").unwrap();
        let message = RouteConfiguration::decode(&*route.body).unwrap();
        let hosts = message.virtual_hosts.iter().map(|host| &*host.name);
        let hosts: Vec<_> = hosts.collect();
        assert_eq!(hosts, ["a/web/all", "a/web/deep", "a/web/one"]);
        assert!(message.vhds.is_none());
        let clusters = ["all", "deep", "one"].map(|name| (Kind::Cluster, name.into()));
        assert_eq!(route.references, clusters.into());
        assert_eq!(inlined.of_kind(Kind::VirtualHost).count(), 0);
    }

    #[test]
    fn without_virtual_hosts_apart_nothing_is_changed() {
        let routes = json!({"@type": Kind::Route.type_url(), "name": "web"});
        let snapshot = Snapshot::new([json::read(&routes).unwrap()], None);
        assert!(inlined(&snapshot).is_none());
    }
}

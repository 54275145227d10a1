//! What is edited at random: snapshots, and the steps that a proxy takes between them.

use std::fmt;

use locum::xds::resource::Resource;
use locum::xds::snapshot::Snapshot;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::harness::resources_of;

/// The content that the proxy refuses.
pub(super) const BAD: u8 = 9;

const CLUSTERS: [&str; 4] = ["a", "b", "c", "d"];
const ROUTES: [&str; 2] = ["r", "s"];
#[derive(Clone, Debug)]
struct ClusterSpec {
    content: u8,
    /// 0 and 1: as it is, 2: EDS, 3: DNS.
    discovery: u8,
    endpoints: u8,
}

/// What is to be served: each cluster or none, each route with the clusters it would like.
#[derive(Clone)]
pub(super) struct World {
    clusters: Vec<Option<ClusterSpec>>,
    routes: Vec<Option<(u8, u8)>>,
    /// A filter of the listener, with the clusters that it would like to speak to.
    filter: Option<(u8, u8)>,
    listener: u8,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Edit(World),
    /// The proxy takes the next response in.
    Deliver,
    Tick,
    /// The stream is lost, and another server takes it on: one that knows what the proxy was told, or
    /// one that does not.
    Reconnect {
        is_known: bool,
    },
}

fn world(worst: u8) -> impl Strategy<Value = World> {
    let content = move || prop_oneof![8 => 1..5u8, 1 => Just(worst)];
    let spec =
        (content(), 0..4u8, 1..4u8).prop_map(|(content, discovery, endpoints)| ClusterSpec {
            content,
            discovery,
            endpoints,
        });
    let clusters = vec(proptest::option::weighted(0.8, spec), CLUSTERS.len());
    let routes = vec(proptest::option::of((content(), 0..16u8)), ROUTES.len());
    let filter = proptest::option::of((content(), 0..16u8));
    let parts = (clusters, routes, filter, content());
    parts.prop_map(|(clusters, routes, filter, listener)| World {
        clusters,
        routes,
        filter,
        listener,
    })
}

pub(super) fn steps(worst: u8) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => world(worst).prop_map(Step::Edit),
        8 => Just(Step::Deliver),
        2 => Just(Step::Tick),
        1 => prop::bool::weighted(0.7).prop_map(|is_known| Step::Reconnect { is_known }),
    ];
    vec(step, 1..60)
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.list())
    }
}

impl World {
    /// The closed snapshot of it, as a list that [`resources_of`] reads.
    fn list(&self) -> String {
        let mut list = Vec::new();
        let mut there = Vec::new();
        for (name, spec) in CLUSTERS.iter().zip(&self.clusters) {
            let Some(spec) = spec else { continue };
            let discovery = ["", "", " eds", " dns"][usize::from(spec.discovery)];
            list.push(format!("cluster {name}:{}{discovery}", spec.content));
            if spec.discovery == 2 {
                list.push(format!("endpoint {name}:{}", spec.endpoints));
            }
            there.push((*name).to_owned());
        }
        if there.len() > 1 {
            list.push(format!(
                "cluster e:{} > {}",
                self.listener.min(4),
                there[..2].join(" ")
            ));
            there.push("e".into());
        }
        let mut routes = Vec::new();
        for (name, route) in ROUTES.iter().zip(&self.routes) {
            let Some((content, wanted)) = route else {
                continue;
            };
            let clusters = chosen(&there, *wanted);
            list.push(format!("route {name}:{content} > {clusters}"));
            routes.push(*name);
        }
        if let Some((content, wanted)) = &self.filter {
            let clusters = chosen(&there, *wanted);
            list.push(format!("extension f:{content} > {clusters}"));
            routes.push("extension=f");
        }
        list.push(format!(
            "listener l:{} > {}",
            self.listener,
            routes.join(" ")
        ));
        list.join(", ")
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut resources = resources_of(&self.list());
        for resource in &mut resources {
            // What refers to something else is something else.
            let references = format!("{:?}{:?}", resource.references, resource.readiness);
            let version = format!("{}/{references}", resource.version.0);
            resource.version.0 = version.into();
        }
        let snapshot = Snapshot::new(resources, None);
        assert_eq!(snapshot.check_closed(), Ok(()));
        snapshot
    }
}

/// Those of the clusters that are there whose bit is set.
fn chosen(there: &[String], wanted: u8) -> String {
    let clusters = there.iter().enumerate();
    let clusters = clusters.filter(|(index, _)| wanted >> index & 1 == 1);
    let clusters: Vec<_> = clusters.map(|(_, name)| &**name).collect();
    clusters.join(" ")
}

/// Whether the proxy refuses a resource.
pub(super) fn is_bad(resource: &Resource) -> bool {
    let bad = crate::harness::resource(resource.kind, &format!("{}:{BAD}", resource.name));
    resource.body == bad.body
}

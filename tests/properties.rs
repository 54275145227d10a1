//! Properties that hold whatever the resources are and however they come.

use std::sync::LazyLock;

use locum::problem::Problem;
use locum::resource::Object;
use locum::resource::parse::parse;
use locum::store::{Change, Store};
use locum::translate::resolve::{Resolution, resolve};
use locum::translate::{GatewayAddresses, Options, Translation, read::Reader, translate};
use locum::xds::kind::Kind;
use locum::xds::resource::Version;
use locum::xds::snapshot::Snapshot;
use proptest::prelude::*;

/// Objects that share names, hosts, targets and chains, so that an order could show.
const RESOURCES: &str = include_str!("properties/resources.yaml");

/// The same objects, with something else in some of them.
static VERSIONS: LazyLock<Vec<[Object; 2]>> = LazyLock::new(|| {
    RESOURCES
        .split("\n---\n")
        .map(|text| {
            let edited = text
                .replace("10.0.0.", "10.9.9.")
                .replace("port: 3000", "port: 4000")
                .replace("fallback: true", "fallback: false")
                .replace("requestTimeout: ", "requestTimeout: 1");
            [object(text), object(&edited)]
        })
        .collect()
});

fn object(text: &str) -> Object {
    let value = serde_saphyr::from_str(text).expect("the YAML is valid");
    let parsed = parse(value, "default");
    parsed
        .object
        .unwrap_or_else(|| panic!("admitted: {text}{:?}", parsed.faults))
}

fn options() -> Options {
    Options {
        controller_names: vec!["locum.dev/gatewayclass-controller".into()],
        listen: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        allow_local_backends: true,
        cluster_domain: "cluster.local".into(),
        rate_limit_service: None,
        addresses: GatewayAddresses::Listeners,
    }
}

fn resolved(changes: impl IntoIterator<Item = Change>) -> (Resolution, Vec<Problem>) {
    let mut store = Store::default();
    for change in changes {
        store.apply(change);
    }
    let resolution = resolve(&Reader::new(&store), &options());
    let mut problems = resolution.problems.clone();
    problems.sort();
    (resolution, problems)
}

/// Kind, name, version and owners of everything that would be served, by Gateway.
fn served(translation: &Translation) -> Vec<(String, Kind, String, Version, Vec<String>)> {
    let mut served = Vec::new();
    for (gateway, emitted) in &translation.resources {
        let snapshot = Snapshot::new(emitted.resources(), None);
        assert_eq!(snapshot.check_closed(), Ok(()));
        for resource in Kind::ALL
            .into_iter()
            .flat_map(|kind| snapshot.of_kind(kind))
        {
            served.push((
                gateway.to_string(),
                resource.kind,
                resource.name.to_string(),
                resource.version.clone(),
                resource.owners.to_vec(),
            ));
        }
    }
    served
}

/// What happens to one object on the way to its last state: (it, another version first, its end).
type Story = (usize, bool, bool);

/// A story for each object, told in any order.
fn stories() -> impl Strategy<Value = Vec<Story>> {
    let story = |index| (Just(index), any::<bool>(), prop::bool::weighted(0.2));
    let stories: Vec<_> = (0..VERSIONS.len()).map(story).collect();
    stories.prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_served_and_said_does_not_depend_on_the_order_of_changes(
        stories in stories(),
        first in any::<prop::sample::Index>(),
    ) {
        let mut told = Vec::new();
        for (index, edited_before, deleted) in &stories {
            let [last, other] = &VERSIONS[*index];
            if *edited_before || *deleted {
                told.push(Change::Applied(other.clone()));
            }
            told.push(if *deleted {
                Change::Deleted(other.key())
            } else {
                Change::Applied(last.clone())
            });
        }
        // Another version of one object stands before everything else.
        let (index, ..) = stories[first.index(stories.len())];
        told.insert(0, Change::Applied(VERSIONS[index][1].clone()));

        let mut straight: Vec<&Story> = stories.iter().collect();
        straight.sort_unstable();
        let straight = straight
            .into_iter()
            .filter(|(.., deleted)| !deleted)
            .map(|(index, ..)| Change::Applied(VERSIONS[*index][0].clone()));

        let (told, told_problems) = resolved(told);
        let (straight, straight_problems) = resolved(straight);
        prop_assert_eq!(told.model, straight.model);
        prop_assert_eq!(told.statuses, straight.statuses);
        prop_assert_eq!(told_problems, straight_problems);
    }

    #[test]
    fn step_by_step_gives_what_from_scratch_gives(stories in stories()) {
        let mut store = Store::default();
        let mut stepwise = Translation::default();
        for (index, edited_before, deleted) in stories {
            let [last, other] = &VERSIONS[index];
            let steps = [
                edited_before.then(|| Change::Applied(other.clone())),
                Some(Change::Applied(last.clone())),
                deleted.then(|| Change::Deleted(last.key())),
            ];
            for step in steps.into_iter().flatten() {
                store.apply(step);
                stepwise = translate(&store, &options(), &stepwise);
                let scratch = translate(&store, &options(), &Translation::default());
                prop_assert_eq!(served(&stepwise), served(&scratch));
            }
        }
    }

    #[test]
    fn no_bad_resource_takes_anything_from_a_route_of_others(stories in stories()) {
        // The route `alone` needs the Gateway, its class and one Backend; whatever else is there,
        // it stays as it is.
        let needed = ["GatewayClass eg", "Gateway default/eg", "Backend default/alone", "HTTPRoute default/alone"];
        let present = stories.iter().filter_map(|(index, edited, deleted)| {
            let object = &VERSIONS[*index][usize::from(*edited)];
            let is_needed = needed.contains(&object.key().to_string().as_str());
            (is_needed || !deleted).then(|| {
                Change::Applied(if is_needed { VERSIONS[*index][0].clone() } else { object.clone() })
            })
        });
        let (resolution, _) = resolved(present);
        let host = resolution
            .model
            .gateways
            .values()
            .flat_map(|gateway| gateway.ports.values())
            .flat_map(|port| &port.virtual_hosts)
            .find(|host| host.domain == "alone.example.com");
        let host = host.expect("the host is served");
        let locum::model::Action::Forward(forward) = &host.routes[0].action else {
            return Err(TestCaseError::fail("the route does not forward"));
        };
        prop_assert_eq!(forward.chain.0.as_str(), "default/alone");
        prop_assert_eq!(forward.failing_millionths, 0);
    }
}

//! Golden cases: resources in, what Envoy and the resources' owners are told out; and then each of
//! them served to one running Envoy.
//!
//! `LOCUM_GOLDEN=rewrite` writes the files anew. A file that is missing, or that no case makes any
//! more, fails.

#![allow(
    clippy::unwrap_used,
    reason = "what a case is made with fails the test by saying where"
)]

mod case;
mod difference;
mod envoy;
mod filters;
mod models;
mod tls;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use locum::resource::ObjectName;
use locum::translate::emit::Emitted;
use locum::translate::{GatewayAddresses, Options, emit};
use locum::xds::json;
use locum::xds::kind::Kind;
use locum::xds::mentions::{self, Mentions};
use locum::xds::message::Variant;
use locum::xds::resource::Resource;
use locum::xds::snapshot::Snapshot;

use difference::difference;
use envoy::Envoy;

const REWRITE: &str = "LOCUM_GOLDEN";

/// As with `-f`.
fn options(listen: IpAddr) -> Options {
    Options {
        controller_names: vec![
            "locum.dev/gatewayclass-controller".into(),
            "gateway.envoyproxy.io/gatewayclass-controller".into(),
        ],
        listen,
        allow_local_backends: true,
        cluster_domain: "cluster.local".into(),
        addresses: GatewayAddresses::Listeners,
    }
}

/// An address of this machine alone that no other test listens on: ports in the cases are what they
/// are.
fn own_address(variant: Variant) -> IpAddr {
    // Process ids take 22 bits.
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let a = match variant {
        Variant::Delta => 64 | a,
        Variant::StateOfTheWorld => 128 | a,
    };
    IpAddr::from([127, a, b, c.max(1)])
}

#[test]
fn every_case_translates_to_its_files() {
    let options = options(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let rewrite = std::env::var(REWRITE).is_ok_and(|value| value == "rewrite");
    let mut wrong = Vec::new();
    for case in case::all() {
        let expected = case.expected(&options);
        if rewrite {
            case.rewrite(&expected);
            continue;
        }
        let found = case.found();
        for (file, text) in &expected {
            match found.get(file) {
                None => wrong.push(format!("{}/{file} is missing", case.name)),
                Some(golden) if golden != text => wrong.push(format!(
                    "{}/{file}: - golden, + now\n{}",
                    case.name,
                    difference(golden, text)
                )),
                Some(_) => {}
            }
        }
        let stale = found.keys().filter(|file| !expected.contains_key(*file));
        wrong.extend(stale.map(|file| format!("{}/{file} is stale", case.name)));
    }
    assert!(
        wrong.is_empty(),
        "{}\n{REWRITE}=rewrite writes the files anew",
        wrong.join("\n")
    );
}

/// Emission says of each resource what it refers to and how it gets ready; whoever hands in a
/// message has both read from it. The two agree, and the JSON that is shown is the resource again.
#[test]
fn what_emission_says_of_a_resource_can_be_read_from_its_message() {
    let options = options(IpAddr::V4(Ipv4Addr::LOCALHOST));
    for case in case::all() {
        for snapshot in case.state(&options).snapshots.values() {
            agree(
                &case.name,
                Kind::ALL.iter().flat_map(|kind| snapshot.of_kind(*kind)),
            );
        }
    }
    let emitted: Vec<_> = models_emitted(&options).resources().collect();
    agree("every value of the model", &emitted);
}

fn agree<'a>(case: &str, resources: impl IntoIterator<Item = &'a Arc<Resource>>) {
    for resource in resources {
        let said = Mentions {
            references: resource.references.clone(),
            readiness: resource.readiness,
        };
        let what = format!("{case}: {} {}", resource.kind, resource.name);
        let read = mentions::of(resource.kind, &resource.body);
        assert_eq!(read, said, "{what}");
        let shown = json::resource(resource);
        let written = json::read(&shown).unwrap();
        assert_eq!(json::resource(&written), shown, "{what}");
        assert_eq!(written.references, resource.references, "{what}");
    }
}

#[tokio::test]
async fn envoy_takes_every_case_as_it_was_sent() {
    takes_every_case(Variant::Delta).await;
}

#[tokio::test]
async fn envoy_takes_every_case_in_the_state_of_the_world() {
    takes_every_case(Variant::StateOfTheWorld).await;
}

async fn takes_every_case(variant: Variant) {
    let options = options(own_address(variant));
    let envoy = Envoy::start(variant).await;
    for case in case::all() {
        for (gateway, snapshot) in &case.state(&options).snapshots {
            if let Err(why) = envoy.takes(snapshot).await {
                panic!("{}, Gateway {gateway}: {why}", case.name);
            }
        }
    }
}

#[tokio::test]
async fn envoy_takes_every_value_that_the_model_can_hold() {
    let envoy = Envoy::start(Variant::Delta).await;
    // Not the address that the cases are served at beside this.
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let emitted = models_emitted(&options(address));
    let snapshot = Arc::new(Snapshot::new(emitted.resources(), None));
    snapshot.check_closed().unwrap();
    if let Err(why) = envoy.takes(&snapshot).await {
        panic!("{why}");
    }
}

/// What becomes of a Gateway that holds every value that the model can, at ports that are free.
fn models_emitted(options: &Options) -> Emitted {
    let name = ObjectName::new("golden", "envoy");
    let mut gateway = models::gateway();
    for port in gateway.ports.values_mut() {
        port.bind_port = free_port();
    }
    emit::emit(&name, &gateway, options, None)
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

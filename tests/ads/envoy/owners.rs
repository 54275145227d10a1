//! A resource that a real Envoy refuses, all the way: from its owner's manifest to its owner's status.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::{Cluster, cluster::LbPolicy};
use locum::pipeline::{Metrics, Pipeline, State};
use locum::resource::Key;
use locum::source::{Update, files::Files};
use locum::status::observations::{Join, LINGER, Observation};
use locum::status::overlay::{Object, Overlay, Wanted};
use locum::status::{reasons, render};
use locum::translate::{GatewayAddresses, Options};
use locum::xds::kind::Kind;
use locum::xds::resource::Resource;
use locum::xds::snapshot::Snapshot;
use prost::Message as _;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::{DELTA, Edge, Envoy, ask, backend, edge};
use crate::harness::{BOUND, GATEWAY, Server};

const CONTROLLER: &str = "locum.dev/gatewayclass-controller";

/// What there is once.
const SHARED: &str = "
{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: locum},
 spec: {controllerName: locum.dev/gatewayclass-controller}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge},
 spec: {gatewayClassName: locum, listeners: [{name: http, protocol: HTTP, port: PORT}]}}
";
/// What there is a hundred and one times; Envoy refuses the cluster of one of them.
const ROUTE: &str = "---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: rINDEX},
 spec: {parentRefs: [{name: edge}], hostnames: [INDEX.example.com], rules: [
  {backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: bINDEX}]}]}}
---
{apiVersion: gateway.envoyproxy.io/v1alpha1, kind: Backend, metadata: {name: bINDEX},
 spec: {endpoints: [{ip: {address: ADDRESS, port: PORT}}]}}
";
const BAD: usize = 17;

#[tokio::test(flavor = "multi_thread")]
async fn one_route_of_many_is_refused_and_its_owners_hear_envoys_words() {
    owners_hear_of_a_refusal(DELTA).await;
}

pub(super) async fn owners_hear_of_a_refusal(api_type: &str) {
    let edge = edge().await;
    let mut locum = Locum::start().await;
    locum.reads(&manifests(&edge, edge.backend)).await;
    let board = &locum.server.shared.board;
    let good = board.published(GATEWAY).snapshot.unwrap();
    let bad = refused_form(good.get(Kind::Cluster, "default/b17").unwrap());
    board.publish(GATEWAY, Snapshot::clone(&good).with(bad));
    let envoy = Envoy::start(locum.server.address, api_type);
    locum.server.is_caught_up().await;
    // Locum's own and the hundred.
    let active = "cluster_manager.active_clusters";
    envoy.awaits(active, 101).await;
    assert_eq!(unserved(edge.listen).await, [BAD]);

    let statuses = locum.statuses(|seen| !seen.refusals.is_empty()).await;
    let log = envoy.log();
    let words = log
        .lines()
        .find_map(|line| line.split_once("v3.Cluster rejected: "));
    let (_, words) = words.expect("Envoy logs what it refuses");
    let owners = ["HTTPRoute default/r17", "Backend default/b17"];
    assert_eq!(who_hears(&statuses, words), owners);
    let of_route = &statuses[&owners[0].parse::<Key>().unwrap()]["parents"][0]["conditions"];
    let mut conditions = of_route.as_array().unwrap().iter();
    let refused = conditions.find(|condition| condition["reason"] == reasons::REFUSED);
    let refused = refused.expect("a condition for it");
    assert_eq!(refused["status"], "False", "{refused}");
    assert!(refused["message"].as_str().unwrap().contains(words));

    // The next edit: its Backend moves.
    locum.reads(&manifests(&edge, backend().await)).await;
    locum.server.is_caught_up().await;
    envoy.awaits(active, 102).await;
    let refusals = locum.server.shared.clients.refusals();
    assert!(refusals.borrow().is_empty());
    let statuses = locum.statuses(|seen| seen.refusals.is_empty()).await;
    assert!(who_hears(&statuses, reasons::REFUSED).is_empty());
    assert!(unserved(edge.listen).await.is_empty());
}

fn manifests(edge: &Edge, of_bad: SocketAddr) -> String {
    let route = |index: usize| {
        let backend = if index == BAD { of_bad } else { edge.backend };
        let route = ROUTE.replace("INDEX", &index.to_string());
        let route = route.replace("ADDRESS", &backend.ip().to_string());
        route.replace("PORT", &backend.port().to_string())
    };
    let shared = SHARED.replace("PORT", &edge.listen.port().to_string());
    shared + &(0..=100).map(route).collect::<String>()
}

/// What translation never makes of the cluster: one with endpoints brings no balancer of its own.
fn refused_form(good: &Resource) -> Resource {
    let mut cluster = Cluster::decode(&*good.body).unwrap();
    cluster.load_balancing_policy = None;
    cluster.lb_policy = LbPolicy::ClusterProvided.into();
    Resource::of(&cluster).with_owners(good.owners.iter().cloned())
}

/// The routes whose requests no Backend answers.
async fn unserved(listen: SocketAddr) -> Vec<usize> {
    let mut unserved = Vec::new();
    for index in 0..=100 {
        let answer = ask(listen, &format!("{index}.example.com"), "/").await;
        if answer.is_none_or(|(head, _)| !head.starts_with("HTTP/1.1 200")) {
            unserved.push(index);
        }
    }
    unserved
}

/// The objects in whose statuses these words stand.
fn who_hears(statuses: &BTreeMap<Key, Value>, words: &str) -> Vec<String> {
    let hearing = statuses.iter();
    let hearing = hearing.filter(|(_, status)| status.to_string().contains(words));
    hearing.map(|(key, _)| key.to_string()).collect()
}

/// Locum from a file to statuses: all but who writes them.
struct Locum {
    server: Server,
    file: tempfile::NamedTempFile,
    files: Files,
    updates: mpsc::Sender<Update>,
    states: watch::Receiver<Arc<State>>,
    seen: watch::Receiver<Arc<Observation>>,
}

impl Locum {
    async fn start() -> Self {
        let server = Server::start().await;
        let options = Options {
            controller_names: vec![CONTROLLER.into()],
            listen: [127, 0, 0, 1].into(),
            allow_local_backends: true,
            cluster_domain: "cluster.local".into(),
            rate_limit_service: None,
            addresses: GatewayAddresses::Listeners,
        };
        let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
        let (pipeline, states) = Pipeline::new(options, &server.shared, metrics);
        let (updates, waiting) = mpsc::channel(1);
        tokio::spawn(pipeline.run(waiting));
        let (sees, seen) = watch::channel(Arc::default());
        let clients = server.shared.clients.clone();
        tokio::spawn(locum::replicas::watch(clients, states.clone(), sees));
        let file = tempfile::NamedTempFile::new().unwrap();
        let files = Files::new(vec![file.path().into()], "default".into());
        Self {
            server,
            file,
            files,
            updates,
            states,
            seen,
        }
    }

    /// Reads these manifests and publishes what follows from them.
    async fn reads(&mut self, manifests: &str) {
        std::fs::write(&self.file, manifests).unwrap();
        let before = self.states.borrow().revision;
        let update = self.files.load().unwrap();
        self.updates.send(update).await.unwrap();
        let translated = self.states.wait_for(|state| state.revision > before);
        let translated = timeout(BOUND, translated).await;
        translated.expect("the manifests are translated").unwrap();
    }

    /// What all statuses shall be, once this is seen of the proxies.
    async fn statuses(&mut self, so: impl Fn(&Observation) -> bool) -> BTreeMap<Key, Value> {
        let seen = timeout(BOUND, self.seen.wait_for(|seen| so(seen))).await;
        let seen = Observation::clone(&seen.expect("it is seen").unwrap());
        let mut join = Join::new(Duration::ZERO);
        join.heard(LINGER, "this", seen);
        let observed = join.observed(LINGER);
        let state = self.states.borrow().clone();
        let statuses = &state.translation.statuses;
        let controllers = [CONTROLLER.to_owned()];
        let overlay = Overlay::new(statuses, &observed, &controllers);
        let wanted = |key: &Key| {
            let object = Object {
                generation: None,
                status: &Value::Null,
                invalid: None,
            };
            match overlay.wanted(key, object) {
                Wanted::Status(status) | Wanted::Settling(status) => {
                    let mut object = render::object(key, &status, "2026-01-01T00:00:00Z");
                    (key.clone(), object["status"].take())
                }
                other => panic!("{key}: {other:?}"),
            }
        };
        statuses.keys().map(wanted).collect()
    }
}

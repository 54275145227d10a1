//! The client that gRPC has inside, which shares nothing with Envoy's: it finds services by their
//! names, in the state of the world, and calls without a proxy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use locum::model::ChainName;
use locum::xds::clients::Detail;
use locum::xds::json;
use locum::xds::kind::Kind;
use locum::xds::resource::Resource;
use locum::xds::snapshot::Snapshot;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::examples::grpc_service::service;
use crate::harness::{BOUND, GATEWAY, Server, eventually};

/// A Python program of `tests/ads/grpc`; it is killed when this is dropped.
struct Program {
    process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    folder: tempfile::TempDir,
}

impl Program {
    fn start(file: &str, argument: &str, bootstrap: &Value) -> Self {
        let grpc = std::env::var_os("LOCUM_GRPC").map(PathBuf::from);
        let grpc = grpc.filter(|folder| folder.join("grpc").is_dir());
        let grpc = grpc.expect("no gRPC: run `make grpc` and set LOCUM_GRPC to where it put it");
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ads/grpc");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bootstrap"), bootstrap.to_string()).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut process = Command::new("python3")
            .args([programs.join(file).as_os_str(), argument.as_ref()])
            .env("PYTHONPATH", grpc)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("GRPC_XDS_BOOTSTRAP", folder.path().join("bootstrap"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("python3 can be started");
        Self {
            input: process.stdin.take().unwrap(),
            output: BufReader::new(process.stdout.take().unwrap()).lines(),
            process,
            folder,
        }
    }

    /// The next line that it prints.
    async fn line(&mut self) -> String {
        let line = timeout(BOUND, self.output.next_line()).await;
        match line {
            Ok(Ok(Some(line))) => line,
            other => {
                let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
                panic!("{other:?}, {:?}:\n{log}", self.process.try_wait());
            }
        }
    }
}

/// A gRPC server that answers with its name.
struct Backend {
    address: SocketAddr,
    _program: Program,
}

impl Backend {
    async fn start(name: &str) -> Self {
        let mut program = Program::start("backend.py", name, &json!({}));
        let port = program.line().await.parse().unwrap();
        Self {
            address: ([127, 0, 0, 1], port).into(),
            _program: program,
        }
    }
}

/// A client that knows services by their names alone.
struct Client(Program);

impl Client {
    fn start(server: &Server) -> Self {
        let uri = server.address.to_string();
        Self(Program::start(
            "client.py",
            "",
            &json!({
                "xds_servers": [{
                    "server_uri": uri,
                    "channel_creds": [{"type": "insecure"}],
                    "server_features": ["xds_v3"],
                }],
                "node": {"id": "client", "cluster": GATEWAY},
            }),
        ))
    }

    /// What comes of one line of `client.py`: `ok` and the answer, or a status.
    async fn asked_to(&mut self, line: &str) -> String {
        let line = format!("{line}\n");
        self.0.input.write_all(line.as_bytes()).await.unwrap();
        self.0.line().await
    }

    /// Calls `greeter` until it comes to `end`. Every call before that must have come to `before`.
    async fn calls_until(&mut self, before: &str, end: &str) {
        let calls = timeout(BOUND, async {
            loop {
                let answer = self.asked_to("call greeter").await;
                if answer.starts_with(end) {
                    return;
                }
                assert!(answer.starts_with(before), "{answer}");
            }
        });
        assert!(calls.await.is_ok(), "still {before:?}");
    }
}

/// The same resource with a change to its JSON.
fn changed(resource: &Resource, change: impl FnOnce(&mut Value)) -> Resource {
    let mut json = json::resource(resource);
    change(&mut json);
    json::read(&json).unwrap()
}

/// Publishes and does not wait for anybody.
fn publish(server: &Server, resources: Vec<Resource>) {
    let snapshot = Snapshot::new(resources, None);
    server.shared.board.publish(GATEWAY, snapshot);
}

/// The names of what the one client has of a kind.
fn has(server: &Server, kind: Kind) -> Vec<String> {
    let reports = server.shared.clients.reports(Detail::Names);
    let of_kind = reports[0].types.get(kind.name());
    let names = of_kind.map(|of_kind| of_kind.versions.keys().cloned());
    names.into_iter().flatten().collect()
}

/// The resources of `greeter` at a backend.
fn greeter(backend: &Backend) -> Vec<Resource> {
    service("greeter", backend.address).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_calls_by_name_and_follows_the_endpoints() {
    let server = Server::start().await;
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let mut client = Client::start(&server);
    publish(&server, greeter(&one));
    assert_eq!(client.asked_to("wait greeter").await, "ok one");
    server.publishes(greeter(&two)).await;
    client.calls_until("ok one", "ok two").await;
    // Four at first, and the endpoints.
    assert_eq!(server.sent(), (4 + 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_may_stand_in_the_listener_itself() {
    let server = Server::start().await;
    let backend = Backend::start("one").await;
    let mut resources = greeter(&backend);
    let mut routes = json::resource(&resources.remove(1));
    routes.as_object_mut().unwrap().remove("@type");
    resources[0] = changed(&resources[0], |listener| {
        let manager = &mut listener["api_listener"]["api_listener"];
        manager.as_object_mut().unwrap().remove("rds");
        manager["route_config"] = routes;
    });
    let mut client = Client::start(&server);
    publish(&server, resources);
    assert_eq!(client.asked_to("wait greeter").await, "ok one");
    assert_eq!(server.sent(), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_moves_to_another_cluster_and_no_call_is_lost() {
    let server = Server::start().await;
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let resources = greeter(&one);
    let mut client = Client::start(&server);
    publish(&server, resources.clone());
    assert_eq!(client.asked_to("wait greeter").await, "ok one");
    // The other cluster comes, and the first goes, with the route.
    let mut others = service("other", two.address).unwrap();
    let route = changed(&resources[1], |route| {
        route["virtual_hosts"][0]["routes"][0]["route"]["cluster"] = "other".into();
    });
    others[0] = resources[0].clone();
    others[1] = route;
    server.publishes(others).await;
    client.calls_until("ok one", "ok two").await;
    eventually("the client lets go of the first", || {
        has(&server, Kind::Cluster) == ["other"]
    })
    .await;
    assert_eq!(server.sent().1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_taken_away_fails_and_works_again_when_it_is_back() {
    let server = Server::start().await;
    let backend = Backend::start("one").await;
    let mut client = Client::start(&server);
    publish(&server, greeter(&backend));
    assert_eq!(client.asked_to("wait greeter").await, "ok one");
    server.shared.board.publish(GATEWAY, Snapshot::default());
    client.calls_until("ok one", "UNAVAILABLE").await;
    publish(&server, greeter(&backend));
    client.calls_until("UNAVAILABLE", "ok one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_sent_nothing_again_when_the_server_restarts() {
    let server = Server::start().await;
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let mut client = Client::start(&server);
    publish(&server, greeter(&one));
    assert_eq!(client.asked_to("wait greeter").await, "ok one");
    let address = server.address;
    server.stop().await;
    assert_eq!(client.asked_to("call greeter").await, "ok one");

    let server = Server::start_at(address).await;
    server.publishes(greeter(&one)).await;
    assert_eq!(server.sent(), (0, 0));
    assert_eq!(client.asked_to("call greeter").await, "ok one");
    server.publishes(greeter(&two)).await;
    client.calls_until("ok one", "ok two").await;
    assert_eq!(server.sent(), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_a_client_is_without_a_server_is_all_that_it_is_sent() {
    let server = Server::start().await;
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let mut client = Client::start(&server);
    publish(&server, greeter(&one));
    assert_eq!(client.asked_to("wait greeter").await, "ok one");
    let address = server.address;
    server.stop().await;

    let server = Server::start_at(address).await;
    server.publishes(greeter(&two)).await;
    client.calls_until("ok one", "ok two").await;
    assert_eq!(server.sent(), (1, 0));
}

/// A client opens a stream for each service, all with the same `node.id`.
#[tokio::test(flavor = "multi_thread")]
async fn one_client_has_a_stream_for_each_service_as_long_as_it_uses_it() {
    let server = Server::start().await;
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let other = service("other", two.address).unwrap();
    let mut client = Client::start(&server);
    publish(&server, [greeter(&one), other].concat());
    assert_eq!(client.asked_to("wait greeter").await, "ok one");
    assert_eq!(client.asked_to("wait other").await, "ok two");
    let clients = &server.shared.clients;
    let streams = || clients.reports(Detail::Counts).len();
    assert_eq!((streams(), clients.count(GATEWAY)), (2, 1));
    assert_eq!(client.asked_to("leave greeter").await, "left");
    eventually("the client lets go", || streams() == 1).await;
    assert_eq!(has(&server, Kind::Endpoint), ["other"]);
    assert_eq!(client.asked_to("wait greeter").await, "ok one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_may_come_after_its_client() {
    let server = Server::start().await;
    let backend = Backend::start("one").await;
    let mut client = Client::start(&server);
    publish(&server, Vec::new());
    let asks = || {
        let reports = server.shared.clients.reports(Detail::Names);
        let listeners = reports.iter().filter_map(|one| one.types.get("listener"));
        listeners.map(|of_kind| of_kind.sent.acks).sum::<u64>() > 0
    };
    let published = async {
        eventually("the client knows that it is not there", asks).await;
        server.publishes(greeter(&backend)).await;
    };
    let (answer, ()) = tokio::join!(client.asked_to("wait greeter"), published);
    assert_eq!(answer, "ok one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_cluster_keeps_its_last_good_form_and_the_rest_goes_on() {
    let server = Server::start().await;
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let mut client = Client::start(&server);
    publish(&server, greeter(&one));
    assert_eq!(client.asked_to("wait greeter").await, "ok one");
    let mut resources = greeter(&two);
    resources[2] = changed(&resources[2], |cluster| cluster["type"] = "STATIC".into());
    server.publishes(resources).await;
    let refused = server.shared.clients.refusals().borrow().clone();
    let words: Vec<_> = refused
        .iter()
        .map(|refused| (&*refused.resource.name, refused.message.contains("greeter")))
        .collect();
    assert_eq!(words, [("greeter", true)]);
    // The endpoints are taken all the same.
    client.calls_until("ok one", "ok two").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregate_cluster_is_followed_to_its_members() {
    let server = Server::start().await;
    let (one, two) = (Backend::start("one").await, Backend::start("two").await);
    let mut first = service("first", one.address).unwrap();
    let second = service("second", two.address).unwrap();
    let mut resources = greeter(&one);
    let aggregate = json!({
        "@type": Kind::Cluster.type_url(),
        "name": "greeter",
        "cluster_type": {"name": "envoy.clusters.aggregate", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
            "clusters": ["first", "second"],
        }},
    });
    resources.truncate(2);
    resources.push(json::read(&aggregate).unwrap());
    let with = |first: &[Resource]| [&resources, &first[2..], &second[2..]].concat();
    let mut client = Client::start(&server);
    publish(&server, with(&first));
    assert_eq!(client.asked_to("wait greeter").await, "ok one");
    // A first without endpoints leaves all to the second.
    first[3] = changed(&first[3], |endpoints| endpoints["endpoints"] = json!([]));
    server.publishes(with(&first)).await;
    client.calls_until("ok one", "ok two").await;
    assert_eq!(has(&server, Kind::Cluster), ["first", "greeter", "second"]);
    assert_eq!(server.sent().1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_reports_its_load() {
    let server = Server::start().await;
    let backend = Backend::start("one").await;
    let chains = [(ChainName("greeter".into()), vec![vec!["one".to_owned()]])];
    let layout = [(GATEWAY.to_owned(), chains.into())].into();
    server.shared.serving.observe(layout);
    let mut resources = greeter(&backend);
    resources[2] = changed(&resources[2], |cluster| {
        cluster["lrs_server"] = json!({"self": {}})
    });
    // Localities are named for their members.
    resources[3] = changed(&resources[3], |assignment| {
        assignment["endpoints"][0]["locality"]["region"] = json!("one");
    });
    let mut client = Client::start(&server);
    publish(&server, resources);
    assert_eq!(client.asked_to("wait greeter").await, "ok one");
    let served = || server.shared.serving.state()[GATEWAY]["greeter"].serving_tier;
    eventually("the call is counted", || served() == Some(0)).await;
}

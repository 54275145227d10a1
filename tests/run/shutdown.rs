//! `locum shutdown`: Envoys are replaced under load, and no request is lost.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use locum_demo::echo::{Behaviour, Echo, Identity};
use locum_demo::load::{Bound, Load, Pace, Request};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::harness::{CLASS, LIMIT, Stage, free_port, gateway, locum, until};
use crate::standalone::{Envoy, Process, Serve, fails, succeeds};

/// How late a Service hears that an endpoint is ready no more.
const LAG: Duration = Duration::from_secs(1);

/// A Service as a cluster has it: each connection goes to one of the endpoints that are ready as
/// far as it knows.
struct Service {
    address: SocketAddr,
    endpoints: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoints: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let known = endpoints.clone();
        tokio::spawn(async move {
            for turn in 0.. {
                let Ok((mut client, _)) = listener.accept().await else {
                    return;
                };
                let endpoint = {
                    let known = known.lock().unwrap();
                    known[turn % known.len()]
                };
                tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(endpoint).await {
                        // Either end may break off; the load counts what that costs.
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self { address, endpoints }
    }

    fn has(&self, endpoints: &[u16]) {
        let address = |port: &u16| SocketAddr::from(([127, 0, 0, 1], *port));
        *self.endpoints.lock().unwrap() = endpoints.iter().map(address).collect();
    }
}

/// Two Gateways with the same route: one machine's Envoys cannot share a port as Pods do.
fn manifests(stage: &Stage, ports: [u16; 2], backend: u16) {
    stage.write("class.yaml", CLASS);
    for (name, port) in ["a", "b"].into_iter().zip(ports) {
        stage.write(&format!("{name}.yaml"), &gateway(name, port, backend));
    }
}

fn shutdown(admin: SocketAddr, arguments: &[&str]) -> std::process::Command {
    let mut command = locum();
    command.arg("shutdown").args(arguments);
    command.args(["--envoy-admin-address", &admin.to_string()]);
    command
}

async fn ready(envoy: &Envoy) {
    let deadline = Instant::now() + LIMIT;
    while !envoy.is_ready() {
        assert!(Instant::now() < deadline, "{}", envoy.log());
        sleep(Duration::from_millis(20)).await;
    }
}

/// A Service that hears later than the hook waits sends requests to an Envoy that has stopped
/// listening.
fn assert_heard_in_time(after: Duration) {
    let is_late = after > Duration::from_secs(4);
    assert!(!is_late, "the machine is too busy for this test: {after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_is_replaced_under_load_and_nothing_is_lost() {
    let echo = Echo::start("127.0.0.1:0".parse().unwrap(), Identity::pod("echo"));
    let echo = echo.await.unwrap();
    // So that requests are always under way.
    echo.behave(Behaviour {
        delay_ms: 100,
        ..Behaviour::default()
    });
    let ports = [free_port(), free_port()];
    let stage = Stage::empty();
    manifests(&stage, ports, echo.address().port());
    let locum = Serve::start(&stage.manifests(), &[]);
    let old = Envoy::start("default/a", &locum.xds, &[]);
    ready(&old).await;
    let service = Service::start().await;
    service.has(&ports[..1]);
    let bound = Bound {
        requests: u64::MAX,
        time: LIMIT,
    };
    let get = Request::get(service.address, "www.example.com", "/");
    // Nothing repeats these.
    let post = Request {
        method: Method::POST,
        ..get.clone()
    };
    let open = Pace::Open {
        rate: 200,
        connections: 20,
    };
    let loads = [
        Load::start(get, open, bound).unwrap(),
        Load::start(post, Pace::Closed { connections: 10 }, bound).unwrap(),
    ];

    let new = Envoy::start("default/b", &locum.xds, &[]);
    ready(&new).await;
    service.has(&ports);
    sleep(Duration::from_millis(500)).await;
    let mut waits = shutdown(old.admin, &["--min-wait", "5s", "--max-wait", "15s"]);
    let mut waits = Process(waits.stdout(Stdio::null()).spawn().unwrap());
    let begun = Instant::now();
    until("not ready", || !old.is_ready());
    sleep(LAG).await;
    service.has(&ports[1..]);
    assert_heard_in_time(begun.elapsed());
    let mut ended = None;
    while ended.is_none() {
        assert!(begun.elapsed() < LIMIT, "the hook does not end");
        ended = waits.0.try_wait().unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    assert!(ended.unwrap().success());
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(4), "{took:?}");
    old.terminate();
    sleep(Duration::from_millis(500)).await;
    for load in loads {
        let report = load.stop().await;
        assert!(report.requests() > 500, "{}", report.requests());
        assert_eq!(report.lost(), 0, "{:?}", report.losses());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_holds_its_connection_is_not_waited_for_without_end() {
    let echo = Echo::start("127.0.0.1:0".parse().unwrap(), Identity::pod("echo"));
    let echo = echo.await.unwrap();
    let ports = [free_port(), free_port()];
    let stage = Stage::empty();
    manifests(&stage, ports, echo.address().port());
    let locum = Serve::start(&stage.manifests(), &[]);
    let envoy = Envoy::start("default/a", &locum.xds, &[]);
    ready(&envoy).await;
    let held = TcpStream::connect(("127.0.0.1", ports[0])).await.unwrap();
    let begun = Instant::now();
    let mut waits = shutdown(envoy.admin, &["--min-wait", "0s", "--max-wait", "1s"]);
    let said = succeeds(&mut waits).stdout;
    let took = begun.elapsed();
    assert!(
        took > Duration::from_secs(1) && took < Duration::from_secs(5),
        "{took:?}"
    );
    let said = String::from_utf8(said).unwrap();
    assert!(
        said.contains("waiting for the last: 1 connections"),
        "{said}"
    );
    drop(held);
}

#[test]
fn an_envoy_that_is_not_there_is_said() {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (status, said) = fails(&mut shutdown(nowhere, &[]));
    assert!(status == 1 && said.contains("cannot be reached"), "{said}");
    let (status, said) = fails(&mut shutdown(nowhere, &["--min-wait", "1m"]));
    assert!(status == 2 && said.contains("--max-wait"), "{said}");
}

#[test]
fn the_program_installs_itself_and_runs_there() {
    let folder = tempfile::tempdir().unwrap();
    let install = |path: &Path| {
        succeeds(locum().args(["shutdown", "--install"]).arg(path));
    };
    install(folder.path());
    let copy = folder.path().join("locum");
    succeeds(std::process::Command::new(&copy).arg("--version"));
    install(&copy);
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 1, "nothing unfinished is left");
}

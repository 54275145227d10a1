//! Starting, dying, coming back, ending.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use rustix::process::Signal;

use crate::harness::{
    SLOW_ANSWER, SLOW_PATH, Stage, ask, backend, free_port, gateway, is_alive, serves, signal,
    until,
};

#[test]
fn run_starts_an_envoy_that_serves_the_manifests() {
    let port = free_port();
    let stage = Stage::with_backend(port);
    let locum = stage.run();
    assert_eq!(ask(port, "/"), Some((200, "hello".into())));
    let output = locum.output();
    assert!(
        output.contains(&format!("http://127.0.0.1:{port}")),
        "{output}"
    );
    assert!(output.contains("Backend/default/eg"), "{output}");
    let clients = locum.json("/debug/clients");
    assert_eq!(clients[0]["gateway"], "default/eg");
    let dump = locum.json("/debug/xds?type=endpoint");
    assert_eq!(dump["gateways"][0]["gateway"], "default/eg");
}

#[test]
fn a_killed_envoy_is_started_again() {
    let port = free_port();
    let stage = Stage::with_backend(port);
    let locum = stage.run();
    let first = locum.envoy();
    signal(first, Signal::KILL);
    until("it has ended", || !is_alive(first));
    until("serving again", || serves(port));
    assert_ne!(locum.envoy(), first);
    assert_eq!(locum.json("/debug/proxies")["default/eg"]["restarts"], 1);
}

#[test]
fn a_state_directory_that_is_taken_away_keeps_no_envoy_from_starting() {
    let port = free_port();
    let stage = Stage::with_backend(port);
    let locum = stage.run();
    let first = locum.envoy();
    std::fs::remove_dir_all(stage.state()).unwrap();
    signal(first, Signal::KILL);
    until("it has ended", || !is_alive(first));
    until("serving again", || serves(port));
}

/// Asks a Gateway without pause, until it is dropped.
struct Asking {
    over: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
    lost: Arc<AtomicU32>,
}

impl Asking {
    fn start(port: u16) -> Self {
        let asking = Self {
            over: Arc::default(),
            asked: Arc::default(),
            lost: Arc::default(),
        };
        let (over, asked, lost) = (
            asking.over.clone(),
            asking.asked.clone(),
            asking.lost.clone(),
        );
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                lost.fetch_add(u32::from(!serves(port)), Ordering::Relaxed);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        asking
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    fn lost(&self) -> u32 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn an_envoy_outlives_a_killed_locum_and_is_adopted() {
    let port = free_port();
    let stage = Stage::with_backend(port);
    let locum = stage.run();
    let envoy = locum.envoy();
    let asking = Asking::start(port);
    locum.kill();
    let before = asking.asked();
    until("served while Locum is away", || {
        asking.asked() > before + 20
    });
    let locum = stage.run();
    assert_eq!(locum.json("/debug/proxies")["default/eg"]["adopted"], true);
    assert_eq!(locum.envoy(), envoy);
    until("it is said", || locum.output().contains("taken over"));
    until("it is connected again", || {
        let clients = locum.json("/debug/clients");
        clients.as_array().is_some_and(|clients| clients.len() == 1)
    });
    // What is changed now is served by the Envoy that was adopted.
    stage.write("eg.yaml", &gateway("eg", port, backend("other")));
    until("the change is served", || {
        ask(port, "/") == Some((200, "other".into()))
    });
    assert_eq!(locum.envoy(), envoy);
    assert_eq!(asking.lost(), 0, "of {}", asking.asked());
}

#[test]
fn an_adopted_envoy_that_dies_is_started_again() {
    let port = free_port();
    let stage = Stage::with_backend(port);
    stage.run().kill();
    let locum = stage.run();
    let adopted = locum.envoy();
    signal(adopted, Signal::KILL);
    until("serving again", || !is_alive(adopted) && serves(port));
    assert_ne!(locum.envoy(), adopted);
}

#[test]
fn an_envoy_that_was_started_otherwise_is_replaced() {
    let port = free_port();
    let stage = Stage::with_backend(port);
    let locum = stage.run();
    let first = locum.envoy();
    locum.kill();
    let locum = stage.run_with(&["--", "--concurrency", "1"]);
    assert!(!is_alive(first));
    assert_ne!(locum.envoy(), first);
    assert!(serves(port));
}

#[test]
fn sigterm_ends_both_and_loses_nothing_that_is_under_way() {
    let port = free_port();
    let stage = Stage::with_backend(port);
    let mut locum = stage.run();
    let envoy = locum.envoy();
    let slow = thread::spawn(move || ask(port, SLOW_PATH));
    until("the request is under way", || active_requests(&stage) == 1);
    locum.signal(Signal::TERM);
    assert_eq!(locum.ended().code(), Some(0));
    assert!(!is_alive(envoy));
    assert_eq!(slow.join().unwrap(), Some((200, "hello".into())));
}

#[test]
fn a_second_signal_ends_both_at_once() {
    let port = free_port();
    let stage = Stage::with_backend(port);
    let mut locum = stage.run();
    let envoy = locum.envoy();
    let slow = thread::spawn(move || ask(port, SLOW_PATH));
    until("the request is under way", || active_requests(&stage) == 1);
    let begun = std::time::Instant::now();
    locum.signal(Signal::INT);
    until("it drains", || {
        locum.output().contains("finishing what is under way")
    });
    locum.signal(Signal::INT);
    assert_eq!(locum.ended().code(), Some(0));
    assert!(!is_alive(envoy));
    // Had it waited for the answer, the answer would be there.
    let answer = slow.join().unwrap();
    assert!(
        answer.is_none() || begun.elapsed() >= SLOW_ANSWER,
        "{answer:?}"
    );
}

/// What Envoy says is under way at its listeners.
fn active_requests(stage: &Stage) -> u64 {
    use std::io::{Read as _, Write as _};
    let socket = stage.state().join("default_eg/admin.sock");
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream
        .write_all(
            b"GET /stats?filter=downstream_rq_active HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n",
        )
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let of_listeners = answer
        .lines()
        .filter(|line| line.starts_with("http.") && !line.starts_with("http.admin"));
    of_listeners
        .filter_map(|line| line.rsplit_once(": ")?.1.trim().parse::<u64>().ok())
        .sum()
}

//! The load generator counts what happens: it is what every failover test and the demo stand on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use locum_demo::echo::{Behaviour, Echo, Identity};
use locum_demo::load::{Bound, Load, Pace, Request, TestNetwork};
use locum_demo::report::Report;

const OPEN: Pace = Pace::Open {
    rate: 500,
    connections: 4,
};

async fn echo(pod: &str) -> Echo {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Echo::start(any, Identity::pod(pod))
        .await
        .expect("a loopback port is free")
}

fn requests(requests: u64) -> Bound {
    Bound {
        requests,
        time: Duration::from_secs(30),
    }
}

fn get(echo: &Echo) -> Request {
    Request::get(echo.address(), "www.example.com", "/test")
}

/// Polls until the report says so, for at most ten seconds.
async fn until(load: &Load, what: &str, reached: impl Fn(&Report) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !reached(&load.so_far()) {
        assert!(Instant::now() < deadline, "not in 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn as_many_are_lost_as_the_backend_failed() {
    let echo = echo("a").await;
    echo.behave(Behaviour {
        fail_next: 7,
        ..Behaviour::default()
    });
    let report = Load::start(get(&echo), OPEN, requests(100))
        .unwrap()
        .finish()
        .await;
    assert_eq!(
        (report.requests(), report.lost(), report.served_by("a")),
        (100, 7, 93)
    );
    let losses = BTreeMap::from([("status 503 from \"a\"".to_owned(), 7)]);
    assert_eq!(report.losses(), losses);
    let counts = echo.counts();
    assert_eq!(counts.requests, 100);
    assert!(counts.by_id.len() == 100 && counts.by_id.values().all(|times| *times == 1));
}

#[tokio::test]
async fn dropped_connections_are_lost_requests_and_none_is_sent_twice() {
    let echo = echo("a").await;
    echo.behave(Behaviour {
        drop: true,
        ..Behaviour::default()
    });
    let report = Load::start(get(&echo), OPEN, requests(50))
        .unwrap()
        .finish()
        .await;
    assert_eq!(
        (report.requests(), report.lost()),
        (50, 50),
        "{:?}",
        report.losses()
    );
    assert_eq!(echo.counts().requests, 50);
}

#[tokio::test]
async fn one_path_of_several_fails_alone() {
    let echo = echo("a").await;
    let paths = BTreeMap::from([("/test/bad".to_owned(), 503)]);
    echo.behave(Behaviour {
        paths,
        ..Behaviour::default()
    });
    let mut request = get(&echo);
    request.paths = ["/test/bad", "/test/1", "/test/2", "/test/3"]
        .map(str::to_owned)
        .to_vec();
    let report = Load::start(request, OPEN, requests(100))
        .unwrap()
        .finish()
        .await;
    assert_eq!(report.lost(), 25);
}

#[tokio::test]
async fn an_open_loop_keeps_its_rate_while_answers_wait_and_counts_the_wait() {
    let echo = echo("a").await;
    echo.behave(Behaviour {
        delay_ms: 300,
        ..Behaviour::default()
    });
    let report = Load::start(get(&echo), OPEN, requests(100))
        .unwrap()
        .finish()
        .await;
    assert_eq!(report.lost(), 0, "{:?}", report.losses());
    // In a closed loop over 4 connections the last would be due after 7 s.
    assert!(report.records()[99].scheduled < Duration::from_secs(1));
    assert!(report.latency(0.01) >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_slow_answer_is_lost_at_the_limit() {
    let echo = echo("a").await;
    echo.behave(Behaviour {
        delay_ms: 5_000,
        ..Behaviour::default()
    });
    let mut request = get(&echo);
    request.timeout = Duration::from_millis(50);
    let report = Load::start(request, OPEN, requests(10))
        .unwrap()
        .finish()
        .await;
    assert_eq!(report.lost(), 10);
    assert!(
        report.worst() < Duration::from_secs(3),
        "{:?}",
        report.worst()
    );
}

#[tokio::test]
async fn a_killed_backend_loses_requests_until_it_is_back() {
    let mut echo = echo("a").await;
    let load = Load::start(get(&echo), OPEN, requests(1_000_000)).unwrap();
    until(&load, "20 served", |report| report.served_by("a") >= 20).await;
    echo.kill().await;
    let dead = Instant::now();
    until(&load, "20 lost", |report| {
        report.between(dead, Instant::now()).lost() >= 20
    })
    .await;
    let back = Instant::now();
    echo.revive().await.unwrap();
    until(&load, "served again", |report| {
        report.first_answer("a", back).is_some()
    })
    .await;
    let report = load.stop().await;
    // Due in between and answered in between: one due before `back` may well be sent after it, on a busy machine.
    let while_dead = report.between(dead, back).answered_by(back);
    assert!(while_dead.lost() >= 20, "{:?}", while_dead.losses());
    assert_eq!(while_dead.served_by("a"), 0);
    assert!(report.settled("a", back).is_some());
}

#[tokio::test]
async fn a_closed_loop_sends_all_once() {
    let echo = echo("a").await;
    let pace = Pace::Closed { connections: 16 };
    let report = Load::start(get(&echo), pace, requests(500))
        .unwrap()
        .finish()
        .await;
    assert_eq!((report.requests(), report.lost()), (500, 0));
    assert_eq!(echo.counts().by_id.len(), 500);
}

#[tokio::test]
async fn only_loopback_and_named_networks_are_sent_to() {
    let ours = ["10.201.0.0/24".parse().unwrap()];
    let start = |networks: &[TestNetwork], address: [u8; 4]| {
        let there = SocketAddr::from((address, 9));
        // No request is sent: it is about being let.
        Load::start_within(networks, Request::get(there, "h", "/"), OPEN, requests(0))
    };
    assert!(start(&[], [127, 0, 0, 1]).is_ok());
    assert!(start(&ours, [10, 201, 0, 7]).is_ok());
    assert!(start(&[], [10, 201, 0, 7]).is_err());
    assert!(start(&ours, [10, 202, 0, 7]).is_err());
    assert!(start(&ours, [192, 0, 2, 1]).is_err());
    let elsewhere = Request::get(SocketAddr::from(([192, 0, 2, 1], 80)), "h", "/");
    assert!(Load::start(elsewhere, OPEN, requests(1)).is_err());
}

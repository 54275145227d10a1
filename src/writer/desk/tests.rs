//! The desk against an API server that does as it is told, in a time that passes at once.

mod bench;

use serde_json::json;

use super::*;
use crate::status::{Condition, ParentRef, ParentStatus, StatusBody, reasons};
use bench::{Bench, gateway_key, route_key};

const SECOND: Duration = Duration::from_secs(1);

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn a_status_is_written_at_once_and_once() {
    let mut bench = Bench::with_routes(1);
    bench.advance(milliseconds(10));
    assert_eq!(bench.writes.len(), 1);
    bench.look();
    bench.advance(60 * SECOND);
    assert_eq!(bench.attempts, 1);
    assert_eq!(bench.message(&route_key(0)), "Fine.");
}

#[test]
fn a_status_that_keeps_changing_is_written_now_and_then_and_right_in_the_end() {
    let mut bench = Bench::with_gateway();
    let mut last = bench.now;
    for routes in 1..=1000 {
        bench.attach(routes);
        last = bench.now;
        bench.advance(milliseconds(60));
    }
    bench.advance(10 * SECOND);
    // In 60 s: at once, after 0.5 s and 1 s, and then one in 1.5 s.
    let writes = bench.writes.len();
    assert!((41..=43).contains(&writes), "{writes} writes");
    let (at, write) = bench.writes.last().expect("it was written");
    assert_eq!(write.status["listeners"][0]["attachedRoutes"], 1000);
    let late = at.saturating_sub(last);
    assert!(late < 2 * SECOND, "{late:?} after the last change");
}

#[test]
fn what_changes_once_in_a_while_is_written_at_once() {
    let mut bench = Bench::with_gateway();
    for routes in 1..=3 {
        bench.advance(60 * SECOND);
        bench.attach(routes);
        let changed = bench.now;
        bench.advance(SECOND);
        let (at, _) = bench.writes.last().expect("it was written");
        assert!(at.saturating_sub(changed) <= milliseconds(10));
    }
}

#[test]
fn one_write_of_an_object_is_under_way_and_sixteen_of_all() {
    let mut bench = Bench::with_routes(100);
    bench.latency = milliseconds(100);
    bench.advance(milliseconds(10));
    assert_eq!(bench.under_way(), CONCURRENT);
    for index in 0..100 {
        bench.want(index, "Changed meanwhile.");
    }
    bench.advance(10 * SECOND);
    assert_eq!((bench.most_under_way, bench.most_of_one), (CONCURRENT, 1));
    for index in 0..100 {
        assert_eq!(bench.message(&route_key(index)), "Changed meanwhile.");
    }
}

#[test]
fn a_gateway_goes_before_its_routes() {
    let mut bench = Bench::with_gateway();
    bench.add_routes(1000);
    bench.latency = milliseconds(50);
    bench.attach(1000);
    bench.advance(milliseconds(60));
    assert_eq!(bench.writes[0].1.key.kind, Kind::Gateway);
}

#[test]
fn a_gateway_that_has_lost_its_class_says_so_where_locum_wrote_last() {
    let mut bench = Bench::with_gateway();
    bench.take_class_away();
    bench.advance(10 * SECOND);
    assert_eq!(bench.writes.len(), 1);
    let status = bench.server.status(&gateway_key());
    assert_eq!(
        status["conditions"][0]["reason"],
        reasons::GATEWAY_CLASS_NOT_FOUND
    );
    assert_eq!(status["listeners"], json!([]));

    let mut bench = Bench::with_gateway();
    let foreign = json!({"conditions": [{"type": "Accepted", "status": "True"}]});
    let object = bench.server.write_unseen(&gateway_key(), foreign);
    bench.seen.set(gateway_key(), object);
    bench.take_class_away();
    bench.advance(10 * SECOND);
    assert_eq!(bench.writes.len(), 0);
}

#[test]
fn after_a_conflict_the_newest_is_compared_and_what_others_wrote_stays() {
    let mut bench = Bench::with_routes(1);
    let foreign = json!({"controllerName": "example.com/c", "parentRef": {"name": "x"}});
    let unseen = bench
        .server
        .write_unseen(&route_key(0), json!({"parents": [foreign]}));
    bench.advance(milliseconds(100));
    assert_eq!((bench.attempts, bench.writes.len()), (1, 0));
    bench.seen.set(route_key(0), unseen);
    bench.look();
    bench.advance(milliseconds(100));
    assert_eq!((bench.attempts, bench.writes.len()), (2, 1));
    let status = bench.server.status(&route_key(0));
    assert_eq!(status["parents"][0], foreign);
    assert_eq!(bench.message(&route_key(0)), "Fine.");
}

#[test]
fn without_news_after_a_conflict_it_is_tried_again_in_a_while() {
    let mut bench = Bench::with_routes(1);
    bench.server.write_unseen(&route_key(0), json!({}));
    bench.advance(10 * SECOND);
    assert!((3..10).contains(&bench.attempts), "{}", bench.attempts);
}

#[test]
fn an_object_that_is_gone_is_let_go() {
    let mut bench = Bench::with_routes(2);
    bench.server.objects.remove(&route_key(0));
    bench.advance(60 * SECOND);
    assert_eq!((bench.attempts, bench.writes.len()), (2, 1));
    bench.seen.remove(&route_key(0));
    bench.look();
    assert_eq!(bench.desk.entries.len(), 1);
}

#[test]
fn while_the_api_server_is_away_one_write_asks_and_then_nothing_is_lost() {
    let mut bench = Bench::with_routes(200);
    bench.failing = Some(|_| Failure::Away {
        message: "connection refused".into(),
    });
    bench.advance(milliseconds(10));
    for index in 0..200 {
        bench.want(index, "Newer.");
    }
    bench.advance(60 * SECOND);
    let asked = bench.attempts;
    assert!(asked < 90, "{asked} attempts");
    bench.failing = None;
    bench.advance(2 * SECOND);
    assert_eq!(bench.writes.len(), 200, "each once");
    for index in 0..200 {
        assert_eq!(bench.message(&route_key(index)), "Newer.");
    }
}

#[test]
fn an_overloaded_api_server_is_given_the_time_it_asks_for() {
    let mut bench = Bench::with_routes(1);
    bench.failing = Some(|_| Failure::Overloaded {
        after: Some(10 * SECOND),
        message: "too many requests".into(),
    });
    bench.advance(9 * SECOND);
    assert_eq!(bench.attempts, 1);
    bench.failing = None;
    bench.advance(2 * SECOND);
    assert_eq!(bench.writes.len(), 1);
}

#[test]
fn one_object_that_fails_holds_up_no_other() {
    let mut bench = Bench::with_routes(100);
    bench.failing = Some(|write| {
        if write.key == route_key(0) {
            let message = "a webhook".into();
            Failure::Failing { code: 500, message }
        } else {
            Failure::Conflict
        }
    });
    bench.failing_only = Some(route_key(0));
    bench.advance(SECOND);
    assert_eq!(bench.writes.len(), 99);
    bench.advance(60 * SECOND);
    let attempts = bench.attempts - 99;
    assert!((10..30).contains(&attempts), "{attempts} attempts");
    bench.failing = None;
    bench.advance(6 * SECOND);
    assert_eq!(bench.writes.len(), 100);
}

#[test]
fn what_is_not_admitted_is_not_sent_again_before_it_changes() {
    let mut bench = Bench::with_routes(1);
    bench.failing = Some(|_| Failure::Rejected {
        message: "status.parents: too many".into(),
    });
    bench.advance(20 * SECOND);
    assert_eq!(bench.attempts, 1);
    bench.failing = None;
    bench.want(0, "Shorter.");
    bench.advance(SECOND);
    assert_eq!(bench.message(&route_key(0)), "Shorter.");
}

#[test]
fn what_locum_may_not_write_is_tried_again_in_half_a_minute() {
    let mut bench = Bench::with_routes(1);
    bench.failing = Some(|_| Failure::Forbidden {
        resource: "httproutes/status".into(),
        message: "no".into(),
    });
    bench.advance(29 * SECOND);
    assert_eq!(bench.attempts, 1);
    bench.failing = None;
    bench.advance(2 * SECOND);
    assert_eq!(bench.writes.len(), 1);
}

/// Another controller writes its own words over Locum's after each of its writes.
fn contest(bench: &mut Bench, time: Duration) -> usize {
    let before = bench.writes.len();
    let mut answered = before;
    let end = bench.now + time;
    while bench.now < end {
        bench.advance(milliseconds(100));
        if bench.writes.len() > answered {
            answered = bench.writes.len();
            let mut status = bench.server.status(&route_key(0));
            status["parents"][0]["conditions"][0]["message"] = json!("Mine.");
            let now_there = bench.server.write_unseen(&route_key(0), status);
            bench.seen.set(route_key(0), now_there);
            bench.look();
        }
    }
    bench.writes.len() - before
}

#[test]
fn an_object_that_another_controller_keeps_writing_over_is_left_to_it_for_a_while() {
    let mut bench = Bench::with_routes(1);
    assert_eq!(contest(&mut bench, 60 * SECOND), 3);
    assert_eq!(bench.message(&route_key(0)), "Mine.");
    bench.want(0, "Something new.");
    assert_eq!(
        contest(&mut bench, 60 * SECOND),
        3,
        "it has something new to say"
    );
    assert_eq!(contest(&mut bench, 500 * SECOND), 0);
    assert_eq!(contest(&mut bench, 120 * SECOND), 2, "ten minutes later");
}

#[test]
fn the_own_write_that_the_watch_has_not_brought_yet_is_no_difference() {
    let mut bench = Bench::with_routes(1);
    bench.is_watched = false;
    bench.advance(milliseconds(10));
    assert_eq!(bench.writes.len(), 1);
    bench.look();
    bench.advance(10 * SECOND);
    assert_eq!(bench.attempts, 1);
    bench.want(0, "Newer.");
    bench.advance(10 * SECOND);
    assert_eq!(
        (bench.attempts, bench.writes.len()),
        (2, 2),
        "made from the own write"
    );
}

#[test]
fn who_becomes_the_leader_compares_before_it_writes() {
    let mut bench = Bench::with_routes(10);
    bench.advance(SECOND);
    assert_eq!(bench.writes.len(), 10);
    bench.desk.forget_all();
    bench.want_unseen(3, "Another.");
    bench.advance(SECOND);
    assert_eq!(bench.attempts, 10, "not the leader");
    bench.look();
    bench.advance(SECOND);
    assert_eq!(bench.attempts, 11);
    assert_eq!(bench.message(&route_key(3)), "Another.");
}

#[test]
fn a_route_that_left_loses_locums_entry_and_nothing_else() {
    let mut bench = Bench::with_routes(1);
    bench.advance(SECOND);
    let mut status = bench.server.status(&route_key(0));
    let foreign = json!({"controllerName": "example.com/c", "parentRef": {"name": "x"}});
    status["parents"]
        .as_array_mut()
        .expect("a list")
        .push(foreign.clone());
    let now_there = bench.server.write_unseen(&route_key(0), status);
    bench.seen.set(route_key(0), now_there);
    bench.statuses.remove(&route_key(0));
    bench.look();
    bench.advance(SECOND);
    let status = bench.server.status(&route_key(0));
    assert_eq!(status["parents"], json!([foreign]));
}

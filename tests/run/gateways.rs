//! Gateways that come, go, and want the same port.

use std::net::TcpListener;

use crate::harness::{CLASS, Stage, ask, backend, free_port, gateway, is_alive, serves, until};
use crate::standalone::{Envoy, Serve};

#[test]
fn a_gateway_that_comes_gets_an_envoy_and_one_that_goes_loses_it() {
    let (first, second) = (free_port(), free_port());
    let stage = Stage::with_backend(first);
    let locum = stage.run();
    let kept = locum.envoy();
    stage.write("two.yaml", &gateway("two", second, backend("two")));
    until("the second serves", || {
        ask(second, "/") == Some((200, "two".into()))
    });
    assert_eq!(stage.envoys().len(), 2);
    stage.remove("two.yaml");
    until("the second has ended", || stage.envoys() == [kept]);
    until("its folder is gone", || {
        !stage.state().join("default_two").exists()
    });
    assert!(serves(first));
    stage.write("two.yaml", &gateway("two", second, backend("again")));
    until("the second serves again", || {
        ask(second, "/") == Some((200, "again".into()))
    });
}

#[test]
fn a_gateway_that_went_while_locum_was_away_loses_its_envoy() {
    let (first, second) = (free_port(), free_port());
    let stage = Stage::with_backend(first);
    stage.write("two.yaml", &gateway("two", second, backend("two")));
    let locum = stage.run();
    assert_eq!(stage.envoys().len(), 2);
    locum.kill();
    stage.remove("two.yaml");
    let _locum = stage.run();
    until("only the first is left", || stage.envoys().len() == 1);
    assert!(serves(first) && !serves(second));
}

#[test]
fn of_two_gateways_with_one_port_one_is_refused_and_the_other_serves() {
    let port = free_port();
    let stage = Stage::with_backend(port);
    stage.write("two.yaml", &gateway("two", port, backend("two")));
    let locum = stage.start(&[]);
    until("the first serves", || {
        ask(port, "/") == Some((200, "hello".into()))
    });
    let (status, text) = locum.get("/readyz").unwrap();
    assert_eq!(status, 503);
    assert!(
        text.contains("default/two") && text.contains("default/eg"),
        "{text}"
    );
    let free = free_port();
    stage.write("two.yaml", &gateway("two", free, backend("two")));
    until("both serve", || serves(free) && serves(port));
}

#[test]
fn a_port_that_another_process_has_is_said_and_waited_for() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let stage = Stage::with_backend(port);
    let locum = stage.start(&[]);
    until("the reason is said", || {
        let (status, text) = locum.get("/readyz").unwrap();
        status == 503 && text.contains(&format!("127.0.0.1:{port} is in use"))
    });
    assert_eq!(stage.envoys(), [] as [u32; 0]);
    drop(other);
    until("it serves", || serves(port));
}

#[test]
fn a_mistake_in_one_object_takes_nothing_from_another() {
    let port = free_port();
    let stage = Stage::with_backend(port);
    let locum = stage.run();
    let envoy = locum.envoy();
    stage.write(
        "broken.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: [}\n",
    );
    until("it is reported", || {
        locum.json("/debug/problems")["problems"]
            .as_array()
            .is_some_and(|problems| {
                problems.iter().any(|problem| {
                    problem["file"]
                        .as_str()
                        .is_some_and(|file| file.ends_with("broken.yaml"))
                        && problem["line"] == 3
                })
            })
    });
    assert!(serves(port) && is_alive(envoy));
    stage.write("class.yaml", &format!("{CLASS}# edited\n"));
    stage.write("eg.yaml", &gateway("eg", port, backend("other")));
    until("a change beside it is served", || {
        ask(port, "/") == Some((200, "other".into()))
    });
}

#[test]
fn a_proxy_of_a_gateway_that_is_not_in_the_files_is_warned_of() {
    let stage = Stage::with_backend(free_port());
    let locum = Serve::start(&stage.manifests(), &[]);
    let _envoy = Envoy::start("default/nowhere", &locum.xds, &[]);
    until("it is said", || {
        let log = locum.log();
        let mut warned = log.lines().filter(|line| line.contains("no such Gateway"));
        warned.any(|line| line.contains("default/nowhere"))
    });
}

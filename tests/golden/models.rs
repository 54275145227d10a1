//! A model that holds each value the model can hold at least once, for showing that Envoy takes
//! whatever emission makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use locum::model::{
    Action, Address, BackOff, Balancer, Chain, ChainName, ChainSettings, CircuitBreaker, Dns,
    Endpoint, Forward, Gateway, HashInput, Health, HealthCheck, LookupFamily, Member,
    OutlierDetection, PathMatch, Payload, Port, Preconnect, Probe, Protocol, Retry, Route,
    RouteMatch, StringMatch, TcpKeepalive, Tier, VirtualHost,
};
use locum::resource::{Key, Kind};

const SECOND: Duration = Duration::from_secs(1);

/// Every kind of tier, settings and route.
pub(crate) fn gateway() -> Gateway {
    let chains = chains();
    let routes = routes(chains.keys());
    let host = |domain: &str, routes: Vec<Route>| VirtualHost {
        domain: domain.into(),
        routes,
        owners: BTreeSet::new(),
    };
    let hosts = vec![
        host("www.example.com", routes),
        host("*.example.com", vec![respond("wildcard", 503)]),
        host("*", vec![respond("any", 500)]),
    ];
    let port = |port, bind_port, virtual_hosts| Port {
        port,
        bind_port,
        virtual_hosts,
        owners: BTreeSet::new(),
    };
    Gateway {
        ports: [
            (80, port(80, 10_080, hosts)),
            (8080, port(8080, 8080, Vec::new())),
        ]
        .into(),
        chains,
        owners: BTreeSet::new(),
    }
}

fn owner() -> Key {
    Key::new(Kind::HttpRoute, "default", "everything")
}

fn respond(name: &str, status: u16) -> Route {
    Route {
        name: name.into(),
        matches: RouteMatch {
            path: PathMatch::Prefix("/".into()),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
        },
        action: Action::Respond { status },
        owner: owner(),
        rule: 0,
    }
}

/// A route for each chain, with each kind of match, timeout and retry among them.
fn routes<'a>(chains: impl Iterator<Item = &'a ChainName>) -> Vec<Route> {
    let paths = [
        PathMatch::Prefix("/a/b/".into()),
        PathMatch::Exact("/exact".into()),
        PathMatch::Regex("/[a-z]+/([0-9]{1,3}|x*)".into()),
        PathMatch::Prefix("/".into()),
    ];
    chains
        .zip(paths.iter().cycle())
        .enumerate()
        .map(|(index, (chain, path))| Route {
            name: format!("route {index}"),
            matches: RouteMatch {
                path: path.clone(),
                method: (index % 2 == 1).then(|| "POST".to_owned()),
                headers: vec![
                    ("x-index".into(), StringMatch::Exact(index.to_string())),
                    ("x-text".into(), StringMatch::Regex("a.*".into())),
                ],
                query: vec![
                    ("q".into(), StringMatch::Exact("1".into())),
                    ("r".into(), StringMatch::Regex("[^&]*".into())),
                ],
            },
            action: Action::Forward(Box::new(forward(index, chain))),
            owner: owner(),
            rule: index,
        })
        .collect()
}

fn forward(index: usize, chain: &ChainName) -> Forward {
    let plain = index.is_multiple_of(3);
    Forward {
        chain: chain.clone(),
        failing_millionths: if plain { 0 } else { 333_333 },
        timeout: [None, Some(Duration::ZERO), Some(SECOND * 20)][index % 3],
        stream_idle_timeout: (!plain).then_some(SECOND * 3600),
        max_stream_duration: (!plain).then_some(SECOND * 7200),
        retry: Retry {
            retries: u32::try_from(index % 3).unwrap(),
            on: ["connect-failure", "retriable-status-codes"].into(),
            on_repeatable: ["connect-failure", "reset"].into(),
            status_codes: vec![502, 503],
            per_try_timeout: (!plain).then_some(SECOND / 4),
            back_off: BackOff {
                base: SECOND / 100,
                max: (!plain).then_some(SECOND / 10),
            },
            attempts_per_tier: (!plain).then_some(2),
        },
        hash: vec![
            HashInput::SourceIp,
            HashInput::Header("x-user".into()),
            HashInput::Cookie {
                name: "session".into(),
                ttl: Some(SECOND * 60),
                attributes: vec![("SameSite".into(), "Strict".into())],
            },
            HashInput::QueryParameter("user".into()),
        ],
    }
}

fn chains() -> BTreeMap<ChainName, Chain> {
    let ip = || member("ip", &[Address::Ip("127.0.0.1:9".parse().unwrap())]);
    let ipv6 = || member("ipv6", &[Address::Ip("[::1]:9".parse().unwrap())]);
    let name = || member("name", &[Address::Name("a.localhost".into(), 9)]);
    let unix = || member("unix", &[Address::Unix("/no/such/socket".into())]);
    let gone = || member("gone", &[]);
    let h2c = || Member {
        protocol: Protocol::H2c,
        ..member("h2c", &[Address::Ip("127.0.0.1:10".parse().unwrap())])
    };
    let other_h2c = || Member {
        protocol: Protocol::H2c,
        ..member("other", &[Address::Ip("127.0.0.1:11".parse().unwrap())])
    };
    let unserved = || Member {
        weight: 0,
        ..ipv6()
    };
    let layouts: Vec<(&str, Vec<Vec<Member>>)> = vec![
        ("known", vec![vec![ip(), ipv6(), unserved()], vec![unix()]]),
        (
            "known with a failed first tier",
            vec![vec![gone()], vec![ip()]],
        ),
        (
            "known with an empty tier between",
            vec![vec![ip()], vec![], vec![ipv6()]],
        ),
        ("names", vec![vec![name(), ip()], vec![name()]]),
        (
            "names with a failed first tier",
            vec![vec![gone()], vec![name()]],
        ),
        ("known, then names", vec![vec![ip()], vec![name()]]),
        ("names, then known", vec![vec![name()], vec![unix(), ip()]]),
        (
            "known, nothing, names",
            vec![vec![ip()], vec![gone()], vec![name()]],
        ),
        ("two protocols", vec![vec![h2c()], vec![ip()]]),
        ("one protocol", vec![vec![h2c()], vec![other_h2c()]]),
        ("twice the same", vec![vec![ip(), ip()]]),
        ("nothing", vec![vec![gone()], vec![]]),
    ];
    layouts
        .into_iter()
        .enumerate()
        .map(|(index, (name, tiers))| {
            let mut settings = settings(index);
            if name == "one protocol" {
                settings.health_check = checks().pop();
            }
            let chain = Chain {
                tiers: tiers.into_iter().map(|members| Tier { members }).collect(),
                settings,
                owners: [owner()].into(),
            };
            (ChainName(format!("default/{name}")), chain)
        })
        .collect()
}

fn member(name: &str, addresses: &[Address]) -> Member {
    Member {
        name: format!("Backend/default/{name}"),
        weight: 3,
        endpoints: addresses
            .iter()
            .zip(
                [Health::Unknown, Health::Unhealthy, Health::Draining]
                    .into_iter()
                    .cycle(),
            )
            .map(|(address, health)| Endpoint {
                address: address.clone(),
                hostname: None,
                health,
            })
            .collect(),
        protocol: Protocol::Http1,
    }
}

fn settings(index: usize) -> ChainSettings {
    let sometimes = index.is_multiple_of(2);
    let slow_start = sometimes.then_some(SECOND * 30);
    let balancers = [
        Balancer::LeastRequest { slow_start },
        Balancer::RoundRobin { slow_start },
        Balancer::Random,
        Balancer::ConsistentHash { table_size: 65_537 },
    ];
    let families = [
        LookupFamily::Ipv4,
        LookupFamily::Ipv6,
        LookupFamily::Ipv4Preferred,
        LookupFamily::Ipv6Preferred,
        LookupFamily::All,
    ];
    let checks = checks();
    ChainSettings {
        balancer: balancers[index % balancers.len()].clone(),
        outlier_detection: outlier_detection(sometimes),
        health_check: checks.get(index % (checks.len() + 1)).cloned(),
        panic_percent: 1,
        circuit_breaker: CircuitBreaker {
            max_connections: 1,
            max_pending_requests: 2,
            max_parallel_requests: 3,
            max_parallel_retries: 4,
            max_connections_per_endpoint: sometimes.then_some(5),
            retry_budget: sometimes.then_some((20.5, 3)),
        },
        connect_timeout: SECOND * 2,
        connection_idle_timeout: sometimes.then_some(SECOND * 60),
        max_connection_duration: sometimes.then_some(SECOND * 600),
        max_requests_per_connection: sometimes.then_some(1000),
        buffer_limit: 32_768,
        preconnect: Preconnect {
            per_endpoint: sometimes.then_some(1.5),
            // Envoy refuses to look ahead with a balancer that cannot.
            predictive: (index % balancers.len() == 2).then_some(2.0),
        },
        tcp_keepalive: sometimes.then_some(TcpKeepalive {
            probes: Some(3),
            idle_time: Some(SECOND * 10),
            interval: Some(SECOND / 2),
        }),
        dns: Dns {
            refresh_rate: SECOND * 30,
            respect_ttl: sometimes,
            failure_refresh_rate: (SECOND, SECOND * 5),
            lookup_family: families[index % families.len()],
        },
    }
}

fn outlier_detection(sometimes: bool) -> OutlierDetection {
    OutlierDetection {
        interval: SECOND,
        base_ejection_time: SECOND * 10,
        max_ejection_time: SECOND * 10,
        max_ejection_percent: 100,
        always_eject_one: sometimes,
        consecutive_5xx: sometimes.then_some(1),
        consecutive_gateway_errors: sometimes.then_some(0),
        consecutive_local_origin_failures: sometimes.then_some(2),
        split_external_local_origin_errors: sometimes,
        failure_percentage_threshold: sometimes.then_some(85),
    }
}

fn checks() -> Vec<HealthCheck> {
    let text = |text: &str| Some(Payload::Text(text.into()));
    let probes = [
        Probe::Http {
            path: "/healthz?deep=1".into(),
            hostname: Some("probe.example.com".into()),
            method: "POST".into(),
            expected_statuses: vec![200, 204],
            retriable_statuses: vec![429],
            expected_response: text(&"fine".repeat(1000)),
            request_body: Some(Payload::Binary(vec![0, 255])),
        },
        Probe::Http {
            path: "/".into(),
            hostname: None,
            method: "GET".into(),
            expected_statuses: vec![200],
            retriable_statuses: Vec::new(),
            expected_response: None,
            request_body: None,
        },
        Probe::Tcp {
            send: text("ping"),
            receive: text("pong"),
        },
        Probe::Tcp {
            send: None,
            receive: None,
        },
        Probe::Grpc {
            service: Some("example.Service".into()),
        },
        Probe::Grpc { service: None },
    ];
    probes
        .into_iter()
        .enumerate()
        .map(|(index, probe)| HealthCheck {
            timeout: SECOND,
            interval: SECOND * 3,
            initial_jitter: (index % 2 == 0).then_some(SECOND),
            unhealthy_threshold: 3,
            healthy_threshold: 1,
            port: (index % 2 == 0).then_some(9000),
            probe,
        })
        .collect()
}

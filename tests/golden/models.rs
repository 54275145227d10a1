//! A model that holds each value the model can hold at least once, for showing that Envoy takes
//! whatever emission makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use locum::model::{
    Action, Address, BackOff, Balancer, Chain, ChainName, ChainSettings, CircuitBreaker, Dns,
    Endpoint, Forward, Gateway, HashInput, Health, HealthCheck, HealthCheckLog, Http2, LastResort,
    LookupFamily, Member, OutOfBand, OutlierDetection, PathMatch, Payload, Port, Preconnect, Probe,
    Probing, Protocol, ProxyProtocol, Retry, Route, RouteMatch, StringMatch, Switch, TcpKeepalive,
    Tier, Utilization, VirtualHost,
};
use locum::resource::{Key, Kind};

use crate::{filters, tls};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

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
        secrets: tls::secrets(),
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
            body_limit: 65_536,
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
        last_resort: (!plain).then(|| LastResort {
            status: [503, 200][index % 2],
            body: "100 % \"%REQ(:path)%\"\n{x} \u{e4}".into(),
            content_type: "text/plain; charset=utf-8".into(),
        }),
        filters: filters::filters(index),
        upgrades: [
            None,
            Some(Vec::new()),
            Some(vec!["websocket".into(), "spdy/3.1".into()]),
        ][index % 3]
            .clone(),
        stat_prefix: (!plain).then(|| "default/everything".into()),
    }
}

type Layout = (&'static str, Vec<Vec<Member>>);

fn ip() -> Member {
    member("ip", &[Address::Ip("127.0.0.1:9".parse().unwrap())])
}

fn ipv6() -> Member {
    member("ipv6", &[Address::Ip("[::1]:9".parse().unwrap())])
}

fn name() -> Member {
    member("name", &[Address::Name("a.localhost".into(), 9)])
}

fn unix() -> Member {
    member("unix", &[Address::Unix("/no/such/socket".into())])
}

fn resolver() -> Member {
    member("resolver", &[Address::OfRequest])
}

fn gone() -> Member {
    member("gone", &[])
}

fn h2c(name: &str, address: &str) -> Member {
    Member {
        protocol: Protocol::Http2,
        ..member(name, &[Address::Ip(address.parse().unwrap())])
    }
}

fn layouts() -> Vec<Layout> {
    let unserved = Member {
        weight: 0,
        ..ipv6()
    };
    let (one, other) = (
        || h2c("h2c", "127.0.0.1:10"),
        || h2c("other", "127.0.0.1:11"),
    );
    vec![
        ("known", vec![vec![ip(), ipv6(), unserved], vec![unix()]]),
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
        ("two protocols", vec![vec![one()], vec![ip()]]),
        ("one protocol", vec![vec![one()], vec![other()]]),
        ("twice the same", vec![vec![ip(), ip()]]),
        ("nothing", vec![vec![gone()], vec![]]),
        ("resolver", vec![vec![resolver()]]),
        ("resolver in tls", vec![vec![tls::full(resolver())]]),
        (
            "resolver in tls unchecked",
            vec![vec![tls::unchecked(resolver())]],
        ),
        ("tls", vec![vec![tls::full(ip())], vec![tls::full(ipv6())]]),
        (
            "tls by name",
            vec![vec![tls::full(name())], vec![tls::unchecked(name())]],
        ),
        (
            "tls among others",
            vec![vec![tls::full(ip()), ipv6()], vec![tls::unchecked(unix())]],
        ),
        (
            "tls in http2",
            vec![vec![tls::system(ip())], vec![one(), tls::full(unix())]],
        ),
        (
            "tls apart",
            vec![vec![tls::system(ip())], vec![tls::unchecked(name())]],
        ),
    ]
}

/// What only a FailoverPolicy makes.
fn ordered_layouts() -> Vec<Layout> {
    vec![
        ("names apart", vec![vec![name()], vec![name()]]),
        (
            "known, nothing, apart",
            vec![vec![ip()], vec![], vec![unix()]],
        ),
        ("known, 1 pinned, 0 drained", vec![vec![ip()], vec![ipv6()]]),
        ("names, 0 drained", vec![vec![name()], vec![name()]]),
        ("mixed, 1 pinned, 0 drained", vec![vec![ip()], vec![name()]]),
        ("mixed, 1 pinned", vec![vec![ip()], vec![name()]]),
        ("a single one, 0 drained", vec![vec![name()]]),
        ("known, 1 slow", vec![vec![ip()], vec![ipv6()]]),
        ("known, 0 not probed", vec![vec![ip()], vec![ipv6()]]),
        ("names, 1 not probed", vec![vec![name()], vec![name()]]),
        ("known, 1 otherwise", vec![vec![ip()], vec![ipv6()]]),
    ]
}

fn chains() -> BTreeMap<ChainName, Chain> {
    layouts()
        .into_iter()
        .chain(ordered_layouts())
        .enumerate()
        .map(|(index, (name, tiers))| {
            let mut settings = settings(index);
            if name == "one protocol" {
                settings.health_check = checks().pop();
            }
            if name.ends_with("probed") || name.ends_with("otherwise") {
                settings.health_check = checks().into_iter().nth(1);
            }
            let chain = Chain {
                tiers: tiers
                    .into_iter()
                    .zip(0..)
                    .map(|(members, tier)| Tier {
                        members,
                        drained: name.ends_with(&format!("{tier} drained")),
                        connect_timeout: name
                            .ends_with(&format!("{tier} slow"))
                            .then_some(SECOND * 7),
                        probing: probing(name, tier),
                    })
                    .collect(),
                pinned: name.contains("1 pinned").then_some(1),
                switch: [Switch::Whole, Switch::Spill { threshold: 70 }][index % 2],
                tiers_apart: name.ends_with("apart"),
                settings,
                owners: [owner()].into(),
            };
            (ChainName(format!("default/{name}")), chain)
        })
        .collect()
}

fn probing(chain: &str, tier: usize) -> Probing {
    if chain.ends_with(&format!("{tier} not probed")) {
        return Probing::Off;
    }
    let other = || {
        checks()
            .into_iter()
            .next()
            .map(|check| Probing::Own(check.into()))
    };
    let is_other = chain.ends_with(&format!("{tier} otherwise"));
    is_other.then(other).flatten().unwrap_or_default()
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
        tls: None,
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
        Balancer::Utilization(utilization(sometimes)),
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
        endpoint_headers: [vec![], vec!["x-endpoint".into(), "x-other".into()]][index / 5 % 2]
            .clone(),
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
        socket_buffer_limit: sometimes.then_some(65_536),
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
        http2: http2(sometimes),
        use_client_protocol: index % 4 == 1,
        proxy_protocol: [None, Some(ProxyProtocol::V1), Some(ProxyProtocol::V2)][index % 3],
    }
}

fn http2(sometimes: bool) -> Http2 {
    Http2 {
        stream_window: 65_535,
        connection_window: 2_147_483_647,
        max_streams: 7,
        invalid_message_ends_stream: sometimes,
        ping_interval: sometimes.then_some(SECOND * 30),
        ping_timeout: SECOND,
        ping_jitter_percent: sometimes.then_some(20),
        ping_after_idle: SECOND * 2,
    }
}

fn utilization(sometimes: bool) -> Utilization {
    Utilization {
        blackout: sometimes.then_some(SECOND),
        expiration: sometimes.then_some(SECOND * 60),
        update: sometimes.then_some(SECOND / 2),
        error_penalty: sometimes.then_some(0.5),
        metrics: vec!["named_metrics.foo".into()],
        slow_start: sometimes.then_some(SECOND * 30),
        out_of_band: sometimes.then(|| OutOfBand {
            period: Some(SECOND * 5),
            port: Some(9001),
            authority: Some("reports.example.com".into()),
        }),
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
            log: (index % 2 == 0).then(|| HealthCheckLog {
                path: "/dev/null".into(),
                every_failure: index == 0,
                every_success: index == 2,
            }),
        })
        .collect()
}

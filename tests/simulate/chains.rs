//! Random chains: as the model has them, and as the simulation takes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use locum::model::{
    Address, Balancer, Chain, ChainSettings, CircuitBreaker, Dns, Endpoint, Health, Http2,
    LookupFamily, Member, OutlierDetection, Preconnect, Protocol, Switch, Tier,
};
use locum::simulate::{self, Situation};

use crate::backends::Backends;
use crate::client::Tally;
use crate::random::Random;

const SECOND: Duration = Duration::from_secs(1);

/// A chain as the model has it, and as the simulation takes it: there with the degraded endpoints that the
/// model has no word for.
pub(crate) struct Scene {
    pub(crate) chain: Chain,
    pub(crate) situation: Situation,
}

/// How the endpoints of a chain are found.
#[derive(Clone, Copy)]
enum Found {
    Addresses,
    Names,
    /// One or the other, tier by tier: mostly an aggregate.
    Either,
}

/// A chain over some of the backends.
pub(crate) fn random(random: &mut Random, backends: &[SocketAddr]) -> Scene {
    let found = random.one_of(&[
        Found::Addresses,
        Found::Addresses,
        Found::Names,
        Found::Either,
        Found::Either,
    ]);
    let mut making = Making {
        unused: random.distinct(backends.len(), backends.len()),
        backends,
        used: Vec::new(),
        repeats: if random.percent(15) { 20 } else { 0 },
        degraded: BTreeSet::new(),
        random,
    };
    let tiers = (0..1 + making.random.below(4)).map(|_| making.tier(found));
    let tiers: Vec<Tier> = tiers.collect();
    let Making {
        random, degraded, ..
    } = making;
    let pinned = random.percent(25).then(|| random.below(tiers.len()));
    let switch = match random.percent(60) {
        true => Switch::Spill {
            threshold: random.one_of(&[100, 72, 70, 50, 34]),
        },
        false => Switch::Whole,
    };
    let chain = Chain {
        tiers,
        pinned,
        switch,
        tiers_apart: random.percent(25),
        settings: settings(random),
        owners: BTreeSet::new(),
    };
    let situation = situation(&chain, &degraded);
    Scene { chain, situation }
}

/// A chain in the making.
struct Making<'a> {
    random: &'a mut Random,
    backends: &'a [SocketAddr],
    /// The places of those that no endpoint is at yet.
    unused: Vec<usize>,
    used: Vec<SocketAddr>,
    /// How many of a hundred endpoints are where another is already.
    repeats: usize,
    /// The ports of what is to be degraded.
    degraded: BTreeSet<u16>,
}

impl Making<'_> {
    fn tier(&mut self, found: Found) -> Tier {
        let names = match found {
            Found::Addresses => false,
            Found::Names => true,
            Found::Either => self.random.percent(50),
        };
        let members = match self.random.percent(8) {
            true => 0,
            false => 1 + self.random.below(3),
        };
        Tier {
            members: (0..members).map(|it| self.member(it, names)).collect(),
            drained: self.random.percent(8),
            ..Tier::default()
        }
    }

    fn member(&mut self, number: usize, names: bool) -> Member {
        let bias = self.random.one_of(&Bias::ALL);
        let endpoints = match self.random.percent(5) {
            true => 0,
            false => 1 + self.random.below(4),
        };
        Member {
            name: format!("Backend/default/{number}"),
            weight: self.random.one_of(&[0, 1, 1, 1, 1, 2, 2, 3, 5, 10]),
            endpoints: (0..endpoints).map(|_| self.endpoint(bias, names)).collect(),
            protocol: Protocol::Http1,
            tls: None,
        }
    }

    fn endpoint(&mut self, bias: Bias, by_name: bool) -> Endpoint {
        let again = !self.used.is_empty() && self.random.percent(self.repeats);
        let address = if again {
            self.random.one_of(&self.used)
        } else {
            let place = self.unused.pop();
            self.backends[place.expect("there are as many as a chain can have")]
        };
        self.used.push(address);
        let health = bias.health(self.random);
        if health == simulate::Health::Degraded {
            self.degraded.insert(address.port());
        }
        endpoint(address, by_name, health)
    }
}

/// What a member's endpoints mostly are.
#[derive(Clone, Copy)]
enum Bias {
    Well,
    Mixed,
    Down,
    Degraded,
}

impl Bias {
    const ALL: [Self; 6] = [
        Self::Well,
        Self::Mixed,
        Self::Mixed,
        Self::Mixed,
        Self::Down,
        Self::Degraded,
    ];

    fn health(self, random: &mut Random) -> simulate::Health {
        use simulate::Health::{Degraded, Excluded, Healthy, Unhealthy};
        match self {
            Self::Well => Healthy,
            Self::Mixed => random.one_of(&[
                Healthy, Healthy, Healthy, Unhealthy, Unhealthy, Degraded, Excluded,
            ]),
            Self::Down => random.one_of(&[Unhealthy, Unhealthy, Excluded]),
            Self::Degraded => random.one_of(&[Degraded, Degraded, Degraded, Unhealthy]),
        }
    }
}

fn endpoint(address: SocketAddr, by_name: bool, health: simulate::Health) -> Endpoint {
    Endpoint {
        address: match by_name {
            // No name server is asked for names below it.
            true => Address::Name("backend.localhost".into(), address.port()),
            false => Address::Ip(address),
        },
        hostname: None,
        health: match health {
            simulate::Health::Healthy | simulate::Health::Degraded => Health::Unknown,
            simulate::Health::Unhealthy => Health::Unhealthy,
            simulate::Health::Excluded => Health::Draining,
        },
    }
}

/// The chain as simulation takes it, with the degraded endpoints that the model cannot say.
fn situation(chain: &Chain, degraded: &BTreeSet<u16>) -> Situation {
    let mut situation = Situation::of(chain);
    for endpoint in endpoints(&mut situation) {
        let is_well = endpoint.health == simulate::Health::Healthy;
        if is_well && degraded.contains(&port(&endpoint.address)) {
            endpoint.health = simulate::Health::Degraded;
        }
    }
    situation
}

fn endpoints(situation: &mut Situation) -> impl Iterator<Item = &mut simulate::Endpoint> {
    let members = situation
        .tiers
        .iter_mut()
        .flat_map(|tier| &mut tier.members);
    members.flat_map(|member| &mut member.endpoints)
}

/// The ports of the backends tell them apart.
fn port(address: &Address) -> u16 {
    match address {
        Address::Ip(address) => address.port(),
        Address::Name(_, port) => *port,
        Address::Unix(_) | Address::OfRequest => unreachable!("no chain here has {address}"),
    }
}

fn settings(random: &mut Random) -> ChainSettings {
    let balancer = match random.below(4) {
        0 => Balancer::LeastRequest { slow_start: None },
        1 => Balancer::RoundRobin { slow_start: None },
        2 => Balancer::Random,
        _ => Balancer::ConsistentHash { table_size: 65_537 },
    };
    ChainSettings {
        balancer,
        endpoint_headers: Vec::new(),
        outlier_detection: OutlierDetection {
            interval: SECOND,
            base_ejection_time: SECOND * 10,
            max_ejection_time: SECOND * 10,
            max_ejection_percent: 100,
            always_eject_one: false,
            consecutive_5xx: None,
            consecutive_gateway_errors: Some(3),
            consecutive_local_origin_failures: None,
            split_external_local_origin_errors: false,
            failure_percentage_threshold: None,
        },
        health_check: None,
        panic_percent: random.one_of(&[1, 1, 1, 0, 50]),
        circuit_breaker: CircuitBreaker {
            max_connections: 1024,
            max_pending_requests: 1024,
            max_parallel_requests: 1024,
            max_parallel_retries: 1024,
            max_connections_per_endpoint: None,
            retry_budget: None,
        },
        connect_timeout: SECOND * 5,
        // Each chain has connections of its own to the same few backends.
        connection_idle_timeout: Some(SECOND),
        max_connection_duration: None,
        max_requests_per_connection: None,
        buffer_limit: 32_768,
        socket_buffer_limit: None,
        preconnect: Preconnect::default(),
        tcp_keepalive: None,
        dns: Dns {
            refresh_rate: SECOND * 60,
            respect_ttl: false,
            failure_refresh_rate: (SECOND, SECOND),
            lookup_family: LookupFamily::Ipv4,
        },
        http2: Http2 {
            stream_window: 65_535,
            connection_window: 65_535,
            max_streams: 100,
            invalid_message_ends_stream: false,
            ping_interval: None,
            ping_timeout: SECOND,
            ping_jitter_percent: None,
            ping_after_idle: SECOND,
        },
        use_client_protocol: false,
        proxy_protocol: None,
    }
}

impl Scene {
    /// The ports of the endpoints that are degraded.
    pub(crate) fn degraded(&self) -> BTreeSet<u16> {
        let members = self.situation.tiers.iter().flat_map(|tier| &tier.members);
        let endpoints = members.flat_map(|member| &member.endpoints);
        let degraded = endpoints.filter(|it| it.health == simulate::Health::Degraded);
        degraded.map(|it| port(&it.address)).collect()
    }

    /// What each member of each tier was measured to get, in percent. What a backend of several places got
    /// is divided among these as the simulation does: by sight they cannot be told apart.
    pub(crate) fn measured(&self, tally: &Tally, backends: &Backends) -> Vec<Vec<f64>> {
        let spread = simulate::spread(&self.situation);
        let mut expected: BTreeMap<u16, f64> = BTreeMap::new();
        let mut places: BTreeMap<u16, f64> = BTreeMap::new();
        let members = self.situation.tiers.iter().flat_map(|tier| &tier.members);
        let shares = spread.tiers.iter().flat_map(|tier| &tier.members);
        for (member, share) in members.zip(shares) {
            for (endpoint, share) in member.endpoints.iter().zip(&share.endpoints) {
                *expected.entry(port(&endpoint.address)).or_default() += share;
                *places.entry(port(&endpoint.address)).or_default() += 1.0;
            }
        }
        let by_port: BTreeMap<u16, f64> = backends
            .addresses()
            .iter()
            .enumerate()
            .map(|(place, address)| (address.port(), tally.share(place)))
            .collect();
        let tiers = self.situation.tiers.iter().zip(&spread.tiers);
        tiers
            .map(|(tier, spread)| {
                let members = tier.members.iter().zip(&spread.members);
                let measured = members.map(|(member, spread)| {
                    let endpoints = member.endpoints.iter().zip(&spread.endpoints);
                    let shares = endpoints.map(|(endpoint, share)| {
                        let port = port(&endpoint.address);
                        let part = match expected[&port] > 0.0 {
                            true => share / expected[&port],
                            false => 1.0 / places[&port],
                        };
                        by_port[&port] * part
                    });
                    shares.sum()
                });
                measured.collect()
            })
            .collect()
    }
}

impl fmt::Display for Scene {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Situation {
            tiers,
            overprovisioning_factor: factor,
            panic_percent: panic,
            aggregate,
            ..
        } = &self.situation;
        let balancer = &self.chain.settings.balancer;
        writeln!(
            formatter,
            "factor {factor}, panic {panic} %, {balancer:?}, aggregate: {aggregate}"
        )?;
        for tier in tiers {
            write!(formatter, "  tier {}:", tier.number)?;
            for member in &tier.members {
                let endpoints = member.endpoints.iter();
                let endpoints: Vec<String> = endpoints
                    .map(|it| format!("{} {}", it.address, it.health.name()))
                    .collect();
                let simulate::Member { name, weight, .. } = member;
                write!(formatter, " {name}*{weight} ({})", endpoints.join(", "))?;
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}

//! Random edits of the world: each another one than it found, and a few words of what it did.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::order::Order;
use crate::random::Random;
use crate::world::{
    BACKENDS, Backend, Family, HOST_LISTENERS, MORE_RULES, PODS_OF_BACKEND, PORT_LISTENERS, Policy,
    References, Shape, World,
};

/// How often an edit is tried that turns out to change nothing, or to leave a steady request
/// without a backend.
const TRIES: usize = 10_000;
const SHAPES: [Shape; 3] = [Shape::Addresses, Shape::Names, Shape::Service];
const BALANCERS: [&str; 4] = [
    "{type: RoundRobin}",
    "{type: LeastRequest}",
    "{type: Random}",
    "{type: ConsistentHash, consistentHash: {type: SourceIP}}",
];
const CHECKS: [&str; 2] = [
    "type: HTTP, interval: 1s, http: {path: /health}",
    "type: TCP, interval: 1s, tcp: {}",
];

/// So many families, the last of which are not steady.
pub(crate) fn first(random: &mut Random, steady: usize, others: usize) -> World {
    let family = |number: usize| {
        let shapes = [
            Shape::Addresses,
            Shape::Names,
            Shape::Service,
            Shape::Addresses,
        ];
        let backend = |index: usize| {
            let pods = BTreeSet::from([index * PODS_OF_BACKEND]);
            let is_standby = index == 3;
            let shape = shapes[index];
            Some(Backend {
                shape,
                is_standby,
                pods,
            })
        };
        Arc::new(Family {
            number,
            is_steady: number < steady,
            is_routed: true,
            backends: [0, 1, 2, 3].map(backend),
            base: vec![(0, 1), (3, 1)],
            more: [Some(vec![(1, 1)]), Some(vec![(2, 1), (3, 1)]), None],
            is_split: false,
            has_other_host: true,
            policy: None,
            order: None,
            timeout: None,
        })
    };
    let mut world = World {
        families: (0..steady + others).map(family).collect(),
        ports: [true, false, false],
        hosts: [None; HOST_LISTENERS],
    };
    // Not alike from the start.
    for _ in 0..4 * world.families.len() {
        world = edited(random, &world).0;
    }
    world
}

/// The world after one more edit, and what that was.
pub(crate) fn edited(random: &mut Random, world: &World) -> (World, String) {
    for _ in 0..TRIES {
        let mut next = world.clone();
        let mut words = Vec::new();
        // Now and then several things are edited at once.
        let steps = if random.percent(12) {
            2 + random.below(3)
        } else {
            1
        };
        for _ in 0..steps {
            words.push(step(random, &mut next));
        }
        let mut steady = next.families.iter().filter(|family| family.is_steady);
        if next != *world && steady.all(|family| family.is_live()) {
            return (next, words.join("; "));
        }
    }
    unreachable!("some edit of {TRIES} leaves every steady request a backend");
}

fn step(random: &mut Random, world: &mut World) -> String {
    match random.below(12) {
        0 => {
            let index = random.below(PORT_LISTENERS);
            world.ports[index] ^= true;
            format!("listener further-{index}: {}", world.ports[index])
        }
        1 => {
            let index = random.below(HOST_LISTENERS);
            let host = random.percent(70).then(|| random.below(5));
            // A host stands once on a port.
            let is_taken = host.is_some() && world.hosts.contains(&host);
            world.hosts[index] = if is_taken { None } else { host };
            format!("listener host-{index}: {:?}", world.hosts[index])
        }
        _ => {
            let number = random.below(world.families.len());
            let family = Arc::make_mut(&mut world.families[number]);
            format!("f{number} {}", family_step(random, family))
        }
    }
}

fn family_step(random: &mut Random, family: &mut Family) -> String {
    if !family.is_steady && random.percent(10) {
        family.is_routed ^= true;
        return format!("route: {}", family.is_routed);
    }
    match random.below(22) {
        0..=3 => pods(random, family),
        4 => backend_or_none(random, family),
        5 => shape(random, family),
        6 => standby(random, family),
        7..=9 => {
            let words = references(random, family);
            let order = family.order.as_mut();
            // Whoever edits a rule mostly sees to its policy too; else it holds no more.
            let misfit = order.filter(|order| !order.fits(&family.base));
            if let Some(order) = misfit.filter(|_| random.percent(80)) {
                order.arrange(random, &family.base);
            }
            words
        }
        10 => more_rule(random, family),
        11 => {
            family.is_split ^= true;
            format!("split: {}", family.is_split)
        }
        12 => {
            family.has_other_host ^= true;
            format!("other host: {}", family.has_other_host)
        }
        13 => {
            family.timeout = random.percent(70).then(|| 10 + random.below(20));
            format!("timeout: {:?}", family.timeout)
        }
        14..=15 => {
            policy_or_none(random, family);
            format!("policy: {:?}", family.policy)
        }
        _ => {
            order_or_none(random, family);
            format!("order: {:?}", family.order)
        }
    }
}

fn pods(random: &mut Random, family: &mut Family) -> String {
    let index = random.below(BACKENDS);
    let Some(backend) = &mut family.backends[index] else {
        return backend_or_none(random, family);
    };
    // A Service may be without endpoints.
    let is_empty = backend.shape == Shape::Service && random.percent(20);
    backend.pods = if is_empty {
        BTreeSet::new()
    } else {
        some_pods(random, index)
    };
    format!("backend {index}: {backend:?}")
}

/// Some of the pods of this Backend.
fn some_pods(random: &mut Random, backend: usize) -> BTreeSet<usize> {
    let count = 1 + random.below(PODS_OF_BACKEND);
    let chosen = random.distinct(count, PODS_OF_BACKEND).into_iter();
    chosen.map(|pod| backend * PODS_OF_BACKEND + pod).collect()
}

/// Takes a Backend away, or brings it.
fn backend_or_none(random: &mut Random, family: &mut Family) -> String {
    let index = random.below(BACKENDS);
    family.backends[index] = match family.backends[index] {
        Some(_) => None,
        None => Some(Backend {
            shape: random.one_of(&SHAPES),
            is_standby: random.percent(30),
            pods: some_pods(random, index),
        }),
    };
    format!("backend {index}: {:?}", family.backends[index])
}

fn shape(random: &mut Random, family: &mut Family) -> String {
    let index = random.below(BACKENDS);
    if let Some(backend) = &mut family.backends[index] {
        backend.shape = random.one_of(&SHAPES);
        if backend.pods.is_empty() {
            backend.pods = some_pods(random, index);
        }
    }
    format!("backend {index}: {:?}", family.backends[index])
}

fn standby(random: &mut Random, family: &mut Family) -> String {
    let index = random.below(BACKENDS);
    if let Some(backend) = &mut family.backends[index] {
        backend.is_standby ^= true;
    }
    format!("backend {index}: {:?}", family.backends[index])
}

/// Leads a rule elsewhere, to the same with other weights, or to what another rule leads to.
fn references(random: &mut Random, family: &mut Family) -> String {
    let there = family.more.iter_mut().flatten();
    let mut rules: Vec<_> = there.chain([&mut family.base]).collect();
    let (from, to) = (random.below(rules.len()), random.below(rules.len()));
    match random.below(3) {
        0 => *rules[to] = some_references(random),
        1 => {
            let at = random.below(rules[to].len());
            rules[to][at].1 = random.one_of(&[0, 1, 2, 3, 5]);
        }
        _ => {
            let moved = rules[from].clone();
            let left = std::mem::replace(rules[to], moved);
            *rules[from] = left;
        }
    }
    format!("references: {:?}, {:?}", family.base, family.more)
}

fn some_references(random: &mut Random) -> References {
    let count = 1 + random.below(3);
    let chosen = random.distinct(count, BACKENDS).into_iter();
    let chosen = chosen.map(|backend| (backend, random.one_of(&[1, 1, 1, 1, 2, 4])));
    chosen.collect()
}

fn more_rule(random: &mut Random, family: &mut Family) -> String {
    let index = random.below(MORE_RULES.len());
    family.more[index] = match family.more[index] {
        Some(_) => None,
        None => Some(some_references(random)),
    };
    format!("{:?}: {:?}", MORE_RULES[index], family.more[index])
}

/// Attaches a FailoverPolicy, changes it, or takes it away.
fn order_or_none(random: &mut Random, family: &mut Family) {
    match &mut family.order {
        None => family.order = Some(Order::of(random, &family.base)),
        Some(_) if random.percent(20) => family.order = None,
        Some(order) => order.change(random, &family.base),
    }
}

fn policy_or_none(random: &mut Random, family: &mut Family) {
    let Some(policy) = &mut family.policy else {
        family.policy = Some(Policy {
            balancer: random.one_of(&BALANCERS),
            check: None,
            connect_timeout: 2,
            request_timeout: None,
            retries: None,
            errors: None,
            connections: None,
            keepalive: None,
            buffer: None,
            refresh: None,
        });
        return;
    };
    let is_set = random.percent(70);
    let mut some = |from: usize, count: usize| is_set.then(|| from + random.below(count));
    match some(0, 11).unwrap_or(11) {
        0 => policy.request_timeout = some(10, 10),
        1 => policy.retries = some(2, 4),
        2 => policy.errors = some(3, 5),
        3 => policy.connections = some(500, 500),
        4 => policy.keepalive = some(10, 50),
        5 => policy.buffer = some(32, 64),
        6 => policy.refresh = some(5, 30),
        7 => policy.connect_timeout = 2 + random.below(4),
        8 => policy.balancer = random.one_of(&BALANCERS),
        9 | 10 => {
            policy.check = match policy.check {
                Some(_) => None,
                None => Some(random.one_of(&CHECKS)),
            }
        }
        _ => family.policy = None,
    }
}

//! Tables worked out by hand from Envoy's rules, and what holds for every situation.

use proptest::prelude::*;

use super::*;
use crate::model::{Address, Model};
use crate::resource::parse::parse;
use crate::store::{Change, Store};
use crate::translate::{GatewayAddresses, Options, Translation, translate};

/// The next tier when nothing is well in this one.
const SWITCH: u32 = 100_000;

/// A tier's members: the weight, and a letter for each endpoint's health.
type Members<'a> = &'a [(u32, &'a str)];

/// Tiers of [`Members`], one cluster, panic at 1 %.
fn situation(tiers: &[Members<'_>], factor: u32) -> Situation {
    let tiers = tiers.iter().enumerate().map(|(number, members)| Tier {
        number,
        members: members
            .iter()
            .enumerate()
            .map(|(index, (weight, letters))| member(number, index, *weight, letters))
            .collect(),
    });
    Situation {
        tiers: tiers.collect(),
        overprovisioning_factor: factor,
        panic_percent: 1,
        by_hash: false,
        aggregate: false,
    }
}

fn member(tier: usize, index: usize, weight: u32, letters: &str) -> Member {
    let endpoints = letters.chars().zip(1..).map(|(letter, port)| Endpoint {
        address: Address::Name(format!("m{index}.t{tier}"), port),
        health: match letter {
            'H' => Health::Healthy,
            'D' => Health::Degraded,
            'U' => Health::Unhealthy,
            'X' => Health::Excluded,
            other => panic!("no health is called {other}"),
        },
    });
    Member {
        name: format!("Backend/t{tier}/m{index}"),
        weight,
        endpoints: endpoints.collect(),
    }
}

/// Each tier's members' shares, to a tenth.
fn shares(situation: &Situation) -> Vec<Vec<f64>> {
    let to_a_tenth = |share: f64| (share * 10.0).round() / 10.0;
    let tiers = spread(situation).tiers.into_iter();
    tiers
        .map(|tier| {
            let members = tier.members.iter();
            members.map(|it| to_a_tenth(it.share())).collect()
        })
        .collect()
}

/// The shares of tiers that have one member of one weight each.
fn by_tier(tiers: &[&str], factor: u32) -> Vec<f64> {
    let tiers: Vec<Vec<(u32, &str)>> = tiers.iter().map(|letters| vec![(1, *letters)]).collect();
    let tiers: Vec<Members<'_>> = tiers.iter().map(Vec::as_slice).collect();
    shares(&situation(&tiers, factor)).concat()
}

#[test]
fn a_switch_goes_to_the_next_tier_only_when_nothing_is_left() {
    let rows: [(&[&str], &[f64]); 6] = [
        (&["HHHH", "HH"], &[100.0, 0.0]),
        (&["HUUU", "HH"], &[100.0, 0.0]),
        (&["UUUU", "HH"], &[0.0, 100.0]),
        (&["", "HH", "HH"], &[0.0, 100.0, 0.0]),
        (&["UU", "", "UH"], &[0.0, 0.0, 100.0]),
        (&["HUUU", "", ""], &[100.0, 0.0, 0.0]),
    ];
    for (tiers, expected) in rows {
        assert_eq!(by_tier(tiers, SWITCH), expected, "{tiers:?}");
    }
}

/// Of ten endpoints 0 to 10 are down; the factor for a threshold of 50, 70 and 100 %.
#[test]
fn a_spill_begins_at_its_threshold_and_goes_in_proportion() {
    let rows = [
        (200, [100, 100, 100, 100, 100, 100, 80, 60, 40, 20, 0]),
        (143, [100, 100, 100, 100, 85, 71, 57, 42, 28, 14, 0]),
        (100, [100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 0]),
    ];
    for (factor, expected) in rows {
        for (down, expected) in expected.into_iter().enumerate() {
            let first = "U".repeat(down) + &"H".repeat(10 - down);
            let expected = f64::from(expected);
            assert_eq!(
                by_tier(&[&first, "HHHH"], factor),
                [expected, 100.0 - expected],
                "{down} of 10 down, factor {factor}"
            );
        }
    }
}

#[test]
fn tiers_that_are_short_together_share_all_requests() {
    // 30 and 30 of 60.
    let third = "HHHUUUUUUU";
    assert_eq!(by_tier(&[third, third], 100), [50.0, 50.0]);
    // 33 each of 99; what rounding leaves over is the first one's.
    let tiers = ["HUU", "HUU", "HUU"];
    assert_eq!(by_tier(&tiers, 100), [34.0, 33.0, 33.0]);
    assert_eq!(
        by_tier(&["", "HUU", "HUU", "HUU"], 100),
        [0.0, 34.0, 33.0, 33.0]
    );
}

#[test]
fn degraded_endpoints_serve_when_no_tier_has_enough_healthy_ones() {
    let rows: [(&[&str], u32, &[f64]); 6] = [
        // A tier that was pinned: the others are degraded.
        (&["DD", "HH", "DD"], SWITCH, &[0.0, 100.0, 0.0]),
        // And then it dies: the others in their order.
        (&["DD", "UU", "DD"], SWITCH, &[100.0, 0.0, 0.0]),
        (&["UU", "UU", "DD"], SWITCH, &[0.0, 0.0, 100.0]),
        // Degraded above alone: the healthy tier goes first, wherever it is.
        (&["DD", "UU", "HH"], SWITCH, &[0.0, 0.0, 100.0]),
        // 50 healthy of tier 0, then 50 healthy of tier 1, then nothing is left for the degraded.
        (&["HD", "HD"], 100, &[50.0, 50.0]),
        // 25 and 25 healthy, then 25 degraded of tier 0, then 25 of tier 1's.
        (&["HDUU", "HDUU"], 100, &[50.0, 50.0]),
    ];
    for (tiers, factor, expected) in rows {
        assert_eq!(by_tier(tiers, factor), expected, "{tiers:?} {factor}");
    }
    let ends = |letters, factor| {
        let spread = spread(&situation(&[&[(1, letters)]], factor));
        spread.tiers[0].members[0].endpoints.clone()
    };
    assert_eq!(ends("HD", SWITCH), [100.0, 0.0]);
    // 50 and 25 of 75: 66 and 33, and 1 of rounding.
    assert_eq!(ends("HHDU", 100), [33.5, 33.5, 33.0, 0.0]);
}

#[test]
fn draining_endpoints_count_neither_as_well_nor_as_failed() {
    let rows: [(&[&str], u32, &[f64]); 4] = [
        (&["HHXXX", "HH"], 100, &[100.0, 0.0]),
        (&["HHUXX", "HH"], 100, &[66.0, 34.0]),
        (&["XX", "HH"], SWITCH, &[0.0, 100.0]),
        // Nothing else is there: to all, by number.
        (&["XX", "UUU"], SWITCH, &[40.0, 60.0]),
    ];
    for (tiers, factor, expected) in rows {
        assert_eq!(by_tier(tiers, factor), expected, "{tiers:?} {factor}");
    }
}

#[test]
fn without_any_that_is_well_a_chain_fails_open_unless_panic_is_0() {
    let mut all_down = situation(&[&[(9, "U"), (1, "UUU")], &[(1, "U")]], SWITCH);
    let open = spread(&all_down);
    assert!(open.fails_open && open.tiers.iter().all(|tier| tier.panics));
    // 4 and 1 of 5 endpoints; weights say nothing.
    assert_eq!(shares(&all_down), [vec![20.0, 60.0], vec![20.0]]);
    all_down.by_hash = true;
    // With a hash they do.
    assert_eq!(shares(&all_down), [vec![72.0, 8.0], vec![20.0]]);
    all_down.panic_percent = 0;
    let closed = spread(&all_down);
    assert_eq!((closed.unserved, closed.fails_open), (100.0, false));
}

#[test]
fn without_any_endpoint_nothing_is_served() {
    let empty = spread(&situation(&[&[(1, "")], &[]], SWITCH));
    assert_eq!((empty.unserved, empty.fails_open), (100.0, false));
}

#[test]
fn a_tier_in_panic_sends_its_share_to_failed_endpoints_too() {
    // 25 and 50 of 75: 33 and 66, and 1 of rounding.
    let mut half = situation(&[&[(1, "HUUU")], &[(1, "HU")]], 100);
    half.panic_percent = 50;
    let found = spread(&half);
    assert_eq!(found.tiers[0].members[0].endpoints, [8.5; 4]);
    assert_eq!(found.tiers[1].members[0].endpoints, [66.0, 0.0]);
    assert_eq!(
        found.tiers.iter().map(|it| it.panics).collect::<Vec<_>>(),
        [true, false]
    );
    assert!(!found.fails_open);
    // No panic while all tiers together are well.
    half.overprovisioning_factor = 200;
    let found = spread(&half);
    assert_eq!(found.tiers[0].members[0].endpoints, [50.0, 0.0, 0.0, 0.0]);
}

#[test]
fn under_an_aggregate_a_tier_panics_by_its_own_health() {
    // 2 of 7 times 300 are 85; tier 1 has the rest, so all together are well.
    let mut own = situation(&[&[(1, "HHUUUUU")], &[(1, "H")]], 300);
    own.panic_percent = 50;
    let one_cluster = spread(&own);
    assert_eq!(
        one_cluster.tiers[0].members[0].endpoints[..3],
        [42.5, 42.5, 0.0]
    );
    own.aggregate = true;
    let aggregate = spread(&own);
    let each = 85.0 / 7.0;
    let endpoints = &aggregate.tiers[0].members[0].endpoints;
    assert!(endpoints.iter().all(|share| (share - each).abs() < 1e-9));
    assert_eq!(shares(&own), [vec![85.0], vec![15.0]]);
}

#[test]
fn weights_count_in_full_while_enough_of_a_member_is_well() {
    let rows: [(Members<'_>, u32, [f64; 2]); 6] = [
        (&[(3, "HH"), (1, "H")], SWITCH, [75.0, 25.0]),
        (&[(3, "HUUU"), (1, "H")], SWITCH, [75.0, 25.0]),
        (&[(3, "UU"), (1, "H")], SWITCH, [0.0, 100.0]),
        // 0.7 to 1.
        (&[(1, "HU"), (1, "HH")], 140, [41.2, 58.8]),
        // Draining ones do not count: 1 to 1.
        (&[(1, "HX"), (1, "HH")], 140, [50.0, 50.0]),
        // The degraded ones of either, none of which is healthy: 1 to 0.7.
        (&[(1, "DD"), (1, "DU")], 140, [58.8, 41.2]),
    ];
    for (members, factor, expected) in rows {
        let found = shares(&situation(&[members], factor));
        assert_eq!(found, [expected], "{members:?} {factor}");
    }
}

#[test]
fn a_hash_knows_the_healthy_endpoints_alone() {
    let mut by_hash = situation(&[&[(1, "HUUU"), (1, "HHHH")], &[(1, "H")]], 100);
    by_hash.by_hash = true;
    // 5 of 8 are 62; the members' weights are not scaled by their health.
    assert_eq!(shares(&by_hash), [vec![31.0, 31.0], vec![38.0]]);
    // Degraded ones are never chosen: what is given to them is lost.
    let mut pinned = situation(&[&[(1, "DD")], &[(1, "UU")]], SWITCH);
    pinned.by_hash = true;
    assert_eq!(spread(&pinned).unserved, 100.0);
    // Where a tier has healthy ones too, these get it.
    let mut mixed = situation(&[&[(1, "HD")]], 100);
    mixed.by_hash = true;
    assert_eq!(spread(&mixed).tiers[0].members[0].endpoints, [100.0, 0.0]);
}

#[test]
fn what_is_down_is_named_by_tier_member_or_endpoint() {
    let mut chain = situation(&[&[(1, "HX"), (1, "H")], &[(1, "HH")]], SWITCH);
    chain.tiers[0].members[1].name = "Service/default/web:80".into();
    let letters = |target: &str| {
        let target: Target = target.parse().unwrap();
        let without = chain.without(&target)?;
        let members = without.tiers.into_iter().flat_map(|tier| tier.members);
        let endpoints = members.flat_map(|member| member.endpoints);
        Some(
            endpoints
                .map(|it| &it.health.name()[..1])
                .collect::<String>(),
        )
    };
    assert_eq!(letters("tier:0").as_deref(), Some("uduhh"));
    assert_eq!(letters("tier:1").as_deref(), Some("hdhuu"));
    assert_eq!(letters("Backend/t0/m0").as_deref(), Some("udhhh"));
    assert_eq!(letters("Service/default/web").as_deref(), Some("hduhh"));
    assert_eq!(letters("Service/default/web:80").as_deref(), Some("hduhh"));
    assert_eq!(letters("m0.t1:2").as_deref(), Some("hdhhu"));
    // One that stands in two tiers fails in both.
    let mut twice = chain.clone();
    twice.tiers[1].members[0].endpoints[0].address = Address::Name("m0.t0".into(), 1);
    let without = twice.without(&Target::Tier(0)).unwrap();
    assert_eq!(
        without.tiers[1].members[0].endpoints[0].health,
        Health::Unhealthy
    );
    for nothing in [
        "tier:2",
        "tier:x",
        "Backend/t0",
        "Service/default/web:8",
        "m0.t1",
    ] {
        assert_eq!(letters(nothing), None, "{nothing}");
    }
    for target in chain.targets() {
        assert!(letters(&target).is_some(), "{target}");
    }
}

#[test]
fn each_member_and_tier_fails_once_and_all_together() {
    let chain = situation(&[&[(1, "H"), (1, "H")], &[(1, "H")]], SWITCH);
    let found: Vec<String> = failures(&chain)
        .into_iter()
        .map(|failure| {
            let down: Vec<String> = failure.down.iter().map(ToString::to_string).collect();
            format!("{}: {:?}", down.join(" "), shares(&failure.situation))
        })
        .collect();
    assert_eq!(
        found,
        [
            "Backend/t0/m0: [[0.0, 100.0], [0.0]]",
            "Backend/t0/m1: [[100.0, 0.0], [0.0]]",
            "tier:0: [[0.0, 0.0], [100.0]]",
            "Backend/t1/m0: [[50.0, 50.0], [0.0]]",
            "tier:0 tier:1: [[33.5, 33.5], [33.0]]",
        ]
    );
}

const MANIFESTS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: eg }
spec: { controllerName: locum.dev/gatewayclass-controller }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: one }
spec:
  gatewayClassName: eg
  listeners: [{ name: http, protocol: HTTP, port: 80 }]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: two }
spec:
  gatewayClassName: eg
  listeners: [{ name: http, protocol: HTTP, port: 80 }]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: { name: active }
spec:
  endpoints:
  - { ip: { address: 10.0.0.1, port: 80 } }
  - { ip: { address: 10.0.0.2, port: 80 } }
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: { name: passive }
spec:
  fallback: true
  endpoints:
  - { ip: { address: 10.0.0.2, port: 80 } }
  - { ip: { address: 10.0.0.3, port: 80 } }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: web }
spec:
  parentRefs: [{ name: one }, { name: two }]
  rules:
  - matches: [{ path: { value: /a } }, { path: { value: /b } }]
    backendRefs:
    - { group: gateway.envoyproxy.io, kind: Backend, name: active }
    - { group: gateway.envoyproxy.io, kind: Backend, name: active, weight: 2 }
    - { group: gateway.envoyproxy.io, kind: Backend, name: passive }
  - matches: [{ path: { value: /c } }]
    backendRefs: [{ group: gateway.envoyproxy.io, kind: Backend, name: missing }]
";

fn model() -> Model {
    let mut store = Store::default();
    for document in MANIFESTS.split("\n---\n") {
        let value = serde_saphyr::from_str(document).expect("the YAML is valid");
        let object = parse(value, "default").object.expect("it is admitted");
        store.apply(Change::Applied(object));
    }
    let options = Options {
        controller_names: vec!["locum.dev/gatewayclass-controller".into()],
        listen: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        allow_local_backends: true,
        cluster_domain: "cluster.local".into(),
        rate_limit_service: None,
        addresses: GatewayAddresses::Listeners,
    };
    translate(&store, &options, &Translation::default()).model
}

#[test]
fn a_chain_is_one_case_whatever_uses_it() {
    let model = model();
    let [case] = &cases(&model)[..] else {
        panic!("{:?}", cases(&model));
    };
    let gateways: Vec<String> = case.gateways.iter().map(ToString::to_string).collect();
    assert_eq!(gateways, ["default/one", "default/two"]);
    let uses: Vec<usize> = case.uses.iter().map(|each| each.rule).collect();
    assert_eq!(uses, [0]);
    let answered: Vec<(usize, Option<u16>)> = rules(&model)
        .into_iter()
        .map(|(each, status)| (each.rule, status))
        .collect();
    assert_eq!(answered, [(0, None), (1, Some(500))]);
}

#[test]
fn a_situation_has_what_envoy_hears_of() {
    let model = model();
    let situation = Situation::of(cases(&model)[0].chain);
    // Named twice, a member has its weights together.
    assert_eq!(situation.tiers[0].members.len(), 1);
    assert_eq!(situation.tiers[0].members[0].weight, 3);
    // Of two endpoints with one address in a cluster Envoy keeps the first.
    let addresses = |tier: usize| -> Vec<String> {
        let endpoints = &situation.tiers[tier].members[0].endpoints;
        endpoints.iter().map(|it| it.address.to_string()).collect()
    };
    assert_eq!(addresses(0), ["10.0.0.1:80", "10.0.0.2:80"]);
    assert_eq!(addresses(1), ["10.0.0.3:80"]);
    assert_eq!((situation.panic_percent, situation.aggregate), (1, false));
}

fn situations() -> impl Strategy<Value = Situation> {
    let letters = prop::collection::vec(prop::sample::select(vec!['H', 'D', 'U', 'X']), 0..6);
    let letters = letters.prop_map(|letters| letters.into_iter().collect::<String>());
    let members = prop::collection::vec((1_u32..10, letters), 0..4);
    let tiers = prop::collection::vec(members, 1..5);
    let factor = prop::sample::select(vec![100, 140, 143, 200, 300, SWITCH]);
    let panic = prop::sample::select(vec![0, 1, 50, 100]);
    let layout = (any::<bool>(), any::<bool>());
    (tiers, factor, panic, layout).prop_map(|(tiers, factor, panic, (by_hash, aggregate))| {
        let borrowed: Vec<Vec<(u32, &str)>> = tiers
            .iter()
            .map(|tier| {
                tier.iter()
                    .map(|(weight, it)| (*weight, it.as_str()))
                    .collect()
            })
            .collect();
        let borrowed: Vec<Members<'_>> = borrowed.iter().map(Vec::as_slice).collect();
        Situation {
            panic_percent: panic,
            by_hash,
            aggregate,
            ..situation(&borrowed, factor)
        }
    })
}

fn endpoints(situation: &Situation) -> impl Iterator<Item = &Endpoint> {
    let members = situation.tiers.iter().flat_map(|tier| &tier.members);
    members.flat_map(|member| &member.endpoints)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn all_requests_go_somewhere(situation in situations()) {
        let found = spread(&situation);
        let served: f64 = found.tiers.iter().map(TierSpread::share).sum();
        prop_assert!((served + found.unserved - 100.0).abs() < 1e-6, "{:?}", found);
        let mut shares = found.tiers.iter().flat_map(|tier| &tier.members).flat_map(|it| &it.endpoints);
        prop_assert!(shares.all(|share| (0.0..=100.000_001).contains(share)), "{:?}", found);
        if !situation.by_hash {
            // Either all are answered or none is.
            let whole = found.unserved == 0.0 || found.unserved == 100.0;
            prop_assert!(whole, "{:?}", found);
            let nobody = endpoints(&situation).count() == 0;
            prop_assert!(!nobody || found.unserved == 100.0);
            let usable = |health| health == Health::Healthy || health == Health::Degraded;
            let served = endpoints(&situation).any(|it| usable(it.health));
            prop_assert!(!served || found.unserved == 0.0, "{:?}", found);
        }
    }

    #[test]
    fn in_a_switch_nothing_goes_below_a_tier_with_a_healthy_endpoint(mut situation in situations()) {
        situation.overprovisioning_factor = SWITCH;
        let found = spread(&situation);
        let is_healthy = |tier: &Tier| {
            let mut endpoints = tier.members.iter().flat_map(|member| &member.endpoints);
            endpoints.any(|it| it.health == Health::Healthy)
        };
        if let Some(first) = situation.tiers.iter().position(is_healthy) {
            for (tier, spread) in found.tiers.iter().enumerate() {
                let expected = if tier == first { 100.0 } else { 0.0 };
                prop_assert!((spread.share() - expected).abs() < 1e-6, "{:?}", found);
            }
            // And to nothing but what is healthy.
            for (tier, spread) in situation.tiers.iter().zip(&found.tiers) {
                for (member, spread) in tier.members.iter().zip(&spread.members) {
                    for (endpoint, share) in member.endpoints.iter().zip(&spread.endpoints) {
                        prop_assert!(*share == 0.0 || endpoint.health == Health::Healthy);
                    }
                }
            }
        }
    }
}

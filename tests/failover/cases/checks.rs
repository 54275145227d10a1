//! Probes: how many there are however many rules use a chain, and those that a tier has of its own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use locum_demo::ask;
use locum_demo::echo::{Behaviour, Echo};
use locum_demo::load::Request;
use locum_demo::manifests::{HOST, Ref, policy, route};
use locum_demo::namespace::FarBackend;
use serde_json::Value;

use crate::bench::{Bench, none_lost};
use crate::manifests::failover;
use crate::table::{Row, time};

/// How many rules share a chain.
const RULES: usize = 200;
/// As many as an HTTPRoute can have.
const RULES_OF_ROUTE: usize = 16;
/// How often an endpoint is probed: so rarely that a busy machine is not late for it.
const INTERVAL: Duration = Duration::from_millis(500);
const CHECK: &str =
    "  healthCheck:\n    active: {type: HTTP, interval: 500ms, http: {path: /healthz}}\n";
/// How many probes are counted.
const PROBES: u64 = 8;
/// How long that may take.
const PROBES_LIMIT: Duration = Duration::from_secs(30);
/// How soon a changed file, or a changed answer to probes, must be served.
const SEEN_LIMIT: Duration = Duration::from_secs(10);
/// What a tier may take for a connection, where the others have 2 s.
const CONNECT_TIMEOUT: &str = "connectTimeout: 300ms";
/// Two attempts at that tier and one at the next take less than one attempt of 2 s.
const WORST_LIMIT: Duration = Duration::from_millis(1800);
const FILE: &str = "7-failover.yaml";

pub(crate) async fn two_hundred_rules_share_a_cluster_and_its_probes(
    mut bench: Bench,
) -> anyhow::Result<()> {
    bench.write_page(false)?;
    write_policies(&bench, &["ha-example".to_owned()])?;
    let (mut active, passive) = bench.pair().await?;
    let clusters = clusters(&mut bench).await?;
    let alone = probes(&active, &passive).await?;
    let mut routes = vec!["ha-example".to_owned()];
    for (number, first) in (0..RULES).step_by(RULES_OF_ROUTE).enumerate() {
        let rules = first..RULES.min(first + RULES_OF_ROUTE);
        let name = format!("many-{number}");
        bench.write(&format!("8-{name}.yaml"), &route_of(&name, rules))?;
        routes.push(name);
    }
    write_policies(&bench, &routes)?;
    let deadline = Instant::now() + SEEN_LIMIT;
    for path in (0..RULES).map(path) {
        while ask::get(bench.proxy(), HOST, &path).await?.pod().as_deref() != Some("active") {
            ensure!(Instant::now() < deadline, "{path} is not served");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let together = probes(&active, &passive).await?;
    let all = self::clusters(&mut bench).await?;
    ensure!(
        clusters.len() == 1 && all == clusters,
        "clusters were {clusters:?}, with {RULES} rules more {all:?}"
    );
    let load = bench.load_of(Request {
        paths: (0..RULES).map(path).collect(),
        ..bench.request()
    })?;
    bench.seconds(&load, 2).await?;
    let failure = Instant::now();
    active.kill().await;
    bench.seconds(&load, 3).await?;
    let report = load.stop().await;
    let note = format!(
        "{RULES} rules: {PROBES} probes took {}, with one rule {}",
        time(Some(together)),
        time(Some(alone))
    );
    bench.record(Row::of(&report, Some(failure), None).note(note));
    none_lost(&report)?;
    // Not one more than the interval has room for, whoever is late.
    let least = INTERVAL * u32::try_from(PROBES - 2)?;
    for took in [alone, together] {
        ensure!(took >= least, "{PROBES} probes in {took:?}");
    }
    Ok(())
}

/// The policies of the page's chain, for these routes.
fn write_policies(bench: &Bench, routes: &[String]) -> anyhow::Result<()> {
    let one = "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: ha-example}";
    let all: Vec<_> = routes
        .iter()
        .map(|name| one.replace("ha-example", name))
        .collect();
    let order = failover(["active", "passive"], "");
    for (file, text) in [("4-policy.yaml", policy(CHECK)), (FILE, order)] {
        bench.write(file, &text.replace(one, &all.join(", ")))?;
    }
    Ok(())
}

/// A route with these rules, all to the page's Backends.
fn route_of(name: &str, rules: std::ops::Range<usize>) -> String {
    let one = route(&[Ref::Backend("active"), Ref::Backend("passive")], "");
    let one = one.replace("name: ha-example", &format!("name: {name}"));
    let (head, rule) = one.split_at(one.find("    - backendRefs").unwrap_or(one.len()));
    let rules = rules.map(|number| rule.replace("/test", &path(number)));
    rules.fold(head.to_owned(), |text, rule| text + &rule)
}

fn path(number: usize) -> String {
    format!("/rule-{number}")
}

/// The names of the proxy's clusters that Locum has told it.
async fn clusters(bench: &mut Bench) -> anyhow::Result<Vec<String>> {
    let dump = bench
        .envoy("/config_dump?resource=dynamic_active_clusters")
        .await?;
    let dump: Value = serde_json::from_str(&dump)?;
    let clusters = dump["configs"].as_array().into_iter().flatten();
    let names = clusters.map(|it| Some(it["cluster"]["name"].as_str()?.to_owned()));
    names.collect::<Option<_>>().context("clusters by name")
}

/// How long it takes until each backend has had so many probes, while nothing else is asked.
async fn probes(active: &Echo, passive: &Echo) -> anyhow::Result<Duration> {
    let counts = || [active, passive].map(|echo| echo.counts().requests);
    let (before, since) = (counts(), Instant::now());
    loop {
        let more = counts().into_iter().zip(before).map(|(now, was)| now - was);
        // The busier one counts: neither may have more than its own.
        if more.max().is_some_and(|most| most >= PROBES) {
            return Ok(since.elapsed());
        }
        ensure!(
            since.elapsed() < PROBES_LIMIT,
            "{PROBES} probes do not come"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn a_tier_is_probed_at_a_path_of_its_own(mut bench: Bench) -> anyhow::Result<()> {
    bench.write_page(false)?;
    bench.write("4-policy.yaml", &policy(CHECK))?;
    let own = failover(["active", "passive"], "");
    let own = own.replace("name: active,", "healthCheck: {path: /own}, name: active,");
    ensure!(own.contains("/own"), "no check of its own: {own}");
    bench.write(FILE, &own)?;
    let (active, passive) = bench.pair().await?;
    let load = bench.load()?;
    // What the other tier is asked for says nothing of this one, and the other way round.
    let bad = |path: &str| Behaviour {
        paths: BTreeMap::from([(path.to_owned(), 503)]),
        ..Behaviour::default()
    };
    active.behave(bad("/healthz"));
    passive.behave(bad("/own"));
    bench.seconds(&load, 3).await?;
    let failure = Instant::now();
    active.behave(bad("/own"));
    let by = |pod: &'static str, since: Instant| {
        move |report: &locum_demo::report::Report| report.settled(pod, since).is_some()
    };
    bench
        .until(&load, SEEN_LIMIT, "passive", by("passive", failure))
        .await?;
    bench.seconds(&load, 1).await?;
    let back = Instant::now();
    active.behave(Behaviour::default());
    bench
        .until(&load, SEEN_LIMIT, "active", by("active", back))
        .await?;
    bench.seconds(&load, 1).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, Some(failure), Some(back)).note("only its probe fails"));
    none_lost(&report)?;
    let before = report.answered_by(failure).served_by("passive");
    ensure!(before == 0, "{before} on passive before its probe failed");
    Ok(())
}

pub(crate) async fn a_tier_has_a_connect_timeout_of_its_own(
    mut bench: Bench,
) -> anyhow::Result<()> {
    bench.write_page(false)?;
    let own = failover(["active", "passive"], "");
    let own = own.replace(
        "name: active,",
        &format!("{CONNECT_TIMEOUT}, name: active,"),
    );
    ensure!(
        own.contains(CONNECT_TIMEOUT),
        "no timeout of its own: {own}"
    );
    bench.write(FILE, &own)?;
    let mut active = FarBackend::start("active", 0, None)?;
    let passive = bench.echo("passive", 3).await?;
    bench.write_slice("active", &[active.address()])?;
    bench.write_slice("passive", &[passive.address()])?;
    // Nothing is connected yet, so that connecting is all that can be waited for.
    active.cut()?;
    bench.run().await?;
    // Two attempts, and three failures in a row take an endpoint out: it will be tried again.
    bench.until_served_by("passive").await?;
    let load = bench.load()?;
    bench.seconds(&load, 3).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, None, None).note("no packet reaches active"));
    none_lost(&report)?;
    let worst = report.worst();
    ensure!(worst < WORST_LIMIT, "a request took {worst:?}");
    ensure!(
        worst >= Duration::from_millis(300),
        "active was not tried: {worst:?}"
    );
    Ok(())
}

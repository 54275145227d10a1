//! Many routes: one more beside 200, and 1,000 that come and go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use http::StatusCode;
use locum_demo::ask;
use locum_demo::manifests::numbered_route;

use crate::bench::{Bench, condition, is_true};
use crate::envoy;
use crate::kubectl::{kubectl, kubectl_with};
use crate::metrics::{Metrics, usage};
use crate::stage::Stage;
use crate::{install, say};

/// How many routes there are when another one comes.
const BESIDE: usize = 200;
/// How many times another one comes.
const TIMES: usize = 10;
/// How many come at once.
const MANY: usize = 1000;
/// Between two questions to a route that is awaited.
const PAUSE: Duration = Duration::from_millis(5);
/// How long no proxy answers 404 when all are told.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// The longest that a route may be awaited.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at a Gateway whose routes are being counted.
const LOOK: Duration = Duration::from_millis(100);

/// A route that comes is answered 404 until it is answered 200, and nothing else.
pub(crate) async fn a_route_beside_200_others_is_404_until_it_serves(
    bench: &Bench,
) -> anyhow::Result<()> {
    let stage = Stage::set(bench).await?;
    apply(bench, 0..BESIDE).await?;
    attached(&stage, BESIDE + 1).await?;
    serves(&stage, BESIDE - 1).await?;

    let (mut first, mut all) = (Vec::new(), Vec::new());
    for number in (BESIDE..).take(TIMES) {
        let asked = tokio::spawn(answers(stage.address, host(number)));
        apply(bench, number..number + 1).await?;
        let applied = Instant::now();
        let answers = asked.await??;
        first.push(answers.first_200.saturating_duration_since(applied));
        all.push(answers.last_404.saturating_duration_since(applied));
    }
    say(&format!(
        "  a route beside {BESIDE} others, {TIMES} times, from kubectl's return: to its first 200 {}; \
         to the last 404 of either proxy {}; no other answer",
        spread(first),
        spread(all)
    ));
    Ok(())
}

/// When a host was answered what. There are two proxies, each of which is told for itself.
struct Answers {
    first_200: Instant,
    last_404: Instant,
}

/// Asks for a host until no proxy answers 404 any more. Any answer but 404 and 200 is an error.
async fn answers(address: SocketAddr, host: String) -> anyhow::Result<Answers> {
    let begun = Instant::now();
    let (mut first_200, mut last_404) = (None, begun);
    loop {
        let status = ask::get(address, &host, "/").await?.status;
        let now = Instant::now();
        match status {
            StatusCode::OK => first_200 = first_200.or(Some(now)),
            StatusCode::NOT_FOUND => last_404 = now,
            other => bail!("{host}: {other}"),
        }
        match first_200 {
            Some(first_200) if now - last_404 > AFTERWARDS => {
                return Ok(Answers {
                    first_200,
                    last_404,
                });
            }
            _ => ensure!(now - begun < LIMIT, "{host}: not only 200 in {LIMIT:?}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The best, the median and the worst of some times.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let (best, worst) = (times.first(), times.last());
    format!(
        "{:.2?} / {:.2?} / {:.2?}",
        best.copied().unwrap_or_default(),
        times.get(times.len() / 2).copied().unwrap_or_default(),
        worst.copied().unwrap_or_default()
    )
}

/// 1,000 routes, each with a Backend of its own, are counted soon after the last of them has come;
/// when they have gone, nothing of them is left in Locum or in its proxies.
pub(crate) async fn a_thousand_routes_are_counted_and_leave_nothing(
    bench: &Bench,
) -> anyhow::Result<()> {
    let stage = Stage::set(bench).await?;
    let system = bench.at(install::NAMESPACE);
    let (held, clusters) = (held(bench, &system).await?, envoy::clusters(bench).await?);
    let writes = gateway_writes(&system).await?;
    let used = usage(&system).await?;
    let begun = Instant::now();
    apply(bench, 0..MANY).await?;
    let applied = Instant::now();
    attached(&stage, MANY + 1).await?;
    let counted = applied.elapsed();
    every_status(bench).await?;
    let told = applied.elapsed();
    serves(&stage, MANY - 1).await?;
    serves(&stage, 0).await?;
    say(&format!(
        "  {MANY} routes and Backends: applied in {:.1?}; attachedRoutes right {counted:.1?} after \
         the last, every status {told:.1?} after it; {} writes of the Gateway's status",
        applied - begun,
        gateway_writes(&system).await? - writes
    ));
    for (pod, now) in usage(&system).await? {
        let before = used.get(&pod).copied().unwrap_or_default();
        say(&format!(
            "  {pod}: {:.1} s of a core, {:.0} MB",
            now.cpu_seconds - before.cpu_seconds,
            now.memory / 1e6
        ));
    }

    let begun = Instant::now();
    for path in kinds(bench) {
        // As a collection: kubectl asks for one after another otherwise, for minutes.
        let path = format!("{path}?labelSelector=many%3D1");
        kubectl(&["delete", "--raw", &path]).await?;
    }
    let deleted = Instant::now();
    attached(&stage, 1).await?;
    let counted = deleted.elapsed();
    bench
        .until("Locum and Envoy hold what they held before", async || {
            let now = self::held(bench, &system).await?;
            ensure!(now == held, "Locum: {now:?}, before: {held:?}");
            let now = envoy::clusters(bench).await?;
            ensure!(now == clusters, "Envoy: {now:?}, before: {clusters:?}");
            Ok(true)
        })
        .await?;
    say(&format!(
        "  deleted in {:.1?}; attachedRoutes right {counted:.1?} after the last, nothing left",
        deleted - begun
    ));
    let answer = ask::get(stage.address, &host(0), "/").await?;
    ensure!(answer.status == StatusCode::NOT_FOUND, "{answer:?}");
    Ok(())
}

fn host(number: usize) -> String {
    format!("host-{number}.example.com")
}

/// Applies routes, each with a Backend of its own, by one kubectl.
async fn apply(bench: &Bench, numbers: std::ops::Range<usize>) -> anyhow::Result<()> {
    let namespace = bench.namespace();
    let of_number = |number| {
        let route = numbered_route(number);
        let route = route.replace(
            &format!("{{name: route-{number}}}"),
            &format!("{{name: route-{number}, labels: {{many: \"1\"}}}}"),
        );
        format!(
            "---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: backend-{number}, labels: {{many: \"1\"}}}}
spec:
  endpoints:
    - fqdn: {{hostname: active.{namespace}.svc.cluster.local, port: 3000}}
---
{route}"
        )
    };
    let manifests: String = numbers.map(of_number).collect();
    let arguments = ["-n", namespace, "apply", "--server-side", "-f", "-"];
    kubectl_with(&arguments, &manifests).await?;
    Ok(())
}

/// Waits until the Gateway counts so many routes.
async fn attached(stage: &Stage, routes: usize) -> anyhow::Result<()> {
    let what = format!("{routes} routes are attached");
    let counted = async || {
        // The cluster's API server has to do with what is waited for.
        tokio::time::sleep(LOOK).await;
        let gateway = stage.gateway().await?;
        let attached = &gateway["status"]["listeners"][0]["attachedRoutes"];
        ensure!(*attached == routes, "{attached}");
        Ok(true)
    };
    stage.bench.until(&what, counted).await
}

/// Waits until every route and every Backend is said to be accepted.
async fn every_status(bench: &Bench) -> anyhow::Result<()> {
    for path in kinds(bench) {
        let accepted = async || {
            tokio::time::sleep(LOOK).await;
            let list = bench.read(&path).await?.context("no list")?;
            let items = list["items"].as_array().context("a list has items")?;
            let mut without = items.iter().filter(|item| {
                let status = &item["status"];
                // A route says it of each parent.
                let of_parent = &status["parents"][0]["conditions"];
                let conditions = [of_parent, &status["conditions"]];
                let mut accepted = conditions
                    .map(|list| condition(list, "Accepted"))
                    .into_iter();
                !accepted.any(|accepted| accepted.is_some_and(is_true))
            });
            ensure!(items.len() > MANY, "{} of {path}", items.len());
            ensure!(without.next().is_none(), "not all of {path} have a status");
            Ok(true)
        };
        bench.until("every one has a status", accepted).await?;
    }
    Ok(())
}

/// Where the API server has the kinds of which there are many.
fn kinds(bench: &Bench) -> [String; 2] {
    [
        bench.path("apis/gateway.networking.k8s.io/v1", "httproutes"),
        bench.path("apis/gateway.envoyproxy.io/v1alpha1", "backends"),
    ]
}

async fn serves(stage: &Stage, number: usize) -> anyhow::Result<()> {
    let host = host(number);
    stage
        .bench
        .until_served_by("active", stage.address, &host, "/")
        .await
}

/// What each replica holds for the bench's Gateway: resources for its proxies, and statuses that
/// wait.
async fn held(bench: &Bench, system: &Bench) -> anyhow::Result<BTreeMap<String, (u64, u64)>> {
    let gateway = format!("gateway=\"{}/eg\"", bench.namespace());
    let metrics = Metrics::of(system).await?;
    let resources = metrics.by_replica("locum_snapshot_resources", &gateway)?;
    let pending = metrics.by_replica("locum_status_pending", "")?;
    let held = resources.into_iter().map(|(pod, resources)| {
        let pending = pending.get(pod).copied().unwrap_or_default();
        (pod.to_owned(), (resources, pending))
    });
    Ok(held.collect())
}

/// How often any replica that runs has written a Gateway's status.
async fn gateway_writes(system: &Bench) -> anyhow::Result<u64> {
    let metrics = Metrics::of(system).await?;
    metrics.total("locum_status_writes_total", "kind=\"Gateway\"")
}

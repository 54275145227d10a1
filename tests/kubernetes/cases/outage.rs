//! The API server away while a backend dies: requests go on, and soon after its return statuses are
//! right again.

use std::time::{Duration, Instant};

use anyhow::Context;
use locum_demo::manifests::{HOST, PATH};
use serde_json::Value;

use super::witness;
use crate::bench::{Bench, by_deployment, condition, is_true, none_lost};
use crate::say;
use crate::stage::Stage;

/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(60);
/// How long after its return everything that is new by then has its status.
const RIGHT_WITHIN: Duration = Duration::from_secs(5);

/// The port of the Service for the listener that comes later.
const PORT: &str = r#"[{"op": "add", "path": "/spec/ports/-",
    "value": {"name": "other", "port": 8080, "targetPort": 8080}}]"#;

/// The Pod of `active` dies with its address: what kubelet puts in its place has another one, which
/// nobody is told before the API server is back.
pub(crate) async fn active_dies_while_the_api_server_is_away(bench: &Bench) -> anyhow::Result<()> {
    let stage = Stage::set(bench).await?;
    let server = bench.cluster().own()?.component("kube-apiserver")?;
    let pods = bench.pods("app=active").await?;
    let pod = pods.first().context("no Pod of active")?;
    let active = pod["metadata"]["uid"].as_str().context("no uid")?;
    let address = pod["status"]["podIP"].as_str().context("no address")?;

    let patch = ["patch", "service", "envoy-eg", "--type=json", "-p", PORT];
    bench.kubectl(&patch).await?;
    let load = stage.load()?;
    bench.seconds(&load, 2).await?;
    server.kill()?;
    let away = Instant::now();
    bench.cluster().own()?.kill_processes(active)?;
    let died = Instant::now();
    bench
        .until_served_by("passive", stage.address, HOST, PATH)
        .await?;
    let rest = AWAY.saturating_sub(away.elapsed()).as_secs();
    bench.seconds(&load, u32::try_from(rest)? + 1).await?;

    server.start()?;
    bench.api_server_is_ready().await?;
    let back = Instant::now();
    let was_away = away.elapsed();
    // What is new by then: a route, and another generation of the Gateway.
    bench.apply(witness::ROUTE).await?;
    bench.add_listener().await?;
    let left = RIGHT_WITHIN.saturating_sub(back.elapsed());
    let is_right = async || is_right(&stage).await;
    let right = bench.until_within(left, "the statuses are right", is_right);
    right.await?;
    let right = back.elapsed();
    // How long kubelet and the controllers take to find back is theirs.
    let known = async || has_moved(bench, address).await;
    bench.until("active has another address", known).await?;
    let known = Instant::now();
    bench
        .until_served_by("active", stage.address, HOST, PATH)
        .await?;
    bench.seconds(&load, 3).await?;

    let report = by_deployment(load.stop().await);
    say(&format!(
        "  API server away for {was_away:.0?}: {} requests, {} lost, {} by passive, worst {:.1?}, \
         first by passive {:.1?} after active's death; statuses right {right:.1?} after the return, \
         active again {:.1?} after its new address was known",
        report.requests(),
        report.lost(),
        report.served_by("passive"),
        report.worst(),
        report.first_answer("passive", died).unwrap_or_default(),
        report.first_answer("active", known).unwrap_or_default(),
    ));
    none_lost(&report)
}

/// Whether the Service of `active` has an endpoint that is ready, at another address.
async fn has_moved(bench: &Bench, from: &str) -> anyhow::Result<bool> {
    let slices = "endpointslices?labelSelector=kubernetes.io/service-name%3Dactive";
    let path = bench.path("apis/discovery.k8s.io/v1", slices);
    let slices = bench.read(&path).await?.context("no EndpointSlices")?;
    let slices = slices["items"].as_array().into_iter().flatten();
    let mut endpoints =
        slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
    Ok(endpoints.any(|endpoint| {
        endpoint["conditions"]["ready"] == true && endpoint["addresses"][0] != from
    }))
}

/// Whether the statuses are of what there is now.
async fn is_right(stage: &Stage) -> anyhow::Result<bool> {
    let gateway = stage.gateway().await?;
    let status = &gateway["status"];
    let listeners = status["listeners"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let listener = |name: &str| listeners.iter().find(|listener| listener["name"] == name);
    let counts = [("http", 2), ("other", 2)].iter().all(|(name, routes)| {
        listener(name).is_some_and(|listener| {
            listener["attachedRoutes"] == *routes
                && is_now(&gateway, &listener["conditions"], "Programmed")
        })
    });
    Ok(counts
        && is_now(&gateway, &status["conditions"], "Programmed")
        && witness::is_accepted(&stage.bench).await?)
}

/// Whether a condition is true of the object's present generation.
fn is_now(object: &Value, conditions: &Value, kind: &str) -> bool {
    condition(conditions, kind).is_some_and(|condition| {
        is_true(condition) && condition["observedGeneration"] == object["metadata"]["generation"]
    })
}

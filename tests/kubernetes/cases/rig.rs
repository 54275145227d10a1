//! The cluster itself, without Locum: a broken rig is told apart from a broken Locum.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use locum_demo::load::Request;
use locum_demo::{ask, manifests};

use crate::bench::{Bench, by_deployment, none_lost};
use crate::dns;

/// The cluster's name server, as every Pod is told.
const DNS: ([u8; 4], u16) = ([10, 96, 0, 10], 53);
/// How long a question to an API server that does not answer is kept up.
const NO_ANSWER: Duration = Duration::from_secs(1);
/// How long the API server may take from its start to being ready.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The page's `active`, and a Service for it that has an address outside of the cluster.
const WORKLOADS: &str = manifests::PAGE[1].1;
const OUTER: &str = "
apiVersion: v1
kind: Service
metadata: {name: outer}
spec:
  type: LoadBalancer
  selector: {app: active}
  ports: [{port: 80, targetPort: 3000}]
";

pub(crate) async fn a_pod_answers_through_an_outer_address(bench: &Bench) -> anyhow::Result<()> {
    bench.apply(WORKLOADS).await?;
    bench.apply(OUTER).await?;
    bench.rolled_out("active").await?;
    let address = SocketAddr::new(bench.outer_address("outer").await?, 80);
    bench.until_served_by("active", address, "any", "/").await?;
    let answer = ask::get(address, "any", "/").await?;
    let body: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let namespace = body["namespace"].as_str();
    ensure!(namespace == Some(bench.namespace()), "{body}");
    let load = bench.load(Request::get(address, "any", "/"))?;
    bench.seconds(&load, 2).await?;
    let report = by_deployment(load.stop().await);
    none_lost(&report)?;
    let by_active = report.served_by("active");
    ensure!(by_active == report.requests(), "{:?}", report.by_pod());
    Ok(())
}

pub(crate) async fn a_name_leads_to_a_service_and_it_to_a_pod(bench: &Bench) -> anyhow::Result<()> {
    bench.apply(WORKLOADS).await?;
    bench.rolled_out("passive").await?;
    let address = bench.cluster_address("passive").await?;
    let name = format!("passive.{}.svc.cluster.local", bench.namespace());
    bench
        .until("the Service's name resolves", async || {
            let found = dns::addresses(DNS.into(), &name).await?;
            Ok(found.iter().any(|found| *found == address))
        })
        .await?;
    let address = SocketAddr::new(address, 3000);
    bench
        .until_served_by("passive", address, "any", "/")
        .await?;
    let none = format!("nobody.{}.svc.cluster.local", bench.namespace());
    let found = dns::addresses(DNS.into(), &none).await?;
    ensure!(found.is_empty(), "{none} is {found:?}");
    Ok(())
}

pub(crate) async fn the_api_server_stops_and_comes_back(bench: &Bench) -> anyhow::Result<()> {
    let server = bench.cluster().own()?.component("kube-apiserver")?;
    let ask = async || {
        let answer = tokio::time::timeout(NO_ANSWER, bench.read("/version")).await;
        answer
            .context("no answer")?
            .map(|version| version.is_some())
    };
    ensure!(ask().await?, "no version before anything was done");
    server.freeze()?;
    ensure!(ask().await.is_err(), "a frozen API server answers");
    server.thaw()?;
    bench.until("the thawed API server answers", ask).await?;
    server.kill()?;
    ensure!(ask().await.is_err(), "a killed API server answers");
    server.start()?;
    let back = bench.until_within(START_LIMIT, "the API server is back", ask);
    back.await
}

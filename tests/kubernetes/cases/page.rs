//! The failover page, typed as its reader types it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use locum_demo::ask;
use locum_demo::manifests::{BROKEN, HOST, PAGE, PATH};

use crate::bench::{Bench, by_deployment, deployment_of, none_lost};
use crate::kubectl::kubectl;
use crate::stage::Stage;
use crate::{install, say};

/// The longest that `active` may be out after its Pod is ready: the policy's baseEjectionTime and a
/// second.
const RETURN_LIMIT: Duration = Duration::from_secs(11);
/// The requests that the page's reader makes at a time.
const TEN: usize = 10;
/// How long requests go on after `active` is back.
const AFTERWARDS: u32 = 3;
/// What the page's reader looks at.
const LOOK: [&str; 4] = ["gateway", "httproute", "backend", "backendtrafficpolicy"];

/// Every file of the page, unmodified: ten requests by `active`; broken under load, ten by
/// `passive`; whole again, `active` again; no request lost.
pub(crate) async fn the_page_loses_nothing(bench: &Bench) -> anyhow::Result<()> {
    let page = bench.at("default");
    clear().await?;
    install::locum(bench).await?;
    for (name, _) in PAGE {
        apply(name).await?;
    }
    install::proxies(&page).await?;
    let done = walk(&Stage::standing(&page).await?).await;
    if done.is_ok() {
        clear().await?;
    }
    done
}

async fn walk(stage: &Stage) -> anyhow::Result<()> {
    let (page, address) = (&stage.bench, stage.address);
    ten_by(address, "active").await?;
    look().await?;

    let load = stage.load()?;
    page.seconds(&load, 2).await?;
    let broken = Instant::now();
    apply(BROKEN.0).await?;
    page.rolled_out("active").await?;
    page.until_served_by("passive", address, HOST, PATH).await?;
    ten_by(address, "passive").await?;

    let old = page.ready_pods("app=active").await?;
    apply("1-workloads.yaml").await?;
    page.until("active has another Pod that is ready", async || {
        let pods = page.ready_pods("app=active").await?;
        Ok(pods.iter().any(|pod| !old.contains(pod)))
    })
    .await?;
    let ready = Instant::now();
    page.until_within(RETURN_LIMIT * 2, "active serves everything", async || {
        let report = by_deployment(load.so_far());
        let last = Instant::now() - Duration::from_secs(1);
        let report = report.between(last, Instant::now());
        Ok(report.requests() > 0 && report.served_by("active") == report.requests())
    })
    .await?;
    page.seconds(&load, AFTERWARDS).await?;

    let report = by_deployment(load.stop().await);
    let first = report.first_answer("passive", broken);
    let first = first.context("passive served nothing")?;
    let back = report
        .settled("active", ready)
        .context("active is not back")?;
    say(&format!(
        "  the page: {} requests, {} lost, {} by passive, first of them {first:.1?} after the command, \
         back {back:.1?} after the Pod was ready, worst {:.1?}",
        report.requests(),
        report.lost(),
        report.served_by("passive"),
        report.worst()
    ));
    none_lost(&report)?;
    ensure!(back <= RETURN_LIMIT, "active is back only after {back:?}");
    Ok(())
}

/// Asks ten times, one after another: all are answered by this Deployment.
async fn ten_by(address: SocketAddr, deployment: &str) -> anyhow::Result<()> {
    for number in 1..=TEN {
        let answer = ask::get(address, HOST, PATH).await?;
        let pod = answer.pod().with_context(|| format!("{answer:?}"))?;
        let by = deployment_of(&pod);
        ensure!(by == deployment, "request {number} of {TEN}: by {by}");
    }
    Ok(())
}

async fn apply(file: &str) -> anyhow::Result<()> {
    let file = install::shipped(&format!("demo/page/{file}"));
    kubectl(&["apply", "-f", &file]).await?;
    Ok(())
}

/// What `kubectl get -o wide` shows of the page.
async fn look() -> anyhow::Result<()> {
    for kind in LOOK {
        say(&kubectl(&["-n", "default", "get", kind, "-o", "wide"]).await?);
    }
    Ok(())
}

/// Nothing of the page is left.
async fn clear() -> anyhow::Result<()> {
    let page = install::shipped("demo/page");
    // Kinds that are not installed have no objects.
    let _ = kubectl(&["delete", "-f", &page, "--ignore-not-found"]).await;
    install::remove_proxies("default").await
}

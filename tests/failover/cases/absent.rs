//! One of the two is not there, is not valid, or has no endpoints: the other serves all.

use anyhow::ensure;
use locum_demo::manifests::{PAGE, backend, backend_ip};

use crate::bench::{Bench, none_lost};
use crate::table::Row;

/// An address that can never be a backend's.
const NOWHERE: &str = "{ip: {address: 0.0.0.0, port: 3000}}";

pub(crate) async fn the_standby_deleted(bench: Bench) -> anyhow::Result<()> {
    let active = backend_ip("active", false, &[bench.backend_address(2)]);
    change_standby(bench, "2-backends.yaml", &active, "BackendNotFound").await
}

pub(crate) async fn the_standby_invalid(bench: Bench) -> anyhow::Result<()> {
    let active = backend_ip("active", false, &[bench.backend_address(2)]);
    let backends = active + &backend("passive", true, NOWHERE);
    change_standby(bench, "2-backends.yaml", &backends, "reason: Invalid").await
}

pub(crate) async fn the_standby_without_endpoints(mut bench: Bench) -> anyhow::Result<()> {
    let (_active, _passive) = bench.page(true).await?;
    let load = bench.load()?;
    bench.seconds(&load, 2).await?;
    bench.write_slice("passive", &[])?;
    bench.seconds(&load, 5).await?;
    all_by_active(&bench, load).await?;
    says(&bench, "EndpointsNotFound")
}

/// The standby is taken away under load, which nobody may notice but the reader of the conditions.
async fn change_standby(
    mut bench: Bench,
    file: &str,
    content: &str,
    condition: &str,
) -> anyhow::Result<()> {
    let (_active, _passive) = bench.page(true).await?;
    let load = bench.load()?;
    bench.seconds(&load, 2).await?;
    bench.write(file, content)?;
    bench.seconds(&load, 5).await?;
    all_by_active(&bench, load).await?;
    says(&bench, condition)
}

/// The conditions, or the problems beside them, tell the user.
fn says(bench: &Bench, what: &str) -> anyhow::Result<()> {
    let verdict = bench.verdict()?;
    ensure!(
        verdict.contains(what),
        "no {what:?} in the verdict:\n{verdict}"
    );
    Ok(())
}

async fn all_by_active(bench: &Bench, load: locum_demo::load::Load) -> anyhow::Result<()> {
    let report = load.stop().await;
    bench.record(Row::of(&report, None, None));
    none_lost(&report)?;
    ensure!(
        report.served_by("active") == report.requests(),
        "{:?}",
        report.by_pod()
    );
    Ok(())
}

pub(crate) async fn active_missing(bench: Bench) -> anyhow::Result<()> {
    let passive = backend_ip("passive", true, &[bench.backend_address(3)]);
    bench.write_page(true)?;
    bench.write("2-backends.yaml", &passive)?;
    all_by_passive(bench, "BackendNotFound").await
}

pub(crate) async fn active_invalid(bench: Bench) -> anyhow::Result<()> {
    let passive = backend_ip("passive", true, &[bench.backend_address(3)]);
    bench.write_page(true)?;
    bench.write(
        "2-backends.yaml",
        &(backend("active", false, NOWHERE) + &passive),
    )?;
    all_by_passive(bench, "reason: Invalid").await
}

pub(crate) async fn active_without_endpoints(bench: Bench) -> anyhow::Result<()> {
    for (name, content) in PAGE {
        bench.write(name, content)?;
    }
    bench.write_slice("active", &[])?;
    all_by_passive(bench, "EndpointsNotFound").await
}

async fn all_by_passive(mut bench: Bench, condition: &str) -> anyhow::Result<()> {
    let passive = bench.echo("passive", 3).await?;
    bench.write_slice("passive", &[passive.address()])?;
    bench.run().await?;
    bench.until_served_by("passive").await?;
    let load = bench.load()?;
    bench.seconds(&load, 5).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, None, None));
    none_lost(&report)?;
    ensure!(
        report.served_by("passive") == report.requests(),
        "{:?}",
        report.by_pod()
    );
    says(&bench, condition)
}

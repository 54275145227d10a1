//! Backends that are spoken to in TLS, each by its own name and with its own authority.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use locum_demo::manifests::backend;
use locum_demo::report::Report;
use locum_demo::tls::Authority;

use crate::bench::{Bench, none_lost};
use crate::table::Row;
use crate::tls::Front;

/// The port of the fronts.
const TLS_PORT: u16 = 3443;

fn front_address(bench: &Bench, host: u8) -> SocketAddr {
    SocketAddr::new(bench.address(host).into(), TLS_PORT)
}

/// A Backend at a front, with fields of its endpoint and of its TLS in YAML's flow style.
fn with_tls(name: &str, standby: bool, at: SocketAddr, endpoint: &str, tls: &str) -> String {
    let endpoint = format!(
        "{{ip: {{address: {}, port: {}}}{endpoint}}}",
        at.ip(),
        at.port()
    );
    let plain = backend(name, standby, &endpoint);
    let (spec, end) = plain.split_at(plain.len() - "---\n".len());
    format!("{spec}  tls: {{{tls}}}\n{end}")
}

/// `active` wants a certificate of its clients and is asked for by its name; `passive` has none and
/// a certificate for its address, from another authority.
pub(crate) async fn backends_with_tls_fail_over(mut bench: Bench) -> anyhow::Result<()> {
    let (ours, theirs, clients) = (Authority::new()?, Authority::new()?, Authority::new()?);
    let active = bench.echo("active", 2).await?;
    let passive = bench.echo("passive", 3).await?;
    let (here, there) = (front_address(&bench, 2), front_address(&bench, 3));
    let certified = ours.certify(&["active.example.com"])?;
    let mut active = Front::start(here, active.address(), &certified, Some(&clients)).await?;
    let certified = theirs.certify(&[&there.ip().to_string()])?;
    let passive = Front::start(there, passive.address(), &certified, None).await?;
    bench.write_page(false)?;
    bench.write(
        "5-authorities.yaml",
        &(ours.config_map("ours") + &theirs.config_map("theirs")),
    )?;
    bench.write(
        "6-client.yaml",
        &clients.certify(&["proxy"])?.secret("client"),
    )?;
    let authority =
        |name: &str| format!("caCertificateRefs: [{{group: '', kind: ConfigMap, name: {name}}}]");
    let backends = with_tls(
        "active",
        false,
        here,
        ", hostname: active.example.com",
        &format!(
            "{}, autoSNIFromEndpointHostname: true, clientCertificateRef: {{name: client}}",
            authority("ours")
        ),
    ) + &with_tls("passive", true, there, "", &authority("theirs"));
    bench.write("2-backends.yaml", &backends)?;
    bench.run().await?;
    bench.until_served_by("active").await?;
    let load = bench.load()?;
    bench.seconds(&load, 3).await?;
    let failure = Instant::now();
    active.kill().await;
    bench.seconds(&load, 3).await?;
    let back = Instant::now();
    active.revive().await?;
    let settled = |report: &Report| report.settled("active", back).is_some();
    let limit = Duration::from_secs(15);
    let returned = bench.until(&load, limit, "back on active", settled).await;
    bench.seconds(&load, 1).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, Some(failure), Some(back)));
    returned?;
    none_lost(&report)?;
    let before = report.answered_by(failure).served_by("passive");
    ensure!(before == 0, "{before} by passive while active was well");
    ensure!(report.served_by("passive") > 0, "passive served nothing");
    ensure!(
        active.names() == [Some("active.example.com".to_owned())],
        "{:?}",
        active.names()
    );
    ensure!(passive.names() == [None], "{:?}", passive.names());
    Ok(())
}

/// A certificate that is for another name, or from another authority, is as good as none: nothing is
/// sent to such a backend, and the standby serves everything.
pub(crate) async fn a_certificate_for_another_name_is_a_failed_backend(
    mut bench: Bench,
) -> anyhow::Result<()> {
    let (ours, theirs) = (Authority::new()?, Authority::new()?);
    let active = bench.echo("active", 2).await?;
    let too = bench.echo("active-too", 4).await?;
    let passive = bench.echo("passive", 3).await?;
    let here = [front_address(&bench, 2), front_address(&bench, 4)];
    let there = front_address(&bench, 3);
    let other = ours.certify(&["other.example.com"])?;
    let _other = Front::start(here[0], active.address(), &other, None).await?;
    let strange = theirs.certify(&["active.example.com"])?;
    let _strange = Front::start(here[1], too.address(), &strange, None).await?;
    let right = ours.certify(&["*.example.com"])?;
    let _right = Front::start(there, passive.address(), &right, None).await?;
    bench.write_page(false)?;
    bench.write("5-authorities.yaml", &ours.config_map("ours"))?;
    let tls = |name: &str| {
        format!(
            "caCertificateRefs: [{{group: '', kind: ConfigMap, name: ours}}], sni: {name}.example.com"
        )
    };
    let endpoints = here.map(|at| format!("{{ip: {{address: {}, port: {}}}}}", at.ip(), at.port()));
    let active_backend = backend("active", false, &endpoints.join(", "));
    let active_backend =
        active_backend.replace("---\n", &format!("  tls: {{{}}}\n---\n", tls("active")));
    let passive_backend = with_tls("passive", true, there, "", &tls("passive"));
    bench.write("2-backends.yaml", &(active_backend + &passive_backend))?;
    bench.run().await?;
    bench.until_served_by("passive").await?;
    let load = bench.load()?;
    bench.seconds(&load, 3).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, None, None));
    none_lost(&report)?;
    let trusted_wrongly = active.counts().requests + too.counts().requests;
    ensure!(
        trusted_wrongly == 0,
        "{trusted_wrongly} requests to a backend that is not itself"
    );
    Ok(())
}

/// Whom the backends are believed by changes under load, and what the proxy shows: the next
/// connection goes by it, and no cluster changes for it.
pub(crate) async fn authorities_and_certificates_are_renewed(
    mut bench: Bench,
) -> anyhow::Result<()> {
    let (old, new, clients) = (Authority::new()?, Authority::new()?, Authority::new()?);
    let active = bench.echo("active", 2).await?;
    let passive = bench.echo("passive", 3).await?;
    let (here, there) = (front_address(&bench, 2), front_address(&bench, 3));
    let certified = old.certify(&["active.example.com"])?;
    let mut before = Front::start(here, active.address(), &certified, Some(&clients)).await?;
    let both = old.certify(&["passive.example.com"])?;
    let _standby = Front::start(there, passive.address(), &both, None).await?;
    bench.write_page(false)?;
    let tls = |name: &str, more: &str| {
        format!(
            "caCertificateRefs: [{{group: '', kind: ConfigMap, name: {name}}}], \
             sni: {name}.example.com{more}"
        )
    };
    let shown = ", clientCertificateRef: {name: client}";
    let backends = with_tls("active", false, here, "", &tls("active", shown))
        + &with_tls("passive", true, there, "", &tls("passive", ""));
    bench.write("2-backends.yaml", &backends)?;
    bench.write("5-active.yaml", &old.config_map("active"))?;
    bench.write("5-passive.yaml", &old.config_map("passive"))?;
    bench.write(
        "6-client.yaml",
        &clients.certify(&["proxy"])?.secret("client"),
    )?;
    bench.run().await?;
    bench.until_served_by("active").await?;
    let updates = clusters_updated(&mut bench).await?;
    let load = bench.load()?;
    bench.seconds(&load, 1).await?;
    // The backend's certificate is of the new authority once both are believed, as one does it.
    let (first, second) = (old.config_map("active"), new.pem());
    bench.write("5-active.yaml", &believing_too(&first, second))?;
    bench.write(
        "6-client.yaml",
        &clients.certify(&["proxy"])?.secret("client"),
    )?;
    bench.seconds(&load, 2).await?;
    before.kill().await;
    let renewed = new.certify(&["active.example.com"])?;
    let _after = Front::start(here, active.address(), &renewed, Some(&clients)).await?;
    let back = Instant::now();
    let settled = |report: &Report| report.settled("active", back).is_some();
    let limit = Duration::from_secs(15);
    let returned = bench
        .until(&load, limit, "active is believed", settled)
        .await;
    bench.seconds(&load, 1).await?;
    let report = load.stop().await;
    bench.record(Row::of(&report, None, Some(back)));
    returned?;
    none_lost(&report)?;
    let after = clusters_updated(&mut bench).await?;
    ensure!(
        updates == after,
        "clusters were changed: {updates}, then {after}"
    );
    Ok(())
}

/// A ConfigMap that says that another authority is believed too.
fn believing_too(config_map: &str, authority: &str) -> String {
    let lines = authority.lines().map(|line| format!("    {line}\n"));
    config_map.replace("---\n", &(lines.collect::<String>() + "---\n"))
}

/// How often a cluster was added or changed.
async fn clusters_updated(bench: &mut Bench) -> anyhow::Result<u64> {
    let stats = bench
        .envoy("/stats?filter=cluster_manager.cluster_")
        .await?;
    let counted = ["cluster_added", "cluster_modified"].map(|name| {
        let mut lines = stats.lines();
        let line = lines.find(|line| line.starts_with(&format!("cluster_manager.{name}:")));
        let number = line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        number.with_context(|| format!("no {name} in {stats}"))
    });
    let [added, modified] = counted;
    Ok(added? + modified?)
}

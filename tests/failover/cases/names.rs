//! Tiers that are found in different ways: names by DNS, addresses and Services by Locum.

use std::time::{Duration, Instant};

use anyhow::ensure;
use locum_demo::dns::{Dns, SECONDS_TO_LIVE};
use locum_demo::manifests::{Ref, backend_fqdn, backend_ip, route};
use locum_demo::report::{Record, Report};

use crate::bench::{BACKEND_PORT, Bench, none_lost};
use crate::table::Row;

/// How late the slow name resolves.
const LATE: Duration = Duration::from_millis(1500);
/// How often `active` gets another name.
const EDITS: usize = 10;
/// Beside that delay: a changed manifest's way to Envoy.
const MARGIN: Duration = Duration::from_millis(700);
/// How soon an edit must be served: its name's delay and a margin.
const SEEN_LIMIT: Duration = Duration::from_secs(10);

pub(crate) async fn active_ip_and_passive_name(mut bench: Bench) -> anyhow::Result<()> {
    let dns = Dns::start(SECONDS_TO_LIVE).await?;
    dns.set("passive.example.net", bench.address(3), Duration::ZERO);
    bench.write_page(true)?;
    let active = backend_ip("active", false, &[bench.backend_address(2)]);
    let passive = backend_fqdn("passive", true, "passive.example.net", BACKEND_PORT);
    bench.write("2-backends.yaml", &(active + &passive))?;
    mixed(&mut bench).await
}

pub(crate) async fn active_service_and_passive_name(mut bench: Bench) -> anyhow::Result<()> {
    let dns = Dns::start(SECONDS_TO_LIVE).await?;
    dns.set("passive.example.net", bench.address(3), Duration::ZERO);
    bench.write_page(true)?;
    let passive = backend_fqdn("passive", true, "passive.example.net", BACKEND_PORT);
    bench.write("2-backends.yaml", &passive)?;
    let references = [Ref::Service("active"), Ref::Backend("passive")];
    bench.write("3-route.yaml", &route(&references, ""))?;
    mixed(&mut bench).await
}

pub(crate) async fn active_name_and_passive_ip(mut bench: Bench) -> anyhow::Result<()> {
    let dns = Dns::start(SECONDS_TO_LIVE).await?;
    dns.set("active.example.net", bench.address(2), Duration::ZERO);
    bench.write_page(true)?;
    let active = backend_fqdn("active", false, "active.example.net", BACKEND_PORT);
    let passive = backend_ip("passive", true, &[bench.backend_address(3)]);
    bench.write("2-backends.yaml", &(active + &passive))?;
    mixed(&mut bench).await
}

/// While `active` is well the standby gets nothing; when it dies at most one request is lost.
async fn mixed(bench: &mut Bench) -> anyhow::Result<()> {
    let (mut active, passive) = bench.pair().await?;
    let early = passive.counts().requests;
    let load = bench.load()?;
    bench.seconds(&load, 4).await?;
    let failure = Instant::now();
    active.kill().await;
    bench.seconds(&load, 5).await?;
    let back = Instant::now();
    active.revive().await?;
    let settled = |report: &Report| report.settled("active", back).is_some();
    let returned = bench
        .until(&load, Duration::from_secs(15), "back on active", settled)
        .await;
    bench.seconds(&load, 2).await?;
    let report = load.stop().await;
    let row = Row::of(&report, Some(failure), Some(back));
    bench.record(row.note(format!("{early} on passive at start")));
    returned?;
    let before = report.answered_by(failure);
    ensure!(
        before.served_by("passive") == 0,
        "while active was well: {:?}",
        before.by_pod()
    );
    ensure!(
        report.lost() <= 1,
        "{} lost: {:?}",
        report.lost(),
        report.losses()
    );
    Ok(())
}

pub(crate) async fn active_resolves_late(mut bench: Bench) -> anyhow::Result<()> {
    let dns = Dns::start(SECONDS_TO_LIVE).await?;
    dns.set("passive.example.net", bench.address(3), Duration::ZERO);
    // Two backends with one role: an edit is seen when the other one answers.
    let _one = bench.echo("active", 2).await?;
    let _other = bench.echo("active-too", 4).await?;
    let passive = bench.echo("passive", 3).await?;
    for (edit, host) in (0..=EDITS).zip([2, 4].into_iter().cycle()) {
        dns.set(
            &format!("active-{edit}.example.net"),
            bench.address(host),
            LATE,
        );
    }
    bench.write_page(true)?;
    write_names(&bench, 0)?;
    bench.run().await?;
    bench.until_served_by("active").await?;
    let at_start = passive.counts().requests;
    let load = bench.load()?;
    let mut edits = Vec::new();
    for edit in 1..=EDITS {
        let wanted = ["active", "active-too"][edit % 2];
        let before = Instant::now();
        write_names(&bench, edit)?;
        edits.push(before);
        let seen = |report: &Report| report.first_answer(wanted, before).is_some();
        bench
            .until(&load, SEEN_LIMIT, &format!("edit {edit} seen"), seen)
            .await?;
        bench.seconds(&load, 1).await?;
    }
    let report = load.stop().await;
    let row = Row::of(&report, None, None);
    bench.record(row.note(format!("{at_start} on passive at start, {EDITS} edits")));
    none_lost(&report)?;
    // The standby's name may be known before: until active's is, and no longer, the standby may
    // serve.
    let early = |record: &&Record| {
        let known = |edit: &Instant| report.offset(*edit) + LATE + MARGIN;
        edits.iter().any(|edit| {
            record.answered() >= report.offset(*edit) && record.answered() <= known(edit)
        })
    };
    let by_passive = |record: &&Record| record.pod().is_some_and(|pod| &**pod == "passive");
    let mut late = report
        .records()
        .iter()
        .filter(by_passive)
        .filter(|record| !early(record));
    let late = late.next();
    ensure!(
        late.is_none(),
        "served by the standby though active's name was known: {late:?}"
    );
    Ok(())
}

fn write_names(bench: &Bench, edit: usize) -> anyhow::Result<()> {
    let active = backend_fqdn(
        "active",
        false,
        &format!("active-{edit}.example.net"),
        BACKEND_PORT,
    );
    let passive = backend_fqdn("passive", true, "passive.example.net", BACKEND_PORT);
    bench.write("2-backends.yaml", &(active + &passive))
}

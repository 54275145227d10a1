//! `deploy/examples/three-tier` as it is shipped, but for the addresses and for who signs: the name
//! outside is a server of this case.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use locum_demo::dns::{Dns, SECONDS_TO_LIVE};
use locum_demo::echo::Echo;
use locum_demo::report::Report;
use locum_demo::tls::Authority;

use crate::bench::{Bench, none_lost};
use crate::table::Row;
use crate::tls::Front;

const FILES: [(&str, &str); 5] = [
    (
        "gateway.yaml",
        include_str!("../../../deploy/examples/three-tier/gateway.yaml"),
    ),
    (
        "here.yaml",
        include_str!("../../../deploy/examples/three-tier/here.yaml"),
    ),
    (
        "there.yaml",
        include_str!("../../../deploy/examples/three-tier/there.yaml"),
    ),
    (
        "route.yaml",
        include_str!("../../../deploy/examples/three-tier/route.yaml"),
    ),
    (
        "policies.yaml",
        include_str!("../../../deploy/examples/three-tier/policies.yaml"),
    ),
];
const ELSEWHERE: &str = include_str!("../../../deploy/examples/three-tier/elsewhere.yaml");
const ENDPOINTS: &str = include_str!("../../../deploy/examples/three-tier/endpoints.yaml");

/// The name outside, and the port that the example has for it.
const OUTSIDE: &str = "shop.example.net";
const OUTSIDE_PORT: u16 = 443;

/// The three tiers.
struct Tiers {
    here: [Echo; 2],
    there: [Echo; 2],
    elsewhere: Front,
    // What they need as long as they are there.
    _behind: Echo,
    _dns: Dns,
}

impl Tiers {
    async fn start(bench: &Bench, authority: &Authority) -> anyhow::Result<Self> {
        let outside = bench.address(6);
        let dns = Dns::start(SECONDS_TO_LIVE).await?;
        dns.set(OUTSIDE, outside, Duration::ZERO);
        let here = [2, 3].map(|host| bench.echo("active", host));
        let [first, second] = here;
        let here = [first.await?, second.await?];
        let there = [4, 5].map(|host| bench.echo("passive", host));
        let [first, second] = there;
        let there = [first.await?, second.await?];
        let behind = bench.echo("elsewhere", 6).await?;
        let certified = authority.certify(&[OUTSIDE])?;
        let at = SocketAddr::new(outside.into(), OUTSIDE_PORT);
        Ok(Self {
            here,
            there,
            elsewhere: Front::start(at, behind.address(), &certified, None).await?,
            _behind: behind,
            _dns: dns,
        })
    }
}

/// Tier by tier goes, and all come back.
pub(crate) async fn the_three_tiers_of_the_example(mut bench: Bench) -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let mut tiers = Tiers::start(&bench, &authority).await?;
    write_example(&bench, &authority)?;
    bench.run().await?;
    bench.until_served_by("active").await?;
    let load = bench.load()?;
    bench.seconds(&load, 2).await?;
    let first = Instant::now();
    for echo in &mut tiers.here {
        echo.kill().await;
    }
    bench.seconds(&load, 3).await?;
    let second = Instant::now();
    for echo in &mut tiers.there {
        echo.kill().await;
    }
    bench.seconds(&load, 3).await?;
    let back = Instant::now();
    for echo in tiers.here.iter_mut().chain(&mut tiers.there) {
        echo.revive().await?;
    }
    let settled = |report: &Report| report.settled("active", back).is_some();
    let limit = Duration::from_secs(20);
    let returned = bench.until(&load, limit, "back on active", settled).await;
    bench.seconds(&load, 1).await?;
    let report = load.stop().await;
    let third = report.served_by("elsewhere");
    let row = Row::of(&report, Some(first), Some(back));
    bench.record(row.note(format!("{third} on the third tier")));
    returned?;
    none_lost(&report)?;
    each_in_its_turn(&report, first, second)?;
    let names = tiers.elsewhere.names();
    ensure!(names == [Some(OUTSIDE.to_owned())], "{names:?}");
    Ok(())
}

/// No tier serves while one before it is well; each serves when none is.
fn each_in_its_turn(report: &Report, first: Instant, second: Instant) -> anyhow::Result<()> {
    let before = report.answered_by(first);
    let early = before.served_by("passive") + before.served_by("elsewhere");
    ensure!(
        early == 0,
        "{early} by standbys while the first tier was well"
    );
    let early = report.answered_by(second).served_by("elsewhere");
    ensure!(
        early == 0,
        "{early} by the third tier while the second was well"
    );
    for pod in ["passive", "elsewhere"] {
        ensure!(report.served_by(pod) > 0, "{:?}", report.by_pod());
    }
    Ok(())
}

fn write_example(bench: &Bench, authority: &Authority) -> anyhow::Result<()> {
    for (name, content) in FILES {
        bench.write(name, content)?;
    }
    let system = "    wellKnownCACertificates: System\n";
    ensure!(ELSEWHERE.contains(system), "the example's TLS is another");
    let own = "    caCertificateRefs: [{group: '', kind: ConfigMap, name: shop-elsewhere-ca}]\n";
    bench.write("elsewhere.yaml", &ELSEWHERE.replace(system, own))?;
    let config_map = authority.config_map("shop-elsewhere-ca");
    let config_map = config_map.replace("metadata:\n", "metadata:\n  namespace: shop\n");
    bench.write("authority.yaml", &config_map)?;
    let mut endpoints = ENDPOINTS.to_owned();
    let shipped = ["127.0.1.1", "127.0.1.2", "127.0.2.1", "127.0.2.2"];
    for (host, address) in (2..).zip(shipped) {
        ensure!(endpoints.contains(address), "the example has no {address}");
        endpoints = endpoints.replace(address, &bench.address(host).to_string());
    }
    bench.write("endpoints.yaml", &endpoints)
}

//! How the work of a stream's machine grows with the clusters of a proxy: one of them is edited
//! while the first response is under way, and then both are acknowledged.
//!
//! A ratio again: eight times the clusters may take [`SLACK`] times eight times as long. Each name
//! looked for among all others would make it sixty-four.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use locum::xds::kind::Kind;
use locum::xds::message::{Request, Variant};
use locum::xds::resource::{Readiness, Resource};
use locum::xds::snapshot::Snapshot;
use locum::xds::stream::Stream;

const FEW: u32 = 1_000;
const MANY: u32 = 8_000;
/// How much worse than linear it may be: trees are deeper, caches are smaller than what is in them.
const SLACK: f64 = 3.0;
/// The quickest of so many runs counts.
const RUNS: usize = 5;

fn main() -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    for variant in [Variant::Delta, Variant::StateOfTheWorld] {
        let [few, many] = [FEW, MANY].map(|clusters| {
            let runs = (0..RUNS).map(|_| edit(variant, clusters));
            runs.min().unwrap_or_default()
        });
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        writeln!(
            output,
            "{:<6} {FEW} clusters {few:>10.1?}, {MANY} clusters {many:>10.1?}, ratio {ratio:.1}",
            variant.name()
        )?;
        ensure!(
            ratio < SLACK * f64::from(MANY) / f64::from(FEW),
            "it grows faster than the clusters"
        );
    }
    Ok(())
}

/// How long the machine takes over a start and an edit of one cluster.
fn edit(variant: Variant, clusters: u32) -> Duration {
    let [before, after] = ["before", "after"].map(|content| Arc::new(snapshot(clusters, content)));
    let mut stream = Stream::new(variant);
    let started = Instant::now();
    stream.snapshot(Duration::ZERO, before);
    say(&mut stream, variant, Kind::Cluster, "");
    say(&mut stream, variant, Kind::Endpoint, "");
    stream.snapshot(Duration::from_secs(1), after);
    for nonce in ["1", "2"] {
        say(&mut stream, variant, Kind::Cluster, nonce);
    }
    started.elapsed()
}

fn say(stream: &mut Stream, variant: Variant, kind: Kind, nonce: &str) {
    match variant {
        Variant::Delta => take(
            stream,
            &DeltaDiscoveryRequest {
                type_url: kind.type_url().into(),
                response_nonce: nonce.into(),
                ..Default::default()
            },
        ),
        Variant::StateOfTheWorld => take(
            stream,
            &DiscoveryRequest {
                type_url: kind.type_url().into(),
                response_nonce: nonce.into(),
                ..Default::default()
            },
        ),
    }
}

fn take<R: Request>(stream: &mut Stream, request: &R) {
    let taken = stream.request(Duration::from_secs(1), request);
    taken.expect("the names are within the limit");
}

/// Clusters with endpoints, of which the first has this content.
fn snapshot(clusters: u32, content: &str) -> Snapshot {
    let resources = (0..clusters).flat_map(|number| {
        let name = format!("cluster-{number}");
        let mut message = Cluster {
            name: name.clone(),
            ..Default::default()
        };
        let endpoints = Resource::new(Kind::Endpoint, &name, &message);
        if number == 0 {
            message.alt_stat_name = content.into();
        }
        let mut cluster = Resource::new(Kind::Cluster, &name, &message);
        cluster.readiness = Readiness::Endpoints;
        cluster.references = [(Kind::Endpoint, name.as_str().into())].into();
        [cluster, endpoints]
    });
    Snapshot::new(resources.collect::<Vec<_>>(), None)
}

//! Load reports in, the serving tier out.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterStats, UpstreamLocalityStats};
use envoy_types::pb::envoy::service::load_stats::v3 as load_stats;
use load_stats::load_reporting_service_client::LoadReportingServiceClient;
use locum::api::v1;
use locum::api::v1::serving_client::ServingClient;
use locum::model::ChainName;
use locum::serving::Layout;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::harness::{GATEWAY, Server, eventually};

/// A Gateway with a chain of two tiers.
fn two_tiers() -> Layout {
    let tiers = vec![vec!["active".to_owned()], vec!["passive".to_owned()]];
    let chains = [(ChainName("chain".into()), tiers)].into();
    [(GATEWAY.to_owned(), chains)].into()
}

fn stats(priority: u32, successes: u64, errors: u64) -> ClusterStats {
    ClusterStats {
        cluster_name: "chain".into(),
        upstream_locality_stats: vec![UpstreamLocalityStats {
            priority,
            total_successful_requests: successes,
            total_error_requests: errors,
            ..Default::default()
        }],
        ..Default::default()
    }
}

#[tokio::test]
async fn who_serves_is_told_to_those_who_watch() {
    let server = Server::start().await;
    server.shared.serving.observe(two_tiers());
    let url = format!("http://{}", server.address);
    let wanted = v1::WatchRequest {
        gateway: GATEWAY.into(),
        ..Default::default()
    };
    let mut watcher = ServingClient::connect(url.clone()).await.unwrap();
    let mut watched = watcher.watch(wanted).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(first.chains[0].serving_tier, None);
    assert_eq!(first.chains[0].tiers[1].members, ["passive"]);

    let (reports, receiver) = mpsc::channel(4);
    let mut client = LoadReportingServiceClient::connect(url).await.unwrap();
    let stream = client.stream_load_stats(ReceiverStream::new(receiver));
    let mut answers = stream.await.unwrap().into_inner();
    let node = Node {
        id: "proxy".into(),
        cluster: GATEWAY.into(),
        ..Default::default()
    };
    let hello = load_stats::LoadStatsRequest {
        node: Some(node),
        cluster_stats: Vec::new(),
    };
    reports.send(hello).await.unwrap();
    let how = answers.message().await.unwrap().unwrap();
    assert!(how.send_all_clusters && how.report_endpoint_granularity);
    assert_eq!(how.load_reporting_interval.unwrap().seconds, 1);

    for (report, serving) in [
        (vec![stats(0, 200, 0)], 0),
        (vec![stats(0, 0, 2), stats(1, 198, 0)], 1),
    ] {
        let report = load_stats::LoadStatsRequest {
            node: None,
            cluster_stats: report,
        };
        reports.send(report).await.unwrap();
        let told = tokio::time::timeout(Duration::from_secs(5), watched.message());
        let told = told.await.unwrap().unwrap().unwrap();
        assert_eq!(told.chains[0].serving_tier, Some(serving));
        assert!(told.chains[0].since.is_some());
    }
    let state = server.shared.serving.state();
    assert_eq!(state[GATEWAY]["chain"].tiers[0].counts.errors, 2);
    drop((reports, answers));
    eventually("a proxy that is gone counts no longer", || {
        server.shared.serving.state()[GATEWAY]["chain"].tiers[1]
            .counts
            .requests
            == 0
    })
    .await;
    assert_eq!(
        server.shared.serving.state()[GATEWAY]["chain"].serving_tier,
        Some(1)
    );
}

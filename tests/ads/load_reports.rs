//! Load reports in, the serving tier out.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{Locality, Node};
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterStats, UpstreamLocalityStats};
use envoy_types::pb::envoy::service::load_stats::v3 as load_stats;
use load_stats::load_reporting_service_client::LoadReportingServiceClient;
use locum::api::v1;
use locum::api::v1::serving_client::ServingClient;
use locum::model::ChainName;
use locum::serving::Layout;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::harness::{GATEWAY, Server, eventually};

/// A Gateway with a chain of two tiers.
fn two_tiers() -> Layout {
    let tiers = vec![vec!["active".to_owned()], vec!["passive".to_owned()]];
    let chains = [(ChainName("chain".into()), tiers)].into();
    [(GATEWAY.to_owned(), chains)].into()
}

fn stats(member: &str, successes: u64, errors: u64) -> ClusterStats {
    ClusterStats {
        cluster_name: "chain".into(),
        upstream_locality_stats: vec![UpstreamLocalityStats {
            locality: Some(Locality {
                region: member.into(),
                ..Default::default()
            }),
            total_successful_requests: successes,
            total_error_requests: errors,
            ..Default::default()
        }],
        ..Default::default()
    }
}

type Reports = mpsc::Sender<load_stats::LoadStatsRequest>;

/// A stream of load reports that has said who it is.
async fn reporter(server: &Server) -> (Reports, Streaming<load_stats::LoadStatsResponse>) {
    let (reports, receiver) = mpsc::channel(4);
    let url = format!("http://{}", server.address);
    let mut client = LoadReportingServiceClient::connect(url).await.unwrap();
    let stream = client.stream_load_stats(ReceiverStream::new(receiver));
    let answers = stream.await.unwrap().into_inner();
    reports.send(report("proxy", Vec::new())).await.unwrap();
    (reports, answers)
}

fn report(node: &str, cluster_stats: Vec<ClusterStats>) -> load_stats::LoadStatsRequest {
    let node = Node {
        id: node.into(),
        cluster: GATEWAY.into(),
        ..Default::default()
    };
    load_stats::LoadStatsRequest {
        node: Some(node),
        cluster_stats,
    }
}

/// How many requests are counted for the first tier.
fn requests(server: &Server) -> u64 {
    server.shared.serving.state()[GATEWAY]["chain"].tiers[0]
        .counts
        .requests
}

#[tokio::test]
async fn streams_of_one_node_count_each_for_itself() {
    let server = Server::start().await;
    server.shared.serving.observe(two_tiers());
    let (first, first_answers) = reporter(&server).await;
    let (second, _second_answers) = reporter(&server).await;
    first
        .send(report("proxy", vec![stats("active", 30, 0)]))
        .await
        .unwrap();
    eventually("the first counts", || requests(&server) == 30).await;
    second
        .send(report("proxy", vec![stats("active", 12, 0)]))
        .await
        .unwrap();
    eventually("both count", || requests(&server) == 42).await;
    drop((first, first_answers));
    eventually("the second goes on", || requests(&server) == 12).await;
}

#[tokio::test]
async fn a_stream_of_reports_ends_when_another_node_speaks() {
    let server = Server::start().await;
    let (reports, mut answers) = reporter(&server).await;
    answers.message().await.unwrap();
    reports.send(report("other", Vec::new())).await.unwrap();
    let refused = answers.message().await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
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
    let mut watcher = ServingClient::connect(url).await.unwrap();
    let mut watched = watcher.watch(wanted).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(first.chains[0].serving_tier, None);
    assert_eq!(first.chains[0].tiers[1].members, ["passive"]);

    let (reports, mut answers) = reporter(&server).await;
    let how = answers.message().await.unwrap().unwrap();
    assert!(how.send_all_clusters && how.report_endpoint_granularity);
    assert_eq!(how.load_reporting_interval.unwrap().seconds, 1);

    for (report, serving) in [
        (vec![stats("active", 200, 0)], 0),
        (vec![stats("active", 0, 2), stats("passive", 198, 0)], 1),
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

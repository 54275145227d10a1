//! A proxy that is slow, or wants too much, costs the others nothing.

use locum::xds::clients::Detail;
use locum::xds::kind::Kind;
use locum::xds::stream::MAX_NAMES;
use tonic::Code;

use crate::harness::{GATEWAY, Server, eventually};

#[tokio::test]
async fn a_proxy_that_does_not_read_is_sent_one_response_and_delays_no_other() {
    let server = Server::start().await;
    server.serve(GATEWAY, "endpoint a:1").await;
    let mut stuck = server.connect(GATEWAY).await;
    stuck.play("> endpoint +a").await;
    eventually("the stuck proxy is sent its endpoints", || {
        sent(&server) == 1
    })
    .await;
    let mut quick = server.connect(GATEWAY).await;
    quick
        .play("> endpoint +a\n< endpoint a:1\n> endpoint ack")
        .await;
    for content in 2..=9 {
        server
            .serve(GATEWAY, &format!("endpoint a:{content}"))
            .await;
        quick
            .play(&format!("< endpoint a:{content}\n> endpoint ack"))
            .await;
    }
    assert_eq!(sent(&server), 1);
    stuck
        .play("< endpoint a:1\n> endpoint ack\n< endpoint a:9")
        .await;
}

/// The responses that the proxy connected longest was sent.
fn sent(server: &Server) -> u64 {
    let reports = server.shared.clients.reports(Detail::Counts);
    let oldest = reports.first();
    oldest
        .and_then(|report| report.types.get("endpoint"))
        .map_or(0, |endpoints| endpoints.sent.responses)
}

#[tokio::test]
async fn a_stream_with_too_many_names_is_ended() {
    let server = Server::start().await;
    let mut proxy = server.connect(GATEWAY).await;
    let names = (0..=MAX_NAMES).map(|n| n.to_string()).collect();
    let request = envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest {
        node: proxy.node.take(),
        type_url: Kind::Endpoint.type_url().into(),
        resource_names_subscribe: names,
        ..Default::default()
    };
    proxy.requests.send(request).await.unwrap();
    let status = proxy.end().await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(
        status.message().contains(&MAX_NAMES.to_string()),
        "{status}"
    );
}

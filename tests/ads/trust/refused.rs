//! Who is refused: it hears why, and is heard anew once what was wrong is corrected.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::{
    Volume, authority, discovery_for, proxy_of, reports_for, server, server_of, tls, watches,
};
use crate::envoy::edge;
use crate::harness::{BOUND, GATEWAY, eventually};

#[tokio::test]
async fn who_is_refused_is_heard_anew_on_another_connection() {
    type Ask = fn(Channel) -> BoxFuture<'static, Result<(), Status>>;
    let authority = authority();
    let server = server(&authority).await;
    server.serve(GATEWAY, "cluster a:1").await;
    let wrong = proxy_of(&authority, "default/other");
    let (proxy, replica) = (proxy_of(&authority, GATEWAY), server_of(&authority));
    let services: [(Ask, _); 3] = [
        (|channel| Box::pin(discovery_for(GATEWAY, channel)), &proxy),
        (|channel| Box::pin(reports_for(GATEWAY, channel)), &proxy),
        (|channel| Box::pin(watches(channel)), &replica),
    ];
    for (ask, right) in services {
        // A client whose credentials are replaced where they lie, as an Envoy's are.
        let (tls, renewal) = tls(wrong.clone());
        let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
        let channel = tls.channel(&endpoint, server.address);
        let refused = ask(channel.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        renewal.renew(&right.clone().into()).unwrap();
        let heard = timeout(BOUND, async {
            while ask(channel.clone()).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        });
        heard.await.expect("the client makes another connection");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_is_refused_says_why_and_joins_when_its_certificate_is_corrected() {
    let authority = authority();
    let server = server(&authority).await;
    let mut of_proxy = Volume::with(&proxy_of(&authority, "default/other"));
    let secrets = tempfile::tempdir().unwrap();
    let envoy = of_proxy.envoy(secrets.path(), server.address);
    eventually("Envoy hears of it", || {
        let log = envoy.log();
        log.contains("default/other") && log.contains(GATEWAY)
    })
    .await;
    // It tries again and again, and each time counts as connected for a moment.
    envoy.awaits("control_plane.connected_state", 0).await;

    // Its files are corrected while it runs, and it stays as it is.
    of_proxy.put(&proxy_of(&authority, GATEWAY));
    let edge = edge().await;
    server.gives(&edge).await;
    envoy
        .awaits("listener_manager.total_listeners_active", 1)
        .await;
}

//! Who is refused: it hears why, and is heard anew once what was wrong is corrected.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::BoxFuture;
use locum::trust::{Certificate, Issued};
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::{
    Volume, authority, channel, discovery_for, in_plaintext, proxy_of, reports_for, run_out,
    server, server_of, strangers_own, tls, watches, without_certificate,
};
use crate::envoy::edge;
use crate::harness::{BOUND, GATEWAY, Log, eventually};

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

/// An attempt with these credentials, or in plaintext.
async fn cannot_join(credentials: Option<Issued>, server: SocketAddr) {
    let refused = match credentials {
        Some(credentials) => discovery_for(GATEWAY, channel(credentials, server)).await,
        None => in_plaintext(server).await,
    };
    refused.unwrap_err();
}

#[tokio::test]
async fn a_failed_handshake_is_logged_once_with_its_remedy_and_counted_each_time() {
    let log = Log::start();
    let known = authority();
    let server = server(&known).await;
    let (ran_out, patient) = run_out(&known).await;
    let disbelieves = Issued {
        trust: authority().trust(),
        ..proxy_of(&known, GATEWAY)
    };
    let until = Certificate::all(&ran_out.certificate, "tls.crt").unwrap()[0].not_after;
    let ran_out_at = format!("the peer's certificate ran out at {}T", until.date());
    const REMEDY: &str = "issue them again with `locum certs --gateway NAMESPACE/NAME`";
    let disbelieved = "the peer does not believe the CA of Locum's certificate";
    let unbelieved = "Locum does not believe the CA of the peer's certificate";
    let cases: [(_, Option<Issued>, _, _, _); 4] = [
        (
            &server,
            Some(disbelieves),
            "peer_disbelieves_ca",
            disbelieved,
            REMEDY,
        ),
        (
            &server,
            Some(strangers_own(&known)),
            "unknown_ca",
            unbelieved,
            REMEDY,
        ),
        (&patient, Some(ran_out), "expired", &*ran_out_at, REMEDY),
        (
            &server,
            None,
            "plaintext",
            "TLS handshake failed",
            "speaks no TLS",
        ),
    ];
    for (server, credentials, cause, words, remedy) in cases {
        for _ in 0..3 {
            cannot_join(credentials.clone(), server.address).await;
        }
        let metric = format!("locum_xds_connections_refused_total{{cause=\"{cause}\"}}");
        eventually(&metric, || server.counted(&metric) >= Some(3)).await;
        let lines = log.lines(words);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains(remedy) && lines[0].contains("peer=127.0.0.1:"),
            "{lines:?}"
        );
    }
    for _ in 0..2 {
        assert_eq!(without_certificate(&known, server.address).await, None);
    }
    let lines = log.lines("the peer shows no certificate");
    assert_eq!(lines.len(), 1, "{lines:?}");
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

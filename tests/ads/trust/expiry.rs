//! Certificates that run out: seen by who runs Locum, in time.

use discovery::DeltaDiscoveryRequest;
use discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use locum::trust::{self, Certificate, Issued, PROXY_LIFE};
use locum::xds::clients::Detail;
use locum::xds::kind::Kind;
use locum::xds::metrics::Metrics;
use prometheus_client::registry::Registry;
use time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{
    ANY_PORT, authority, channel, node, now, proxy_of, proxy_since, server_at, server_of, tls,
};
use crate::harness::{GATEWAY, Log, Server, eventually};

const OTHER: &str = "default/other";

/// A stream that stays open.
struct Joined {
    _requests: mpsc::Sender<DeltaDiscoveryRequest>,
    _responses: Streaming<discovery::DeltaDiscoveryResponse>,
}

async fn join(server: &Server, gateway: &str, credentials: Issued) -> Joined {
    let mut client = AggregatedDiscoveryServiceClient::new(channel(credentials, server.address));
    let (requests, receiver) = mpsc::channel(1);
    let first = DeltaDiscoveryRequest {
        node: node(gateway),
        type_url: Kind::Cluster.type_url().into(),
        ..DeltaDiscoveryRequest::default()
    };
    requests.send(first).await.unwrap();
    let stream = client.delta_aggregated_resources(ReceiverStream::new(receiver));
    Joined {
        _requests: requests,
        _responses: stream.await.unwrap().into_inner(),
    }
}

/// In seconds since 1970.
fn runs_out(credentials: &Issued) -> i64 {
    let certificate = Certificate::all(&credentials.certificate, "tls.crt").unwrap();
    certificate[0].not_after.unix_timestamp()
}

fn text(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text
}

#[tokio::test]
async fn a_proxys_certificate_that_runs_out_within_days_is_logged_and_shown() {
    let log = Log::start();
    // Made a year ago, so that what it signed then can run out soon.
    let long_ago = now() - PROXY_LIFE + Duration::days(3);
    let authority = trust::Authority::make(long_ago).unwrap();
    let (tls, _renewal) = tls(server_of(&authority));
    let server = server_at(ANY_PORT.parse().unwrap(), tls).await;
    server.serve(GATEWAY, "cluster a:1").await;
    server.serve(OTHER, "cluster a:1").await;
    let mut registry = Registry::default();
    Metrics::register_certificates(server.shared.clients.clone(), &mut registry);

    let (soon, fresh) = (
        proxy_since(&authority, GATEWAY, long_ago),
        proxy_of(&authority, GATEWAY),
    );
    let other = proxy_of(&authority, OTHER);
    let joined = [
        join(&server, OTHER, other.clone()).await,
        join(&server, GATEWAY, fresh).await,
        join(&server, GATEWAY, soon.clone()).await,
    ];
    eventually("all are connected", || {
        server.shared.clients.reports(Detail::Counts).len() == joined.len()
    })
    .await;

    let reports = server.shared.clients.reports(Detail::Counts);
    let shown = reports
        .iter()
        .filter_map(|report| report.certificate_expires);
    assert_eq!(shown.map(|at| at.as_second()).min(), Some(runs_out(&soon)));
    // Of each Gateway the one that runs out first.
    let metrics = text(&registry);
    for (gateway, credentials) in [(GATEWAY, &soon), (OTHER, &other)] {
        let line = format!(
            "locum_proxy_certificate_expiry_timestamp_seconds{{gateway=\"{gateway}\"}} {}",
            runs_out(credentials)
        );
        assert!(metrics.lines().any(|found| found == line), "{metrics}");
    }

    let words = "the certificate that the proxy connected with runs out";
    eventually("it is logged", || !log.lines(words).is_empty()).await;
    let lines = log.lines(words);
    let remedy = format!("locum certs --gateway {GATEWAY}");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(&remedy), "{lines:?}");

    // In plaintext there is nothing to run out.
    let plaintext = Server::start().await;
    plaintext.serve(GATEWAY, "cluster a:1").await;
    let mut proxy = plaintext.connect(GATEWAY).await;
    proxy.play("> cluster\n< cluster a:1").await;
    let reports = plaintext.shared.clients.reports(Detail::Counts);
    assert_eq!(reports[0].certificate_expires, None);
}

#[tokio::test]
async fn when_the_own_certificates_run_out_is_a_metric_that_follows_renewal() {
    let (first, second) = (authority(), authority());
    let (tls, renewal) = tls(server_of(&first));
    let mut registry = Registry::default();
    trust::register(tls, &mut registry);
    let says = |metrics: &str, which: &str, at: i64| {
        let line =
            format!("locum_certificate_expiry_timestamp_seconds{{certificate=\"{which}\"}} {at}");
        assert!(metrics.lines().any(|found| found == line), "{metrics}");
    };
    let own = server_of(&first);
    let ca = |trust: &str| {
        let trusted = Certificate::all(trust, "ca.crt").unwrap();
        trusted
            .iter()
            .map(|one| one.not_after.unix_timestamp())
            .max()
    };
    let metrics = text(&registry);
    says(&metrics, "ca", ca(&own.trust).unwrap());

    // While one CA follows another the first may run out.
    let names = trust::ServerNames::in_cluster(&trust::Domain::default(), "cluster.local");
    let later = now() + Duration::days(1);
    let next = second.server(&names, later).unwrap();
    let until = runs_out(&next);
    let both = Issued {
        trust: first.trust() + &second.trust(),
        ..next
    };
    renewal.renew(&both.clone().into()).unwrap();
    let metrics = text(&registry);
    says(&metrics, "server", until);
    says(&metrics, "ca", ca(&both.trust).unwrap());
}

//! A header that a route sets for one backend alone: no attempt at another carries it, and no client's
//! own is lost for it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use http::{HeaderName, HeaderValue};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use locum_demo::echo::ID_HEADER;
use locum_demo::load::Request;
use serde_json::json;
use tokio::net::TcpListener;

use crate::bench::{BACKEND_PORT, Bench, none_lost};
use crate::table::Row;
use locum_demo::dns::{Dns, SECONDS_TO_LIVE};
use locum_demo::manifests::{Ref, backend_fqdn, backend_ip, failover, policy};

const HEADER: &str = "authorization";
/// Requests go on to the next tier at once.
const AT_ONCE: &str = "  retry: {nextTier: Immediately, codes: [503]}\n";
/// Of the client.
const OWN: &str = "Basic client";
const SECONDS: u32 = 2;

/// Nothing is ever taken out, so that each request goes through all tiers.
const NO_DETECTION: &str = "
  healthCheck:
    passive:
      consecutive5XxErrors: 0
      consecutiveGatewayErrors: 0
      consecutiveLocalOriginFailures: 0
";

/// The three tiers, and what each is sent whatever the client sends; nothing is the client's own.
const TIERS: [(&str, Option<&str>); 3] = [
    ("active", Some("Bearer active")),
    ("passive", None),
    ("third", Some("Bearer third")),
];

/// A backend that notes the header of each attempt and answers them all alike.
struct Witness {
    seen: Arc<Mutex<BTreeSet<Vec<String>>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Witness {
    async fn start(address: SocketAddr, pod: &'static str, status: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let seen = Arc::<Mutex<BTreeSet<Vec<String>>>>::default();
        let noted = seen.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let noted = noted.clone();
                let answer = service_fn(move |request: http::Request<Incoming>| {
                    let values = request.headers().get_all(HEADER).iter();
                    let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
                    let values = values.map(Into::into).collect();
                    noted
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(values);
                    let id = request.headers().get(ID_HEADER);
                    let id = id.map(|id| String::from_utf8_lossy(id.as_bytes()));
                    let body = json!({"pod": pod, "headers": {"X-Load-Id": [id]}}).to_string();
                    let answer = http::Response::builder().status(status).body(body);
                    std::future::ready(answer)
                });
                let stream = TokioIo::new(stream);
                tokio::spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    // An error is the proxy's that went away.
                    let _ = http.serve_connection(stream, answer).await;
                });
            }
        });
        Ok(Self { seen, serving })
    }

    fn seen(&self) -> BTreeSet<Vec<String>> {
        let seen = self.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub(crate) async fn a_credential_stays_with_its_tier(bench: Bench) -> anyhow::Result<()> {
    stays(bench, |bench, pod, host| {
        backend_ip(pod, false, &[bench.backend_address(host)])
    })
    .await
}

/// The last tier by name, so that each has a cluster of its own.
pub(crate) async fn a_credential_stays_with_its_cluster(bench: Bench) -> anyhow::Result<()> {
    let dns = Dns::start(SECONDS_TO_LIVE).await?;
    dns.set("third.example.net", bench.address(4), Duration::ZERO);
    stays(bench, |bench, pod, host| match pod {
        "third" => backend_fqdn(pod, false, "third.example.net", BACKEND_PORT),
        _ => backend_ip(pod, false, &[bench.backend_address(host)]),
    })
    .await?;
    drop(dns);
    Ok(())
}

async fn stays(
    mut bench: Bench,
    backend: impl Fn(&Bench, &str, u8) -> String,
) -> anyhow::Result<()> {
    let mut backends = String::new();
    let mut references = String::new();
    let mut witnesses = Vec::new();
    for ((pod, credential), host) in TIERS.into_iter().zip(2..) {
        let status = if pod == "third" { 200 } else { 503 };
        let address = bench.backend_address(host);
        witnesses.push(Witness::start(address, pod, status).await?);
        backends += &backend(&bench, pod, host);
        let name = format!("group: gateway.envoyproxy.io, kind: Backend, name: {pod}");
        let set = credential.map(|value| {
            format!(
                ", filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: \
                 [{{name: {HEADER}, value: {value}}}]}}}}]"
            )
        });
        references += &format!("        - {{{name}{}}}\n", set.unwrap_or_default());
    }
    bench.write_page(false)?;
    bench.write("2-backends.yaml", &backends)?;
    bench.write("3-route.yaml", &route(&references))?;
    bench.write("4-policy.yaml", &policy(NO_DETECTION))?;
    let tiers = TIERS.map(|(pod, _)| Ref::Backend(pod));
    bench.write("7-failover.yaml", &failover(&tiers, AT_ONCE))?;
    bench.run().await?;
    bench.until_served_by("third").await?;
    // With and without one of the client's own at once, so that what is kept of one request would show
    // in another.
    let plain = bench.load()?;
    let own = bench.load_of(Request {
        headers: vec![(
            HeaderName::from_static(HEADER),
            HeaderValue::from_static(OWN),
        )],
        ..bench.request()
    })?;
    bench.seconds(&own, SECONDS).await?;
    let (plain, own) = (plain.stop().await, own.stop().await);
    bench.record(Row::of(&plain, None, None).note("without a header of the client's own"));
    bench.record(Row::of(&own, None, None).note("with one"));
    none_lost(&plain)?;
    none_lost(&own)?;
    ensure!(
        plain.served_by("third") == plain.requests(),
        "{:?}",
        plain.by_pod()
    );
    for ((pod, credential), witness) in TIERS.into_iter().zip(&witnesses) {
        let text = |value: &str| vec![value.to_owned()];
        let expected: BTreeSet<Vec<String>> = match credential {
            Some(credential) => [text(credential)].into(),
            None => [Vec::new(), text(OWN)].into(),
        };
        let seen = witness.seen();
        ensure!(
            seen == expected,
            "{pod} was sent {seen:?}, not {expected:?}"
        );
    }
    Ok(())
}

fn route(references: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\n\
         kind: HTTPRoute\n\
         metadata:\n  name: ha-example\n\
         spec:\n  \
           hostnames: [www.example.com]\n  \
           parentRefs: [{{name: eg}}]\n  \
           rules:\n    \
             - backendRefs:\n{references}"
    )
}

//! Limits that a rate limit service counts: two Envoys of one route ask a real one, which knows nothing
//! but what the questions say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread;

use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::{
    Code, DescriptorStatus, RateLimit, rate_limit::Unit,
};
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use crate::harness::{CLASS, Stage, ask, backend, free_port, until};

/// A busy machine must not decide what is allowed.
const PATIENT: &str = "--rate-limit-timeout=10s";

/// Counts for ever, by domain and entries.
#[derive(Clone, Default)]
struct Counter(Arc<Mutex<HashMap<String, u64>>>);

impl Counter {
    /// The counts, by what was asked for.
    fn counts(&self) -> Vec<(String, u64)> {
        let mut counts: Vec<_> = self.0.lock().unwrap().clone().into_iter().collect();
        counts.sort();
        counts
    }
}

#[tonic::async_trait]
impl RateLimitService for Counter {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let request = request.into_inner();
        let mut counts = self.0.lock().unwrap();
        let statuses: Vec<_> = request
            .descriptors
            .iter()
            .map(|descriptor| {
                let entries = descriptor.entries.iter();
                let entries: Vec<_> = entries
                    .map(|entry| format!("{}={}", entry.key, entry.value))
                    .collect();
                let what = format!("{}: {}", request.domain, entries.join(" "));
                let count = counts.entry(what).or_default();
                *count += descriptor.hits_addend.map_or(1, |addend| addend.value);
                let limit = descriptor.limit.unwrap();
                let most = u64::from(limit.requests_per_unit);
                let code = match *count <= most {
                    true => Code::Ok,
                    false => Code::OverLimit,
                };
                DescriptorStatus {
                    code: code.into(),
                    current_limit: Some(RateLimit {
                        requests_per_unit: limit.requests_per_unit,
                        unit: Unit::Hour.into(),
                        ..RateLimit::default()
                    }),
                    limit_remaining: u32::try_from(most.saturating_sub(*count)).unwrap(),
                    ..DescriptorStatus::default()
                }
            })
            .collect();
        let over = i32::from(Code::OverLimit);
        let overall = match statuses.iter().any(|status| status.code == over) {
            true => Code::OverLimit,
            false => Code::Ok,
        };
        Ok(Response::new(RateLimitResponse {
            overall_code: overall.into(),
            statuses,
            ..RateLimitResponse::default()
        }))
    }
}

/// A service that ends when dropped.
struct Service {
    _alive: oneshot::Sender<()>,
}

fn serve(port: u16, counter: Counter) -> Service {
    let (alive, ended) = oneshot::channel::<()>();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let served = tonic::transport::Server::builder()
                .add_service(RateLimitServiceServer::new(counter))
                .serve(([127, 0, 0, 1], port).into());
            tokio::select! {
                served = served => served.unwrap(),
                _ = ended => {}
            }
        });
    });
    Service { _alive: alive }
}

/// Two Gateways on these ports whose one route has this limit.
fn write(stage: &Stage, ports: [u16; 2], rules: &str) {
    let endpoint = backend("hello");
    let gateways: String = ["a", "b"]
        .into_iter()
        .zip(ports)
        .map(|(name, port)| {
            format!(
                "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: {name}}}
spec:
  gatewayClassName: locum
  listeners: [{{name: http, protocol: HTTP, port: {port}}}]
---"
            )
        })
        .collect();
    stage.write("class.yaml", CLASS);
    stage.write(
        "all.yaml",
        &format!(
            "{gateways}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: web}}
spec:
  parentRefs: [{{name: a}}, {{name: b}}]
  rules:
  - backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: one}}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: one}}
spec: {{endpoints: [{{ip: {{address: 127.0.0.1, port: {endpoint}}}}}]}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {{name: limit}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: web}}]
  rateLimit: {{global: {{rules: {rules}}}}}
"
        ),
    );
}

fn status(port: u16) -> u16 {
    ask(port, "/").expect("an answer").0
}

#[test]
fn a_global_limit_counts_the_requests_of_all_proxies_together() {
    let stage = Stage::empty();
    let ports = [free_port(), free_port()];
    let counting = free_port();
    let counter = Counter::default();
    let _service = serve(counting, counter.clone());
    let rules = "[{limit: {requests: 3, unit: Hour}}, \
                 {limit: {requests: 100, unit: Hour}, shared: true, cost: {request: {from: Number, number: 5}, \
                 response: {from: Number, number: 7}}}]";
    write(&stage, ports, rules);
    let service = format!("127.0.0.1:{counting}");
    let _locum = stage.run_with(&["--rate-limit-service", &service, PATIENT]);
    let asked = [ports[0], ports[1], ports[0], ports[1], ports[0]];
    assert_eq!(asked.map(status), [200, 200, 200, 429, 429]);
    let expected = [
        (
            "locum: policy=default/limit rule=1".to_owned(),
            5 * 5 + 5 * 7,
        ),
        ("locum: route=default/web/rule/0 rule=0".to_owned(), 5),
    ];
    // What an answer costs is counted after it.
    until("every answer is counted", || counter.counts() == expected);
}

#[test]
fn while_the_service_is_away_requests_go_on_or_are_refused_as_was_asked() {
    for (option, expected) in [(None, 200), (Some("--rate-limit-fail-closed"), 500)] {
        let stage = Stage::empty();
        let ports = [free_port(), free_port()];
        write(&stage, ports, "[{limit: {requests: 1, unit: Hour}}]");
        let counting = free_port();
        let service = format!("127.0.0.1:{counting}");
        let mut arguments = vec!["--rate-limit-service", &service, PATIENT];
        arguments.extend(option);
        let _locum = stage.run_with(&arguments);
        assert_eq!(ports.map(status), [expected; 2], "{option:?}");
        let _service = serve(counting, Counter::default());
        until("the service is asked", || status(ports[0]) == 429);
    }
}

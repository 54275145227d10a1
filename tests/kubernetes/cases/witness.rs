//! A route that is there only to get a status: whoever writes, shows by it that it does.

use anyhow::Context;

use crate::bench::{Bench, condition, is_true};

/// Its manifest.
pub(super) const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: witness}
spec:
  hostnames: [witness.example.com]
  parentRefs: [{name: eg}]
  rules:
    - backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: active, port: 3000}]
";

/// Whether its status says that it is accepted as it is now.
pub(super) async fn is_accepted(bench: &Bench) -> anyhow::Result<bool> {
    let path = bench.path("apis/gateway.networking.k8s.io/v1", "httproutes/witness");
    let route = bench.read(&path).await?.context("no route")?;
    let conditions = &route["status"]["parents"][0]["conditions"];
    Ok(condition(conditions, "Accepted").is_some_and(|accepted| {
        is_true(accepted) && accepted["observedGeneration"] == route["metadata"]["generation"]
    }))
}

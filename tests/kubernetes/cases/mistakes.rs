//! Objects with a mistake: kubectl says what the definitions can say.

use anyhow::{Context, bail, ensure};

use crate::bench::Bench;
use crate::install;

/// Objects that no definition lets through, and the words that a user has to read.
const REFUSED: [(&str, &str); 6] = [
    (
        "apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: mixed}
spec:
  endpoints:
    - fqdn: {hostname: one.example.com, port: 80}
    - ip: {address: 10.0.0.1, port: 80}",
        "fqdn addresses cannot be mixed with other address types",
    ),
    (
        "apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: nowhere}
spec:
  endpoints:
    - fqdn: {hostname: one.example.com, port: 70000}",
        "spec.endpoints[0].fqdn.port",
    ),
    (
        "apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: misspelt}
spec:
  falback: true
  endpoints:
    - fqdn: {hostname: one.example.com, port: 80}",
        "unknown field \"spec.falback\"",
    ),
    (
        "apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: aimless}
spec:
  healthCheck:
    passive: {baseEjectionTime: 10s}",
        "either targetRef or targetRefs must be used",
    ),
    (
        "apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: timeless}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: some}]
  healthCheck:
    passive: {baseEjectionTime: soon}",
        "spec.healthCheck.passive.baseEjectionTime",
    ),
    (
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: adrift}
spec:
  rules:
    - matches: [{path: {type: PathPrefix, value: no-slash}}]",
        "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
    ),
];

/// What users read in `kubectl explain`.
const EXPLAINED: [(&str, &str); 3] = [
    ("backend.spec.fallback", "Whether this backend stands by"),
    ("backend.spec.endpoints", "Where requests are sent to"),
    ("btp.spec.healthCheck.passive", "baseEjectionTime"),
];

pub(crate) async fn what_a_definition_can_say_is_refused(bench: &Bench) -> anyhow::Result<()> {
    install::definitions().await?;
    for (object, words) in REFUSED {
        match bench.apply(object).await {
            Ok(()) => bail!("taken:\n{object}"),
            Err(error) => {
                let error = format!("{error:#}");
                ensure!(error.contains(words), "{error}\nhas not: {words}");
            }
        }
    }
    for (field, words) in EXPLAINED {
        let text = bench.kubectl(&["explain", field]).await;
        let text = text.with_context(|| field.to_owned())?;
        ensure!(text.contains(words), "{text}\nhas not: {words}");
    }
    Ok(())
}

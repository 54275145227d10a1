//! Objects with a mistake: kubectl says what the definitions can say, a status the rest.

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::bench::{Bench, condition};
use crate::install;
use crate::kubectl::Outside;
use crate::stage::Stage;

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

/// A mistake that no definition can name: an object, where its status has the condition (a path of
/// fields from the status), and what that says.
struct Named {
    /// Its kind and name, as kubectl takes them.
    object: &'static str,
    at: &'static str,
    condition: &'static str,
    reason: &'static str,
    words: &'static str,
}

/// An object of every kind in which a mistake can be seen. Those kinds that have no status of
/// Locum's (ReferenceGrants, Services, EndpointSlices) show in that of what refers to them; Secrets
/// and ConfigMaps are for TLS, which is refused as a whole where it is asked for. `NAMESPACE` is the
/// one that it goes into.
const MISTAKEN: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: test-mistaken}
spec:
  controllerName: gateway.envoyproxy.io/gatewayclass-controller
  parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: some, namespace: default}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: mistaken}
spec:
  gatewayClassName: eg
  listeners:
    - {name: plain, protocol: TCP, port: 9000}
    - name: encrypted
      protocol: HTTPS
      port: 443
      tls: {certificateRefs: [{name: no-certificate}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: filtered}
spec:
  parentRefs: [{name: eg}]
  rules:
    - filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}]}}]
      backendRefs: [{name: active, port: 3000}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: not-granted}
spec:
  parentRefs: [{name: eg}]
  rules: [{backendRefs: [{name: kubernetes, namespace: default, port: 443}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: of-another-kind}
spec:
  from: [{group: gateway.networking.k8s.io, kind: TCPRoute, namespace: default}]
  to: [{group: "", kind: Service}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: other-port}
spec:
  parentRefs: [{name: eg}]
  rules: [{backendRefs: [{name: active, port: 3001}]}]
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {type: ExternalName, externalName: localhost}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: to-elsewhere}
spec:
  parentRefs: [{name: eg}]
  rules: [{backendRefs: [{name: elsewhere, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: nobody}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: nobody-1
  labels: {kubernetes.io/service-name: nobody}
addressType: IPv4
ports: [{name: of-another-name, port: 80}]
endpoints: [{addresses: [10.244.0.250]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: to-nobody}
spec:
  parentRefs: [{name: eg}]
  rules: [{backendRefs: [{name: nobody, port: 80}]}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: loopback}
spec:
  endpoints: [{ip: {address: 127.0.0.1, port: 3000}}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: of-no-rule}
spec:
  targetRefs:
    - {group: gateway.networking.k8s.io, kind: HTTPRoute, name: ha-example, sectionName: none}
  healthCheck: {passive: {baseEjectionTime: 10s}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: guard}
spec:
  targetRefs: [{group: "", kind: Service, name: guarded}]
  validation: {hostname: guarded.example.com, wellKnownCACertificates: System}
---
apiVersion: v1
kind: Service
metadata: {name: guarded}
spec: {selector: {app: active}, ports: [{name: http, port: 3000}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: to-guarded}
spec:
  parentRefs: [{name: eg}]
  rules: [{backendRefs: [{name: guarded, port: 3000}]}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: encrypted}
spec:
  endpoints: [{fqdn: {hostname: www.example.com, port: 443}}]
  tls: {caCertificateRefs: [{group: "", kind: ConfigMap, name: no-authority}]}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: no-service}
spec:
  fallback: true
  endpoints: [{fqdn: {hostname: not-there.NAMESPACE.svc.cluster.local, port: 80}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: without-a-standby}
spec:
  parentRefs: [{name: eg}]
  rules:
    - backendRefs:
        - {group: gateway.envoyproxy.io, kind: Backend, name: active}
        - {group: gateway.envoyproxy.io, kind: Backend, name: no-service}
"#;
const MISTAKES: [Named; 14] = [
    Named {
        object: "gatewayclass/test-mistaken",
        at: "/conditions",
        condition: "Accepted",
        reason: "InvalidParameters",
        words: "Remove spec.parametersRef of the class.",
    },
    Named {
        object: "gateway/mistaken",
        at: "/listeners/0/conditions",
        condition: "Accepted",
        reason: "UnsupportedProtocol",
        words: "Protocol TCP is not supported yet",
    },
    Named {
        object: "gateway/mistaken",
        at: "/listeners/1/conditions",
        condition: "Accepted",
        reason: "UnsupportedProtocol",
        words: "Protocol HTTPS is not supported yet",
    },
    Named {
        object: "httproute/filtered",
        at: "/parents/0/conditions",
        condition: "Accepted",
        reason: "UnsupportedValue",
        words: "Filter RequestHeaderModifier is not supported yet.",
    },
    Named {
        object: "httproute/not-granted",
        at: "/parents/0/conditions",
        condition: "ResolvedRefs",
        reason: "RefNotPermitted",
        words: "no ReferenceGrant there permits",
    },
    Named {
        object: "httproute/other-port",
        at: "/parents/0/conditions",
        condition: "ResolvedRefs",
        reason: "PortNotFound",
        words: "has no TCP port 3001",
    },
    Named {
        object: "httproute/to-elsewhere",
        at: "/parents/0/conditions",
        condition: "ResolvedRefs",
        reason: "InvalidAddress",
        words: "\"localhost\" is no full name",
    },
    Named {
        object: "httproute/to-nobody",
        at: "/parents/0/conditions",
        condition: "BackendsAvailable",
        reason: "EndpointsNotFound",
        words: "requests are answered 503",
    },
    Named {
        object: "backend/loopback",
        at: "/conditions",
        condition: "Accepted",
        reason: "Invalid",
        words: "127.0.0.1",
    },
    Named {
        object: "backendtrafficpolicy/of-no-rule",
        at: "/ancestors/0/conditions",
        condition: "Accepted",
        reason: "TargetNotFound",
        words: "has no section named none.",
    },
    Named {
        object: "backendtlspolicy/guard",
        at: "/ancestors/0/conditions",
        condition: "Accepted",
        reason: "Invalid",
        words: "What it targets is closed",
    },
    Named {
        object: "httproute/to-guarded",
        at: "/parents/0/conditions",
        condition: "ResolvedRefs",
        reason: "UnsupportedValue",
        words: "is the target of a policy that is not supported yet",
    },
    Named {
        object: "backend/encrypted",
        at: "/conditions",
        condition: "Accepted",
        reason: "Invalid",
        words: "no-authority does not exist or may not be read.",
    },
    Named {
        object: "httproute/without-a-standby",
        at: "/parents/0/conditions",
        condition: "locum.dev/FailoverReady",
        reason: "StandbyWithoutEndpoints",
        words: "/not-there does not exist",
    },
];

/// A Gateway that was served and is not any more.
const ABANDONED: Named = Named {
    object: "gateway/eg",
    at: "/conditions",
    condition: "Accepted",
    reason: "GatewayClassNotFound",
    words: "GatewayClass not-there does not exist, so the Gateway is not served.",
};

/// What is left of a mistake when the definitions have nothing against it: a condition that names
/// it, and everything else is served.
pub(crate) async fn what_no_definition_can_say_stands_in_a_status(
    bench: &Bench,
) -> anyhow::Result<()> {
    let stage = Stage::set(bench).await?;
    let _class = Outside {
        kind: "gatewayclass",
        name: "test-mistaken".into(),
    };
    bench
        .apply(&MISTAKEN.replace("NAMESPACE", bench.namespace()))
        .await?;
    for mistake in &MISTAKES {
        said(bench, mistake).await?;
    }
    let (address, host) = (stage.address, locum_demo::manifests::HOST);
    bench
        .until_served_by("active", address, host, locum_demo::manifests::PATH)
        .await?;
    let class = r#"{"spec": {"gatewayClassName": "not-there"}}"#;
    let patch = ["patch", "gateway", "eg", "--type", "merge", "-p", class];
    bench.kubectl(&patch).await?;
    said(bench, &ABANDONED).await
}

/// Waits until the object says what is wrong.
async fn said(bench: &Bench, mistake: &Named) -> anyhow::Result<()> {
    let said = async || {
        let text = bench
            .kubectl(&["get", mistake.object, "-o", "json"])
            .await?;
        let object: Value = serde_json::from_str(&text)?;
        let conditions = object["status"]
            .pointer(mistake.at)
            .context("nothing yet")?;
        let said = condition(conditions, mistake.condition);
        let said = said.with_context(|| format!("{conditions}"))?;
        let words = said["message"].as_str().unwrap_or_default();
        let is_said = said["status"] == "False"
            && said["reason"] == mistake.reason
            && words.contains(mistake.words);
        ensure!(is_said, "{said}");
        Ok(true)
    };
    bench.until(mistake.object, said).await
}

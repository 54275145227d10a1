//! What Locum asks of the API server, held against the role that is shipped: nothing is forbidden to
//! it, and nothing is granted that it does not use. The API server's audit log tells.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use locum::trust::secrets::{SERVER, signer};
use locum::trust::{CERTIFICATE, Domain, ServerNames};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::witness;
use crate::bench::{Bench, condition};
use crate::cluster::Own;
use crate::granted::granted;
use crate::kubectl::{Outside, kubectl, kubectl_with};
use crate::stage::Stage;
use crate::{install, say};

/// Who Locum is to the API server.
const USER: &str = "system:serviceaccount:locum-system:locum";
/// An API server of before lists in streams.
const WITHOUT_STREAMED_LISTS: &str = "--feature-gates=WatchList=false";

/// A definition with a status, for each kind of policy that Locum only knows by name. Those of Envoy
/// Gateway have far more to say, of which Locum reads the targets.
const GUARDS: [&str; 3] = [
    "ClientTrafficPolicy",
    "EnvoyExtensionPolicy",
    "SecurityPolicy",
];
const GUARD_DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: PLURAL.gateway.envoyproxy.io}
spec:
  group: gateway.envoyproxy.io
  scope: Namespaced
  names: {kind: KIND, plural: PLURAL, singular: SINGULAR}
  versions:
    - name: v1alpha1
      served: true
      storage: true
      subresources: {status: {}}
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
---
";
/// The definition of ServiceImport, which a cluster has where its Services are shared with others.
const IMPORTS: &str = "serviceimports.multicluster.x-k8s.io";
const IMPORT_DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: serviceimports.multicluster.x-k8s.io}
spec:
  group: multicluster.x-k8s.io
  scope: Namespaced
  names: {kind: ServiceImport, plural: serviceimports, singular: serviceimport}
  versions:
    - name: v1alpha1
      served: true
      storage: true
      subresources: {status: {}}
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
---
";
const GUARD: &str = "
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: KIND
metadata: {name: guard}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: guarded}]
---
";

/// A class, a Gateway that refers to a Secret, with what guards it and its Service, a route with its
/// FailoverPolicy, and a Backend that refers to a ConfigMap.
const GUARDED: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: test-role}
spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: guarded}
spec:
  gatewayClassName: eg
  listeners:
    - name: https
      protocol: HTTPS
      port: 443
      tls: {certificateRefs: [{name: certificate}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: guarded}
spec:
  parentRefs: [{name: eg}]
  hostnames: [guarded.example.com]
  rules: [{backendRefs: [{name: active, port: 3000}]}]
---
apiVersion: locum.dev/v1alpha1
kind: FailoverPolicy
metadata: {name: guarded}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: guarded}]
  tiers: [{name: only, backendRefs: [{name: active, port: 3000}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: guard}
spec:
  targetRefs: [{group: \"\", kind: Service, name: active}]
  validation: {hostname: active.example.com, wellKnownCACertificates: System}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: encrypted}
spec:
  endpoints: [{fqdn: {hostname: www.example.com, port: 443}}]
  tls: {caCertificateRefs: [{group: \"\", kind: ConfigMap, name: authority}]}
---
";

/// Uses everything that the role grants, then compares.
pub(crate) async fn what_locum_asks_for_is_what_its_role_grants(
    bench: &Bench,
) -> anyhow::Result<()> {
    let own = bench.cluster().own()?;
    let stage = Stage::set(bench).await?;
    let _definitions = GUARDS.map(|kind| Outside {
        kind: "crd",
        name: definition(kind),
    });
    let _imports = Outside {
        kind: "crd",
        name: IMPORTS.into(),
    };
    let definitions = of_guards(GUARD_DEFINITION) + IMPORT_DEFINITION;
    kubectl_with(&["apply", "-f", "-"], &definitions).await?;
    let names = GUARDS.map(definition).into_iter();
    for name in names.chain([IMPORTS.to_owned()]) {
        let name = format!("crd/{name}");
        kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            &name,
        ])
        .await?;
    }
    let _class = Outside {
        kind: "gatewayclass",
        name: "test-role".into(),
    };
    bench.apply(&of_guards(GUARD)).await?;
    bench.apply(GUARDED).await?;
    every_guard_is_answered(bench).await?;
    its_certificate_is_renewed(&bench.at(install::NAMESPACE)).await?;
    lists_without_streams(bench, own).await?;
    drop(stage);
    compare(own)
}

fn of_guards(manifest: &str) -> String {
    let of_guard = |kind: &str| {
        let manifest = manifest.replace("KIND", kind);
        let manifest = manifest.replace("PLURAL", &plural(kind));
        manifest.replace("SINGULAR", &kind.to_lowercase())
    };
    GUARDS.map(of_guard).concat()
}

/// The name of a kind's definition.
fn definition(kind: &str) -> String {
    format!("{}.gateway.envoyproxy.io", plural(kind))
}

fn plural(kind: &str) -> String {
    kind.to_lowercase().replace("policy", "policies")
}

/// Waits until each guard is told that it is not supported.
async fn every_guard_is_answered(bench: &Bench) -> anyhow::Result<()> {
    for kind in GUARDS.iter().chain(&["BackendTLSPolicy"]) {
        let answered = async || {
            let text = bench.kubectl(&["get", kind, "guard", "-o", "json"]).await?;
            let policy: Value = serde_json::from_str(&text)?;
            let conditions = &policy["status"]["ancestors"][0]["conditions"];
            Ok(condition(conditions, "Accepted").is_some())
        };
        bench.until(kind, answered).await?;
    }
    Ok(())
}

/// Locum finds a certificate of its own that is due, and makes another.
async fn its_certificate_is_renewed(system: &Bench) -> anyhow::Result<()> {
    let now = OffsetDateTime::now_utc();
    let long_ago = now - time::Duration::days(365);
    let authority = signer(system.client(), system.namespace(), now).await?;
    let names = ServerNames::in_cluster(&Domain::default(), "cluster.local");
    let old = authority.server(&names, long_ago)?;
    let old: BTreeMap<_, _> = old.files().into_iter().collect();
    let secrets: Api<Secret> = Api::namespaced(system.client(), system.namespace());
    let patch = Patch::Merge(json!({ "stringData": old }));
    secrets
        .patch(SERVER, &PatchParams::default(), &patch)
        .await?;
    let renewed = async || {
        let data = secrets.get(SERVER).await?.data.context("no data")?;
        let certificate = data.get(CERTIFICATE).context("no certificate")?;
        Ok(certificate.0 != old[CERTIFICATE].as_bytes())
    };
    system.until("the certificate is renewed", renewed).await
}

/// A new replica reads everything from an API server that cannot list in a stream.
async fn lists_without_streams(bench: &Bench, own: &Own) -> anyhow::Result<()> {
    let system = bench.at(install::NAMESPACE);
    let server = own.component("kube-apiserver")?;
    server.kill()?;
    server.start_with(&[WITHOUT_STREAMED_LISTS])?;
    bench.api_server_is_ready().await?;
    system
        .kubectl(&["rollout", "restart", "deployment/locum"])
        .await?;
    system.rolled_out("locum").await?;
    bench.apply(witness::ROUTE).await?;
    let written = async || witness::is_accepted(bench).await;
    bench.until("Locum writes", written).await?;
    server.kill()?;
    server.start()?;
    bench.api_server_is_ready().await
}

/// Compares the shipped role with what was asked for since this run has installed Locum.
fn compare(own: &Own) -> anyhow::Result<()> {
    let granted: BTreeSet<_> = granted()
        .into_iter()
        .map(|grant| format!("{} {}", grant.verb, grant.resource))
        .collect();
    let (asked, forbidden) = asked(&install::asked_for(own)?)?;
    // An API server that has just started forbids everything until it has read the roles.
    let forbidden: Vec<_> = forbidden.difference(&asked).collect();
    ensure!(forbidden.is_empty(), "forbidden to Locum: {forbidden:?}");
    let beyond: Vec<_> = asked.difference(&granted).collect();
    ensure!(beyond.is_empty(), "asked for beyond the role: {beyond:?}");
    let unused: Vec<_> = granted.difference(&asked).collect();
    ensure!(unused.is_empty(), "granted and not used: {unused:?}");
    say(&format!(
        "  {} verbs on resources granted, each used, none refused",
        granted.len()
    ));
    Ok(())
}

/// What Locum has asked for, as `VERB RESOURCE.GROUP`, and what of it was forbidden. What is no
/// resource (the server's version, which groups it has) is open to everybody.
fn asked(audit_log: &str) -> anyhow::Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut asked, mut forbidden) = (BTreeSet::new(), BTreeSet::new());
    for line in audit_log.lines() {
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let object = &event["objectRef"];
        if event["user"]["username"] != USER || object.is_null() {
            continue;
        }
        let verb = event["verb"].as_str().context("an event has a verb")?;
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let (resource, group) = (text("resource"), text("apiGroup"));
        let what = match text("subresource") {
            "" => format!("{verb} {resource}.{group}"),
            subresource => format!("{verb} {resource}/{subresource}.{group}"),
        };
        let of = match event["responseStatus"]["code"] == 403 {
            true => &mut forbidden,
            false => &mut asked,
        };
        of.insert(what);
    }
    ensure!(!asked.is_empty(), "the audit log has nothing of {USER}");
    Ok((asked, forbidden))
}

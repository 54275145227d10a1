//! What belongs to other controllers: Locum reads it, and writes nothing of it.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::witness;
use crate::bench::{Bench, condition, is_true};
use crate::kubectl::{Outside, kubectl};
use crate::stage::Stage;

/// Another controller, and the class that it serves.
const CONTROLLER: &str = "example.com/other-controller";
const CLASS: &str = "test-others";
const GATEWAY_API: &str = "apis/gateway.networking.k8s.io/v1";
const CLASS_PATH: &str = "/apis/gateway.networking.k8s.io/v1/gatewayclasses/test-others";

/// Its class and Gateway, a route of its own, and a route and a policy that it shares with Locum.
const THEIRS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: test-others}
spec: {controllerName: example.com/other-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: theirs}
spec:
  gatewayClassName: test-others
  listeners: [{name: http, protocol: HTTP, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: theirs}
spec:
  parentRefs: [{name: theirs}]
  rules:
    - backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: active, port: 3000}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shared}
spec:
  hostnames: [shared.example.com]
  parentRefs: [{name: theirs}, {name: eg}]
  rules:
    - backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: active, port: 3000}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: shared}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: shared}]
  healthCheck: {passive: {baseEjectionTime: 10s}}
";

pub(crate) async fn what_other_controllers_say_is_never_touched(
    bench: &Bench,
) -> anyhow::Result<()> {
    let _class = Outside {
        kind: "gatewayclass",
        name: CLASS.into(),
    };
    let stage = Stage::set(bench).await?;
    bench.apply(THEIRS).await?;
    let paths = [
        CLASS_PATH.to_owned(),
        bench.path(GATEWAY_API, "gateways/theirs"),
        bench.path(GATEWAY_API, "httproutes/theirs"),
    ];
    for path in &paths {
        say_as_the_other(bench, path, &status_of(path)).await?;
    }
    let mut before = Vec::new();
    for path in &paths {
        before.push(bench.read(path).await?.context("it is there")?);
    }
    let route = bench.path(GATEWAY_API, "httproutes/shared");
    let policy = "apis/gateway.envoyproxy.io/v1alpha1";
    let policy = bench.path(policy, "backendtrafficpolicies/shared");
    let (parent, ancestor) = (entry("parentRef"), entry("ancestorRef"));
    say_as_the_other(bench, &route, &json!({"parents": [parent]})).await?;
    say_as_the_other(bench, &policy, &json!({"ancestors": [ancestor]})).await?;

    // Locum has its say about what is shared, again after an edit, and about what is its own.
    both_say(bench, &route, "parents", &parent).await?;
    both_say(bench, &policy, "ancestors", &ancestor).await?;
    let edit = r#"{"spec": {"hostnames": ["shared.example.com", "edited.example.com"]}}"#;
    bench
        .kubectl(&["patch", "httproute", "shared", "--type=merge", "-p", edit])
        .await?;
    both_say(bench, &route, "parents", &parent).await?;
    bench.apply(witness::ROUTE).await?;
    bench
        .until("Locum has written after all this", async || {
            witness::is_accepted(bench).await
        })
        .await?;
    drop(stage);

    for (path, before) in paths.iter().zip(&before) {
        let now = bench.read(path).await?.context("it is there still")?;
        ensure!(now == *before, "{path} was {before}, is {now}");
    }
    Ok(())
}

/// A status that the other controller gives to what is at a path.
fn status_of(path: &str) -> Value {
    if path.contains("httproutes") {
        json!({"parents": [entry("parentRef")]})
    } else {
        json!({"conditions": [accepted()]})
    }
}

fn accepted() -> Value {
    json!({
        "type": "Accepted", "status": "True", "reason": "Accepted", "message": "By the other one.",
        "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

/// The other controller's entry for its Gateway.
fn entry(subject: &str) -> Value {
    json!({
        subject: {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "theirs"},
        "controllerName": CONTROLLER,
        "conditions": [accepted()],
    })
}

async fn say_as_the_other(bench: &Bench, path: &str, status: &Value) -> anyhow::Result<()> {
    let object = bench.read(path).await?.context("it is there")?;
    let kind = object["kind"].as_str().context("a kind")?.to_lowercase();
    let name = object["metadata"]["name"].as_str().context("a name")?;
    let patch = json!({ "status": status }).to_string();
    let patch = [
        "patch",
        &kind,
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
        "--field-manager=other",
    ];
    match object["metadata"]["namespace"].as_str() {
        Some(_) => bench.kubectl(&patch).await?,
        None => kubectl(&patch).await?,
    };
    Ok(())
}

/// Waits until Locum's entry for its own Gateway is there, true and of now, and the other's beside
/// it is to the letter what it was.
async fn both_say(bench: &Bench, path: &str, list: &str, theirs: &Value) -> anyhow::Result<()> {
    let both = async || {
        let object = bench.read(path).await?.context("it is there")?;
        let entries = object["status"][list].as_array().context("no entries")?;
        ensure!(entries.len() == 2, "{entries:?}");
        ensure!(
            entries.contains(theirs),
            "{theirs} is not among {entries:?}"
        );
        let own = entries
            .iter()
            .find(|entry| entry["controllerName"] != CONTROLLER);
        let own = own.context("Locum says nothing")?;
        let accepted = condition(&own["conditions"], "Accepted").context("no Accepted")?;
        let is_now = accepted["observedGeneration"] == object["metadata"]["generation"];
        Ok(is_true(accepted) && is_now)
    };
    bench.until("both controllers have their say", both).await
}

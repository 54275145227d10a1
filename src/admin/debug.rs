//! What Locum knows, as JSON. A question that makes no sense is answered 400 with what is wrong
//! with it.

use std::collections::BTreeMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Sources;
use crate::pipeline;
use crate::resource::{self, guard::GuardKind};
use crate::xds::clients::{Detail, Report};
use crate::xds::json;
use crate::xds::kind::Kind;
use crate::xds::snapshot::Snapshot;

/// JSON for people: with line breaks, and one at the end.
#[derive(Debug)]
pub(super) struct Json<T>(T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_string_pretty(&self.0) {
            Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
            Err(error) => {
                let message = format!("the answer cannot be written: {error}\n");
                (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
            }
        }
    }
}

/// An answer, or what is wrong with the question.
type Answer = Result<Json<Value>, (StatusCode, String)>;

/// Which resources of which proxies are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct XdsQuery {
    gateway: Option<String>,
    node: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    name: Option<String>,
}

/// The answer of `/debug/xds`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct XdsAnswer {
    revision: u64,
    pub(crate) gateways: Vec<GatewayDump>,
    pub(crate) clients: Vec<Report>,
}

/// One Gateway's snapshot.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct GatewayDump {
    gateway: String,
    /// By type: its resources.
    pub(crate) resources: BTreeMap<String, Vec<ResourceDump>>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ResourceDump {
    pub(crate) name: String,
    version: String,
    owners: Vec<String>,
    pub(crate) resource: Value,
}

/// The snapshots, and what each connected proxy has of them.
pub(super) async fn xds(
    State(sources): State<Sources>,
    query: Result<Query<XdsQuery>, QueryRejection>,
) -> Result<Json<XdsAnswer>, (StatusCode, String)> {
    let query = asked(query)?;
    let kinds = match &query.kind {
        None => Kind::ALL.to_vec(),
        Some(word) => vec![kind(word)?],
    };
    let state = sources.states.borrow().clone();
    let gateways: Vec<String> = state.snapshots.keys().map(ToString::to_string).collect();
    if let Some(gateway) = &query.gateway
        && !gateways.contains(gateway)
    {
        return Err(unknown("gateway", gateway, &gateways));
    }
    let mut clients = sources.clients.reports(Detail::Names);
    if let Some(node) = &query.node {
        let nodes: Vec<String> = clients.iter().map(|client| client.node.clone()).collect();
        clients.retain(|client| client.node == *node);
        if clients.is_empty() {
            return Err(unknown("node", node, &nodes));
        }
    }
    clients.retain(|client| {
        query
            .gateway
            .as_ref()
            .is_none_or(|name| client.gateway == *name)
    });
    for client in &mut clients {
        client
            .types
            .retain(|word, _| kinds.iter().any(|kind| kind.name() == *word));
    }
    let wanted = |gateway: &String| {
        query.gateway.as_ref().is_none_or(|name| name == gateway)
            && (query.node.is_none() || clients.iter().any(|client| client.gateway == *gateway))
    };
    let dumps: Vec<GatewayDump> = state
        .snapshots
        .iter()
        .map(|(name, snapshot)| (name.to_string(), snapshot))
        .filter(|(gateway, _)| wanted(gateway))
        .map(|(gateway, snapshot)| GatewayDump {
            resources: dump(snapshot, &kinds, query.name.as_deref()),
            gateway,
        })
        .collect();
    Ok(Json(XdsAnswer {
        revision: state.revision,
        gateways: dumps,
        clients,
    }))
}

fn dump(
    snapshot: &Snapshot,
    kinds: &[Kind],
    name: Option<&str>,
) -> BTreeMap<String, Vec<ResourceDump>> {
    let of_kind = |kind: Kind| {
        let wanted = snapshot
            .of_kind(kind)
            .filter(|resource| name.is_none_or(|name| *resource.name == *name));
        let dumps = wanted.map(|resource| ResourceDump {
            name: resource.name.to_string(),
            version: resource.version.0.to_string(),
            owners: resource.owners.to_vec(),
            resource: json::resource(resource),
        });
        (kind.name().to_owned(), dumps.collect())
    };
    kinds.iter().copied().map(of_kind).collect()
}

/// Everything that is wrong.
pub(super) async fn problems(State(sources): State<Sources>) -> Json<Value> {
    let state = sources.states.borrow().clone();
    let problems: Vec<_> = state
        .located_problems()
        .iter()
        .map(pipeline::Located::to_json)
        .collect();
    Json(json!({ "revision": state.revision, "problems": problems }))
}

/// The connected proxies, without the names that they ask for and the versions that they have.
pub(super) async fn clients(State(sources): State<Sources>) -> Json<Vec<Report>> {
    Json(sources.clients.reports(Detail::Counts))
}

/// Who serves, by Gateway and chain.
pub(super) async fn serving(State(sources): State<Sources>) -> Json<Value> {
    Json(json!(*sources.serving.state()))
}

/// The Envoys that this Locum runs, by Gateway.
pub(super) async fn proxies(State(sources): State<Sources>) -> Json<Value> {
    let proxies = sources.proxies.map(|proxies| proxies.borrow().clone());
    let by_name: BTreeMap<String, _> = proxies
        .unwrap_or_default()
        .into_iter()
        .map(|(name, proxy)| (name.to_string(), proxy))
        .collect();
    Json(json!(by_name))
}

/// Which resources are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResourceQuery {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

/// The resources that were read, with file and line. Their content is not shown: Secrets are among
/// them.
pub(super) async fn resources(
    State(sources): State<Sources>,
    query: Result<Query<ResourceQuery>, QueryRejection>,
) -> Answer {
    let query = asked(query)?;
    if let Some(word) = &query.kind {
        let known = manifest_kinds();
        if !known.contains(word) {
            return Err(unknown("kind", word, &known));
        }
    }
    let state = sources.states.borrow().clone();
    let is_wanted =
        |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|word| word == is);
    let listed: Vec<Value> = state
        .store
        .iter()
        .filter(|(key, _)| {
            is_wanted(&query.kind, key.manifest_kind())
                && is_wanted(&query.namespace, &key.object.namespace)
                && is_wanted(&query.name, key.manifest_name())
        })
        .map(|(key, _)| {
            let location = state.origins.locate(key, "");
            json!({
                "apiVersion": key.api_version(),
                "kind": key.manifest_kind(),
                "namespace": *key.object.namespace,
                "name": key.manifest_name(),
                "file": location.as_ref().map(|location| location.file.display().to_string()),
                "line": location.as_ref().map(|location| location.line),
            })
        })
        .collect();
    Ok(Json(
        json!({ "revision": state.revision, "resources": listed }),
    ))
}

/// Every `kind` of a manifest that is read.
fn manifest_kinds() -> Vec<String> {
    let typed = resource::Kind::ALL
        .into_iter()
        .filter(|kind| *kind != resource::Kind::Guard);
    let typed = typed.map(resource::Kind::name);
    let guards = GuardKind::ALL.into_iter().map(GuardKind::name);
    typed.chain(guards).map(str::to_owned).collect()
}

fn asked<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, (StatusCode, String)> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(rejection) => Err((
            StatusCode::BAD_REQUEST,
            format!("{}\n", rejection.body_text()),
        )),
    }
}

fn kind(word: &str) -> Result<Kind, (StatusCode, String)> {
    Kind::of_name(word)
        .or_else(|| Kind::of_type_url(word))
        .ok_or_else(|| unknown("type", word, &Kind::ALL.map(|kind| kind.name().to_owned())))
}

fn unknown(what: &str, word: &str, known: &[String]) -> (StatusCode, String) {
    let known = if known.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there are: {}", known.join(", "))
    };
    (
        StatusCode::BAD_REQUEST,
        format!("no {what} {word:?}; {known}\n"),
    )
}

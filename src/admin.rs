//! The admin interface: whether Locum is well, what it counts, and what it knows, for operators.
//!
//! In: the pipeline's state, the connected proxies, with `run` the Envoys' state. Out: HTTP on an
//! address that only this machine reaches, and where probes and scrapes come from elsewhere, health
//! and metrics alone on another. It changes nothing, and shows no secret.

pub(crate) mod debug;
mod health;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use health::Gate;

use crate::pipeline;
use crate::proxy::Proxies;
use crate::serving::Serving;
use crate::xds::clients::Clients;

/// The text format of Prometheus' OpenMetrics.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the admin interface looks at.
#[derive(Clone, Debug)]
pub struct Sources {
    pub states: watch::Receiver<Arc<pipeline::State>>,
    pub clients: Arc<Clients>,
    pub serving: Arc<Serving>,
    pub registry: Arc<Registry>,
    /// The Envoys under this Locum; nothing where it has none.
    pub proxies: Option<watch::Receiver<Proxies>>,
    /// What else has to be there before Locum is ready.
    pub gates: Vec<Gate>,
}

/// Every path and what is there.
const PATHS: [(&str, &str); 9] = [
    ("/healthz", "200 while the process runs"),
    (
        "/readyz",
        "200 when proxies can be served; else what is missing",
    ),
    ("/metrics", "counters for Prometheus"),
    (
        "/debug/xds",
        "what proxies are told and what they acknowledged; ?gateway=&node=&type=&name=",
    ),
    (
        "/debug/problems",
        "everything that is wrong, with file and line",
    ),
    ("/debug/clients", "the connected proxies"),
    (
        "/debug/serving",
        "which tier of each chain serves, since when and why",
    ),
    ("/debug/proxies", "the Envoys that this Locum runs"),
    (
        "/debug/resources",
        "the resources that were read; ?kind=&namespace=&name=",
    ),
];

/// Serves what others than this machine's own may see until the listener fails: whether Locum is
/// well, and what it counts.
pub async fn serve_health(listener: TcpListener, sources: Sources) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics))
        .with_state(sources);
    axum::serve(listener, router).await
}

/// Serves the admin interface until the listener fails.
pub async fn serve(listener: TcpListener, sources: Sources) -> std::io::Result<()> {
    axum::serve(listener, router(sources)).await
}

fn router(sources: Sources) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics))
        .route("/debug/xds", get(debug::xds))
        .route("/debug/problems", get(debug::problems))
        .route("/debug/clients", get(debug::clients))
        .route("/debug/serving", get(debug::serving))
        .route("/debug/proxies", get(debug::proxies))
        .route("/debug/resources", get(debug::resources))
        .fallback(nothing_here)
        .with_state(sources)
}

async fn nothing_here() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "nothing is here; / lists what there is\n",
    )
}

async fn index() -> Html<String> {
    let items = PATHS.iter().map(|(path, what)| {
        format!("<li><a href=\"{path}\"><code>{path}</code></a>: {what}</li>\n")
    });
    Html(format!(
        "<!doctype html>\n<title>Locum</title>\n<h1>Locum {}</h1>\n<ul>\n{}</ul>\n",
        env!("CARGO_PKG_VERSION"),
        items.collect::<String>()
    ))
}

async fn metrics(State(sources): State<Sources>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &sources.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => {
            let message = format!("the metrics cannot be written: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
        }
    }
}

//! The connection to an API server: where it is, who Locum is there, and how a dead connection is
//! noticed.
//!
//! In: a kubeconfig, or the environment as kubectl and Pods have it. Out: a client that asks each
//! time anew: what is to be tried again, and when, is decided by whoever asks.

use std::path::{Path, PathBuf};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::TryFutureExt as _;
use futures::future::MapErr;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{ClientBuilder, ConfigExt as _};
use kube::config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tonic::codegen::{Service, StdError};

use crate::causes::in_words;

/// How long it may take to reach the API server: within a cluster, far more than is usual.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection on which nothing comes is asked for a sign of life after this time, and then as
/// often: watches are silent for minutes, and the other end may be gone without a word.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// How long the other end may leave what was sent to it unanswered, signs of life too, before the
/// connection is given up.
const UNANSWERED: Duration = Duration::from_secs(20);

/// How long a connection is kept that nobody uses. Short, so that few of them can be dead ones.
const IDLE: Duration = Duration::from_secs(15);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the kubeconfig {path}: {source}", path = path.display())]
    Kubeconfig {
        path: PathBuf,
        source: KubeconfigError,
    },
    #[error(
        "no API server is known: there is no kubeconfig that can be used (KUBECONFIG, \
         ~/.kube/config), and this is no Pod of a cluster: {}",
        in_words(.0)
    )]
    Nowhere(InferConfigError),
    #[error(
        "the API server is to be reached through a proxy (the kubeconfig's proxy-url, or \
         HTTPS_PROXY), which is not supported: unset it for Locum"
    )]
    Proxy,
    #[error("the kubeconfig cannot be used: {}", in_words(.0))]
    Unusable(Box<kube::Error>),
}

/// The cluster's API server and a client for it.
#[derive(Clone)]
pub struct Connection {
    pub client: Client,
    /// Where the API server is.
    pub url: String,
}

/// A client for the API server of `kubeconfig`, or where nothing is given, of KUBECONFIG,
/// ~/.kube/config or the Pod that this runs in. It reaches for the server only when it is used.
///
/// # Errors
///
/// Where no API server is known, or the credentials for it cannot be read.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Connection, ConnectError> {
    let config = match kubeconfig {
        None => Config::infer().await.map_err(ConnectError::Nowhere)?,
        Some(path) => read(path)
            .await
            .map_err(|source| ConnectError::Kubeconfig {
                path: path.to_owned(),
                source,
            })?,
    };
    if config.proxy_url.is_some() {
        return Err(ConnectError::Proxy);
    }
    let client = client(&config).map_err(|error| ConnectError::Unusable(Box::new(error)))?;
    let url = config.cluster_url.to_string();
    Ok(Connection { client, url })
}

async fn read(path: &Path) -> Result<Config, KubeconfigError> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await
}

/// kube's own client would try again by itself, for minutes, and log each failure as an error.
pub(crate) fn client(config: &Config) -> Result<Client, kube::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE));
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(UNANSWERED));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .build(connector);
    let stack = ClientBuilder::new(Plain(http), config.default_namespace.clone())
        .with_layer(&config.extra_headers_layer()?);
    let base = config.base_uri_layer();
    Ok(match config.auth_layer()? {
        Some(credentials) => stack.with_layer(&credentials).with_layer(&base).build(),
        None => stack.with_layer(&base).build(),
    })
}

/// A service whose errors have lost their type, as kube's layers ask for.
#[derive(Clone)]
struct Plain<S>(S);

impl<S, R> Service<R> for Plain<S>
where
    S: Service<R>,
    S::Error: Into<StdError>,
{
    type Response = S::Response;
    type Error = StdError;
    type Future = MapErr<S::Future, fn(S::Error) -> StdError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.0.call(request).map_err(Into::into)
    }
}

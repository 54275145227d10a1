//! What a case works with: a namespace of its own in the cluster, what it applies there, what it
//! waits for, a load.
//!
//! Waiting has a bound and asks the API server itself; what users would type goes through kubectl.
//! The namespace goes with the bench.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use locum_demo::ask;
use locum_demo::load::{Bound, Load, Pace, Request};
use locum_demo::report::Report;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::kubectl::{kubectl, kubectl_with};

/// Requests a second of every open loop.
pub(crate) const RATE: u32 = 200;
/// Kept connections that carry them.
const CONNECTIONS: usize = 16;
/// The longest that a case's load runs.
const LOAD_LIMIT: Duration = Duration::from_secs(300);
/// How long what the cluster does by itself may take: Pods started, addresses given, namespaces
/// cleared. The machine's two cores may be busy with other things.
pub(crate) const SETTLE_LIMIT: Duration = Duration::from_secs(90);
/// Between two looks at what is waited for.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest name of a namespace (RFC 1123 label).
const NAME_LIMIT: usize = 63;

/// The world of one case.
#[derive(Clone)]
pub(crate) struct Bench {
    cluster: Cluster,
    api: kube::Client,
    namespace: String,
}

impl Bench {
    /// A bench in an empty namespace named after the case.
    pub(crate) async fn new(cluster: Cluster, case: &str) -> anyhow::Result<Self> {
        // Two crates bring a provider each; whoever is first settles it.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = kube::Config::infer()
            .await
            .context("no way to the cluster")?;
        let mut namespace = format!("test-{}", case.replace('_', "-"));
        namespace.truncate(NAME_LIMIT);
        let bench = Self {
            cluster,
            api: kube::Client::try_from(config)?,
            namespace: namespace.trim_end_matches('-').to_owned(),
        };
        // A run that was killed has left it.
        bench.clear().await?;
        kubectl(&["create", "namespace", &bench.namespace]).await?;
        let account = bench.path("api/v1", "serviceaccounts/default");
        bench
            .until("the namespace has its ServiceAccount", async || {
                Ok(bench.read(&account).await?.is_some())
            })
            .await?;
        Ok(bench)
    }

    /// The same cluster with another namespace, for what its manifests put there.
    pub(crate) fn at(&self, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..self.clone()
        }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A client for what goes beyond reading.
    pub(crate) fn client(&self) -> kube::Client {
        self.api.clone()
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Deletes the namespace and waits until nothing of it is left: what it had could disturb the
    /// next case. Its Pods go first, for a namespace that has one still looks again only after half
    /// of the longest time that Pods may take.
    pub(crate) async fn clear(&self) -> anyhow::Result<()> {
        self.kubectl(&["delete", "deployments", "--all"]).await?;
        self.until("the namespace's Pods are gone", async || {
            Ok(self.pods("").await?.is_empty())
        })
        .await?;
        kubectl(&["delete", "namespace", &self.namespace, "--ignore-not-found"]).await?;
        Ok(())
    }

    /// Runs kubectl in the namespace.
    pub(crate) async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        kubectl(&[&["-n", &self.namespace], arguments].concat()).await
    }

    /// Applies manifests in the namespace.
    pub(crate) async fn apply(&self, manifests: &str) -> anyhow::Result<()> {
        let arguments = ["-n", &self.namespace, "apply", "-f", "-"];
        kubectl_with(&arguments, manifests).await?;
        Ok(())
    }

    /// The path of an object of the namespace: `path("apis/apps/v1", "deployments/echo")`.
    pub(crate) fn path(&self, api: &str, object: &str) -> String {
        format!("/{api}/namespaces/{}/{object}", self.namespace)
    }

    /// What the API server has at a path; none if nothing.
    pub(crate) async fn read(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let request = http::Request::get(path).body(Vec::new())?;
        match self.api.request::<Value>(request).await {
            Ok(value) => Ok(Some(value)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error).with_context(|| path.to_owned()),
        }
    }

    /// The text that the API server has at a path, or passes on from a Pod.
    pub(crate) async fn read_text(&self, path: &str) -> anyhow::Result<String> {
        let request = http::Request::get(path).body(Vec::new())?;
        let text = self.api.request_text(request).await;
        text.with_context(|| path.to_owned())
    }

    /// The namespace's Pods with this label.
    pub(crate) async fn pods(&self, label: &str) -> anyhow::Result<Vec<Value>> {
        let path = self.path("api/v1", &format!("pods?labelSelector={label}"));
        let mut list = self.read(&path).await?.context("no list of Pods")?;
        match list["items"].take() {
            Value::Array(pods) => Ok(pods),
            other => bail!("a list of Pods without Pods: {other}"),
        }
    }

    /// The names of those that are ready and not on their way out.
    pub(crate) async fn ready_pods(&self, label: &str) -> anyhow::Result<Vec<String>> {
        let pods = self.pods(label).await?;
        let ready = pods.iter().filter(|pod| {
            let ready = condition(&pod["status"]["conditions"], "Ready");
            ready.is_some_and(is_true) && !is_ending(pod)
        });
        let names = ready.filter_map(|pod| pod["metadata"]["name"].as_str());
        Ok(names.map(ToOwned::to_owned).collect())
    }

    /// Kills the processes of a Pod and takes it away: it has no moment to tell anybody.
    pub(crate) async fn kill_pod(&self, name: &str) -> anyhow::Result<()> {
        let path = self.path("api/v1", &format!("pods/{name}"));
        let pod = self.read(&path).await?.context("no such Pod")?;
        let uid = pod["metadata"]["uid"].as_str().context("no uid")?;
        self.cluster.own()?.kill_processes(uid)?;
        let now = ["--grace-period=0", "--force", "--wait=false"];
        self.kubectl(&[&["delete", "pod", name], &now[..]].concat())
            .await?;
        Ok(())
    }

    /// Waits until none of the namespace's Pods with this label is on its way out.
    pub(crate) async fn settled(&self, label: &str) -> anyhow::Result<()> {
        self.until("no Pod is ending", async || {
            Ok(!self.pods(label).await?.iter().any(is_ending))
        })
        .await
    }

    /// Waits until it is so, for as long as the cluster may take for what it does by itself.
    pub(crate) async fn until(
        &self,
        what: &str,
        reached: impl AsyncFn() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        self.until_within(SETTLE_LIMIT, what, reached).await
    }

    /// Waits until it is so. An error is as good as "not yet", and is told at the end.
    pub(crate) async fn until_within(
        &self,
        limit: Duration,
        what: &str,
        reached: impl AsyncFn() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        let mut last = None;
        loop {
            match tokio::time::timeout_at(deadline.into(), reached()).await {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => last = None,
                Ok(Err(error)) => last = Some(error),
                Err(_) => last = last.or_else(|| Some(anyhow!("no answer"))),
            }
            if Instant::now() >= deadline {
                let late = anyhow!("not in {limit:?}: {what}");
                return Err(last.map_or(late, |last| {
                    last.context(format!("not in {limit:?}: {what}"))
                }));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the API server answers and has everything that it needs.
    pub(crate) async fn api_server_is_ready(&self) -> anyhow::Result<()> {
        let ready = async || Ok(self.read_text("/readyz").await? == "ok");
        self.until("the API server is ready", ready).await
    }

    /// Who holds the Lease of Locum's leader in the namespace, if anybody.
    pub(crate) async fn leader(&self) -> anyhow::Result<Option<String>> {
        let path = self.path("apis/coordination.k8s.io/v1", "leases/locum");
        let lease = self.read(&path).await?.context("no Lease yet")?;
        let holder = lease["spec"]["holderIdentity"].as_str();
        Ok(holder.map(str::to_owned))
    }

    /// Gives the Gateway `eg` another listener, so that it has another generation.
    pub(crate) async fn add_listener(&self) -> anyhow::Result<()> {
        let listener = r#"[{"op": "add", "path": "/spec/listeners/-",
            "value": {"name": "other", "protocol": "HTTP", "port": 8080}}]"#;
        let patch = ["patch", "gateway", "eg", "--type=json", "-p", listener];
        self.kubectl(&patch).await?;
        Ok(())
    }

    /// Waits until a Deployment of the namespace has rolled out.
    pub(crate) async fn rolled_out(&self, deployment: &str) -> anyhow::Result<()> {
        let name = format!("deployment/{deployment}");
        let limit = format!("--timeout={}s", SETTLE_LIMIT.as_secs());
        self.kubectl(&["rollout", "status", &name, &limit]).await?;
        Ok(())
    }

    /// The address inside the cluster of a Service of the namespace.
    pub(crate) async fn cluster_address(&self, service: &str) -> anyhow::Result<IpAddr> {
        let path = self.path("api/v1", &format!("services/{service}"));
        let service = self.read(&path).await?.context("no such Service")?;
        let address = service["spec"]["clusterIP"].as_str();
        Ok(address.context("no address inside the cluster")?.parse()?)
    }

    /// The address outside of the cluster of a Service of the namespace, once it has one.
    pub(crate) async fn outer_address(&self, service: &str) -> anyhow::Result<IpAddr> {
        self.until("the Service has an address", async || {
            Ok(self.given_address(service).await?.is_some())
        })
        .await?;
        let address = self.given_address(service).await?;
        address.context("the address was taken away again")
    }

    async fn given_address(&self, service: &str) -> anyhow::Result<Option<IpAddr>> {
        let path = self.path("api/v1", &format!("services/{service}"));
        let service = self.read(&path).await?.context("no such Service")?;
        let address = &service["status"]["loadBalancer"]["ingress"][0]["ip"];
        Ok(address.as_str().map(str::parse).transpose()?)
    }

    /// Waits until a request is answered 200 by a Pod of this Deployment.
    pub(crate) async fn until_served_by(
        &self,
        deployment: &str,
        address: SocketAddr,
        host: &str,
        path: &str,
    ) -> anyhow::Result<()> {
        let last = std::cell::RefCell::new(String::new());
        let what = format!("served by {deployment}");
        let waited = self.until(&what, async || {
            let answer = ask::get(address, host, path).await;
            *last.borrow_mut() = format!("{answer:?}");
            let pod = answer?.pod();
            Ok(pod.is_some_and(|pod| deployment_of(&pod) == deployment))
        });
        let waited = waited.await;
        waited.with_context(|| format!("last answer of {address}: {}", last.borrow()))
    }

    /// The open loop that most cases run.
    pub(crate) fn load(&self, request: Request) -> anyhow::Result<Load> {
        let pace = Pace::Open {
            rate: RATE,
            connections: CONNECTIONS,
        };
        let bound = Bound {
            requests: u64::MAX,
            time: LOAD_LIMIT,
        };
        let networks = self.cluster.networks();
        Ok(Load::start_within(networks, request, pace, bound)?)
    }

    /// Lets so many seconds' worth of requests go by.
    pub(crate) async fn seconds(&self, load: &Load, seconds: u32) -> anyhow::Result<()> {
        let requests = usize::try_from(seconds * RATE)?;
        let expected = Duration::from_secs(seconds.into());
        Ok(load.more(requests, expected).await?)
    }
}

/// A condition by its type, of a list of conditions.
pub(crate) fn condition<'a>(conditions: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = conditions.as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
}

/// Whether a condition is `True`.
pub(crate) fn is_true(condition: &Value) -> bool {
    condition["status"] == "True"
}

fn is_ending(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// The name of a Pod's Deployment: `active` of `active-5d9f8-x2k4z`; its own name if it has none.
pub(crate) fn deployment_of(pod: &str) -> &str {
    let mut parts = pod.rsplitn(3, '-');
    parts.nth(2).unwrap_or(pod)
}

/// What a load counted, by Deployments and not by their Pods.
pub(crate) fn by_deployment(report: Report) -> Report {
    report.renamed(|pod| deployment_of(pod).into())
}

/// Says that nothing was lost, or what was.
pub(crate) fn none_lost(report: &Report) -> anyhow::Result<()> {
    let lost = report.lost();
    let requests = report.requests();
    ensure!(
        lost == 0,
        "{lost} of {requests} requests lost: {:?}",
        report.losses()
    );
    ensure!(requests > 0, "no request was sent");
    Ok(())
}

//! What the replicas of Locum have counted, and what the node counted of them.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};

use crate::bench::Bench;
use crate::install::REPLICAS;

/// The port of a replica's metrics.
const PORT: u16 = 18081;
/// Resources that a replica has sent to proxies.
const RESOURCES_SENT: &str = "locum_xds_resources_total";

/// The metrics of each replica that runs, as it tells them.
#[derive(Debug)]
pub(crate) struct Metrics(BTreeMap<String, String>);

impl Metrics {
    /// Asks every replica.
    pub(crate) async fn of(system: &Bench) -> anyhow::Result<Self> {
        let mut texts = BTreeMap::new();
        for pod in system.ready_pods(REPLICAS).await? {
            let path = format!("pods/{pod}:{PORT}/proxy/metrics");
            let text = system.read_text(&system.path("api/v1", &path)).await?;
            texts.insert(pod, text);
        }
        Ok(Self(texts))
    }

    /// The sum of a metric over those of its series that have this label (`kind="Gateway"`), by
    /// replica.
    pub(crate) fn by_replica(
        &self,
        metric: &str,
        label: &str,
    ) -> anyhow::Result<BTreeMap<&str, u64>> {
        let sums = self.0.iter().map(|(pod, text)| {
            let sum = sum(text, metric, label)?;
            Ok((pod.as_str(), sum))
        });
        sums.collect()
    }

    /// The same of all replicas together.
    pub(crate) fn total(&self, metric: &str, label: &str) -> anyhow::Result<u64> {
        Ok(self.by_replica(metric, label)?.values().sum())
    }
}

/// How many resources each replica that runs has sent to proxies, by Pod.
pub(crate) async fn resources_sent(system: &Bench) -> anyhow::Result<BTreeMap<String, u64>> {
    let metrics = Metrics::of(system).await?;
    let sent = metrics.by_replica(RESOURCES_SENT, "")?.into_iter();
    Ok(sent.map(|(pod, sent)| (pod.to_owned(), sent)).collect())
}

fn sum(text: &str, metric: &str, label: &str) -> anyhow::Result<u64> {
    let mut sum = 0;
    let mut is_there = false;
    for line in text.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let is_meant = series.split('{').next() == Some(metric);
        is_there |= is_meant;
        if !is_meant || !series.contains(label) {
            continue;
        }
        let value = value.parse::<u64>();
        sum += value.with_context(|| format!("not a count: {line}"))?;
    }
    ensure!(is_there, "there is no metric {metric}");
    Ok(sum)
}

/// What a container has used, as its node tells.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Seconds of one core, since it was started.
    pub(crate) cpu_seconds: f64,
    /// What it holds now, in bytes.
    pub(crate) memory: f64,
}

/// What the replicas that run have used, by Pod.
pub(crate) async fn usage(system: &Bench) -> anyhow::Result<BTreeMap<String, Usage>> {
    let pods = system.pods(REPLICAS).await?;
    let mut used = BTreeMap::new();
    for pod in pods {
        let node = pod["spec"]["nodeName"].as_str().context("a Pod's node")?;
        let name = pod["metadata"]["name"].as_str().context("a Pod's name")?;
        let path = format!("/api/v1/nodes/{node}/proxy/metrics/resource");
        let text = system.read_text(&path).await?;
        let value = |metric| container_value(&text, metric, name);
        used.insert(
            name.to_owned(),
            Usage {
                cpu_seconds: value("container_cpu_usage_seconds_total")?,
                memory: value("container_memory_working_set_bytes")?,
            },
        );
    }
    Ok(used)
}

/// The value of a container's metric: these lines end with the time of their measurement.
fn container_value(text: &str, metric: &str, pod: &str) -> anyhow::Result<f64> {
    let of_pod = format!("pod=\"{pod}\"");
    let line = text
        .lines()
        .find(|line| line.starts_with(metric) && line.contains(&of_pod));
    let line = line.with_context(|| format!("the node does not tell {metric} of {pod}"))?;
    let value = line
        .rsplit_once('}')
        .and_then(|(_, values)| values.split_whitespace().next());
    Ok(value.with_context(|| line.to_owned())?.parse()?)
}

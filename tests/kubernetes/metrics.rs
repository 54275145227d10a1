//! What the replicas of Locum have counted.

use std::collections::BTreeMap;

use anyhow::Context;

use crate::bench::Bench;

/// The port of a replica's metrics.
const PORT: u16 = 18081;
const RESOURCES_SENT: &str = "locum_xds_resources_total";

/// How many resources each replica that runs has sent to proxies, by Pod.
pub(crate) async fn resources_sent(system: &Bench) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut sent = BTreeMap::new();
    for pod in system.ready_pods("app.kubernetes.io/name=locum").await? {
        let path = format!("pods/{pod}:{PORT}/proxy/metrics");
        let text = system.read_text(&system.path("api/v1", &path)).await?;
        sent.insert(pod, sum(&text, RESOURCES_SENT)?);
    }
    Ok(sent)
}

/// The sum of a counter over all its labels.
fn sum(text: &str, counter: &str) -> anyhow::Result<u64> {
    let mut sum = 0;
    for line in text.lines().filter(|line| line.starts_with(counter)) {
        let value = line.rsplit(' ').next();
        let value = value.and_then(|value| value.parse::<u64>().ok());
        sum += value.with_context(|| format!("not a counter: {line}"))?;
    }
    Ok(sum)
}

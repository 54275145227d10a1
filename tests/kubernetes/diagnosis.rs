//! What a cluster says of itself when a case has failed: its objects, its events, the logs of Locum
//! and of the case's Pods.

use crate::kubectl::kubectl;

/// The longest that one section may be: a thousand objects tell no more than a hundred.
const SECTION_LIMIT: usize = 100_000;
/// The last lines of each log.
const LINES: &str = "--tail=60";
/// The kinds that are Locum's business; each is asked for alone, as it may not be installed.
const KINDS: [&str; 6] = [
    "gatewayclasses",
    "gateways",
    "httproutes",
    "backends.gateway.envoyproxy.io",
    "backendtrafficpolicies.gateway.envoyproxy.io",
    "failoverpolicies.locum.dev",
];

/// A text of all in these namespaces that may tell why a case has failed.
pub(crate) async fn of(namespaces: &[&str]) -> String {
    let mut text = String::new();
    for space in namespaces {
        let pods = ["-n", space, "get", "pods,services,endpointslices", "-o"];
        text += &section(&[&pods[..], &["wide"]].concat()).await;
        let events = ["-n", space, "get", "events", "--sort-by=.lastTimestamp"];
        text += &section(&events).await;
        text += &logs(space).await;
    }
    for kind in KINDS {
        text += &section(&["get", kind, "--all-namespaces", "-o", "yaml"]).await;
    }
    text
}

/// The logs of all Pods of a namespace; of one that was restarted those before, too.
async fn logs(namespace: &str) -> String {
    let names = kubectl(&["-n", namespace, "get", "pods", "-o", "name"]).await;
    let mut text = String::new();
    for pod in names.unwrap_or_default().lines() {
        let log = ["-n", namespace, "logs", pod, "--all-containers", LINES];
        text += &section(&log).await;
        if let Ok(before) = kubectl(&[&log[..], &["--previous"]].concat()).await {
            text += &format!("--- {pod}, before it was restarted\n{before}");
        }
    }
    text
}

async fn section(arguments: &[&str]) -> String {
    let title = arguments.join(" ");
    match kubectl(arguments).await {
        Ok(mut text) => {
            if text.len() > SECTION_LIMIT {
                text.truncate(text.floor_char_boundary(SECTION_LIMIT));
                text += "\n(and more)\n";
            }
            format!("--- {title}\n{text}")
        }
        Err(error) => format!("--- {error:#}\n"),
    }
}

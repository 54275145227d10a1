//! The fields of a FailoverPolicy.

use super::{Row, below, time, value};
use crate::translate::resolve::defaults;

/// Where Envoy is told of an endpoint.
macro_rules! endpoint {
    ($field:literal) => {
        concat!(
            "ClusterLoadAssignment.endpoints.lb_endpoints.endpoint.",
            $field
        )
    };
}

const FACTOR: &str = "ClusterLoadAssignment.policy.overprovisioning_factor";
const PRIORITY: &str = "ClusterLoadAssignment.endpoints.priority";
const METADATA: &str = "Route.metadata.filter_metadata";
const AS_POLICY: &str = "as `healthCheck.active` of the BackendTrafficPolicy";

pub(super) fn rows() -> Vec<Row> {
    let own = vec![
        Row::envoy("mode", &[FACTOR]),
        Row::envoy("threshold", &[FACTOR]).absent("none, with mode Switch"),
    ];
    let parts = [
        own,
        below("targetRefs[]", targets()),
        below("tiers[]", tier()),
        below("retry", retry()),
        below("lastResort", last_resort()),
        below("pin", pin()),
    ];
    parts.into_iter().flatten().collect()
}

fn targets() -> Vec<Row> {
    vec![
        Row::words("group", "must be Gateway API's"),
        Row::words("kind", "must be HTTPRoute"),
        Row::words("name", "the chains of the route's rules are ordered so"),
        Row::words("sectionName", "the chain of this rule is ordered so").absent("the whole route"),
    ]
}

fn tier() -> Vec<Row> {
    let chain = defaults::chain_settings();
    let reference = vec![
        Row::words("group", "says with `name` which reference it is"),
        Row::words("kind", "says with `name` which reference it is"),
        Row::envoy("name", &[PRIORITY]),
        Row::words("namespace", "says with `name` which reference it is")
            .absent("the policy's own"),
        Row::words("port", "says with `name` which reference it is")
            .absent("none, as of a Backend"),
    ];
    let connect = format!(
        "as `timeout.tcp.connectTimeout` of the BackendTrafficPolicy, or {}",
        time(chain.connect_timeout)
    );
    let own = vec![
        Row::words("name", "what `pin` and messages call the tier"),
        Row::words(
            "drain",
            "the tier's priority is empty, or an aggregate cluster leaves it out",
        )
        .absent(value(false)),
        Row::envoy("connectTimeout", &["Cluster.connect_timeout"])
            .absent(connect)
            .but("`0s`", "must be more than 0s"),
    ];
    let check = vec![
        Row::envoy(
            "disabled",
            &[endpoint!("health_check_config.disable_active_health_check")],
        )
        .absent(value(false)),
        Row::envoy("path", &["Cluster.health_checks.http_health_check.path"]).absent(AS_POLICY),
        Row::envoy("port", &[endpoint!("health_check_config.port_value")]).absent(AS_POLICY),
        Row::envoy("hostname", &[endpoint!("health_check_config.hostname")]).absent(AS_POLICY),
    ];
    let parts = [
        own,
        below("backendRefs[]", reference),
        below("healthCheck", check),
    ];
    parts.into_iter().flatten().collect()
}

fn retry() -> Vec<Row> {
    let retry = defaults::retry(2);
    vec![
        Row::envoy("attempts", &["Route.route.retry_policy.num_retries"])
            .absent("as `retry.numRetries` of the BackendTrafficPolicy, or enough for every tier"),
        Row::envoy("nextTier", &["PreviousPrioritiesConfig.update_frequency"]).absent(
            "as `retry.numAttemptsPerPriority` of the BackendTrafficPolicy, or `AfterSameTier`",
        ),
        Row::envoy(
            "codes",
            &["Route.route.retry_policy.retriable_status_codes"],
        )
        .absent("as `retry.retryOn.httpStatusCodes` of the BackendTrafficPolicy, or none"),
        Row::envoy("bodyLimit", &["Route.request_body_buffer_limit"])
            .absent(format!("`{}`", retry.body_limit)),
    ]
}

fn last_resort() -> Vec<Row> {
    vec![
        Row::envoy(
            "status",
            &["HttpConnectionManager.local_reply_config.mappers.status_code"],
        )
        .but(
            "`204`, `205`, `304`",
            "an answer of 204, 205 or 304 has no body",
        ),
        Row::envoy("body", &[METADATA]).absent("none"),
        Row::envoy("contentType", &[METADATA]),
    ]
}

fn pin() -> Vec<Row> {
    vec![
        Row::words(
            "tier",
            "the tier has the first priority, or is the first in an aggregate cluster",
        ),
        Row::words(
            "until",
            "when that time has come, what Envoy gets is as without the pin",
        )
        .absent("until it is taken away"),
        Row::words("reason", "stands in the policy's status").absent("none"),
    ]
}

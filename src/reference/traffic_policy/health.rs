//! How it is found out that an endpoint cannot serve.

use super::NO_TIME;
use crate::reference::{Row, below, time, value};
use crate::translate::resolve::defaults;

/// Where Envoy is told whom to probe.
macro_rules! target {
    ($field:literal) => {
        concat!(
            "ClusterLoadAssignment.endpoints.lb_endpoints.endpoint.health_check_config.",
            $field
        )
    };
}

/// Where Envoy is told how to probe.
macro_rules! probe {
    ($field:literal) => {
        concat!("Cluster.health_checks.", $field)
    };
}

/// Where Envoy is told what ejects an endpoint.
macro_rules! detection {
    ($field:literal) => {
        concat!("Cluster.outlier_detection.", $field)
    };
}

const PORT: &str = target!("port_value");
const HOSTNAME: &str = target!("hostname");

pub(super) fn rows() -> Vec<Row> {
    let panic = defaults::chain_settings().panic_percent;
    let own = vec![
        Row::envoy(
            "panicThreshold",
            &["Cluster.common_lb_config.healthy_panic_threshold"],
        )
        .absent(value(panic)),
    ];
    let parts = [own, below("passive", passive()), below("active", active())];
    below("healthCheck", parts.into_iter().flatten().collect())
}

/// What is looked out for where a policy does not say.
fn detection_without_a_policy() -> String {
    let detection = defaults::chain_settings().outlier_detection;
    format!(
        "{} gateway errors or connection failures in a row eject for {}, looked at every {}",
        detection.consecutive_gateway_errors.unwrap_or_default(),
        time(detection.base_ejection_time),
        time(detection.interval),
    )
}

fn passive() -> Vec<Row> {
    vec![
        Row::words(
            "",
            "what is left out of it has the defaults below; success rates never eject",
        )
        .absent(detection_without_a_policy()),
        Row::envoy("interval", &[detection!("interval")]).but("`0s`", NO_TIME),
        Row::envoy(
            "baseEjectionTime",
            &[
                detection!("base_ejection_time"),
                detection!("max_ejection_time"),
            ],
        )
        .but("`0s`", NO_TIME),
        Row::envoy("maxEjectionPercent", &[detection!("max_ejection_percent")])
            .absent(value(defaults::MAX_EJECTION_PERCENT)),
        Row::envoy(
            "alwaysEjectOneEndpoint",
            &[detection!("always_eject_one_host")],
        ),
        Row::envoy(
            "consecutive5XxErrors",
            &[
                detection!("consecutive_5xx"),
                detection!("enforcing_consecutive_5xx"),
            ],
        ),
        Row::envoy(
            "consecutiveGatewayErrors",
            &[
                detection!("consecutive_gateway_failure"),
                detection!("enforcing_consecutive_gateway_failure"),
            ],
        )
        .absent("never"),
        Row::envoy(
            "consecutiveLocalOriginFailures",
            &[detection!("consecutive_local_origin_failure")],
        ),
        Row::envoy(
            "splitExternalLocalOriginErrors",
            &[detection!("split_external_local_origin_errors")],
        ),
        Row::envoy(
            "failurePercentageThreshold",
            &[
                detection!("failure_percentage_threshold"),
                detection!("enforcing_failure_percentage"),
            ],
        )
        .absent("never"),
    ]
}

fn active() -> Vec<Row> {
    let own = vec![
        Row::words("", "while nobody sends requests it is asked as often")
            .absent("nothing is asked"),
        Row::envoy("type", &["Cluster.health_checks"]),
        Row::envoy("timeout", &[probe!("timeout")]).but("`0s`", NO_TIME),
        Row::envoy(
            "interval",
            &[probe!("interval"), probe!("no_traffic_interval")],
        )
        .but("`0s`", NO_TIME),
        Row::envoy("initialJitter", &[probe!("initial_jitter")]).absent("none"),
        Row::envoy("unhealthyThreshold", &[probe!("unhealthy_threshold")]),
        Row::envoy("healthyThreshold", &[probe!("healthy_threshold")]),
        Row::envoy("overrides.port", &[PORT]).absent("the endpoint's own"),
        Row::envoy("grpc.service", &[probe!("grpc_health_check.service_name")])
            .absent("the whole server"),
    ];
    let parts = [
        own,
        below("http", http()),
        payload("tcp.send", probe!("tcp_health_check.send.binary")),
        payload("tcp.receive", probe!("tcp_health_check.receive.binary")),
        below("healthCheckLog", log()),
    ];
    parts.into_iter().flatten().collect()
}

fn http() -> Vec<Row> {
    let own = vec![
        Row::envoy("path", &[probe!("http_health_check.path")]).but(
            "control characters",
            "has a character that no path may have",
        ),
        Row::envoy("hostname", &[HOSTNAME]).absent("the endpoint's own name, or its address"),
        Row::envoy("method", &[probe!("http_health_check.method")])
            .absent(value(defaults::PROBE_METHOD))
            .but("others than Envoy has", "must be one of GET, HEAD, POST"),
        Row::envoy(
            "expectedStatuses",
            &[probe!("http_health_check.expected_statuses")],
        )
        .absent(format!("`[{}]`", defaults::EXPECTED_STATUS)),
        Row::envoy(
            "retriableStatuses",
            &[probe!("http_health_check.retriable_statuses")],
        )
        .absent("none: an answer that is not expected is the end at once"),
    ];
    let parts = [
        own,
        payload(
            "expectedResponse",
            probe!("http_health_check.receive.binary"),
        ),
        payload("requestBody", probe!("http_health_check.send.binary")),
    ];
    parts.into_iter().flatten().collect()
}

fn payload(path: &str, field: &'static str) -> Vec<Row> {
    let rows = vec![
        Row::words("type", "which of the two Envoy gets, as bytes"),
        Row::envoy("text", &[field]).absent("none, with type Binary"),
        Row::envoy("binary", &[field]).absent("none, with type Text"),
    ];
    below(path, rows)
}

fn log() -> Vec<Row> {
    vec![
        Row::envoy("", &[probe!("event_logger")]).absent("nothing is written down"),
        Row::words("sinks[].type", "must be File"),
        Row::envoy(
            "sinks[].file.path",
            &["HealthCheckEventFileSink.event_log_path"],
        ),
        Row::envoy(
            "matches",
            &[
                probe!("always_log_health_check_failures"),
                probe!("always_log_health_check_success"),
            ],
        )
        .absent("all of them"),
    ]
}

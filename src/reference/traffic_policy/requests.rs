//! What is done with requests beyond sending them on, and what is told of them.

use super::NO_TIME;
use crate::reference::{Row, below};

pub(super) fn rows() -> Vec<Row> {
    let own = vec![
        Row::refused(
            "admissionControl",
            "admissionControl is not supported: Envoy counts all tiers of a chain together, and would turn \
             requests away from a standby for what the active tier did",
        ),
        Row::envoy(
            "httpUpgrade[].type",
            &["Route.route.upgrade_configs.upgrade_type"],
        )
        .but(
            "`CONNECT`",
            "CONNECT is not supported: a route matches by path, and CONNECT has none",
        )
        .but("other names than a protocol's", "is no name of a protocol"),
        Row::nothing(
            "httpUpgrade[].connect.terminate",
            "it is for type CONNECT, which is refused",
        )
        .absent("none"),
        Row::envoy("telemetry.metrics.routeStatName", &["Route.stat_prefix"])
            .absent("no statistics of its own")
            .but(
                "other words between percent signs",
                "knows %ROUTE_NAME%, %ROUTE_NAMESPACE% and %ROUTE_KIND% only",
            ),
        Row::refused(
            "telemetry.tracing",
            "tracing is not supported: only an EnvoyProxy says where traces go, and Locum reads none",
        ),
    ];
    [own, below("faultInjection", fault())]
        .into_iter()
        .flatten()
        .collect()
}

fn fault() -> Vec<Row> {
    vec![
        Row::envoy("delay.fixedDelay", &["HTTPFault.delay.fixed_delay"]).but("`0s`", NO_TIME),
        Row::envoy("delay.percentage", &["HTTPFault.delay.percentage"])
            .but("less than 0, more than 100", "must be from 0 to 100"),
        Row::envoy("abort.httpStatus", &["HTTPFault.abort.http_status"])
            .absent("none, with `grpcStatus`")
            .but("`600`", "must be at most 599"),
        Row::envoy("abort.grpcStatus", &["HTTPFault.abort.grpc_status"])
            .absent("none, with `httpStatus`"),
        Row::envoy("abort.percentage", &["HTTPFault.abort.percentage"])
            .but("less than 0, more than 100", "must be from 0 to 100"),
    ]
}

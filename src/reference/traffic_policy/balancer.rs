//! How an endpoint is chosen.

use super::NO_TIME;
use crate::reference::{Row, below};

/// Where Envoy is told how to weigh by reports.
macro_rules! weighed {
    ($field:literal) => {
        concat!("ClientSideWeightedRoundRobin.", $field)
    };
}

const SLOW_START: &str = "RoundRobin.slow_start_config.slow_start_window";
const HASH_POLICY: &str = "Route.route.hash_policy.header.header_name";
const NOT_WITHOUT_TYPE: &str = "none: it is for the other types";

pub(super) fn rows() -> Vec<Row> {
    let own = vec![
        Row::words("", "the endpoint of a tier is chosen by").absent("type LeastRequest"),
        Row::envoy(
            "type",
            &["Cluster.load_balancing_policy.policies.typed_extension_config.typed_config"],
        )
        .but(
            "`DynamicModule`",
            "DynamicModule is not supported: nothing loads a module",
        ),
        Row::envoy("slowStart.window", &[SLOW_START]).but("`0s`", NO_TIME),
        Row::envoy(
            "endpointOverride.extractFrom[].header",
            &["OverrideHost.override_host_sources.header"],
        )
        .absent("refused, as is what is no name of a header")
        .but(
            "other names than a header's",
            "must be the name of a header",
        ),
        Row::refused(
            "zoneAware",
            "zoneAware is not supported: zones would take the place of the members' weights within a tier",
        ),
        Row::words("dynamicModule", "with type DynamicModule, which is refused").absent("none"),
    ];
    let parts = [
        own,
        below("consistentHash", hash()),
        below("backendUtilization", utilization()),
    ];
    below("loadBalancer", parts.into_iter().flatten().collect())
}

fn hash() -> Vec<Row> {
    let unnamed = "hashes something by a name, or sets a value, that HTTP has not";
    let own = vec![
        Row::envoy("type", &["Route.route.hash_policy"]),
        Row::envoy("tableSize", &["Maglev.table_size"])
            .but("what is no prime number", "must be a prime number"),
        Row::envoy("header.name", &[HASH_POLICY]),
        Row::envoy("headers[].name", &[HASH_POLICY]),
        Row::envoy(
            "queryParams[].name",
            &["Route.route.hash_policy.query_parameter.name"],
        ),
    ];
    let cookie = vec![
        Row::envoy("name", &["Route.route.hash_policy.cookie.name"]),
        Row::envoy("ttl", &["Route.route.hash_policy.cookie.ttl"])
            .absent("the proxy sets no cookie: a request without one goes to any endpoint"),
        Row::envoy("attributes", &["Route.route.hash_policy.cookie.attributes"]).absent("none"),
    ];
    let whole = vec![
        Row::words("", "with type ConsistentHash")
            .absent(NOT_WITHOUT_TYPE)
            .but("what HTTP takes for no name or value", unnamed),
    ];
    [whole, own, below("cookie", cookie)]
        .into_iter()
        .flatten()
        .collect()
}

fn utilization() -> Vec<Row> {
    let reports = vec![
        Row::envoy("", &[weighed!("enable_oob_load_report")]).absent("reports come with answers"),
        Row::envoy("reportingPeriod", &[weighed!("oob_reporting_period")])
            .absent("`10s`, which is Envoy's"),
        Row::envoy("port", &[weighed!("oob_reporting_config.port_value")])
            .absent("the endpoint's own"),
        Row::envoy("authority", &[weighed!("oob_reporting_config.authority")])
            .absent("the endpoint's name, or the cluster's"),
    ];
    let own = vec![
        Row::words("", "with type BackendUtilization").absent(NOT_WITHOUT_TYPE),
        Row::envoy("blackoutPeriod", &[weighed!("blackout_period")])
            .absent("`10s`, which is Envoy's"),
        Row::envoy(
            "weightExpirationPeriod",
            &[weighed!("weight_expiration_period")],
        )
        .absent("`3m`, which is Envoy's")
        .but("`0s`", NO_TIME),
        Row::envoy("weightUpdatePeriod", &[weighed!("weight_update_period")])
            .absent("`1s`, which is Envoy's")
            .but("`0s`", NO_TIME),
        Row::envoy(
            "errorUtilizationPenaltyPercent",
            &[weighed!("error_utilization_penalty")],
        )
        .absent("`100`, which is Envoy's"),
        Row::envoy(
            "metricNamesForComputingUtilization",
            &[weighed!("metric_names_for_computing_utilization")],
        )
        .absent("what is reported as `application_utilization` or `cpu_utilization`"),
        Row::envoy("keepResponseHeaders", &["Route.response_headers_to_remove"]),
    ];
    [own, below("outOfBand", reports)]
        .into_iter()
        .flatten()
        .collect()
}

//! How a policy's `healthCheck` finds out that an endpoint cannot serve.

use super::super::defaults;
use super::{Refusals, positive, refuse};
use crate::model::{ChainSettings, HealthCheck, HealthCheckLog, OutlierDetection, Payload, Probe};
use crate::resource::traffic_policy::{self as api, CheckType, HealthCheckEvent};

/// The methods that Envoy probes with.
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH",
];
/// Where probes are logged where the policy says nowhere.
const STANDARD_OUTPUT: &str = "/dev/stdout";

/// Sets detection, probes and the panic threshold.
pub(super) fn apply(check: &api::HealthCheck, chain: &mut ChainSettings, refusals: &mut Refusals) {
    if let Some(percent) = check.panic_threshold {
        chain.panic_percent = percent;
    }
    if let Some(passive) = &check.passive {
        chain.outlier_detection = outlier_detection(passive);
        positive(passive.interval.0, "healthCheck.passive.interval", refusals);
        positive(
            passive.base_ejection_time.0,
            "healthCheck.passive.baseEjectionTime",
            refusals,
        );
    }
    if let Some(active) = &check.active {
        positive(active.interval.0, "healthCheck.active.interval", refusals);
        positive(active.timeout.0, "healthCheck.active.timeout", refusals);
        if let Some(http) = &active.http {
            check_http(http, refusals);
        }
        chain.health_check = Some(health_check(active));
    }
}

/// Refuses what Envoy would, or would make something else of.
fn check_http(http: &api::HttpCheck, refusals: &mut Refusals) {
    if http.path.chars().any(char::is_control) {
        let why = "has a character that no path may have";
        refuse(refusals, "healthCheck.active.http.path", why);
    }
    let method = http
        .method
        .as_ref()
        .map(|method| method.to_ascii_uppercase());
    if method.is_some_and(|method| !METHODS.contains(&&*method)) {
        let why = format!("must be one of {}", METHODS.join(", "));
        refuse(refusals, "healthCheck.active.http.method", &why);
    }
}

/// What the policy says; what it leaves out has its API's defaults, but for two that would keep a
/// tier from failing over: the ejection limit, and that the ejection time multiplies.
fn outlier_detection(passive: &api::PassiveHealthCheck) -> OutlierDetection {
    let counted_over_it = passive.failure_percentage_threshold.is_some();
    let interval = if counted_over_it {
        passive.interval.0
    } else {
        passive.interval.0.min(defaults::RETURN_INTERVAL)
    };
    OutlierDetection {
        interval,
        base_ejection_time: passive.base_ejection_time.0,
        max_ejection_time: passive.base_ejection_time.0,
        max_ejection_percent: passive
            .max_ejection_percent
            .unwrap_or(defaults::MAX_EJECTION_PERCENT),
        always_eject_one: passive.always_eject_one_endpoint,
        consecutive_5xx: Some(passive.consecutive_5xx_errors),
        consecutive_gateway_errors: passive.consecutive_gateway_errors,
        consecutive_local_origin_failures: Some(passive.consecutive_local_origin_failures),
        split_external_local_origin_errors: passive.split_external_local_origin_errors,
        failure_percentage_threshold: passive.failure_percentage_threshold,
    }
}

fn health_check(active: &api::ActiveHealthCheck) -> HealthCheck {
    HealthCheck {
        timeout: active.timeout.0,
        interval: active.interval.0,
        initial_jitter: active.initial_jitter.map(Into::into),
        unhealthy_threshold: active.unhealthy_threshold,
        healthy_threshold: active.healthy_threshold,
        port: active.overrides.and_then(|overrides| overrides.port),
        probe: probe(active),
        log: active.health_check_log.as_ref().map(log),
    }
}

fn log(spec: &api::HealthCheckLog) -> HealthCheckLog {
    let sink = spec.sinks.iter().find_map(|sink| sink.file.as_ref());
    let every = |event| spec.matches.is_empty() || spec.matches.contains(&event);
    HealthCheckLog {
        path: sink.map_or_else(|| STANDARD_OUTPUT.into(), |file| file.path.clone()),
        every_failure: every(HealthCheckEvent::Failure),
        every_success: every(HealthCheckEvent::Success),
    }
}

fn probe(active: &api::ActiveHealthCheck) -> Probe {
    match active.r#type {
        CheckType::Http => {
            let http = active.http.clone().unwrap_or_default();
            let expected_statuses = if http.expected_statuses.is_empty() {
                vec![defaults::EXPECTED_STATUS]
            } else {
                http.expected_statuses
            };
            Probe::Http {
                path: http.path,
                hostname: http.hostname,
                method: http.method.map_or_else(
                    || defaults::PROBE_METHOD.into(),
                    |method| method.to_ascii_uppercase(),
                ),
                expected_statuses,
                retriable_statuses: http.retriable_statuses,
                expected_response: http.expected_response.as_ref().map(payload),
                request_body: http.request_body.as_ref().map(payload),
            }
        }
        CheckType::Tcp => {
            let tcp = active.tcp.clone().unwrap_or_default();
            Probe::Tcp {
                send: tcp.send.as_ref().map(payload),
                receive: tcp.receive.as_ref().map(payload),
            }
        }
        CheckType::Grpc => Probe::Grpc {
            service: active.grpc.clone().and_then(|grpc| grpc.service),
        },
    }
}

fn payload(payload: &api::Payload) -> Payload {
    match (&payload.text, &payload.binary) {
        (Some(text), _) => Payload::Text(text.clone()),
        (None, Some(bytes)) => Payload::Binary(bytes.0.clone()),
        (None, None) => Payload::Binary(Vec::new()),
    }
}

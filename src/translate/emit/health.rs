//! Health: what Envoy sees in the requests it carries (outlier detection) and what it asks for
//! (health checks).

use envoy_types::pb::envoy::config::cluster::v3::OutlierDetection as PbOutlierDetection;
use envoy_types::pb::envoy::config::core::v3::health_check::{
    GrpcHealthCheck, HealthChecker, HttpHealthCheck, Payload as PbPayload, TcpHealthCheck,
    TlsOptions, payload,
};
use envoy_types::pb::envoy::config::core::v3::{
    HealthCheck as PbHealthCheck, RequestMethod, TypedExtensionConfig,
};
use envoy_types::pb::envoy::extensions::health_check::event_sinks::file::v3::HealthCheckEventFileSink;
use envoy_types::pb::envoy::r#type::v3::{CodecClientType, Int64Range};
use envoy_types::pb::google::protobuf::{UInt32Value, UInt64Value};

use super::tls;
use crate::model::{
    ChainSettings, HealthCheck, HealthCheckLog, OutlierDetection, Payload, Probe, Probing,
    Protocol, Tier,
};
use crate::xds::wire::{boolean, duration, extension, uint32};

/// Bytes of an answer that Envoy looks through for the expected text by itself.
const RESPONSE_BUFFER: u64 = 1024;

/// Outlier detection with every detector said, on or off: Envoy's defaults have some on that nobody
/// asked for (success rate) and some off that were asked for (gateway failures).
pub(super) fn outlier_detection(settings: &OutlierDetection) -> PbOutlierDetection {
    let on_if = |threshold: Option<u32>| Some(uint32(if threshold.is_some() { 100 } else { 0 }));
    let threshold = |value: Option<u32>| -> Option<UInt32Value> { value.map(uint32) };
    PbOutlierDetection {
        interval: Some(duration(settings.interval)),
        base_ejection_time: Some(duration(settings.base_ejection_time)),
        max_ejection_time: Some(duration(settings.max_ejection_time)),
        max_ejection_percent: Some(uint32(settings.max_ejection_percent)),
        always_eject_one_host: Some(boolean(settings.always_eject_one)),
        consecutive_5xx: threshold(settings.consecutive_5xx),
        enforcing_consecutive_5xx: on_if(settings.consecutive_5xx),
        consecutive_gateway_failure: threshold(settings.consecutive_gateway_errors),
        enforcing_consecutive_gateway_failure: on_if(settings.consecutive_gateway_errors),
        split_external_local_origin_errors: settings.split_external_local_origin_errors,
        consecutive_local_origin_failure: threshold(settings.consecutive_local_origin_failures),
        enforcing_consecutive_local_origin_failure: on_if(
            settings.consecutive_local_origin_failures,
        ),
        failure_percentage_threshold: threshold(settings.failure_percentage_threshold),
        enforcing_failure_percentage: on_if(settings.failure_percentage_threshold),
        enforcing_failure_percentage_local_origin: Some(uint32(0)),
        enforcing_success_rate: Some(uint32(0)),
        enforcing_local_origin_success_rate: Some(uint32(0)),
        ..PbOutlierDetection::default()
    }
}

/// The check that a tier's cluster has; one that is not probed leaves it to its endpoints to say so.
pub(super) fn check_of<'a>(tier: &'a Tier, settings: &'a ChainSettings) -> Option<&'a HealthCheck> {
    match &tier.probing {
        Probing::AsChain | Probing::Off => settings.health_check.as_ref(),
        Probing::Own(check) => Some(check),
    }
}

/// An active health check, in `protocol` where it speaks HTTP; `in_tls` if it does for some
/// endpoints. Nothing for a gRPC probe of HTTP/1 endpoints: it cannot be sent, and Envoy refuses a
/// cluster that says otherwise.
pub(super) fn health_check(
    check: &HealthCheck,
    protocol: Protocol,
    in_tls: bool,
) -> Option<PbHealthCheck> {
    if matches!(check.probe, Probe::Grpc { .. }) && protocol == Protocol::Http1 {
        return None;
    }
    let interval = duration(check.interval);
    Some(PbHealthCheck {
        timeout: Some(duration(check.timeout)),
        interval: Some(interval),
        // A standby has no traffic: Envoy would look at it once a minute, and the first switch
        // would wait for that.
        no_traffic_interval: Some(interval),
        no_traffic_healthy_interval: Some(interval),
        initial_jitter: check.initial_jitter.map(duration),
        unhealthy_threshold: Some(uint32(check.unhealthy_threshold)),
        healthy_threshold: Some(uint32(check.healthy_threshold)),
        health_checker: Some(checker(&check.probe, protocol)),
        tls_options: offered(&check.probe, protocol).filter(|_| in_tls),
        event_logger: check.log.iter().map(file).collect(),
        always_log_health_check_failures: check.log.as_ref().is_some_and(|log| log.every_failure),
        always_log_health_check_success: check.log.as_ref().is_some_and(|log| log.every_success),
        ..PbHealthCheck::default()
    })
}

/// What a probe that goes over TLS offers to speak. By itself Envoy offers nothing, and there are
/// servers that then speak HTTP/1.1 alone.
fn offered(probe: &Probe, protocol: Protocol) -> Option<TlsOptions> {
    let name = match (probe, protocol) {
        (Probe::Tcp { .. }, _) => return None,
        (Probe::Http { .. }, Protocol::Http1 | Protocol::Negotiated) => tls::HTTP1,
        (Probe::Http { .. }, Protocol::Http2) | (Probe::Grpc { .. }, _) => tls::HTTP2,
    };
    Some(TlsOptions {
        alpn_protocols: vec![name.to_owned()],
    })
}

fn file(log: &HealthCheckLog) -> TypedExtensionConfig {
    let sink = HealthCheckEventFileSink {
        event_log_path: log.path.clone(),
    };
    extension("envoy.health_check.event_sinks.file", sink)
}

/// What is sent and expected. The host that an HTTP or gRPC probe asks for is written at each
/// endpoint.
fn checker(probe: &Probe, protocol: Protocol) -> HealthChecker {
    match probe {
        Probe::Http {
            path,
            hostname: _,
            method,
            expected_statuses,
            retriable_statuses,
            expected_response,
            request_body,
        } => HealthChecker::HttpHealthCheck(HttpHealthCheck {
            path: path.clone(),
            method: RequestMethod::from_str_name(method)
                .unwrap_or(RequestMethod::Get)
                .into(),
            send: request_body.as_ref().map(payload),
            receive: expected_response.iter().map(payload).collect(),
            response_buffer_size: expected_response.as_ref().and_then(buffer_for),
            expected_statuses: statuses(expected_statuses),
            retriable_statuses: statuses(retriable_statuses),
            codec_client_type: match protocol {
                Protocol::Http1 | Protocol::Negotiated => CodecClientType::Http1,
                Protocol::Http2 => CodecClientType::Http2,
            }
            .into(),
            ..HttpHealthCheck::default()
        }),
        Probe::Tcp { send, receive } => HealthChecker::TcpHealthCheck(TcpHealthCheck {
            send: send.as_ref().map(payload),
            receive: receive.iter().map(payload).collect(),
            ..TcpHealthCheck::default()
        }),
        Probe::Grpc { service } => HealthChecker::GrpcHealthCheck(GrpcHealthCheck {
            service_name: service.clone().unwrap_or_default(),
            ..GrpcHealthCheck::default()
        }),
    }
}

/// The bytes of an answer that must be looked through for `expected`, where Envoy would stop
/// earlier.
fn buffer_for(expected: &Payload) -> Option<UInt64Value> {
    let value = u64::try_from(bytes(expected).len()).ok()?;
    (value > RESPONSE_BUFFER).then_some(UInt64Value { value })
}

fn statuses(codes: &[u16]) -> Vec<Int64Range> {
    codes
        .iter()
        .map(|code| Int64Range {
            start: i64::from(*code),
            end: i64::from(*code) + 1,
        })
        .collect()
}

fn payload(content: &Payload) -> PbPayload {
    PbPayload {
        payload: Some(payload::Payload::Binary(bytes(content).to_vec())),
    }
}

fn bytes(content: &Payload) -> &[u8] {
    match content {
        Payload::Text(text) => text.as_bytes(),
        Payload::Binary(bytes) => bytes,
    }
}

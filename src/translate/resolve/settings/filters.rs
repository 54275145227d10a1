//! What a policy has done with requests and answers on their way: `requestBuffer`,
//! `faultInjection`, `bandwidthLimit`, `compressor`; and, in files of their own, `rateLimit` and
//! `responseOverride`.

use std::collections::BTreeSet;

use super::super::defaults;
use super::{Refusals, balancer, is_token, positive, rate_limit, refuse, response_override};
use crate::model::{AbortStatus, Bandwidth, Codec, Compression, Fault, Filters};
use crate::resource::traffic_policy::{
    self as api, BackendTrafficPolicySpec, BandwidthUnit, BandwidthValue, CompressorType,
    FaultInjection,
};

/// What Envoy answers at most.
const MAX_STATUS: u32 = 599;

/// What is done.
pub(super) fn of(spec: &BackendTrafficPolicySpec, refusals: &mut Refusals) -> Filters {
    let bandwidth = spec.bandwidth_limit.as_ref();
    let request = bandwidth.and_then(|limit| limit.request.as_ref());
    let response = bandwidth.and_then(|limit| limit.response.as_ref());
    Filters {
        fault: spec
            .fault_injection
            .as_ref()
            .map(|fault| self::fault(fault, refusals)),
        rate_limit: spec
            .rate_limit
            .as_ref()
            .and_then(|limit| rate_limit::local(limit, refusals)),
        global_limits: Vec::new(),
        request_buffer: spec
            .request_buffer
            .and_then(|buffer| request_buffer(buffer, refusals)),
        request_bandwidth: request.map(|request| Bandwidth {
            kib_per_second: rate(request.limit, "bandwidthLimit.request.limit", refusals),
            trailers: None,
        }),
        response_bandwidth: response.map(|response| Bandwidth {
            kib_per_second: rate(response.limit, "bandwidthLimit.response.limit", refusals),
            trailers: response
                .response_trailers
                .as_ref()
                .map(|trailers| prefix(trailers, refusals)),
        }),
        compression: compression(spec, refusals),
        overrides: response_override::overrides(&spec.response_override, refusals),
        // What the rule's references change is not the policy's to say.
        kept_headers: BTreeSet::new(),
        hides_load_reports: balancer::hides_load_reports(spec.load_balancer.as_ref()),
    }
}

fn request_buffer(buffer: api::RequestBuffer, refusals: &mut Refusals) -> Option<u32> {
    let limit = u32::try_from(buffer.limit.0);
    if limit.is_err() {
        refuse(refusals, "requestBuffer.limit", "must be less than 4Gi");
    }
    limit.ok()
}

fn fault(spec: &FaultInjection, refusals: &mut Refusals) -> Fault {
    let delay = spec.delay.map(|delay| {
        let time = delay.fixed_delay.0;
        positive(time, "faultInjection.delay.fixedDelay", refusals);
        let share = millionths(delay.percentage, "faultInjection.delay", refusals);
        (time, share)
    });
    let abort = spec.abort.map(|abort| {
        let status = match abort.grpc_status {
            Some(status) => AbortStatus::Grpc(status),
            None => AbortStatus::Http(abort.http_status.unwrap_or_default()),
        };
        if matches!(status, AbortStatus::Http(status) if status > MAX_STATUS) {
            refuse(
                refusals,
                "faultInjection.abort.httpStatus",
                "must be at most 599",
            );
        }
        let share = millionths(abort.percentage, "faultInjection.abort", refusals);
        (status, share)
    });
    Fault { delay, abort }
}

/// A percentage in millionths.
fn millionths(percentage: f32, field: &str, refusals: &mut Refusals) -> u32 {
    if !(0.0..=100.0).contains(&percentage) {
        let field = format!("{field}.percentage");
        refuse(refusals, &field, "must be from 0 to 100");
        return 0;
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 to a million"
    )]
    let share = (f64::from(percentage) * 10_000.0).round() as u32;
    share
}

/// Kibibytes a second, rounded down.
fn rate(value: BandwidthValue, field: &str, refusals: &mut Refusals) -> u64 {
    let seconds = match value.unit {
        BandwidthUnit::Second => 1,
        BandwidthUnit::Minute => 60,
        BandwidthUnit::Hour => 60 * 60,
    };
    let rate = value.value.0 / seconds / 1024;
    if rate == 0 {
        refuse(refusals, field, "must be at least 1 KiB a second");
    }
    rate
}

fn prefix(trailers: &api::BandwidthTrailers, refusals: &mut Refusals) -> String {
    let prefix = trailers.prefix.clone().unwrap_or_default();
    if !prefix.is_empty() && !is_token(&prefix) {
        let field = "bandwidthLimit.response.responseTrailers.prefix";
        refuse(refusals, field, "begins no name of a header");
    }
    prefix
}

fn compression(spec: &BackendTrafficPolicySpec, refusals: &mut Refusals) -> Vec<Compression> {
    let older = spec.compression.iter().enumerate();
    let older = older.map(|(index, codec)| (format!("compression[{index}]"), codec));
    let newer = spec.compressor.iter().enumerate();
    let newer = newer.map(|(index, codec)| (format!("compressor[{index}]"), codec));
    let mut found: Vec<Compression> = Vec::new();
    for (field, spec) in older.chain(newer) {
        let codec = match spec.r#type {
            CompressorType::Gzip => Codec::Gzip,
            CompressorType::Brotli => Codec::Brotli,
            CompressorType::Zstd => Codec::Zstd,
        };
        if found.iter().any(|known| known.codec == codec) {
            refuse(refusals, &format!("{field}.type"), "is there twice");
        }
        let length = spec
            .min_content_length
            .map(|length| u32::try_from(length.0));
        let min_length = match length {
            None => defaults::MIN_COMPRESSED,
            Some(Ok(length)) if length >= defaults::MIN_COMPRESSED => length,
            Some(_) => {
                let field = format!("{field}.minContentLength");
                refuse(refusals, &field, "must be at least 30 and less than 4Gi");
                defaults::MIN_COMPRESSED
            }
        };
        found.push(Compression { codec, min_length });
    }
    found
}

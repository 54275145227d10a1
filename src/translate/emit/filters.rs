//! HTTP filters: what is done with requests and answers beyond sending them on.
//!
//! Each stands in every listener, switched off, and a route that wants it switches it on with what
//! it wants. So a policy changes routes, never a listener, whose change would end its connections.
//! There are two exceptions. A least length for compression Envoy takes from the listener alone. And
//! custom responses are of those parts of Envoy that its security team does not look after, of which
//! it warns: they are only where a route asks for them.

use std::collections::{BTreeSet, HashMap};

use envoy_types::pb::envoy::config::core::v3::RuntimeFeatureFlag;
use envoy_types::pb::envoy::extensions::compression::brotli::compressor::v3::Brotli;
use envoy_types::pb::envoy::extensions::compression::gzip::compressor::v3::Gzip;
use envoy_types::pb::envoy::extensions::compression::zstd::compressor::v3::Zstd;
use envoy_types::pb::envoy::extensions::filters::common::fault::v3::{
    FaultDelay, fault_delay::FaultDelaySecifier,
};
use envoy_types::pb::envoy::extensions::filters::http::bandwidth_limit::v3::{
    BandwidthLimit, bandwidth_limit::EnableMode,
};
use envoy_types::pb::envoy::extensions::filters::http::buffer::v3::{
    Buffer, BufferPerRoute, buffer_per_route,
};
use envoy_types::pb::envoy::extensions::filters::http::compressor::v3::compressor::{
    CommonDirectionConfig, ResponseDirectionConfig,
};
use envoy_types::pb::envoy::extensions::filters::http::compressor::v3::{
    Compressor, CompressorOverrides, CompressorPerRoute, compressor_per_route,
};
use envoy_types::pb::envoy::extensions::filters::http::custom_response::v3::CustomResponse;
use envoy_types::pb::envoy::extensions::filters::http::fault::v3::{
    FaultAbort, HttpFault, fault_abort::ErrorType,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpFilter, http_filter,
};
use envoy_types::pb::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
use envoy_types::pb::google::protobuf::{Any, UInt64Value};
use envoy_types::util::pack_any;

use super::{headers, rate_limit, rate_limit_service, response_override};
use crate::model::{
    AbortStatus, Action, Bandwidth, Codec, Compression, Fault, Filters, Port, Route,
};
use crate::translate::RateLimitService;
use crate::xds::wire::{boolean, duration, extension, uint32};

const OVERRIDE: &str = "envoy.filters.http.custom_response";
const FAULT: &str = "envoy.filters.http.fault";
const RATE_LIMIT: &str = "envoy.filters.http.local_ratelimit";
const GLOBAL_LIMIT: &str = "envoy.filters.http.ratelimit";
const BUFFER: &str = "envoy.filters.http.buffer";
/// One filter has one limit, so there are two.
const REQUEST_BANDWIDTH: &str = "envoy.filters.http.bandwidth_limit.request";
const RESPONSE_BANDWIDTH: &str = "envoy.filters.http.bandwidth_limit.response";

const KEPT_HEADERS: &str = "envoy.filters.http.set_filter_state";

/// In which endpoints report their use.
const LOAD_REPORTS: [&str; 2] = ["endpoint-load-metrics", "endpoint-load-metrics-bin"];

/// Envoy wants a limit of a buffer that nobody uses too; in bytes.
const UNUSED_BUFFER: u32 = 1024 * 1024;
/// Envoy's least length of an answer to be made small.
const MIN_COMPRESSED: u32 = 30;

/// The filters of a port's listener before the router, in the order in which requests pass them;
/// answers pass them the other way round.
pub(super) fn of_listener(
    port: &Port,
    service: Option<&RateLimitService>,
) -> impl Iterator<Item = HttpFilter> {
    let buffer = Buffer {
        max_request_bytes: Some(uint32(UNUSED_BUFFER)),
    };
    let bandwidth = BandwidthLimit {
        stat_prefix: "bandwidth_limit".into(),
        enable_mode: EnableMode::Disabled.into(),
        ..BandwidthLimit::default()
    };
    let refusing = [
        disabled(FAULT, HttpFault::default()),
        disabled(RATE_LIMIT, rate_limit::nothing()),
    ];
    // What is asked of another machine is the last of those that refuse. The buffer comes after them:
    // what is not taken need not be kept.
    let global =
        service.map(|service| disabled(GLOBAL_LIMIT, rate_limit_service::switched_off(service)));
    let shaping = [
        disabled(BUFFER, buffer),
        disabled(REQUEST_BANDWIDTH, bandwidth.clone()),
        disabled(RESPONSE_BANDWIDTH, bandwidth),
        disabled(KEPT_HEADERS, headers::kept([])),
    ];
    let compressors = compressors(port).into_iter();
    let compressors =
        compressors.map(|compressor| disabled(&compressor.name(), compressor.filter()));
    // The first to see a request is the last to see its answer, whoever gave it.
    let overrides = asked(port)
        .any(|filters| !filters.overrides.is_empty())
        .then(|| disabled(OVERRIDE, CustomResponse::default()));
    let always = refusing.into_iter().chain(global).chain(shaping);
    overrides.into_iter().chain(always).chain(compressors)
}

/// What the routes of a port ask for.
fn asked(port: &Port) -> impl Iterator<Item = &Filters> {
    let routes = port.virtual_hosts.iter().flat_map(|host| &host.routes);
    routes.filter_map(|route| match &route.action {
        Action::Forward(forward) => Some(&forward.filters),
        Action::Respond { .. } => None,
    })
}

/// What a route switches on.
pub(super) fn of_route(route: &Route, filters: &Filters) -> HashMap<String, Any> {
    let mut on: HashMap<String, Any> = HashMap::new();
    let mut add = |name: &str, config: Any| on.insert(name.to_owned(), config);
    if !filters.overrides.is_empty() {
        let config = response_override::filter(&filters.overrides);
        add(OVERRIDE, pack_any(config));
    }
    if let Some(fault) = &filters.fault {
        add(FAULT, pack_any(self::fault(fault)));
    }
    if let Some(limit) = &filters.rate_limit {
        add(RATE_LIMIT, pack_any(rate_limit::filter(limit)));
    }
    if !filters.global_limits.is_empty() {
        let limits = rate_limit_service::of_route(route, &filters.global_limits);
        add(GLOBAL_LIMIT, pack_any(limits));
    }
    if let Some(limit) = filters.request_buffer {
        let buffer = Buffer {
            max_request_bytes: Some(uint32(limit)),
        };
        let config = BufferPerRoute {
            r#override: Some(buffer_per_route::Override::Buffer(buffer)),
        };
        add(BUFFER, pack_any(config));
    }
    let directions = [
        (
            REQUEST_BANDWIDTH,
            &filters.request_bandwidth,
            EnableMode::Request,
        ),
        (
            RESPONSE_BANDWIDTH,
            &filters.response_bandwidth,
            EnableMode::Response,
        ),
    ];
    for (name, limit, mode) in directions {
        if let Some(limit) = limit {
            add(name, pack_any(bandwidth(limit, mode)));
        }
    }
    if !filters.kept_headers.is_empty() {
        add(KEPT_HEADERS, pack_any(headers::kept(&filters.kept_headers)));
    }
    for compressor in chosen(filters) {
        let config = CompressorPerRoute {
            r#override: Some(compressor_per_route::Override::Overrides(
                CompressorOverrides::default(),
            )),
        };
        add(&compressor.name(), pack_any(config));
    }
    on
}

/// What is taken off a route's requests: with a proxy that makes answers small no endpoint does.
pub(super) fn headers_to_remove(filters: &Filters) -> Vec<String> {
    let compresses = !filters.compression.is_empty();
    compresses
        .then(|| "accept-encoding".to_owned())
        .into_iter()
        .collect()
}

/// What is taken off answers: reports that the proxy alone was meant to see.
pub(super) fn answer_headers_to_remove(filters: &Filters) -> Vec<String> {
    if filters.hides_load_reports {
        LOAD_REPORTS.map(Into::into).into()
    } else {
        Vec::new()
    }
}

fn disabled<M: prost::Message + prost::Name>(name: &str, config: M) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        disabled: true,
        config_type: Some(http_filter::ConfigType::TypedConfig(pack_any(config))),
        ..HttpFilter::default()
    }
}

fn fault(fault: &Fault) -> HttpFault {
    HttpFault {
        delay: fault.delay.map(|(time, share)| FaultDelay {
            percentage: Some(millionths(share)),
            fault_delay_secifier: Some(FaultDelaySecifier::FixedDelay(duration(time))),
        }),
        abort: fault.abort.map(|(status, share)| FaultAbort {
            percentage: Some(millionths(share)),
            error_type: Some(match status {
                AbortStatus::Http(status) => ErrorType::HttpStatus(status),
                AbortStatus::Grpc(status) => ErrorType::GrpcStatus(status),
            }),
            ..FaultAbort::default()
        }),
        ..HttpFault::default()
    }
}

fn millionths(numerator: u32) -> FractionalPercent {
    FractionalPercent {
        numerator,
        denominator: DenominatorType::Million.into(),
    }
}

fn bandwidth(limit: &Bandwidth, mode: EnableMode) -> BandwidthLimit {
    BandwidthLimit {
        stat_prefix: "bandwidth_limit".into(),
        enable_mode: mode.into(),
        limit_kbps: Some(UInt64Value {
            value: limit.kib_per_second,
        }),
        enable_response_trailers: limit.trailers.is_some(),
        response_trailer_prefix: limit.trailers.clone().unwrap_or_default(),
        ..BandwidthLimit::default()
    }
}

/// One compressor of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ListenersCompressor {
    min_length: u32,
    codec: Codec,
    /// Whether it is chosen where a client takes several alike.
    preferred: bool,
}

impl ListenersCompressor {
    fn name(self) -> String {
        let codec = match self.codec {
            Codec::Gzip => "gzip",
            Codec::Brotli => "brotli",
            Codec::Zstd => "zstd",
        };
        let mut name = format!("envoy.filters.http.compressor.{codec}");
        if self.preferred {
            name.push_str(".preferred");
        }
        if self.min_length != MIN_COMPRESSED {
            name.push('.');
            name.push_str(&self.min_length.to_string());
        }
        name
    }

    fn filter(self) -> Compressor {
        let library = match self.codec {
            Codec::Gzip => extension("envoy.compression.gzip.compressor", Gzip::default()),
            Codec::Brotli => extension("envoy.compression.brotli.compressor", Brotli::default()),
            Codec::Zstd => extension("envoy.compression.zstd.compressor", Zstd::default()),
        };
        let common = CommonDirectionConfig {
            enabled: Some(RuntimeFeatureFlag {
                default_value: Some(boolean(true)),
                runtime_key: String::new(),
            }),
            min_content_length: Some(uint32(self.min_length)),
            ..CommonDirectionConfig::default()
        };
        Compressor {
            compressor_library: Some(library),
            response_direction_config: Some(ResponseDirectionConfig {
                common_config: Some(common),
                ..ResponseDirectionConfig::default()
            }),
            choose_first: self.preferred,
            ..Compressor::default()
        }
    }
}

/// The compressors that a route uses.
fn chosen(filters: &Filters) -> impl Iterator<Item = ListenersCompressor> {
    let compressor = |(index, compression): (usize, &Compression)| ListenersCompressor {
        min_length: compression.min_length,
        codec: compression.codec,
        preferred: index == 0,
    };
    filters.compression.iter().enumerate().map(compressor)
}

/// The compressors of a port: all with the least length, and what its routes ask for beside them.
fn compressors(port: &Port) -> BTreeSet<ListenersCompressor> {
    let codecs = [Codec::Gzip, Codec::Brotli, Codec::Zstd];
    let always = codecs.into_iter().flat_map(|codec| {
        [true, false].map(|preferred| ListenersCompressor {
            min_length: MIN_COMPRESSED,
            codec,
            preferred,
        })
    });
    always.chain(asked(port).flat_map(chosen)).collect()
}

//! Bodies of requests and answers on their way: kept, made small, slowed down.

use crate::reference::{Row, below, value};
use crate::translate::resolve::defaults;

const TOO_SLOW: &str = "must be at least 1 KiB a second";

pub(super) fn rows() -> Vec<Row> {
    let own = vec![
        Row::envoy(
            "requestBuffer.limit",
            &["BufferPerRoute.buffer.max_request_bytes"],
        )
        .but("`4Gi` and more", "must be less than 4Gi"),
    ];
    let parts = [
        own,
        vec![Row::like("compression", "spec.compressor")],
        below("compressor[]", compressor()),
        below("bandwidthLimit", bandwidth()),
    ];
    parts.into_iter().flatten().collect()
}

fn compressor() -> Vec<Row> {
    let empty = |name: &str| Row::nothing(name, "there is nothing to set").absent("none");
    vec![
        Row::envoy("type", &["CompressorPerRoute.overrides"])
            .but("the same twice", "is there twice"),
        empty("brotli"),
        empty("gzip"),
        empty("zstd"),
        Row::envoy(
            "minContentLength",
            &["Compressor.response_direction_config.common_config.min_content_length"],
        )
        .absent(value(defaults::MIN_COMPRESSED))
        .but(
            "less than 30, `4Gi` and more",
            "must be at least 30 and less than 4Gi",
        ),
    ]
}

fn bandwidth() -> Vec<Row> {
    let limit = &["BandwidthLimit.limit_kbps"];
    vec![
        Row::envoy("request.limit", limit).but("less", TOO_SLOW),
        Row::envoy("request.limit.value", limit),
        Row::envoy("request.limit.unit", limit),
        Row::envoy("response.limit.value", limit),
        Row::envoy("response.limit.unit", limit),
        Row::envoy(
            "response.responseTrailers",
            &["BandwidthLimit.enable_response_trailers"],
        )
        .absent("none"),
        Row::envoy(
            "response.responseTrailers.prefix",
            &["BandwidthLimit.response_trailer_prefix"],
        )
        .absent("none")
        .but("what begins no header's name", "begins no name of a header"),
    ]
}

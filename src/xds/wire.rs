//! Small protobuf forms that emission and bootstrap write all over: durations, wrapped numbers,
//! addresses, packed messages.

use std::collections::HashMap;
use std::time;

use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, Http1ProtocolOptions,
    Http2ProtocolOptions, HttpProtocolOptions, Pipe, SocketAddress, TypedExtensionConfig, address,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3 as upstream;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    AutoHttpConfig, ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
    explicit_http_config::ProtocolConfig,
};
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatcher;
use envoy_types::pb::envoy::r#type::v3::Percent;
use envoy_types::pb::google::protobuf::{Any, BoolValue, DoubleValue, Duration, UInt32Value};
use envoy_types::util::pack_any;

pub(crate) fn duration(value: time::Duration) -> Duration {
    Duration {
        // Longer than the field can say is for ever.
        seconds: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
        nanos: value.subsec_nanos().cast_signed(),
    }
}

pub(crate) fn uint32(value: u32) -> UInt32Value {
    UInt32Value { value }
}

pub(crate) fn double(value: f64) -> DoubleValue {
    DoubleValue { value }
}

pub(crate) fn boolean(value: bool) -> BoolValue {
    BoolValue { value }
}

pub(crate) fn percent(value: f64) -> Percent {
    Percent { value }
}

/// An RE2 expression.
pub(crate) fn regex(expression: &str) -> RegexMatcher {
    RegexMatcher {
        regex: expression.to_owned(),
        ..RegexMatcher::default()
    }
}

/// An extension of Envoy by its name in Envoy's registry.
pub(crate) fn extension<M: prost::Message + prost::Name>(
    name: &str,
    config: M,
) -> TypedExtensionConfig {
    TypedExtensionConfig {
        name: name.to_owned(),
        typed_config: Some(pack_any(config)),
    }
}

/// Says that a resource comes over the stream that all others come over. Envoy waits
/// `initial_fetch_timeout` for it before it goes on without; zero is for ever.
pub(crate) fn ads(initial_fetch_timeout: time::Duration) -> ConfigSource {
    ConfigSource {
        initial_fetch_timeout: Some(duration(initial_fetch_timeout)),
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    }
}

/// A TCP address; `with_ipv4` lets an IPv6 socket that binds every address take IPv4 too.
pub(crate) fn socket_address(address: &str, port: u16, with_ipv4: bool) -> Address {
    Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: address.to_owned(),
            port_specifier: Some(PortSpecifier::PortValue(port.into())),
            ipv4_compat: with_ipv4,
            ..SocketAddress::default()
        })),
    }
}

/// A Unix socket; `mode` is for one that Envoy makes, 0 for its default.
pub(crate) fn pipe(path: &str, mode: u32) -> Address {
    Address {
        address: Some(address::Address::Pipe(Pipe {
            path: path.to_owned(),
            mode,
        })),
    }
}

/// The options of a cluster that speaks one protocol.
pub(crate) fn spoken(
    protocol: ProtocolConfig,
    common: Option<HttpProtocolOptions>,
) -> upstream::HttpProtocolOptions {
    let explicit = ExplicitHttpConfig {
        protocol_config: Some(protocol),
    };
    protocol_options(
        UpstreamProtocolOptions::ExplicitHttpConfig(explicit),
        common,
    )
}

/// Those of a cluster that speaks what each client speaks.
pub(crate) fn clients_own(
    http1: Http1ProtocolOptions,
    http2: Http2ProtocolOptions,
    common: Option<HttpProtocolOptions>,
) -> upstream::HttpProtocolOptions {
    let downstream = UseDownstreamHttpConfig {
        http_protocol_options: Some(http1),
        http2_protocol_options: Some(http2),
        ..UseDownstreamHttpConfig::default()
    };
    protocol_options(
        UpstreamProtocolOptions::UseDownstreamProtocolConfig(downstream),
        common,
    )
}

/// Those of a cluster that speaks what each endpoint wants, which TLS finds out.
pub(crate) fn negotiated(
    http1: Http1ProtocolOptions,
    http2: Http2ProtocolOptions,
    common: Option<HttpProtocolOptions>,
) -> upstream::HttpProtocolOptions {
    let auto = AutoHttpConfig {
        http_protocol_options: Some(http1),
        http2_protocol_options: Some(http2),
        ..AutoHttpConfig::default()
    };
    protocol_options(UpstreamProtocolOptions::AutoConfig(auto), common)
}

fn protocol_options(
    protocol: UpstreamProtocolOptions,
    common: Option<HttpProtocolOptions>,
) -> upstream::HttpProtocolOptions {
    upstream::HttpProtocolOptions {
        common_http_protocol_options: common,
        upstream_protocol_options: Some(protocol),
        ..upstream::HttpProtocolOptions::default()
    }
}

/// Such options in the form in which clusters carry them.
pub(crate) fn packed(options: upstream::HttpProtocolOptions) -> HashMap<String, Any> {
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    [(name.to_owned(), pack_any(options))].into()
}

//! The last resort: what a proxy answers by itself when no tier can serve.
//!
//! What is answered stands in the route's metadata, so that an edit of it touches no listener. The
//! listener maps Envoy's own answers for such routes to it, by a mapper for each status in use: a
//! status is the one thing that a mapper cannot take from metadata. The rest of the format is
//! constant, and what the metadata hold is never read as a format.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::accesslog::v3::access_log_filter::FilterSpecifier;
use envoy_types::pb::envoy::config::accesslog::v3::{
    AccessLogFilter, AndFilter, ExtensionFilter, ResponseFlagFilter, extension_filter,
};
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::substitution_format_string::Format;
use envoy_types::pb::envoy::config::core::v3::{
    DataSource, HeaderValue, HeaderValueOption, Metadata, SubstitutionFormatString,
};
use envoy_types::pb::envoy::extensions::access_loggers::filters::cel::v3::ExpressionFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    LocalReplyConfig, ResponseMapper,
};
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use envoy_types::util::pack_any;

use crate::model::{Action, LastResort, Port};
use crate::xds::wire::uint32;

/// The namespace of a route's metadata.
const NAMESPACE: &str = "locum.last_resort";

/// Why Envoy answers by itself when it has nobody to ask: no healthy endpoint, none that a connection
/// came about to, one that broke off, no cluster, a limit reached, all attempts used up. Not the
/// route's timeout (`UT`): a backend that is slow is there.
const FLAGS: [&str; 9] = ["UH", "UF", "NC", "UC", "UR", "UO", "URX", "LR", "UPE"];

/// What a route has to say to the listener's mappers.
pub(super) fn metadata(last_resort: &LastResort) -> Metadata {
    let text = |text: &str| Kind::StringValue(text.to_owned());
    let fields = [
        ("status", Kind::NumberValue(last_resort.status.into())),
        ("body", text(&last_resort.body)),
        ("content_type", text(&last_resort.content_type)),
    ];
    let fields = fields.map(|(name, kind)| (name.to_owned(), Value { kind: Some(kind) }));
    Metadata {
        filter_metadata: [(
            NAMESPACE.to_owned(),
            Struct {
                fields: fields.into(),
            },
        )]
        .into(),
        ..Metadata::default()
    }
}

/// The mappers that the routes of a port need; nothing where there are none.
pub(super) fn local_replies(port: &Port) -> Option<LocalReplyConfig> {
    let routes = port.virtual_hosts.iter().flat_map(|host| &host.routes);
    let statuses: BTreeSet<u16> = routes
        .filter_map(|route| match &route.action {
            Action::Forward(forward) => forward.last_resort.as_ref(),
            Action::Respond { .. } => None,
        })
        .map(|last_resort| last_resort.status)
        .collect();
    (!statuses.is_empty()).then(|| LocalReplyConfig {
        mappers: statuses.into_iter().map(mapper).collect(),
        body_format: None,
    })
}

fn mapper(status: u16) -> ResponseMapper {
    ResponseMapper {
        filter: Some(filter(FilterSpecifier::AndFilter(AndFilter {
            filters: vec![
                filter(FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter {
                    flags: FLAGS.map(String::from).into(),
                })),
                filter(FilterSpecifier::ExtensionFilter(of_status(status))),
            ],
        }))),
        status_code: Some(uint32(status.into())),
        body_format_override: Some(SubstitutionFormatString {
            format: Some(Format::TextFormatSource(DataSource {
                specifier: Some(Specifier::InlineString(field("body"))),
                ..DataSource::default()
            })),
            ..SubstitutionFormatString::default()
        }),
        headers_to_add: vec![HeaderValueOption {
            header: Some(HeaderValue {
                key: "content-type".into(),
                value: field("content_type"),
                ..HeaderValue::default()
            }),
            append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
            ..HeaderValueOption::default()
        }],
        ..ResponseMapper::default()
    }
}

fn filter(specifier: FilterSpecifier) -> AccessLogFilter {
    AccessLogFilter {
        filter_specifier: Some(specifier),
    }
}

/// Takes requests whose route asks for this status.
fn of_status(status: u16) -> ExtensionFilter {
    let metadata = "xds.route_metadata.filter_metadata";
    let expression = format!(
        "has({metadata}) && '{NAMESPACE}' in {metadata} && {metadata}['{NAMESPACE}']['status'] == {status}.0"
    );
    let config = ExpressionFilter {
        expression,
        ..ExpressionFilter::default()
    };
    ExtensionFilter {
        name: "envoy.access_loggers.extension_filters.cel".into(),
        config_type: Some(extension_filter::ConfigType::TypedConfig(pack_any(config))),
    }
}

/// What a mapper puts in the place of a field.
fn field(name: &str) -> String {
    format!("%METADATA(ROUTE:{NAMESPACE}:{name})%")
}

//! Requests of both variants, made from the same words.

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DiscoveryRequest, ResourceLocator,
};
use envoy_types::pb::google::rpc;
use locum::xds::message::Request;

/// What a request says. Each variant leaves out what it has no field for.
#[derive(Debug, Default)]
pub struct Said {
    pub(super) type_url: String,
    pub(super) nonce: String,
    pub(super) names: Vec<String>,
    pub(super) gone: Vec<String>,
    pub(super) known: Vec<(String, String)>,
    pub(super) version: String,
    pub(super) refusal: Option<String>,
    pub(super) has_locators: bool,
}

/// A request of one variant.
pub trait Wire: Request {
    fn of(said: &Said) -> Self;
}

impl Wire for DeltaDiscoveryRequest {
    fn of(said: &Said) -> Self {
        Self {
            type_url: said.type_url.clone(),
            response_nonce: said.nonce.clone(),
            resource_names_subscribe: said.names.clone(),
            resource_names_unsubscribe: said.gone.clone(),
            resource_locators_subscribe: locators(said),
            initial_resource_versions: said.known.iter().cloned().collect(),
            error_detail: said.refusal.as_deref().map(error),
            ..Default::default()
        }
    }
}

impl Wire for DiscoveryRequest {
    fn of(said: &Said) -> Self {
        Self {
            type_url: said.type_url.clone(),
            response_nonce: said.nonce.clone(),
            resource_names: said.names.clone(),
            resource_locators: locators(said),
            version_info: said.version.clone(),
            error_detail: said.refusal.as_deref().map(error),
            ..Default::default()
        }
    }
}

fn locators(said: &Said) -> Vec<ResourceLocator> {
    vec![ResourceLocator::default(); usize::from(said.has_locators)]
}

fn error(message: &str) -> rpc::Status {
    rpc::Status {
        message: message.into(),
        ..Default::default()
    }
}

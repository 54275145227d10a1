//! The delta variant: how its messages are read and written.
//!
//! A request adds names and takes names away; a response carries what is new or has changed, and
//! names what is gone. The first request of a type says what the proxy kept from an earlier stream,
//! with versions, so that one which comes back is sent the difference.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as Item,
};
use envoy_types::pb::google::protobuf::Any;

use crate::xds::content::{Content, fitting};
use crate::xds::kind::Kind;
use crate::xds::message::{Request, Response, Variant, cut};
use crate::xds::resource::Resource;
use crate::xds::subscription::Subscription;
use crate::xds::virtual_hosts::Answer;

impl Request for DeltaDiscoveryRequest {
    const VARIANT: Variant = Variant::Delta;

    fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    fn type_url(&self) -> &str {
        &self.type_url
    }

    fn nonce(&self) -> &str {
        &self.response_nonce
    }

    fn refusal(&self) -> Option<&str> {
        self.error_detail.as_ref().map(|error| cut(&error.message))
    }

    fn accepted(&self) -> Option<&str> {
        None
    }

    fn names(&self) -> usize {
        let known = self.initial_resource_versions.len();
        let lists = [
            &self.resource_names_subscribe,
            &self.resource_names_unsubscribe,
        ];
        let longest = lists.into_iter().map(Vec::len).max();
        known.max(longest.unwrap_or(0))
    }

    fn bytes_of_names(&self) -> usize {
        let known = self.initial_resource_versions.iter();
        let known = known.map(|(name, version)| name.len() + version.len());
        let names = self.resource_names_subscribe.iter().map(String::len);
        known.chain(names).sum()
    }

    fn has_locators(&self) -> bool {
        !self.resource_locators_subscribe.is_empty()
    }

    fn open(&self, kind: Kind) -> Subscription {
        let known = &self.initial_resource_versions;
        Subscription::open(kind, &self.resource_names_subscribe, known)
    }

    /// Any message may change the subscription, also one whose nonce is stale. The protocol has
    /// `initial_resource_versions` in the first message of a type only.
    fn change(&self, subscription: &mut Subscription) {
        subscription.unsubscribe(&self.resource_names_unsubscribe);
        subscription.subscribe(&self.resource_names_subscribe);
    }
}

/// The response as it goes over the wire.
pub fn message(response: &Response) -> DeltaDiscoveryResponse {
    let type_url = response.kind.type_url();
    // The protocol: an answer is known by its alias, the name that was asked for. Where there is
    // nothing, an item without a resource says so, by that name.
    let asked_for = |resource: &Arc<Resource>| {
        let answers = response.answers.iter();
        let ours = answers.filter(|answer| {
            let found = answer.found.as_ref();
            found.is_some_and(|found| found.name == resource.name)
        });
        ours.map(|answer| answer.asked.to_string()).collect()
    };
    let answers = response.answers.iter();
    let nothing = answers.filter(|answer| answer.found.is_none());
    let nothing = nothing.map(|answer| Item {
        name: answer.asked.to_string(),
        aliases: vec![answer.asked.to_string()],
        ..Default::default()
    });
    let item = |resource: &Arc<Resource>| Item {
        name: resource.name.to_string(),
        aliases: asked_for(resource),
        version: resource.version.0.to_string(),
        resource: Some(Any {
            type_url: type_url.into(),
            value: resource.body.to_vec(),
        }),
        ..Default::default()
    };
    DeltaDiscoveryResponse {
        type_url: type_url.into(),
        nonce: response.nonce.clone(),
        resources: response.resources.iter().map(item).chain(nothing).collect(),
        removed_resources: response.removed.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

/// What a response carries that brings `news`, takes `gone` away and answers what was asked for: as
/// much as fits.
pub(super) fn content(
    news: Vec<Arc<Resource>>,
    gone: Vec<Arc<str>>,
    mut answers: Vec<Answer>,
) -> Content {
    let news = fitting(news);
    answers.retain(|answer| {
        let found = answer.found.as_ref();
        found.is_none_or(|found| news.iter().any(|one| one.name == found.name))
    });
    Content {
        answers,
        resources: news.clone(),
        sent: news,
        removed: gone,
        ..Content::default()
    }
}

//! The state-of-the-world variant: how its messages are read and written.
//!
//! A request names all that the proxy asks for; a response has one version for all that it brings.
//! The rules are those of the xDS protocol ("xDS REST and gRPC protocol", Envoy's reference), cited
//! where they stand. A response with clusters or listeners carries the complete set, as it is once
//! the proxy has taken over what [`Stream`](crate::xds::stream::Stream) found to be due; the other
//! types carry what is due alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::google::protobuf::Any;

use crate::xds::content::{Content, aggregates_last, fitting};
use crate::xds::kind::Kind;
use crate::xds::message::{Request, Response, Variant, cut};
use crate::xds::resource::{Resource, Version};
use crate::xds::snapshot::Snapshot;
use crate::xds::subscription::{Form, Subscription};

impl Request for DiscoveryRequest {
    const VARIANT: Variant = Variant::StateOfTheWorld;

    fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    fn type_url(&self) -> &str {
        &self.type_url
    }

    fn nonce(&self) -> &str {
        &self.response_nonce
    }

    /// The protocol: an answer with error_detail is a NACK, one without an ACK.
    fn refusal(&self) -> Option<&str> {
        self.error_detail.as_ref().map(|error| cut(&error.message))
    }

    fn accepted(&self) -> Option<&str> {
        (!self.version_info.is_empty()).then_some(&self.version_info)
    }

    fn names(&self) -> usize {
        self.resource_names.len()
    }

    fn bytes_of_names(&self) -> usize {
        let names = self.resource_names.iter().map(String::len);
        names.sum::<usize>() + self.version_info.len()
    }

    fn has_locators(&self) -> bool {
        !self.resource_locators.is_empty()
    }

    /// The protocol: the first request of a stream brings the version that the proxy accepted last,
    /// from whatever server.
    fn open(&self, kind: Kind) -> Subscription {
        let mut subscription = Subscription::open(kind, &self.resource_names, &[].into());
        if !self.version_info.is_empty() {
            subscription.claim(Version(self.version_info.as_str().into()));
        }
        subscription
    }

    /// The protocol: a request that has not seen the newest response has a stale nonce and is
    /// ignored; the proxy says all that it wants again when it answers that response.
    fn change(&self, subscription: &mut Subscription) {
        subscription.saw(&self.response_nonce);
        if subscription.is_up_to_date(&self.response_nonce) {
            subscription.ask_for(&self.resource_names);
        }
    }
}

/// The response as it goes over the wire.
pub fn message(response: &Response) -> DiscoveryResponse {
    let type_url = response.kind.type_url();
    let version = response.version.as_ref();
    let resources = response.resources.iter().map(|resource| Any {
        type_url: type_url.into(),
        value: resource.body.to_vec(),
    });
    DiscoveryResponse {
        version_info: version.map_or_else(String::new, |version| version.0.to_string()),
        type_url: type_url.into(),
        nonce: response.nonce.clone(),
        resources: resources.collect(),
        ..Default::default()
    }
}

/// Whether a response carries the complete set. The protocol: of listeners and clusters what is not
/// in a response is gone; all other resources go when nothing refers to them any more, and a
/// response need not repeat what did not change.
pub(super) fn is_complete(kind: Kind) -> bool {
    matches!(kind, Kind::Listener | Kind::Cluster)
}

/// What a response carries that brings `news` and takes `gone` away.
pub(super) fn content(
    kind: Kind,
    subscription: &Subscription,
    snapshot: &Snapshot,
    news: Vec<Arc<Resource>>,
    gone: Vec<Arc<str>>,
) -> Content {
    let mut forms = subscription.forms();
    let known = |resource: &Arc<Resource>| Form::Known(resource.clone());
    if is_complete(kind) {
        for name in &gone {
            forms.remove(name);
        }
        forms.extend(news.iter().map(|one| (one.name.clone(), known(one))));
        return complete_set(kind, subscription, snapshot, &forms, gone);
    }
    let news = fitting(news);
    forms.extend(news.iter().map(|one| (one.name.clone(), known(one))));
    let versions = forms.iter().map(|(name, form)| (&**name, form.version()));
    Content {
        version: Some(Version::of_set(versions)),
        is_notice: news.is_empty(),
        resources: news.clone(),
        sent: news,
        ..Content::default()
    }
}

/// The set of `forms` as a response.
fn complete_set(
    kind: Kind,
    subscription: &Subscription,
    snapshot: &Snapshot,
    forms: &BTreeMap<Arc<str>, Form>,
    gone: Vec<Arc<str>>,
) -> Content {
    let mut content = Content::default();
    // It went with a response that was refused, and may be gone: then it would come back.
    let has_gone =
        |name: &Arc<str>| subscription.may_lack(name) && snapshot.get(kind, name).is_none();
    let names_gone = |one: &Resource| one.targets(kind).any(has_gone);
    for (name, form) in forms {
        match form {
            Form::Known(_) if has_gone(name) => {}
            // Nor may its form of before, without what that names.
            Form::Known(resource) if subscription.may_lack(name) && names_gone(resource) => {}
            Form::Known(resource) => {
                if !subscription.surely_has(resource) {
                    let known = subscription.acknowledged(resource);
                    let list = if known {
                        &mut content.again
                    } else {
                        &mut content.sent
                    };
                    list.push(resource.clone());
                }
                content.resources.push(resource.clone());
            }
            // What the proxy has instead of what it refused is not known here, and left out it
            // would be gone. So the refused form stands in for it: the proxy refuses that again.
            Form::Foreign(_) => {
                if let Some(refusal) = subscription.refused.get(name) {
                    content.stand_ins.push(refusal.resource.clone());
                    content.resources.push(refusal.resource.clone());
                }
            }
        }
    }
    let carried: BTreeSet<_> = content.resources.iter().map(|one| &one.name).collect();
    let had = subscription.names_that_may_be_there();
    let left_out = had.into_iter().filter(|name| !carried.contains(name));
    let removed: BTreeSet<_> = left_out.chain(gone).collect();
    content.removed = removed.into_iter().collect();
    let versions = content.resources.iter();
    let versions = versions.map(|resource| (&*resource.name, &resource.version));
    content.version = Some(Version::of_set(versions));
    content.resources = aggregates_last(content.resources);
    content.sent = aggregates_last(content.sent);
    content
}

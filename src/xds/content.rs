//! What a response is made of, before it has a form: what it carries, in which order, and what of
//! it is news.

use std::collections::HashSet;
use std::sync::Arc;

use crate::xds::kind::Kind;
use crate::xds::resource::{Resource, Version};
use crate::xds::virtual_hosts::Answer;

/// The most bytes of resources in one response that need not be complete (one resource may be
/// larger): the rest follows when it is acknowledged, so that a proxy with thousands of clusters
/// starts on the first while the last are under way.
pub const RESPONSE_BYTES: usize = 4 << 20;

/// What a response brings and takes away.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// The version of all that the proxy has of this type with it; nothing in delta.
    pub version: Option<Version>,
    /// Everything that it carries.
    pub resources: Vec<Arc<Resource>>,
    /// Of these what is new to the proxy, or may be.
    pub sent: Vec<Arc<Resource>>,
    /// Of these what the proxy acknowledged before and may have lost since.
    pub again: Vec<Arc<Resource>>,
    /// Of these what the proxy refused before and is to refuse again.
    pub stand_ins: Vec<Arc<Resource>>,
    /// What goes with it.
    pub removed: Vec<Arc<str>>,
    /// What was asked for on demand, and is answered with it.
    pub answers: Vec<Answer>,
    /// Whether it tells a version and nothing else. A proxy need not answer that: Envoy takes it
    /// and says nothing if it asks for nothing of the type any more.
    pub is_notice: bool,
}

impl Content {
    /// Keeps of `group` those whose every resource of their own type that they name it carries.
    pub(super) fn retain_complete(&self, group: &mut Vec<Arc<Resource>>) {
        let carried: HashSet<_> = self.resources.iter().map(|one| &one.name).collect();
        group.retain(|resource| {
            let mut named = resource.targets(resource.kind);
            named.all(|name| carried.contains(name))
        });
    }
}

/// Clusters that name others (aggregates) after those they name: Envoy wants every listed cluster
/// to be there. As sending is in this order and goes on only when what went before is acknowledged,
/// cutting a response keeps it.
pub(super) fn aggregates_last(mut clusters: Vec<Arc<Resource>>) -> Vec<Arc<Resource>> {
    let names_others = |cluster: &Arc<Resource>| cluster.targets(Kind::Cluster).next().is_some();
    clusters.sort_by_key(names_others);
    clusters
}

/// The first resources that fit into one response.
pub(super) fn fitting(mut resources: Vec<Arc<Resource>>) -> Vec<Arc<Resource>> {
    let mut bytes = 0;
    let fits = resources.iter().take_while(|resource| {
        bytes += resource.body.len();
        bytes <= RESPONSE_BYTES
    });
    let fits = fits.count().max(1);
    resources.truncate(fits);
    resources
}

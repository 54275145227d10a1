//! Attaching: which listeners an HTTPRoute reaches through one parent reference, and for which
//! hosts.
//!
//! In: a `parentRef` and the Gateways that are served. Out: the listeners with the host names that
//! route and listener share, or Gateway API's reason why there are none.

use gateway_api::apis::experimental::httproutes::HttpRouteParentRefs;

use super::gateways::GatewayPlan;
use super::hostnames::{ANY, intersection};
use crate::resource::HttpRoute;
use crate::status::reasons;
use crate::translate::read::Reader;

/// One listener that a route reaches.
pub(super) struct Attachment<'a> {
    /// Its place among the Gateway's listeners.
    pub listener: usize,
    /// The hosts that both take.
    pub hosts: Vec<&'a str>,
}

/// Why a route is not attached: reason and message.
pub(super) type Detached = (&'static str, String);

/// The listeners of `plan` that `route` reaches through `parent`.
///
/// Listeners that are refused count as reached, since Gateway API counts the routes of a listener
/// whatever its own conditions are; a route that reaches no other is not accepted.
pub(super) fn attachments<'a>(
    route: &'a HttpRoute,
    parent: &HttpRouteParentRefs,
    plan: &GatewayPlan<'a>,
    reader: &Reader<'_>,
) -> Result<Vec<Attachment<'a>>, Detached> {
    let gateway = plan.name();
    let namespace = route.metadata.namespace.as_deref().unwrap_or_default();
    let named: Vec<usize> = (0..plan.listeners.len())
        .filter(|index| names(parent, plan, *index))
        .collect();
    if named.is_empty() {
        let mut what = String::new();
        if let Some(section) = &parent.section_name {
            what.push_str(&format!(" named {section}"));
        }
        if let Some(port) = parent.port {
            what.push_str(&format!(" on port {port}"));
        }
        let message = format!("Gateway {gateway} has no listener{what}.");
        return Err((reasons::NO_MATCHING_PARENT, message));
    }
    let allowed: Vec<usize> = named
        .into_iter()
        .filter(|index| plan.listeners[*index].allows(namespace, reader))
        .collect();
    if allowed.is_empty() {
        let message = format!(
            "No listener of Gateway {gateway} that is referred to takes HTTPRoutes of namespace {namespace}; \
             see its protocol and allowedRoutes."
        );
        return Err((reasons::NOT_ALLOWED_BY_LISTENERS, message));
    }
    let reached: Vec<Attachment<'a>> = allowed
        .into_iter()
        .map(|listener| Attachment {
            listener,
            hosts: hosts(route, plan.listeners[listener].hostname),
        })
        .filter(|attachment| !attachment.hosts.is_empty())
        .collect();
    if reached.is_empty() {
        let message = format!(
            "None of the route's hostnames is one of a listener of Gateway {gateway} that is referred to."
        );
        return Err((reasons::NO_MATCHING_LISTENER_HOSTNAME, message));
    }
    Ok(reached)
}

/// Whether `parent` refers to the listener at `index`.
fn names(parent: &HttpRouteParentRefs, plan: &GatewayPlan<'_>, index: usize) -> bool {
    let listener = &plan.listeners[index];
    parent
        .section_name
        .as_deref()
        .is_none_or(|section| section == listener.name)
        && parent
            .port
            .is_none_or(|port| port == i32::from(listener.port))
}

/// The hosts that a route and a listener share, each once.
fn hosts<'a>(route: &'a HttpRoute, listener: Option<&'a str>) -> Vec<&'a str> {
    let listener = listener.unwrap_or(ANY);
    let hostnames = route.spec.hostnames.as_deref().unwrap_or_default();
    if hostnames.is_empty() {
        return vec![listener];
    }
    let mut hosts: Vec<&str> = hostnames
        .iter()
        .filter_map(|hostname| intersection(hostname, listener))
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

//! Virtual hosts apart from their routes: sent when the proxy has the routes, and all of a route
//! together.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Subscriptions, View};
use crate::xds::kind::Kind;
use crate::xds::resource::Resource;
use crate::xds::subscription::{Form, Subscription};
use crate::xds::virtual_hosts;

/// Takes out of `send` and `remove` the virtual hosts of routes one of whose hosts is `due` and has to
/// wait, or that change themselves: a domain that moves from one host to another, or from the routes to
/// a host, must be somewhere at every moment.
pub(super) fn keep(
    view: View<'_>,
    due: &[Arc<Resource>],
    send: &mut Vec<Arc<Resource>>,
    remove: &mut Vec<Arc<str>>,
) {
    let sent: BTreeSet<_> = send.iter().map(|host| host.name.clone()).collect();
    let held_back = due.iter().filter(|host| !sent.contains(&host.name));
    let waiting: BTreeSet<_> = held_back
        .filter_map(|host| virtual_hosts::route_of(&host.name))
        .collect();
    let routes = view.subscriptions.get(&Kind::Route);
    let changes = |route: &str| {
        let current = view.snapshot.get(Kind::Route, route);
        let wanted = current.filter(|_| routes.is_some_and(|routes| routes.wants(route)));
        wanted.is_some_and(|current| {
            routes.is_some_and(|routes| !routes.surely_has(current) && !routes.refuses(current))
        })
    };
    let waits = |name: &str| {
        virtual_hosts::route_of(name).is_some_and(|route| waiting.contains(route) || changes(route))
    };
    send.retain(|host| !waits(&host.name));
    remove.retain(|name| !waits(name));
}

/// Whether a virtual host belongs to routes that the proxy has, as far as is known in a form that has
/// virtual hosts apart.
pub fn is_part_of_what_it_has(subscriptions: &Subscriptions, virtual_host: &str) -> bool {
    let route = virtual_hosts::route_of(virtual_host);
    let routes = subscriptions.get(&Kind::Route);
    route.is_some_and(|route| routes.is_some_and(|routes| has_virtual_hosts_apart(routes, route)))
}

/// Whether the proxy has these routes, as far as is known in a form that has virtual hosts apart.
pub fn has_virtual_hosts_apart(routes: &Subscription, route: &str) -> bool {
    let held = routes.held().get(route).filter(|_| routes.has(route));
    match held.and_then(|held| held.form.as_ref()) {
        Some(Form::Known(route)) => virtual_hosts::are_apart(route),
        Some(Form::Foreign(_)) => true,
        None => false,
    }
}

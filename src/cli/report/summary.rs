//! What is served, at a glance: listeners, routes, chains by tiers.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::cli::output::Style;
use crate::model::{
    Action, Chain, ChainName, Gateway, Member, Model, PathMatch, Port, Route, StringMatch,
    VirtualHost,
};

/// The most routes of a Gateway that are listed.
const ROUTE_LIMIT: usize = 30;
/// The most endpoints of a backend that are listed.
const ENDPOINT_LIMIT: usize = 4;

/// Lines that say what is served.
pub(super) fn of(model: &Model, listen: IpAddr, style: Style) -> Vec<String> {
    if model.gateways.is_empty() {
        return vec![style.warning("no Gateway of Locum's: nothing is served")];
    }
    let mut lines = Vec::new();
    for (name, gateway) in &model.gateways {
        lines.push(format!("Gateway {}", style.strong(name)));
        for port in gateway.ports.values() {
            lines.push(listener(port, listen));
        }
        lines.extend(routes(gateway, style));
    }
    lines
}

fn listener(port: &Port, listen: IpAddr) -> String {
    let address = SocketAddr::new(listen, port.bind_port);
    if port.port == port.bind_port {
        format!("  listens on http://{address}")
    } else {
        format!("  listens on http://{address} for port {}", port.port)
    }
}

fn routes(gateway: &Gateway, style: Style) -> Vec<String> {
    let mut lines = Vec::new();
    let all = gateway.ports.values().flat_map(|port| {
        let hosts = port.virtual_hosts.iter();
        hosts.flat_map(|host| host.routes.iter().map(move |route| (host, route)))
    });
    let mut left = 0;
    for (host, route) in all {
        if lines.len() >= ROUTE_LIMIT {
            left += 1;
            continue;
        }
        let target = target(gateway, route, style);
        lines.push(format!("  {} -> {target}", request(host, route)));
    }
    if left > 0 {
        lines.push(style.faint(format!("  and {left} more routes")));
    }
    lines
}

/// What a request has to have, in one phrase.
fn request(host: &VirtualHost, route: &Route) -> String {
    let mut text = match &route.matches.path {
        PathMatch::Exact(path) => format!("{}{path} exactly", host.domain),
        PathMatch::Prefix(path) => format!("{}{path}", host.domain),
        PathMatch::Regex(regex) => format!("{} with path ~ {regex}", host.domain),
    };
    if let Some(method) = &route.matches.method {
        text = format!("{method} {text}");
    }
    for (name, value) in &route.matches.headers {
        let _ = write!(text, " with {name} {}", matched(value));
    }
    for (name, value) in &route.matches.query {
        let _ = write!(text, " with ?{name} {}", matched(value));
    }
    text
}

fn matched(value: &StringMatch) -> String {
    match value {
        StringMatch::Exact(text) => format!("= {text}"),
        StringMatch::Regex(regex) => format!("~ {regex}"),
    }
}

fn target(gateway: &Gateway, route: &Route, style: Style) -> String {
    match &route.action {
        Action::Respond { status } => style.bad(format!("answered {status} by the proxy")),
        Action::Forward(forward) => chain(gateway, &forward.chain),
    }
}

fn chain(gateway: &Gateway, name: &ChainName) -> String {
    let Some(chain) = gateway.chains.get(name) else {
        return name.0.clone();
    };
    tiers(chain).join(", then ")
}

fn tiers(chain: &Chain) -> Vec<String> {
    let of_tier = |members: &[Member]| -> String {
        let weighted = members.len() > 1;
        let members = members.iter().map(|each| member(each, weighted));
        members.collect::<Vec<_>>().join(" + ")
    };
    chain
        .tiers
        .iter()
        .map(|tier| of_tier(&tier.members))
        .collect()
}

fn member(member: &Member, weighted: bool) -> String {
    let mut text = member.name.clone();
    if weighted {
        let _ = write!(text, " *{}", member.weight);
    }
    let shown = member.endpoints.iter().take(ENDPOINT_LIMIT);
    let mut endpoints: Vec<String> = shown.map(|endpoint| endpoint.address.to_string()).collect();
    let left = member.endpoints.len() - endpoints.len();
    if left > 0 {
        endpoints.push(format!("and {left} more"));
    }
    if endpoints.is_empty() {
        endpoints.push("no endpoints".into());
    }
    let _ = write!(text, " ({})", endpoints.join(", "));
    text
}

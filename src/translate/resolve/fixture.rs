//! For tests: a store filled from YAML text, and what it resolves to.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::Value;

use super::{Resolution, resolve};
use crate::model::{Action, Chain, ChainName, Forward, Gateway, VirtualHost};
use crate::problem::{Problem, Severity};
use crate::resource::parse::parse;
use crate::resource::{Key, Kind, Object, ObjectName};
use crate::status::{Condition, StatusBody};
use crate::store::{Change, Store};
use crate::translate::{GatewayAddresses, Options, read::Reader};

/// The options of file mode.
pub(super) fn options() -> Options {
    Options {
        controller_names: vec!["locum.dev/gatewayclass-controller".into()],
        listen: IpAddr::V4(Ipv4Addr::LOCALHOST),
        allow_local_backends: true,
        cluster_domain: "cluster.local".into(),
        rate_limit_service: None,
        addresses: GatewayAddresses::Listeners,
    }
}

/// The objects in a YAML text of several documents; missing namespaces are `default`.
pub(super) fn objects(yaml: &str) -> Vec<Object> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml).expect("the test's YAML is valid");
    documents
        .into_iter()
        .filter(|document| !document.is_null())
        .map(object)
        .collect()
}

fn object(document: Value) -> Object {
    let parsed = parse(document, "default");
    parsed
        .object
        .unwrap_or_else(|| panic!("the test's object is admitted: {:?}", parsed.faults))
}

/// A store with the objects of a YAML text.
pub(super) fn store(yaml: &str) -> Store {
    let mut store = Store::default();
    for object in objects(yaml) {
        store.apply(Change::Applied(object));
    }
    store
}

/// What the objects of a YAML text resolve to after an edit that no API server's rules have seen.
pub(super) fn resolved_after(yaml: &str, mut edit: impl FnMut(&mut Object)) -> Resolution {
    let mut store = Store::default();
    for mut object in objects(yaml) {
        edit(&mut object);
        store.apply(Change::Applied(object));
    }
    resolve(&Reader::new(&store), &options())
}

/// What the objects of a YAML text resolve to, errors first.
pub(super) fn resolved(yaml: &str) -> Resolution {
    let store = store(yaml);
    let mut resolution = resolve(&Reader::new(&store), &options());
    resolution
        .problems
        .sort_by(|one, other| (other.severity, one).cmp(&(one.severity, other)));
    resolution
}

/// What the objects of a YAML text and [`GATEWAY`] resolve to.
pub(super) fn served(yaml: &str) -> Resolution {
    resolved(&format!("{GATEWAY}---\n{yaml}"))
}

/// A Gateway `eg` with one HTTP listener for every host at port 80.
pub(super) const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: { name: eg }
spec: { controllerName: locum.dev/gatewayclass-controller }
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: { name: eg }
spec:
  gatewayClassName: eg
  listeners: [{ name: http, protocol: HTTP, port: 80 }]
";

/// An HTTPRoute of the Gateway with these rules, in YAML's flow style.
pub(super) fn route(name: &str, rules: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{ name: {name} }}\n\
         spec: {{ parentRefs: [{{ name: eg }}], rules: [{rules}] }}\n"
    )
}

/// A rule that sends everything to these references: `active` is a Backend, `svc:80` a Service's
/// port, and `*3` after either its weight.
pub(super) fn rule(references: &[&str]) -> String {
    let references: Vec<String> = references.iter().map(|text| reference(text)).collect();
    format!("{{ backendRefs: [{}] }}", references.join(", "))
}

fn reference(text: &str) -> String {
    let (target, weight) = text.split_once('*').unwrap_or((text, "1"));
    match target.split_once(':') {
        Some((service, port)) => format!("{{ name: {service}, port: {port}, weight: {weight} }}"),
        None => format!(
            "{{ group: gateway.envoyproxy.io, kind: Backend, name: {target}, weight: {weight} }}"
        ),
    }
}

/// A Backend with these lines of its spec, in YAML's flow style.
pub(super) fn backend(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{ name: {name} }}\n\
         spec: {{ {spec} }}\n"
    )
}

/// A Backend with one address, and whether it stands by.
pub(super) fn ip(name: &str, address: &str, fallback: bool) -> String {
    let spec = format!(
        "fallback: {fallback}, endpoints: [{{ ip: {{ address: {address}, port: 3000 }} }}]"
    );
    backend(name, &spec)
}

/// A Service with port 80, named `http`, at 8080, and a slice with these addresses.
pub(super) fn service(name: &str, addresses: &[&str]) -> String {
    let endpoints: Vec<String> = addresses
        .iter()
        .map(|address| format!("{{ addresses: [{address}] }}"))
        .collect();
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{ name: {name} }}\n\
         spec: {{ ports: [{{ name: http, port: 80, targetPort: 8080 }}] }}\n{}",
        slice(name, &format!("[{}]", endpoints.join(", ")))
    )
}

/// A slice of a Service, with its endpoints in YAML's flow style.
pub(super) fn slice(service: &str, endpoints: &str) -> String {
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{ name: {service}-1, labels: {{ kubernetes.io/service-name: {service} }} }}\n\
         addressType: IPv4\nports: [{{ name: http, port: 8080 }}]\nendpoints: {endpoints}\n"
    )
}

/// A BackendTrafficPolicy of a target, with more lines of its spec, in YAML's flow style.
pub(super) fn policy(name: &str, target: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: gateway.envoyproxy.io/v1alpha1\nkind: BackendTrafficPolicy\n\
         metadata: {{ name: {name} }}\nspec:\n  targetRefs: [{{ group: gateway.networking.k8s.io, {target} }}]\n  {spec}\n"
    )
}

/// A FailoverPolicy of a route, or of a rule of it, with its tiers' references as [`rule`] has them,
/// and more lines of its spec, in YAML's flow style.
pub(super) fn failover(name: &str, target: &str, tiers: &[(&str, &[&str])], more: &str) -> String {
    let tiers: Vec<String> = tiers
        .iter()
        .map(|(name, references)| {
            let references: Vec<String> = references
                .iter()
                .map(|text| reference(text).replace(", weight: 1", ""))
                .collect();
            format!(
                "{{ name: {name}, backendRefs: [{}] }}",
                references.join(", ")
            )
        })
        .collect();
    format!(
        "---\napiVersion: locum.dev/v1alpha1\nkind: FailoverPolicy\nmetadata: {{ name: {name} }}\nspec:\n  \
         targetRefs: [{{ group: gateway.networking.k8s.io, kind: HTTPRoute, {target} }}]\n  \
         tiers: [{}]\n  {more}\n",
        tiers.join(", ")
    )
}

impl Resolution {
    pub(super) fn gateway(&self) -> &Gateway {
        &self.model.gateways[&ObjectName::new("default", "eg")]
    }

    pub(super) fn host(&self, domain: &str) -> &VirtualHost {
        let ports = self.gateway().ports.values();
        ports
            .flat_map(|port| &port.virtual_hosts)
            .find(|host| host.domain == domain)
            .expect("the host is served")
    }

    /// The action of the first route of the host `*`.
    pub(super) fn action(&self) -> &Action {
        &self.host("*").routes[0].action
    }

    /// The same, where requests are sent on.
    pub(super) fn forward(&self) -> &Forward {
        match self.action() {
            Action::Forward(forward) => forward,
            Action::Respond { status } => panic!("answered {status}"),
        }
    }

    pub(super) fn chain(&self, name: &str) -> &Chain {
        &self.gateway().chains[&ChainName(name.into())]
    }

    /// The first route's chain.
    pub(super) fn first_chain(&self) -> &Chain {
        &self.gateway().chains[&self.forward().chain]
    }

    /// The addresses of the first route's chain, tier by tier.
    pub(super) fn tiers(&self) -> Vec<Vec<String>> {
        let chain = self.first_chain();
        let endpoints = |member: &crate::model::Member| member.endpoints.clone();
        chain
            .tiers
            .iter()
            .map(|tier| {
                let endpoints = tier.members.iter().flat_map(endpoints);
                endpoints
                    .map(|endpoint| format!("{:?}", endpoint.address))
                    .collect()
            })
            .collect()
    }

    /// A condition of the resource, or of its first parent or ancestor: whether it holds, and the
    /// reason.
    pub(super) fn condition(&self, kind: Kind, name: &str, of: &str) -> (bool, &'static str) {
        let key = Key::new(kind, "default", name);
        let conditions: &[Condition] = match &self.statuses[&key].body {
            StatusBody::Conditions(conditions) => conditions,
            StatusBody::Class(class) => &class.conditions,
            StatusBody::Gateway(gateway) => &gateway.conditions,
            StatusBody::Route(parents) => &parents[0].conditions,
            StatusBody::Policy(ancestors) => &ancestors[0].conditions,
        };
        let condition = conditions.iter().find(|condition| condition.kind == of);
        let condition = condition.expect("the condition is there");
        (condition.holds, condition.reason)
    }

    /// The problems with this reason.
    pub(super) fn found(&self, reason: &str) -> Vec<&Problem> {
        let problems = self.problems.iter();
        problems
            .filter(|problem| problem.reason == reason)
            .collect()
    }

    /// The reasons of the problems, each once; notes are none.
    pub(super) fn reasons(&self) -> Vec<&'static str> {
        let problems = self.problems.iter();
        let problems = problems.filter(|problem| problem.severity > Severity::Note);
        let mut reasons: Vec<_> = problems.map(|problem| problem.reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }
}

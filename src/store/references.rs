//! Who refers to whom: the keys that an object names, whatever their sections and ports.
//!
//! Selectors name nothing: what they pick depends on labels, so whoever reads a policy with
//! selectors looks through its kind.

use crate::resource::key::GATEWAY_API;
use crate::resource::{
    Backend, BackendTrafficPolicy, EndpointSlice, FailoverPolicy, Gateway, Guard, HttpRoute, Key,
    Kind, Object, Service,
};

/// The label by which an EndpointSlice names its Service.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The label by which one names the ServiceImport whose endpoints it holds.
const IMPORT_NAME: &str = "multicluster.kubernetes.io/service-name";

/// The label by which a Service says whose proxies it leads to: Gateway API's own.
pub(crate) const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// The resources that `object` names, perhaps with repetitions.
pub(crate) fn of(object: &Object) -> Vec<Key> {
    match object {
        Object::EndpointSlice(slice) => services(slice),
        Object::BackendTrafficPolicy(policy) => policy_targets(policy),
        Object::FailoverPolicy(policy) => failover_targets(policy),
        Object::Guard(guard) => guard_targets(guard),
        Object::HttpRoute(route) => parents_and_backends(route),
        Object::Gateway(gateway) => class_and_certificates(gateway),
        Object::Service(service) => gateway(service).into_iter().collect(),
        Object::Backend(backend) => certificates(backend),
        Object::GatewayClass(_)
        | Object::ReferenceGrant(_)
        | Object::ServiceImport(_)
        | Object::Secret(_)
        | Object::ConfigMap(_)
        | Object::Namespace(_) => Vec::new(),
    }
}

fn services(slice: &EndpointSlice) -> Vec<Key> {
    let labels = slice.metadata.labels.as_ref();
    let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
    let named = [
        (Kind::Service, SERVICE_NAME),
        (Kind::ServiceImport, IMPORT_NAME),
    ];
    named
        .into_iter()
        .filter_map(|(kind, label)| Some(Key::new(kind, namespace, labels?.get(label)?)))
        .collect()
}

fn gateway(service: &Service) -> Option<Key> {
    let name = service.metadata.labels.as_ref()?.get(GATEWAY_NAME)?;
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    Some(Key::new(Kind::Gateway, namespace, name))
}

fn policy_targets(policy: &BackendTrafficPolicy) -> Vec<Key> {
    let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
    policy
        .spec
        .targets()
        .filter_map(|(_, target)| named(&target.group, &target.kind, namespace, &target.name))
        .collect()
}

fn failover_targets(policy: &FailoverPolicy) -> Vec<Key> {
    let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
    let targets = policy.spec.target_refs.iter();
    targets
        .filter_map(|target| named(&target.group, &target.kind, namespace, &target.name))
        .collect()
}

fn guard_targets(guard: &Guard) -> Vec<Key> {
    guard
        .targets
        .iter()
        .map(|target| target.key.clone())
        .collect()
}

fn parents_and_backends(route: &HttpRoute) -> Vec<Key> {
    let own = route.metadata.namespace.as_deref().unwrap_or_default();
    let parents = route
        .spec
        .parent_refs
        .iter()
        .flatten()
        .filter_map(|parent| {
            let group = parent.group.as_deref().unwrap_or(GATEWAY_API);
            let kind = parent.kind.as_deref().unwrap_or("Gateway");
            named(
                group,
                kind,
                parent.namespace.as_deref().unwrap_or(own),
                &parent.name,
            )
        });
    let rules = route.spec.rules.iter().flatten();
    let backends = rules
        .flat_map(|rule| rule.backend_refs.iter().flatten())
        .filter_map(|backend| {
            let group = backend.group.as_deref().unwrap_or_default();
            let kind = backend.kind.as_deref().unwrap_or("Service");
            named(
                group,
                kind,
                backend.namespace.as_deref().unwrap_or(own),
                &backend.name,
            )
        });
    parents.chain(backends).collect()
}

fn class_and_certificates(gateway: &Gateway) -> Vec<Key> {
    let own = gateway.metadata.namespace.as_deref().unwrap_or_default();
    let spec = &gateway.spec;
    let class = Key::new(Kind::GatewayClass, "", &spec.gateway_class_name);
    let tls = spec.listeners.iter().filter_map(|each| each.tls.as_ref());
    let certificates = tls
        .flat_map(|tls| tls.certificate_refs.iter().flatten())
        .filter_map(|certificate| {
            named(
                certificate.group.as_deref().unwrap_or_default(),
                certificate.kind.as_deref().unwrap_or(Kind::Secret.name()),
                certificate.namespace.as_deref().unwrap_or(own),
                &certificate.name,
            )
        });
    [class].into_iter().chain(certificates).collect()
}

/// Whom a Backend's TLS trusts, and what it shows of itself.
fn certificates(backend: &Backend) -> Vec<Key> {
    let Some(tls) = &backend.spec.tls else {
        return Vec::new();
    };
    let own = backend.metadata.namespace.as_deref().unwrap_or_default();
    let trusted = tls
        .ca_certificate_refs
        .iter()
        .filter_map(|trusted| named(&trusted.group, &trusted.kind, own, &trusted.name));
    // One of another namespace is refused, so it is none to be read.
    let shown = tls.client_certificate_ref.iter().filter(|secret| {
        let mut namespace = secret.namespace.iter();
        namespace.all(|namespace| namespace == own)
    });
    let shown = shown.filter_map(|secret| named(&secret.group, &secret.kind, own, &secret.name));
    trusted.chain(shown).collect()
}

/// The key of what a reference names, if it is of a kind that Locum reads.
fn named(group: &str, kind: &str, namespace: &str, name: &str) -> Option<Key> {
    let kind = Kind::ALL
        .into_iter()
        .find(|known| *known != Kind::Guard && known.group() == group && known.name() == kind)?;
    Some(Key::new(kind, namespace, name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::resource::parse::parse;

    fn references(value: Value) -> Vec<String> {
        let parsed = parse(value, "default");
        let object = parsed.object.expect("the sample is sound");
        of(&object).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn route_refers_to_parents_and_backends() {
        let route = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "r", "namespace": "a"},
            "spec": {
                "parentRefs": [{"name": "eg", "namespace": "b", "sectionName": "http"}],
                "rules": [{"backendRefs": [
                    {"name": "svc", "port": 80},
                    {"group": "gateway.envoyproxy.io", "kind": "Backend", "name": "be"},
                    {"group": "example.com", "kind": "Other", "name": "x"},
                ]}],
            },
        });
        assert_eq!(
            references(route),
            ["Gateway b/eg", "Service a/svc", "Backend a/be"]
        );
    }

    #[test]
    fn policy_refers_to_its_targets_whatever_their_section() {
        let policy = json!({
            "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "BackendTrafficPolicy",
            "metadata": {"name": "p"},
            "spec": {"targetRefs": [
                {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "r", "sectionName": "one"},
                {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "eg"},
            ]},
        });
        assert_eq!(
            references(policy),
            ["HTTPRoute default/r", "Gateway default/eg"]
        );
    }

    #[test]
    fn failover_policy_refers_to_its_routes() {
        let policy = json!({
            "apiVersion": "locum.dev/v1alpha1", "kind": "FailoverPolicy",
            "metadata": {"name": "p"},
            "spec": {
                "targetRefs": [{
                    "group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "r", "sectionName": "one",
                }],
                "tiers": [{"name": "here", "backendRefs": [{"name": "svc", "port": 80}]}],
            },
        });
        assert_eq!(references(policy), ["HTTPRoute default/r"]);
    }

    #[test]
    fn guard_refers_to_its_targets() {
        let guard = json!({
            "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "SecurityPolicy",
            "metadata": {"name": "p"},
            "spec": {"targetRef":
                {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "r"}},
        });
        assert_eq!(references(guard), ["HTTPRoute default/r"]);
    }

    #[test]
    fn gateway_and_backend_refer_to_their_certificates() {
        let gateway = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "g", "namespace": "a"},
            "spec": {
                "gatewayClassName": "eg",
                "listeners": [{
                    "name": "https", "port": 443, "protocol": "HTTPS",
                    "tls": {"certificateRefs": [{"name": "own"}, {"name": "theirs", "namespace": "b"}]},
                }],
            },
        });
        assert_eq!(
            references(gateway),
            ["GatewayClass eg", "Secret a/own", "Secret b/theirs"]
        );
        let backend = json!({
            "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "Backend",
            "metadata": {"name": "be", "namespace": "a"},
            "spec": {
                "endpoints": [{"fqdn": {"hostname": "example.com", "port": 443}}],
                "tls": {
                    "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "roots"}],
                    "clientCertificateRef": {"name": "client"},
                },
            },
        });
        assert_eq!(
            references(backend),
            ["ConfigMap a/roots", "Secret a/client"]
        );
    }

    #[test]
    fn slice_refers_to_its_service_and_gateway_to_its_class() {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4", "endpoints": [],
        });
        assert_eq!(references(slice), ["Service default/s"]);
        let gateway = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "g"},
            "spec": {
                "gatewayClassName": "eg",
                "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
            },
        });
        assert_eq!(references(gateway), ["GatewayClass eg"]);
    }
}

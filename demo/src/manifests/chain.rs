//! Manifests that tests put in the place of the page's: what is in a chain, and in which order.

use std::net::SocketAddr;

/// A Backend with IP endpoints.
pub fn backend_ip(name: &str, standby: bool, endpoints: &[SocketAddr]) -> String {
    let endpoint =
        |at: &SocketAddr| format!("{{ip: {{address: {}, port: {}}}}}", at.ip(), at.port());
    let endpoints: Vec<_> = endpoints.iter().map(endpoint).collect();
    backend(name, standby, &endpoints.join(", "))
}

/// A Backend with one name.
pub fn backend_fqdn(name: &str, standby: bool, hostname: &str, port: u16) -> String {
    backend(
        name,
        standby,
        &format!("{{fqdn: {{hostname: {hostname}, port: {port}}}}}"),
    )
}

/// A Backend whose endpoints are written by the caller, YAML's flow style.
pub fn backend(name: &str, standby: bool, endpoints: &str) -> String {
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\n\
         kind: Backend\n\
         metadata:\n  name: {name}\n\
         spec:\n  fallback: {standby}\n  endpoints: [{endpoints}]\n\
         ---\n"
    )
}

/// One of these Backends in TLS, as these fields of its `tls` say, YAML's flow style.
pub fn with_tls(backend: &str, tls: &str) -> String {
    let spec = backend.strip_suffix("---\n").unwrap_or(backend);
    format!("{spec}  tls: {{{tls}}}\n---\n")
}

/// A reference in a route's rule.
#[derive(Clone, Copy, Debug)]
pub enum Ref<'a> {
    Backend(&'a str),
    Service(&'a str),
}

/// The page's route with other references, and further fields of its one rule.
pub fn route(references: &[Ref<'_>], more: &str) -> String {
    let references = references.iter().map(|reference| match reference {
        Ref::Backend(name) => {
            format!("        - {{group: gateway.envoyproxy.io, kind: Backend, name: {name}, port: 3000}}\n")
        }
        Ref::Service(name) => format!("        - {{name: {name}, port: 3000}}\n"),
    });
    let references: String = references.collect();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\n\
         kind: HTTPRoute\n\
         metadata:\n  name: ha-example\n\
         spec:\n  \
           hostnames: [www.example.com]\n  \
           parentRefs: [{{name: eg}}]\n  \
           rules:\n    \
             - backendRefs:\n{references}      \
               matches: [{{path: {{type: PathPrefix, value: /test}}}}]\n{more}"
    )
}

/// The page's passive health check, for policies that add to it.
pub const PASSIVE_CHECK: &str = "
  healthCheck:
    passive:
      baseEjectionTime: 10s
      interval: 2s
      maxEjectionPercent: 100
      consecutive5XxErrors: 1
      consecutiveGatewayErrors: 0
      consecutiveLocalOriginFailures: 1
      splitExternalLocalOriginErrors: false
";

/// A policy for the page's route, in place of the page's; fields of its spec are indented by two.
pub fn policy(fields: &str) -> String {
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\n\
         kind: BackendTrafficPolicy\n\
         metadata:\n  name: passive-health-check\n\
         spec:\n  \
           targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: ha-example}}]\n{fields}"
    )
}

/// A FailoverPolicy for the page's route with a tier, of the same name, for each of these; further
/// fields of its spec are indented by two.
pub fn failover(tiers: &[Ref<'_>], fields: &str) -> String {
    let tiers = tiers.iter().map(|tier| {
        let (name, reference) = match tier {
            Ref::Backend(name) => (
                name,
                format!("{{group: gateway.envoyproxy.io, kind: Backend, name: {name}}}"),
            ),
            Ref::Service(name) => (name, format!("{{name: {name}, port: 3000}}")),
        };
        format!("    - {{name: {name}, backendRefs: [{reference}]}}\n")
    });
    let tiers: String = tiers.collect();
    format!(
        "apiVersion: locum.dev/v1alpha1\n\
         kind: FailoverPolicy\n\
         metadata:\n  name: order\n\
         spec:\n  \
           targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: ha-example}}]\n  \
           tiers:\n{tiers}{fields}"
    )
}

/// A Service whose Pods listen where it does, with a slice that somebody else writes.
pub fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\n\
         kind: Service\n\
         metadata:\n  name: {name}\n\
         spec:\n  ports: [{{name: http, port: 3000, targetPort: 3000}}]\n  selector: {{app: {name}}}\n\
         ---\n"
    )
}

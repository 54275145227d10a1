//! The world as files. A steady family is one file, so that what is edited at once is read at once:
//! of files that change one after the other Locum may read the second as it is and the first as it
//! was. Of the other families each object is a file.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::order::Order;
use crate::world::{Backend, Family, MORE_RULES, PODS, Policy, References, Rule, Shape, World};

/// The Gateways, one for each variant of xDS: an Envoy of its own serves each.
pub(crate) const GATEWAYS: [&str; 2] = ["delta", "sotw"];
/// The ports that are there all the time, of the first Gateway.
pub(crate) const STEADY_PORTS: [u16; 2] = [10_001, 10_002];
/// The port of the first listener that comes and goes.
pub(crate) const FURTHER_PORT: u16 = 10_011;
/// From one Gateway's ports to the next one's.
const PORT_STEP: u16 = 1000;
/// The name of the one file that never changes.
const CLASS_FILE: &str = "0-class.yaml";

const CLASS: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: locum}
spec: {controllerName: locum.dev/gatewayclass-controller}
";

/// A pod's two addresses: by IP address, and by the name `localhost`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) local_port: u16,
}

/// File names with what is in them.
pub(crate) type Files = BTreeMap<String, String>;

/// The port of a Gateway that is this one of the first.
pub(crate) fn port(gateway: usize, port: u16) -> u16 {
    port + PORT_STEP * u16::try_from(gateway).expect("there are two")
}

/// A family's first host.
pub(crate) fn host(family: usize) -> String {
    format!("f{family}.example.com")
}

/// A family's second host, which comes and goes.
pub(crate) fn other_host(family: usize) -> String {
    format!("other.f{family}.example.com")
}

/// The world, with its pods in these places, family after family.
pub(crate) fn files(world: &World, places: &[Place]) -> Files {
    let mut files = Files::from([(CLASS_FILE.to_owned(), CLASS.to_owned())]);
    for (number, name) in GATEWAYS.iter().enumerate() {
        files.insert(format!("1-{name}.yaml"), gateway(world, number, name));
    }
    for family in &world.families {
        let places = &places[family.number * PODS..][..PODS];
        let of_family = family_files(family, places);
        if family.is_steady {
            let documents: Vec<_> = of_family.into_values().collect();
            files.insert(
                format!("2-f{}.yaml", family.number),
                documents.join("---\n"),
            );
        } else {
            files.extend(of_family);
        }
    }
    files
}

fn gateway(world: &World, number: usize, name: &str) -> String {
    let mut listeners = Vec::new();
    for (index, of_first) in STEADY_PORTS.into_iter().enumerate() {
        let port = port(number, of_first);
        listeners.push(format!("{{name: steady-{index}, port: {port}}}"));
    }
    for (of_first, index) in (FURTHER_PORT..).zip(0..) {
        let Some(is_there) = world.ports.get(index) else {
            break;
        };
        if *is_there {
            let port = port(number, of_first);
            listeners.push(format!("{{name: further-{index}, port: {port}}}"));
        }
    }
    for (index, host) in world.hosts.iter().enumerate() {
        if let Some(host) = host {
            let port = port(number, STEADY_PORTS[index % STEADY_PORTS.len()]);
            let hostname = format!("\"*.host{host}.example.com\"");
            listeners.push(format!(
                "{{name: host-{index}, port: {port}, hostname: {hostname}}}"
            ));
        }
    }
    let listeners = listeners.iter().map(|listener| {
        let listener = listener.replace("{name", "{protocol: HTTP, name");
        format!("  - {listener}\n")
    });
    let head = format!(
        "apiVersion: gateway.networking.k8s.io/v1\n\
         kind: Gateway\n\
         metadata: {{name: {name}}}\n\
         spec:\n  gatewayClassName: locum\n  listeners:\n"
    );
    listeners.fold(head, |text, listener| text + &listener)
}

fn family_files(family: &Family, places: &[Place]) -> Files {
    let number = family.number;
    let mut files = Files::new();
    for (index, backend) in family.backends.iter().enumerate() {
        let Some(backend) = backend else { continue };
        let name = backend_name(number, index);
        if backend.shape == Shape::Service {
            // Slices go first in the order of names: a Service's name without one is asked of DNS.
            files.insert(format!("2-{name}.yaml"), slice(&name, backend, places));
        }
        files.insert(format!("3-{name}.yaml"), manifest(&name, backend, places));
    }
    if let Some(policy) = &family.policy {
        files.insert(format!("4-f{number}.yaml"), policy_manifest(number, policy));
    }
    if let Some(order) = &family.order {
        files.insert(
            format!("4-f{number}-order.yaml"),
            order_manifest(number, order),
        );
    }
    if family.is_routed {
        let base = rule(
            number,
            "base",
            "{path: {type: PathPrefix, value: /}}",
            &family.base,
            family.timeout,
        );
        let there = MORE_RULES.iter().zip(&family.more);
        let more = there.filter_map(|(which, to)| Some(more_rule(number, *which, to.as_ref()?)));
        let more: Vec<_> = more.collect();
        let mut first = vec![base];
        if !family.is_split {
            first.extend(more);
        } else if !more.is_empty() {
            let text = route(family, "-more", &more);
            files.insert(format!("5-f{number}-more.yaml"), text);
        }
        files.insert(format!("5-f{number}.yaml"), route(family, "", &first));
    }
    files
}

fn backend_name(family: usize, backend: usize) -> String {
    format!("f{family}-{}", ["a", "b", "c", "d"][backend])
}

fn slice(name: &str, backend: &Backend, places: &[Place]) -> String {
    let pods = backend.pods.iter();
    let endpoints: Vec<_> = pods.map(|pod| (places[*pod].address, true)).collect();
    locum_demo::manifests::endpoint_slice(name, &endpoints)
}

fn manifest(name: &str, backend: &Backend, places: &[Place]) -> String {
    let pods = backend.pods.iter().map(|pod| places[*pod]);
    let endpoints: Vec<_> = match backend.shape {
        Shape::Addresses => pods
            .map(|Place { address, .. }| {
                let (ip, port) = (address.ip(), address.port());
                format!("{{ip: {{address: {ip}, port: {port}}}}}")
            })
            .collect(),
        Shape::Names => pods
            .map(|place| {
                let port = place.local_port;
                format!("{{fqdn: {{hostname: localhost, port: {port}}}}}")
            })
            .collect(),
        Shape::Service => {
            let port = places[0].address.port();
            let name = format!("{name}.default.svc.cluster.local");
            vec![format!("{{fqdn: {{hostname: {name}, port: {port}}}}}")]
        }
    };
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\n\
         kind: Backend\n\
         metadata: {{name: {name}}}\n\
         spec:\n  fallback: {}\n  endpoints: [{}]\n",
        backend.is_standby,
        endpoints.join(", ")
    )
}

fn route(family: &Family, suffix: &str, rules: &[String]) -> String {
    let number = family.number;
    let mut hosts = vec![host(number)];
    if family.has_other_host {
        hosts.push(other_host(number));
    }
    let parents = GATEWAYS.map(|name| format!("{{name: {name}}}")).join(", ");
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\n\
         kind: HTTPRoute\n\
         metadata: {{name: f{number}{suffix}}}\n\
         spec:\n  parentRefs: [{parents}]\n  hostnames: [{}]\n  rules:\n{}",
        hosts.join(", "),
        rules.concat()
    )
}

fn more_rule(family: usize, which: Rule, to: &References) -> String {
    let (name, matched) = match which {
        Rule::Blue => (
            "blue",
            "{path: {type: PathPrefix, value: /}, headers: [{name: x-kind, value: blue}]}",
        ),
        Rule::Deep => ("deep", "{path: {type: PathPrefix, value: /deep}}"),
        Rule::Exact => ("exact", "{path: {type: Exact, value: /deep/exact}}"),
    };
    rule(family, name, matched, to, None)
}

fn rule(
    family: usize,
    name: &str,
    matched: &str,
    to: &References,
    timeout: Option<usize>,
) -> String {
    let references = to.iter().map(|(backend, weight)| {
        let backend = backend_name(family, *backend);
        format!(
            "    - {{group: gateway.envoyproxy.io, kind: Backend, name: {backend}, weight: {weight}}}\n"
        )
    });
    let timeout = timeout.map_or_else(String::new, |seconds| {
        format!("    timeouts: {{request: {seconds}s}}\n")
    });
    let references: String = references.collect();
    format!("  - name: {name}\n    matches: [{matched}]\n{timeout}    backendRefs:\n{references}")
}

fn policy_manifest(family: usize, policy: &Policy) -> String {
    let mut fields = format!("  loadBalancer: {}\n", policy.balancer);
    let errors = policy.errors.map(|count| {
        format!("    passive: {{consecutiveGatewayErrors: {count}, maxEjectionPercent: 100}}\n")
    });
    let check = policy
        .check
        .map(|check| format!("    active: {{{check}}}\n"));
    if errors.is_some() || check.is_some() {
        fields += "  healthCheck:\n";
        fields.extend(errors.into_iter().chain(check));
    }
    let connect = policy.connect_timeout;
    fields += &format!("  timeout:\n    tcp: {{connectTimeout: {connect}s}}\n");
    let lines = [
        (
            "    http: {requestTimeout: ",
            policy.request_timeout,
            "s}\n",
        ),
        ("  retry: {numRetries: ", policy.retries, "}\n"),
        (
            "  circuitBreaker: {maxConnections: ",
            policy.connections,
            "}\n",
        ),
        ("  tcpKeepalive: {idleTime: ", policy.keepalive, "s}\n"),
        ("  connection: {bufferLimit: ", policy.buffer, "Ki}\n"),
        ("  dns: {dnsRefreshRate: ", policy.refresh, "s}\n"),
    ];
    for (before, value, after) in lines {
        fields.extend(value.map(|value| format!("{before}{value}{after}")));
    }
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\n\
         kind: BackendTrafficPolicy\n\
         metadata: {{name: f{family}}}\n\
         spec:\n  \
           targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: f{family}}}]\n{fields}"
    )
}

fn order_manifest(family: usize, order: &Order) -> String {
    let tiers = order.tiers.iter().enumerate().map(|(tier, backends)| {
        let references = backends.iter().map(|backend| {
            let name = backend_name(family, *backend);
            format!("{{group: gateway.envoyproxy.io, kind: Backend, name: {name}}}")
        });
        let references: Vec<_> = references.collect();
        let drain = order.drained == Some(tier);
        let own = if order.is_apart && tier == 0 {
            ", connectTimeout: 3s"
        } else {
            ""
        };
        let references = references.join(", ");
        format!("    - {{name: t{tier}, drain: {drain}{own}, backendRefs: [{references}]}}\n")
    });
    let mut fields: String = tiers.collect();
    let next = if order.at_once {
        "Immediately"
    } else {
        "AfterSameTier"
    };
    fields += &match order.attempts {
        Some(attempts) => format!("  retry: {{attempts: {attempts}, nextTier: {next}}}\n"),
        None => format!("  retry: {{nextTier: {next}}}\n"),
    };
    let lines = [
        ("  mode: Spill\n  threshold: ", order.threshold, "\n"),
        ("  pin: {tier: t", order.pinned, "}\n"),
        (
            "  lastResort: {status: ",
            order.last_resort,
            ", body: none}\n",
        ),
    ];
    for (before, value, after) in lines {
        fields.extend(value.map(|value| format!("{before}{value}{after}")));
    }
    format!(
        "apiVersion: locum.dev/v1alpha1\n\
         kind: FailoverPolicy\n\
         metadata: {{name: f{family}}}\n\
         spec:\n  \
           targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: f{family}, sectionName: base}}]\n  \
           tiers:\n{fields}"
    )
}

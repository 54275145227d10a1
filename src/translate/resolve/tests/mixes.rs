//! What cannot be beside others in a tier, and what makes tiers clusters of their own.

use super::super::fixture::{backend, ip, route, served};
use crate::status::reasons;

const AT: &str = "endpoints: [{ ip: { address: 10.0.0.1, port: 3000 } }]";
const IN_TLS: &str = "tls: { insecureSkipVerify: true }";

/// Two Backends at one address, the second with more fields.
fn pair(fallback: bool, more: &str) -> String {
    let second = format!("fallback: {fallback}, {AT}, {more}");
    ip("one", "10.0.0.1", false) + &backend("two", &second)
}

fn reference(name: &str, filters: &str) -> String {
    format!("{{ group: gateway.envoyproxy.io, kind: Backend, name: {name}{filters} }}")
}

fn sets(value: &str) -> String {
    format!(
        ", filters: [{{ type: RequestHeaderModifier, requestHeaderModifier: {{ set: [{{ name: x, value: {value} }}] }} }}]"
    )
}

fn rule(references: &[String]) -> String {
    format!("{{ backendRefs: [{}] }}", references.join(", "))
}

#[test]
fn an_address_of_a_tier_is_spoken_to_in_one_way() {
    let plain = [reference("one", ""), reference("two", "")];
    let in_tls = served(&(pair(false, IN_TLS) + &route("web", &rule(&plain))));
    assert!(in_tls.reasons().contains(&reasons::UNSUPPORTED_VALUE));
    let told = [reference("one", &sets("a")), reference("two", &sets("b"))];
    let headers = served(&(pair(false, "") + &route("web", &rule(&told))));
    assert_eq!(headers.reasons(), [reasons::UNSUPPORTED_VALUE]);
    let alike = [reference("one", &sets("a")), reference("two", &sets("a"))];
    let alike = served(&(pair(false, "") + &route("web", &rule(&alike))));
    assert!(alike.reasons().is_empty(), "{:?}", alike.reasons());
}

#[test]
fn an_address_of_two_tiers_is_spoken_to_in_two_ways_from_clusters_of_their_own() {
    let plain = [reference("one", ""), reference("two", "")];
    for (more, apart) in [(IN_TLS, true), ("", false)] {
        let yaml = pair(true, more) + &route("web", &rule(&plain));
        assert_eq!(served(&yaml).first_chain().tiers_apart, apart, "{more}");
    }
    let told = [reference("one", &sets("a")), reference("two", &sets("b"))];
    let yaml = pair(true, "") + &route("web", &rule(&told));
    assert!(served(&yaml).first_chain().tiers_apart);
}

#[test]
fn a_resolver_beside_others_takes_nothing_from_them() {
    let resolver = backend("one", "type: DynamicResolver");
    let http2 = backend(
        "two",
        &format!("{AT}, appProtocols: [gateway.envoyproxy.io/h2c]"),
    );
    let plain = [reference("one", ""), reference("two", "")];
    let resolution = served(&(resolver + &http2 + &route("web", &rule(&plain))));
    assert_eq!(resolution.reasons(), [reasons::INVALID_BACKEND_REF]);
    assert_eq!(resolution.tiers(), [["Ip(10.0.0.1:3000)"]]);
}

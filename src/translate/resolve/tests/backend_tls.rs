//! TLS towards Backends: what is spoken, by which name, and what cannot be had.

use super::super::fixture::{backend, route, rule, served};
use crate::model::{Action, Member, Protocol, ServerName};
use crate::resource::Kind;
use crate::status::reasons::{self, kind};

/// The one member of a Backend with an endpoint `10.0.0.1`, a TLS and more of its spec.
fn member(endpoint: &str, tls: &str, more: &str) -> Member {
    let resolution = served(&yaml(endpoint, tls, more));
    assert!(
        resolution.tiers()[0].len() == 1,
        "{:?}",
        resolution.problems
    );
    resolution.chain("default/active").tiers[0].members[0].clone()
}

fn yaml(endpoint: &str, tls: &str, more: &str) -> String {
    let spec = format!(
        "endpoints: [{{ ip: {{ address: 10.0.0.1, port: 443 }}, {endpoint} }}], tls: {{ {tls} }}, {more}"
    );
    backend("active", &spec) + &route("web", &rule(&["active"]))
}

const NAMED: &str = "hostname: a.example.com";
const SYSTEM: &str = "wellKnownCACertificates: System";

#[test]
fn what_is_spoken_in_tls_is_negotiated_unless_the_backend_says_one() {
    for (tls, more, spoken) in [
        ("", "", Protocol::Negotiated),
        ("alpnProtocols: [http/1.1, h2]", "", Protocol::Negotiated),
        ("alpnProtocols: [h2]", "", Protocol::Http2),
        ("alpnProtocols: [http/1.1]", "", Protocol::Http1),
        ("alpnProtocols: []", "", Protocol::Http1),
        ("alpnProtocols: [other]", "", Protocol::Http1),
        (
            "",
            "appProtocols: [gateway.envoyproxy.io/h2c]",
            Protocol::Http2,
        ),
        (
            "",
            "appProtocols: [gateway.envoyproxy.io/ws]",
            Protocol::Http1,
        ),
        (
            "",
            "appProtocols: [gateway.envoyproxy.io/wss]",
            Protocol::Http1,
        ),
    ] {
        let found = member(NAMED, &format!("{SYSTEM}, {tls}"), more);
        assert_eq!(found.protocol, spoken, "{tls} {more}");
        assert!(found.tls.is_some(), "{tls} {more}");
    }
}

#[test]
fn a_protocol_that_is_not_offered_is_refused() {
    for (offered, spoken) in [
        ("http/1.1", "[gateway.envoyproxy.io/h2c]"),
        ("h2", "[gateway.envoyproxy.io/wss]"),
        (
            "h2",
            "[gateway.envoyproxy.io/h2c, gateway.envoyproxy.io/ws]",
        ),
    ] {
        let tls = format!("{SYSTEM}, alpnProtocols: [{offered}]");
        let resolution = served(&yaml(NAMED, &tls, &format!("appProtocols: {spoken}")));
        let accepted = resolution.condition(Kind::Backend, "active", kind::ACCEPTED);
        assert_eq!(accepted, (false, reasons::INVALID), "{offered} {spoken}");
    }
}

#[test]
fn the_name_said_is_the_given_one_or_the_endpoints() {
    let found = member("", &format!("{SYSTEM}, sni: b.example.com"), "")
        .tls
        .unwrap();
    assert_eq!(found.server_name, ServerName::Given("b.example.com".into()));
    assert!(found.addresses.is_empty());
    let found = member(NAMED, SYSTEM, "").tls.unwrap();
    assert_eq!(found.server_name, ServerName::OfEndpoint);
    assert!(found.addresses.is_empty());
}

#[test]
fn without_a_name_the_certificate_must_be_for_the_address_and_the_owner_hears_it() {
    let found = member("", SYSTEM, "").tls.unwrap();
    assert_eq!(
        found.addresses,
        ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]
    );
    let resolution = served(&yaml("", SYSTEM, ""));
    assert_eq!(resolution.reasons(), [reasons::NO_SERVER_NAME]);
    let unchecked = member("", "insecureSkipVerify: true", "").tls.unwrap();
    assert!(unchecked.addresses.is_empty() && unchecked.authorities.is_none());
}

#[test]
fn a_socket_without_a_name_is_refused_where_its_certificate_is_checked() {
    let socket = |tls: &str| {
        let spec = format!("endpoints: [{{ unix: {{ path: /run/a }} }}], tls: {{ {tls} }}");
        served(&(backend("active", &spec) + &route("web", &rule(&["active"]))))
    };
    assert_eq!(socket(SYSTEM).action(), &Action::Respond { status: 500 });
    assert_eq!(
        socket("insecureSkipVerify: true").tiers(),
        [["Unix(\"/run/a\")"]]
    );
    let named = format!("{SYSTEM}, sni: a.example.com");
    assert_eq!(socket(&named).tiers(), [["Unix(\"/run/a\")"]]);
}

#[test]
fn a_gateway_has_the_secrets_that_its_chains_name_and_no_other() {
    let other = backend(
        "other",
        &format!(
            "endpoints: [{{ ip: {{ address: 10.0.0.2, port: 443 }}, {NAMED} }}], tls: {{ {SYSTEM} }}"
        ),
    );
    let unused = yaml(NAMED, "insecureSkipVerify: true", "") + &other;
    assert!(served(&unused).gateway().secrets.is_empty());
    let used = served(&yaml(NAMED, SYSTEM, ""));
    let names: Vec<_> = used
        .gateway()
        .secrets
        .keys()
        .map(|name| name.0.as_str())
        .collect();
    assert_eq!(names, ["system/ca"]);
}

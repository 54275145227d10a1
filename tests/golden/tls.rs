//! TLS for the model that holds each value: members with TLS, and the secrets they name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use locum::model::{
    Address, Member, Protocol, Secret, SecretContent, SecretName, ServerName, Tls, TlsVersion,
};
use locum::trust::KeyPem;

const AUTHORITIES: &str = "Backend/default/one/ca";
const SYSTEM: &str = "system/ca";
const CERTIFICATE: &str = "Secret/default/client";

fn name(text: &str) -> SecretName {
    SecretName(text.into())
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// Everything said, and nothing but what must be.
fn both() -> [Tls; 2] {
    let full = Tls {
        authorities: Some(name(AUTHORITIES)),
        server_name: ServerName::OfEndpoint,
        addresses: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        certificate: Some(name(CERTIFICATE)),
        oldest: TlsVersion::V1_0,
        newest: TlsVersion::V1_3,
        ciphers: texts(&[
            "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]",
            "ECDHE-RSA-AES256-SHA",
        ]),
        curves: texts(&["X25519", "P-256", "P-384", "P-521", "X25519MLKEM768"]),
        signature_algorithms: texts(&["ecdsa_secp256r1_sha256", "ed25519", "rsa_pkcs1_sha1"]),
        alpn: texts(&["h2", "http/1.1", "other"]),
    };
    let plain = Tls {
        authorities: None,
        server_name: ServerName::Given("one.example.com".into()),
        addresses: Vec::new(),
        certificate: None,
        oldest: TlsVersion::V1_1,
        newest: TlsVersion::V1_2,
        ciphers: Vec::new(),
        curves: Vec::new(),
        signature_algorithms: Vec::new(),
        alpn: Vec::new(),
    };
    [full, plain]
}

/// The member in TLS as every word says, in either protocol.
pub(crate) fn full(member: Member) -> Member {
    let [full, _] = both();
    with(member, full, Protocol::Negotiated)
}

/// The member in TLS without any check.
pub(crate) fn unchecked(member: Member) -> Member {
    let [_, plain] = both();
    with(member, plain, Protocol::Http1)
}

/// The member in TLS that the system's authorities vouch for.
pub(crate) fn system(member: Member) -> Member {
    let [_, plain] = both();
    let tls = Tls {
        authorities: Some(name(SYSTEM)),
        server_name: ServerName::OfEndpoint,
        ..plain
    };
    with(member, tls, Protocol::Http2)
}

fn with(member: Member, tls: Tls, protocol: Protocol) -> Member {
    let endpoints = member.endpoints.into_iter().map(|mut endpoint| {
        if matches!(endpoint.address, Address::Unix(_)) {
            endpoint.hostname = Some("socket.example.com".into());
        }
        endpoint
    });
    Member {
        name: format!("{}-tls-{protocol:?}", member.name),
        endpoints: endpoints.collect(),
        protocol,
        tls: Some(Arc::new(tls)),
        ..member
    }
}

/// The secrets that these members name.
pub(crate) fn secrets() -> BTreeMap<SecretName, Secret> {
    let made = rcgen::generate_simple_self_signed(texts(&["one.example.com"])).unwrap();
    let contents = [
        (SYSTEM, SecretContent::SystemAuthorities),
        (
            AUTHORITIES,
            SecretContent::Authorities(made.cert.pem().into()),
        ),
        (
            CERTIFICATE,
            SecretContent::Certificate {
                chain: made.cert.pem().into(),
                key: KeyPem::new(made.signing_key.serialize_pem()),
            },
        ),
    ];
    let secrets = contents.into_iter().map(|(text, content)| {
        let owners = BTreeSet::new();
        (name(text), Secret { content, owners })
    });
    secrets.collect()
}

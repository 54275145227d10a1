//! The certificates of `deploy/cert-manager`: that they say what Locum and its proxies look for.

use std::fs;

use locum::resource::ObjectName;
use locum::trust::{Domain, ServerNames};
use serde_json::Value;

use super::shipped;

/// The specification of a file's one Certificate.
fn certificate(file: &str) -> Value {
    let text = fs::read_to_string(shipped("cert-manager").join(file)).unwrap();
    let certificate: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(certificate["kind"], "Certificate");
    assert_eq!(
        certificate["metadata"]["name"],
        certificate["spec"]["secretName"]
    );
    certificate["spec"].clone()
}

#[test]
fn the_servers_certificate_has_the_names_that_are_looked_for() {
    let specification = certificate("server.yaml");
    let names = ServerNames::in_cluster(&Domain::default(), "cluster.local");
    assert_eq!(specification["secretName"], "locum-server");
    assert_eq!(specification["dnsNames"], Value::from(names.hosts));
    assert_eq!(specification["uris"], Value::from(names.uris));
}

#[test]
fn the_proxies_certificate_is_for_their_gateway() {
    let specification = certificate("proxies.yaml");
    let uri = Domain::default().proxy(&ObjectName::new("default", "eg"));
    assert_eq!(specification["secretName"], "eg-proxy-tls");
    assert_eq!(specification["uris"], Value::from(vec![uri]));
}

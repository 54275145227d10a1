//! The fields of a Backend.

use super::{Row, below, value};

/// Where Envoy is told of an endpoint.
macro_rules! endpoint {
    ($field:literal) => {
        concat!(
            "ClusterLoadAssignment.endpoints.lb_endpoints.endpoint.",
            $field
        )
    };
}

/// Where Envoy is told how to speak TLS.
macro_rules! tls {
    ($field:literal) => {
        concat!("UpstreamTlsContext.", $field)
    };
}

const ADDRESS: &str = endpoint!("address.socket_address.address");
const PORT: &str = endpoint!("address.socket_address.port_value");
const NO_PORT: &str = "Port 0 cannot be connected to";
const UNKNOWN: &str = "Envoy knows no";

pub(super) fn rows() -> Vec<Row> {
    let own = vec![
        Row::envoy("type", &["Cluster.cluster_type.name"]),
        Row::envoy(
            "appProtocols",
            &["HttpProtocolOptions.explicit_http_config.http2_protocol_options"],
        )
        .absent("HTTP/1.1; with `tls` also HTTP/2, as the endpoint chooses")
        .but("h2c and another", "h2c excludes ws and wss")
        .but(
            "wss without `tls`",
            "is TLS, of which spec.tls says nothing",
        ),
        Row::envoy("fallback", &["ClusterLoadAssignment.endpoints.priority"]).absent(value(false)),
    ];
    [own, below("endpoints[]", endpoint()), below("tls", tls())]
        .into_iter()
        .flatten()
        .collect()
}

fn endpoint() -> Vec<Row> {
    vec![
        Row::envoy(
            "hostname",
            &[
                endpoint!("hostname"),
                endpoint!("health_check_config.hostname"),
            ],
        )
        .absent("the name of `fqdn`, or the address"),
        Row::envoy("fqdn.hostname", &[ADDRESS])
            .but("an address", "Use a Backend with ip instead of a name"),
        Row::envoy("fqdn.port", &[PORT]).but("`0`", NO_PORT),
        Row::envoy("ip.address", &[ADDRESS]).but(
            "one that nothing can be sent to",
            "which backends must not be",
        ),
        Row::envoy("ip.port", &[PORT]).but("`0`", NO_PORT),
        Row::envoy("unix.path", &[endpoint!("address.pipe.path")]),
        Row::nothing(
            "zone",
            "a tier's requests are divided by weight, whatever the zone",
        )
        .absent("none")
        .but("any", "The zone has no effect"),
    ]
}

fn tls() -> Vec<Row> {
    let trusted = &["Secret.validation_context.trusted_ca"];
    let shown = &[tls!(
        "common_tls_context.tls_certificate_sds_secret_configs"
    )];
    let whole = vec![
        Row::envoy("", &["Cluster.transport_socket_matches.transport_socket"])
            .absent("no TLS")
            .but(
                "nobody who is believed",
                "It does not say whose certificates are good",
            ),
        Row::envoy("sni", &[tls!("sni")])
            .absent("each endpoint's own name; where it has none, none is said")
            .but(
                "any, with type DynamicResolver",
                "each request's host is the server name",
            ),
        Row::nothing(
            "autoSNIFromEndpointHostname",
            "without `sni` the server name is each endpoint's own in any case",
        )
        .absent(value(false)),
    ];
    let authorities = vec![
        Row::envoy("caCertificateRefs[].group", trusted),
        Row::envoy("caCertificateRefs[].kind", trusted),
        Row::envoy("caCertificateRefs[].name", trusted)
            .but("what is not there", "does not exist or may not be read")
            .but("what holds none", "has no ca.crt")
            .but(
                "what cannot be read",
                "holds a certificate that cannot be read",
            ),
        Row::envoy(
            "wellKnownCACertificates",
            &["Secret.validation_context.trusted_ca.filename"],
        )
        .absent("none")
        .but("others than `System`", "is not supported; only System is"),
        Row::words("insecureSkipVerify", "no `validation_context` is asked for"),
    ];
    let client = vec![
        Row::nothing("group", "it must be that of a Secret"),
        Row::nothing("kind", "it must be Secret").but("others", "Only a Secret can be referred to"),
        Row::envoy("name", shown).but(
            "a key of another certificate",
            "is not the key of the first certificate",
        ),
        Row::words("namespace", "must be the Backend's own")
            .absent("the Backend's own")
            .but("another", "must be in the Backend's own namespace"),
    ];
    let parts = [
        whole,
        authorities,
        below("clientCertificateRef", client),
        parameters(),
    ];
    parts.into_iter().flatten().collect()
}

fn parameters() -> Vec<Row> {
    let envoys = "Envoy's choice";
    vec![
        Row::envoy(
            "minVersion",
            &[tls!(
                "common_tls_context.tls_params.tls_minimum_protocol_version"
            )],
        )
        .absent(value("1.2")),
        Row::envoy(
            "maxVersion",
            &[tls!(
                "common_tls_context.tls_params.tls_maximum_protocol_version"
            )],
        )
        .absent(value("1.3")),
        Row::envoy(
            "ciphers",
            &[tls!("common_tls_context.tls_params.cipher_suites")],
        )
        .absent(envoys)
        .but("others than Envoy has", UNKNOWN),
        Row::envoy(
            "ecdhCurves",
            &[tls!("common_tls_context.tls_params.ecdh_curves")],
        )
        .absent(envoys)
        .but("others than Envoy has", UNKNOWN),
        Row::envoy(
            "signatureAlgorithms",
            &[tls!("common_tls_context.tls_params.signature_algorithms")],
        )
        .absent(envoys)
        .but("others than Envoy has", UNKNOWN),
        Row::envoy(
            "alpnProtocols",
            &[tls!("common_tls_context.alpn_protocols")],
        )
        .absent("what the endpoints are spoken to in")
        .but("an empty list", "Envoy always offers what it speaks")
        .but("an empty name", "A protocol's name has 1 to 255 bytes"),
        Row::nothing("fingerprints", "they are of those who connect to the proxy")
            .absent("none")
            .but("any", "towards a backend they do nothing"),
    ]
}

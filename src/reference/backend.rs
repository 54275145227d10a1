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

const ADDRESS: &str = endpoint!("address.socket_address.address");
const PORT: &str = endpoint!("address.socket_address.port_value");

pub(super) fn rows() -> Vec<Row> {
    let own = vec![
        Row::words(
            "type",
            "with `Endpoints` the endpoints are those that are listed",
        )
        .but(
            "`DynamicResolver`",
            "Type DynamicResolver is not supported yet",
        ),
        Row::envoy(
            "appProtocols",
            &["HttpProtocolOptions.explicit_http_config.http2_protocol_options"],
        )
        .absent("HTTP/1.1")
        .but(
            "`gateway.envoyproxy.io/wss`",
            "needs TLS towards backends, which is not supported yet",
        ),
        Row::envoy("fallback", &["ClusterLoadAssignment.endpoints.priority"]).absent(value(false)),
        Row::refused("tls", "TLS towards backends is not supported yet"),
    ];
    let endpoint = vec![
        Row::envoy(
            "hostname",
            &[
                endpoint!("hostname"),
                endpoint!("health_check_config.hostname"),
            ],
        )
        .absent("the name of `fqdn`, or the address"),
        Row::envoy("fqdn.hostname", &[ADDRESS]),
        Row::envoy("fqdn.port", &[PORT]),
        Row::envoy("ip.address", &[ADDRESS]),
        Row::envoy("ip.port", &[PORT]),
        Row::envoy("unix.path", &[endpoint!("address.pipe.path")]),
        Row::nothing(
            "zone",
            "a tier's requests are divided by weight, whatever the zone",
        )
        .absent("none")
        .but("any", "The zone has no effect"),
    ];
    [own, below("endpoints[]", endpoint)]
        .into_iter()
        .flatten()
        .collect()
}

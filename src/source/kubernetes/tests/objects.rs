//! Sound objects.

use serde_json::{Value, json};

/// A class of the controller that the tests call their own.
pub(super) fn class(name: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
        "metadata": {"name": name}, "spec": {"controllerName": super::CONTROLLER},
    })
}

pub(super) fn gateway(name: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": name, "namespace": "default", "generation": 1},
        "spec": {
            "gatewayClassName": "eg",
            "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
        },
    })
}

pub(super) fn route(name: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "default", "generation": 1},
        "spec": {"parentRefs": [{"name": "eg"}]},
    })
}

pub(super) fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": [{"port": 80}]},
    })
}

pub(super) fn backend(name: &str) -> Value {
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "Backend",
        "metadata": {"name": name, "namespace": "default", "generation": 1},
        "spec": {"endpoints": [{"fqdn": {"hostname": "example.com", "port": 80}}]},
    })
}

pub(super) fn secret(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": "default"},
        "data": {"tls.key": "aHVzaA=="},
    })
}

/// A Gateway whose only listener shows the certificate in `secret`.
pub(super) fn gateway_with(name: &str, secret: &str) -> Value {
    let mut gateway = gateway(name);
    gateway["spec"]["listeners"] = json!([{
        "name": "https", "port": 443, "protocol": "HTTPS",
        "tls": {"certificateRefs": [{"name": secret}]},
    }]);
    gateway
}

//! The request as an API server gets it, and what its answers mean.

use std::net::Ipv4Addr;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use kube::Config;
use tokio::sync::mpsc;

use super::*;
use crate::resource::Kind;
use crate::resource::guard::GuardKind;

/// A request as it came: method, path with query, content type, body.
type Got = (String, String, String, Value);

/// An API server that answers everything with `answer`, and the requests that it got.
async fn server(code: u16, answer: Value) -> (Kubernetes, mpsc::UnboundedReceiver<Got>) {
    let (sender, requests) = mpsc::unbounded_channel();
    let respond = move |request: Request| async move {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let content_type = parts.headers[CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = serde_json::from_slice(&body).unwrap();
        let got = (
            parts.method.to_string(),
            parts.uri.to_string(),
            content_type,
            body,
        );
        sender.send(got).unwrap();
        (StatusCode::from_u16(code).unwrap(), axum::Json(answer))
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(respond);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (client(&address.to_string()), requests)
}

fn client(address: &str) -> Kubernetes {
    let mut config = Config::new(format!("http://{address}").parse().unwrap());
    config.default_retry = false;
    Kubernetes::new(Client::try_from(config).unwrap())
}

fn write(key: Key) -> Write {
    Write {
        api_version: key.api_version().into(),
        key,
        resource_version: "7".into(),
        status: json!({"conditions": []}),
    }
}

/// What a request for `key` comes to, with the answer of a failure.
async fn failed(code: u16, details: Value) -> Failure {
    let reason = if code == 404 { "NotFound" } else { "Some" };
    let answer = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "message": "because", "reason": reason, "details": details,
    });
    let (api, _requests) = server(code, answer).await;
    let written = api
        .write(write(Key::new(Kind::Gateway, "default", "eg")))
        .await;
    written.expect_err("a failure")
}

#[tokio::test]
async fn a_status_is_patched_for_the_version_that_was_seen() {
    let answer = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "eg", "resourceVersion": "8", "generation": 2},
        "status": {"conditions": []},
    });
    let (api, mut requests) = server(200, answer).await;
    let written = api
        .write(write(Key::new(Kind::Gateway, "default", "eg")))
        .await;
    let expected = Written {
        resource_version: "8".into(),
        generation: Some(2),
        status: json!({"conditions": []}),
    };
    assert_eq!(written, Ok(expected));
    let (method, path, content_type, body) = requests.recv().await.expect("a request");
    assert_eq!(method, "PATCH");
    assert_eq!(
        path,
        "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways/eg/status?&fieldManager=locum"
    );
    assert_eq!(content_type, "application/merge-patch+json");
    let patch = json!({"metadata": {"resourceVersion": "7"}, "status": {"conditions": []}});
    assert_eq!(body, patch);
}

#[tokio::test]
async fn every_kind_is_written_at_its_own_path() {
    let (api, mut requests) = server(200, json!({"metadata": {"name": "it"}})).await;
    let envoy = "/apis/gateway.envoyproxy.io/v1alpha1/namespaces/a";
    let cases = [
        (
            Key::new(Kind::GatewayClass, "", "it"),
            "/apis/gateway.networking.k8s.io/v1/gatewayclasses/it".to_owned(),
        ),
        (
            Key::new(Kind::HttpRoute, "a", "it"),
            "/apis/gateway.networking.k8s.io/v1/namespaces/a/httproutes/it".to_owned(),
        ),
        (
            Key::new(Kind::Backend, "a", "it"),
            format!("{envoy}/backends/it"),
        ),
        (
            Key::new(Kind::BackendTrafficPolicy, "a", "it"),
            format!("{envoy}/backendtrafficpolicies/it"),
        ),
        (
            Key::guard(GuardKind::SecurityPolicy, "a", "it"),
            format!("{envoy}/securitypolicies/it"),
        ),
    ];
    for (key, expected) in cases {
        api.write(write(key)).await.expect("an answer");
        let (_, path, ..) = requests.recv().await.expect("a request");
        assert!(path.starts_with(&format!("{expected}/status")), "{path}");
    }
}

#[tokio::test]
async fn an_answer_says_who_has_to_do_what() {
    let message = || "because".to_owned();
    let resource = || "gateways.gateway.networking.k8s.io/status".to_owned();
    let cases = [
        (409, Failure::Conflict),
        (
            404,
            Failure::Failing {
                code: 404,
                message: message(),
            },
        ),
        (
            403,
            Failure::Forbidden {
                resource: resource(),
                message: message(),
            },
        ),
        (422, Failure::Rejected { message: message() }),
        (
            500,
            Failure::Failing {
                code: 500,
                message: message(),
            },
        ),
        (
            503,
            Failure::Overloaded {
                after: None,
                message: message(),
            },
        ),
    ];
    for (code, expected) in cases {
        assert_eq!(failed(code, json!({})).await, expected);
    }
    let gone = failed(404, json!({"name": "eg"})).await;
    assert_eq!(gone, Failure::Gone);
    let busy = failed(429, json!({"retryAfterSeconds": 3})).await;
    let expected = Failure::Overloaded {
        after: Some(Duration::from_secs(3)),
        message: message(),
    };
    assert_eq!(busy, expected);
    let forbidden = failed(403, json!({})).await.to_string();
    assert!(
        forbidden.contains("patch gateways.gateway.networking.k8s.io/status"),
        "{forbidden}"
    );
}

#[tokio::test]
async fn an_api_server_that_is_not_there_is_away() {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let api = client(&address.to_string());
    let failure = api
        .write(write(Key::new(Kind::Gateway, "default", "eg")))
        .await;
    assert!(matches!(failure, Err(Failure::Away { .. })), "{failure:?}");
}

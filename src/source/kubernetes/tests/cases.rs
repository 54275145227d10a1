//! A sentence each.

use std::time::Duration;

use serde_json::json;

use super::objects::{backend, class, gateway, gateway_with, route, secret, service};
use super::server::{ApiServer, Refusal};
use super::{A_WHILE, Options, eventually, options, read};
use crate::problem::Severity;

const BACKENDS: &str = "backends.gateway.envoyproxy.io";
const ROUTES: &str = "httproutes.gateway.networking.k8s.io";

#[tokio::test]
async fn the_first_update_comes_when_every_list_is_there() {
    let server = ApiServer::start().await;
    for object in [gateway("eg"), route("r"), service("s"), backend("b")] {
        server.put(object);
    }
    server.refuse(Refusal::new("/httproutes", 4, 500));
    let mut reading = read(&server, options());
    reading.synced().await;
    assert_eq!(reading.log.last().unwrap(), "synced");
    let mut said = reading.log.clone();
    said.sort();
    let all = [
        "+ Backend default/b",
        "+ Gateway default/eg",
        "+ HTTPRoute default/r",
        "+ Service default/s",
        "synced",
    ];
    assert_eq!(said, all, "each once, and in the first update");
    server.put(route("later"));
    reading
        .until(|reading| reading.has("HTTPRoute default/later"))
        .await;
}

#[tokio::test]
async fn a_server_that_starts_and_finds_no_custom_resources_takes_nothing_away() {
    let mut server = ApiServer::start().await;
    server.put(gateway("eg"));
    server.put(route("r"));
    let mut reading = read(&server, options());
    reading.synced().await;
    server.kill().await;
    server.set_starting(true);
    server.restart().await;
    eventually(|| server.requests("customresourcedefinitions/gateways.").len() > 2).await;
    assert!(reading.is_quiet().await, "{:?}", reading.log);
    server.put(route("meanwhile"));
    server.set_starting(false);
    reading
        .until(|reading| reading.has("HTTPRoute default/meanwhile"))
        .await;
    assert!(reading.has("Gateway default/eg") && reading.has("HTTPRoute default/r"));
    assert!(!reading.log.iter().any(|line| line.starts_with('-')));
}

#[tokio::test]
async fn what_changed_while_the_server_was_away_is_found_and_nothing_else_is_said() {
    let mut server = ApiServer::start().await;
    for name in ["stays", "changes", "goes"] {
        server.put(route(name));
    }
    let mut reading = read(&server, options());
    reading.synced().await;
    reading.log.clear();
    server.kill().await;
    assert!(reading.is_quiet().await, "an outage alone is no news");
    let mut changed = route("changes");
    changed["spec"]["hostnames"] = json!(["example.com"]);
    server.put(changed);
    server.delete(&route("goes"));
    server.restart().await;
    reading.until(|reading| reading.log.len() >= 2).await;
    assert!(reading.is_quiet().await);
    reading.log.sort();
    assert_eq!(
        reading.log,
        ["+ HTTPRoute default/changes", "- HTTPRoute default/goes"]
    );
}

#[tokio::test]
async fn a_version_that_is_gone_leads_to_a_new_list() {
    let server = ApiServer::start().await;
    server.put(route("goes"));
    let mut reading = read(&server, options());
    reading.synced().await;
    let lists = || server.requests("/httproutes").len();
    let before = lists();
    server.compact();
    eventually(|| lists() > before).await;
    server.delete(&route("goes"));
    reading
        .until(|reading| !reading.has("HTTPRoute default/goes"))
        .await;
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it() {
    let server = ApiServer::start().await;
    server.put(route("r"));
    let mut refusal = Refusal::new("/httproutes", 1, 429);
    refusal.retry_after = Some(1);
    refusal.is_status = false;
    server.refuse(refusal);
    let mut reading = read(&server, options());
    reading.synced().await;
    assert!(reading.has("HTTPRoute default/r"));
    let requests = server.requests("/httproutes");
    let wait = requests[1].0 - requests[0].0;
    assert!(wait >= Duration::from_secs(1), "{wait:?}");
}

#[tokio::test]
async fn an_object_that_does_not_parse_keeps_its_last_good_form_and_says_so() {
    let server = ApiServer::start().await;
    server.put(backend("b"));
    server.put(backend("other"));
    let mut reading = read(&server, options());
    reading.synced().await;
    let mut broken = backend("b");
    broken["metadata"]["generation"] = 2.into();
    broken["spec"]["endpoints"][0]["fqdn"]["port"] = "eighty".into();
    server.put(broken);
    reading.until(|reading| !reading.findings.is_empty()).await;
    let finding = reading.findings[0].clone();
    assert_eq!(finding.severity, Severity::Error);
    assert_eq!(finding.field, "spec.endpoints[0].fqdn.port");
    assert_eq!(finding.location, None);
    assert!(finding.message.contains("last good form"), "{finding:?}");
    assert!(reading.has("Backend default/b") && reading.has("Backend default/other"));
    let seen = reading.seen.get(&finding.object.unwrap()).unwrap();
    assert_eq!(seen.generation, Some(2));
    let refused = seen.refused.clone().unwrap();
    assert_eq!(refused.spec["endpoints"][0]["fqdn"]["port"], "eighty");
    server.put(backend("b"));
    reading.until(|reading| reading.findings.is_empty()).await;
    let key = "Backend default/b".parse().unwrap();
    assert_eq!(reading.seen.get(&key).unwrap().refused, None);
}

#[tokio::test]
async fn what_a_newer_server_adds_is_no_mistake() {
    let server = ApiServer::start().await;
    let mut service = service("s");
    service["spec"]["newField"] = 1.into();
    let mut backend = backend("b");
    backend["metadata"]["newField"] = 1.into();
    server.put(service);
    server.put(backend);
    let mut reading = read(&server, options());
    reading.synced().await;
    assert!(reading.has("Service default/s") && reading.has("Backend default/b"));
    assert_eq!(*reading.findings, []);
}

#[tokio::test]
async fn a_good_form_is_not_kept_for_another_object_of_the_same_name() {
    let mut server = ApiServer::start().await;
    server.put(backend("b"));
    let mut reading = read(&server, options());
    reading.synced().await;
    server.kill().await;
    let mut other = backend("b");
    other["metadata"]["uid"] = "two".into();
    other["spec"] = json!({"endpoints": 7});
    server.put(other);
    server.restart().await;
    reading
        .until(|reading| !reading.has("Backend default/b"))
        .await;
}

#[tokio::test]
async fn a_kind_that_is_not_installed_is_served_without_and_taken_when_it_comes() {
    let server = ApiServer::start().await;
    server.uninstall(BACKENDS);
    server.put(route("r"));
    let mut reading = read(&server, options());
    reading.synced().await;
    server.put(backend("b"));
    server.install(BACKENDS);
    reading
        .until(|reading| reading.has("Backend default/b"))
        .await;
}

#[tokio::test]
async fn a_kind_that_is_uninstalled_takes_its_objects_away_and_no_others() {
    let server = ApiServer::start().await;
    server.put(route("r"));
    server.put(backend("b"));
    let mut reading = read(&server, options());
    reading.synced().await;
    server.uninstall(BACKENDS);
    // Every watch has to list anew, and this one finds its path gone.
    server.compact();
    reading
        .until(|reading| !reading.has("Backend default/b"))
        .await;
    assert!(reading.has("HTTPRoute default/r"));
}

#[tokio::test]
async fn a_kind_that_nothing_works_without_is_waited_for_by_name_and_command() {
    let server = ApiServer::start().await;
    server.uninstall(ROUTES);
    let mut reading = read(&server, options());
    let waiting = reading.waiting.clone();
    let says = |what: &str| waiting.borrow().iter().any(|line| line.contains(what));
    eventually(|| says("not installed")).await;
    eventually(|| waiting.borrow().len() == 1).await;
    assert!(says(ROUTES) && says("kubectl apply"), "{waiting:?}");
    assert!(reading.is_quiet().await);
    server.put(route("r"));
    server.install(ROUTES);
    reading.synced().await;
    assert!(reading.has("HTTPRoute default/r"));
    assert!(waiting.borrow().is_empty());
}

#[tokio::test]
async fn the_version_that_the_server_has_is_read() {
    let server = ApiServer::start().await;
    let on_v1 = "/gateway.networking.k8s.io/v1/referencegrants";
    let mut refusal = Refusal::new(on_v1, usize::MAX, 404);
    refusal.is_status = false;
    server.refuse(refusal);
    server.put(json!({
        "apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant",
        "metadata": {"name": "g", "namespace": "default"},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "a"}],
            "to": [{"group": "", "kind": "Service"}],
        },
    }));
    let mut reading = read(&server, options());
    reading.synced().await;
    assert!(reading.has("ReferenceGrant default/g"));
}

#[tokio::test]
async fn only_secrets_that_are_referred_to_are_read() {
    let server = ApiServer::start().await;
    for name in ["cert", "other"] {
        server.put(secret(name));
    }
    server.put(class("eg"));
    server.put(gateway_with("eg", "cert"));
    let mut reading = read(&server, options());
    reading.synced().await;
    assert!(
        reading.has("Secret default/cert"),
        "it is part of the first update"
    );
    let asked = server.requests("/secrets");
    assert!(
        asked
            .iter()
            .all(|(_, line)| line.contains("metadata.name=cert")),
        "{asked:?}"
    );
    server.put(gateway_with("eg", "other"));
    reading
        .until(|reading| reading.has("Secret default/other") && !reading.has("Secret default/cert"))
        .await;
    server.put(secret("cert"));
    assert!(reading.is_quiet().await, "nobody asks for it any more");
    assert!(!format!("{:?}", reading.store).contains("aHVzaA"));
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_holds_nothing_up() {
    let server = ApiServer::start().await;
    server.put(secret("cert"));
    server.put(class("eg"));
    server.put(gateway_with("eg", "cert"));
    server.refuse(Refusal::new("/secrets", usize::MAX, 403));
    let mut reading = read(&server, options());
    reading.synced().await;
    assert!(!reading.has("Secret default/cert"));
}

#[tokio::test]
async fn a_secret_of_another_controllers_gateway_is_not_read() {
    let server = ApiServer::start().await;
    server.put(secret("cert"));
    server.put(gateway_with("eg", "cert"));
    let mut reading = read(&server, options());
    reading.synced().await;
    assert!(reading.has("Gateway default/eg"));
    assert_eq!(server.requests("/secrets"), []);
    server.put(class("eg"));
    reading
        .until(|reading| reading.has("Secret default/cert"))
        .await;
    let mut other = class("eg");
    other["spec"]["controllerName"] = "example.com/other".into();
    server.put(other);
    reading
        .until(|reading| !reading.has("Secret default/cert"))
        .await;
}

#[tokio::test]
async fn lists_come_by_pages_where_they_do_not_stream() {
    let server = ApiServer::start().await;
    server.set_page(2);
    for name in ["a", "b", "c", "d", "e"] {
        server.put(route(name));
    }
    let mut reading = read(&server, options());
    reading.synced().await;
    assert_eq!(reading.log.len(), 6, "{:?}", reading.log);
    server.delete(&route("c"));
    reading
        .until(|reading| !reading.has("HTTPRoute default/c"))
        .await;
}

#[tokio::test]
async fn a_status_is_seen_and_changes_nothing() {
    let server = ApiServer::start().await;
    server.put(gateway("eg"));
    let mut reading = read(&server, options());
    reading.synced().await;
    let mut with_status = gateway("eg");
    with_status["status"] = json!({"conditions": [{"type": "Accepted"}]});
    server.put(with_status);
    let key = "Gateway default/eg".parse().unwrap();
    let seen = reading.seen.clone();
    let is_seen = || seen.get(&key).is_some_and(|seen| !seen.status.is_null());
    eventually(is_seen).await;
    assert!(reading.is_quiet().await, "{:?}", reading.log);
    server.delete(&gateway("eg"));
    reading
        .until(|reading| !reading.has("Gateway default/eg"))
        .await;
    assert!(reading.seen.get(&key).is_none());
}

#[tokio::test]
async fn namespaces_and_labels_limit_what_is_read() {
    let server = ApiServer::start().await;
    let mut elsewhere = route("elsewhere");
    elsewhere["metadata"]["namespace"] = "other".into();
    let mut labelled = route("labelled");
    labelled["metadata"]["labels"] = json!({"team": "x"});
    for object in [elsewhere, labelled, route("plain"), service("s")] {
        server.put(object);
    }
    let options = Options {
        namespaces: vec!["default".into()],
        selector: Some("team=x".into()),
        ..options()
    };
    let mut reading = read(&server, options);
    reading.synced().await;
    reading.log.sort();
    let limited = [
        "+ HTTPRoute default/labelled",
        "+ Service default/s",
        "synced",
    ];
    assert_eq!(reading.log, limited);
    let requests = server.requests("/services");
    assert!(
        requests
            .iter()
            .all(|(_, line)| line.contains("/namespaces/default/"))
    );
}

#[tokio::test]
async fn a_failure_that_lasts_is_named_with_what_is_missing() {
    let server = ApiServer::start().await;
    server.refuse(Refusal::new("/services", usize::MAX, 403));
    let reading = read(&server, options());
    let waiting = reading.waiting.clone();
    eventually(|| waiting.borrow().len() == 1).await;
    let line = || waiting.borrow()[0].clone();
    eventually(|| line().starts_with("services: the API server answers 403")).await;
    assert!(line().contains("deploy/"), "{}", line());
    tokio::time::sleep(A_WHILE).await;
    assert!(server.requests("/services").len() < 12, "it backs off");
}

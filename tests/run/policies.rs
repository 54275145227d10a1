//! What policies have a real Envoy do with requests and answers on their way.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::harness::{CLASS, Stage, backend, free_port, until};

/// What the backend answers beside the request's head: long enough to be made small.
const FILLING: usize = 4096;

/// A server that answers each request with its head.
fn mirror() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || reflect(&stream));
        }
    });
    port
}

fn reflect(mut stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    head.push_str(&"x".repeat(FILLING));
    let length = head.len();
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\
         endpoint-load-metrics: JSON {{}}\r\nconnection: close\r\n\r\n{head}"
    );
}

/// An answer: status, head and body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Sends a request with more headers and a body.
fn send(port: u16, path: &str, headers: &str, body: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
    .ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    })
}

fn ask(port: u16, path: &str, headers: &str) -> Answer {
    send(port, path, headers, "").expect("an answer")
}

/// A Gateway on `port` whose route has a rule for each of these paths, named for it.
fn served(stage: &Stage, port: u16, endpoint: u16, paths: &[&str]) {
    let rules = paths.iter().map(|path| {
        format!(
            "  - name: {path}
    matches: [{{path: {{value: /{path}}}}}]
    backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: eg}}]
"
        )
    });
    let rules: String = rules.collect();
    stage.write("class.yaml", CLASS);
    stage.write(
        "eg.yaml",
        &format!(
            "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: eg}}
spec:
  gatewayClassName: locum
  listeners: [{{name: http, protocol: HTTP, port: {port}}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: eg}}
spec:
  parentRefs: [{{name: eg}}]
  rules:
{rules}---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: eg}}
spec: {{endpoints: [{{ip: {{address: 127.0.0.1, port: {endpoint}}}}}]}}
"
        ),
    );
}

/// A policy of the rule that has its name.
fn policy(stage: &Stage, name: &str, spec: &str) {
    stage.write(
        &format!("{name}.yaml"),
        &format!(
            "
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {{name: {name}}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: eg, sectionName: {name}}}]
  {spec}
"
        ),
    );
}

#[test]
fn requests_over_a_limit_are_answered_429() {
    let port = free_port();
    let stage = Stage::empty();
    served(&stage, port, mirror(), &["limited", "clients"]);
    let limit = "limit: {requests: 2, unit: Hour}";
    policy(
        &stage,
        "limited",
        &format!("rateLimit: {{local: {{rules: [{{{limit}}}]}}}}"),
    );
    let selector =
        "clientSelectors: [{headers: [{name: x-user, type: Distinct}], path: {value: /clients/a}}]";
    policy(
        &stage,
        "clients",
        &format!("rateLimit: {{local: {{rules: [{{{selector}, {limit}}}]}}}}"),
    );
    let _locum = stage.run();

    let limited = [(); 3].map(|()| ask(port, "/limited", ""));
    let statuses = limited.each_ref().map(|answer| answer.status);
    assert_eq!(statuses, [200, 200, 429]);
    let head = &limited[2].head;
    assert!(head.contains("x-ratelimit-remaining: 0"), "{head}");

    let of = |user: &str, path: &str| {
        let header = format!("x-user: {user}\r\n");
        [(); 3].map(|()| ask(port, path, &header).status)
    };
    assert_eq!(of("one", "/clients/a?b=c"), [200, 200, 429]);
    assert_eq!(of("two", "/clients/a/b"), [200, 200, 429]);
    assert_eq!(of("one", "/clients/other"), [200, 200, 200]);
}

#[test]
fn bodies_are_kept_and_made_small() {
    let port = free_port();
    let stage = Stage::empty();
    served(&stage, port, mirror(), &["plain", "small", "packed"]);
    policy(&stage, "small", "requestBuffer: {limit: 1Ki}");
    policy(
        &stage,
        "packed",
        "compressor: [{type: Brotli}, {type: Gzip, minContentLength: 100}]",
    );
    let _locum = stage.run();

    let sized = |size: usize| send(port, "/small", "", &"y".repeat(size)).expect("an answer");
    assert_eq!([1000, 2000].map(|size| sized(size).status), [200, 413]);

    for (path, accepted, encoding) in [
        ("/packed", "gzip, br", Some("br")),
        ("/packed", "gzip", Some("gzip")),
        ("/packed", "identity", None),
        ("/plain", "gzip", None),
    ] {
        let answer = ask(port, path, &format!("accept-encoding: {accepted}\r\n"));
        let mut lines = answer.head.lines();
        let found = lines.find_map(|line| line.strip_prefix("content-encoding: "));
        assert_eq!(found, encoding, "{path} {accepted}");
        // The endpoint is asked for what only a proxy that leaves bodies alone is to pass on.
        if encoding.is_none() {
            let asked = answer.body.contains("accept-encoding");
            assert_eq!(asked, path == "/plain", "{}", answer.body);
        }
    }
}

#[test]
fn answers_are_made_up_changed_and_kept_from_clients() {
    let port = free_port();
    let stage = Stage::empty();
    let paths = ["plain", "broken", "friendly", "upgraded", "reported"];
    served(&stage, port, mirror(), &paths);
    policy(
        &stage,
        "broken",
        "faultInjection: {abort: {httpStatus: 555}}",
    );
    let any = "{match: {statusCodes: [{type: Range, range: {start: 200, end: 299}}]}";
    let given = "{statusCode: 418, contentType: text/html, body: {inline: 'was %RESPONSE_CODE%'}}";
    policy(
        &stage,
        "friendly",
        &format!("responseOverride: [{any}, response: {given}}}]"),
    );
    policy(&stage, "upgraded", "httpUpgrade: [{type: spdy/3.1}]");
    policy(
        &stage,
        "reported",
        "loadBalancer: {type: BackendUtilization, backendUtilization: {}}",
    );
    let _locum = stage.run();

    assert_eq!(ask(port, "/broken", "").status, 555);
    let friendly = ask(port, "/friendly", "");
    assert_eq!((friendly.status, &*friendly.body), (418, "was 200"));
    let head = &friendly.head;
    assert!(head.contains("content-type: text/html"), "{head}");

    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    assert_eq!(ask(port, "/upgraded", upgrade).status, 403);

    for (path, told) in [("/plain", true), ("/reported", false)] {
        let head = ask(port, path, "").head;
        assert_eq!(head.contains("endpoint-load-metrics"), told, "{head}");
    }
}

#[test]
fn a_policy_that_asks_for_a_filter_changes_no_listener() {
    let port = free_port();
    let stage = Stage::empty();
    served(&stage, port, mirror(), &["broken"]);
    let locum = stage.run();
    let listeners = || {
        let listeners = locum.json("/debug/xds?type=listener");
        listeners["gateways"][0]["resources"].clone()
    };
    let before = listeners();
    assert!(!before.is_null(), "{before}");
    policy(
        &stage,
        "broken",
        "faultInjection: {abort: {httpStatus: 555}}\n  compressor: [{type: Gzip}]",
    );
    until("the policy holds", || {
        send(port, "/broken", "", "").is_some_and(|answer| answer.status == 555)
    });
    assert_eq!(listeners(), before);
}

#[test]
fn balancing_by_reports_or_by_a_header_keeps_the_order_of_tiers() {
    let port = free_port();
    let stage = Stage::empty();
    let (active, passive) = (backend("active"), backend("passive"));
    served(&stage, port, active, &["reported", "named"]);
    let manifests = std::fs::read_to_string(stage.manifests().join("eg.yaml")).unwrap();
    let reference = "{group: gateway.envoyproxy.io, kind: Backend, name: eg}";
    let both = format!("{reference}, {}", reference.replace("eg}", "passive}"));
    let standby = format!(
        "---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: passive}}
spec: {{fallback: true, endpoints: [{{ip: {{address: 127.0.0.1, port: {passive}}}}}]}}
"
    );
    stage.write("eg.yaml", &(manifests.replace(reference, &both) + &standby));
    policy(
        &stage,
        "reported",
        "loadBalancer: {type: BackendUtilization, backendUtilization: {}}",
    );
    policy(
        &stage,
        "named",
        "loadBalancer: {type: RoundRobin, endpointOverride: {extractFrom: [{header: x-endpoint}]}}",
    );
    let _locum = stage.run();
    for path in ["/reported", "/named"] {
        let answers: Vec<String> = (0..20).map(|_| ask(port, path, "").body).collect();
        assert_eq!(answers, ["active"; 20], "{path}");
    }
    let named = |endpoint: &str| ask(port, "/named", &format!("x-endpoint: {endpoint}\r\n")).body;
    assert_eq!(named(&format!("127.0.0.1:{passive}")), "passive");
    assert_eq!(named("192.0.2.1:80"), "active");
}

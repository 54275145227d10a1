//! BackendTrafficPolicy, as its CRD has it.

use super::*;

fn policy() -> Value {
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "BackendTrafficPolicy",
        "metadata": {"name": "p"},
        "spec": {
            "targetRefs": [
                {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "r"},
            ],
            "healthCheck": {
                "passive": {"interval": "2s"},
                "active": {"type": "HTTP", "http": {"path": "/health"}},
            },
            "loadBalancer": {
                "type": "ConsistentHash",
                "consistentHash": {"type": "Cookie", "cookie": {"name": "c"}},
            },
            "connection": {"bufferLimit": "64Ki", "preconnect": {}},
            "circuitBreaker": {"retryBudget": {"percent": {"numerator": 20}}},
            "retry": {"retryOn": {"triggers": ["5xx"]}},
            "timeout": {"http": {}},
        },
    })
}

#[test]
fn what_a_value_must_be_is_said_in_words() {
    let mut wrong = policy();
    wrong["spec"]["healthCheck"]["passive"]["interval"] = json!("2x");
    wrong["spec"]["targetRefs"][0]["name"] = json!(true);
    let faults = parse(wrong, "default").faults;
    let said: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "is \"2x\": must be a duration such as 10s, 500ms or 1m30s",
            "is true: expected text; put it in quotes",
        ]
    );
}

const TARGETS: &str = r#"
    /spec/targetRefs = null => spec
    /spec/targetRef = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "g"} => spec
    /spec/targetRefs/0/kind = "Service" => spec.targetRefs
    /spec/targetRefs/0/kind = "Gateway" => ok
    /spec/targetRefs/0/group = "" => spec.targetRefs
    /spec/targetRefs/0/name = null => spec.targetRefs[0].name
    /spec/targetRefs/0/sectionName = "one" => ok
    /spec/targetSelectors = [{"kind": "HTTPRoute"}] => ok
    /spec/targetSelectors = [{"kind": "HTTPRoute", "group": "a"}] => spec.targetSelectors[0]
    /spec/mergeType = "Replace" => spec.mergeType
    /spec/mergeType = "StrategicMerge" => ok
"#;

const HEALTH: &str = r#"
    /spec/healthCheck/passiv = {} => spec.healthCheck.passiv
    /spec/healthCheck/panicThreshold = 101 => spec.healthCheck.panicThreshold
    /spec/healthCheck/panicThreshold = 0 => ok
    /spec/healthCheck/passive/interval = "2" => spec.healthCheck.passive.interval
    /spec/healthCheck/passive/consecutive5XxErrors = 1 => ok
    /spec/healthCheck/passive/maxEjectionPercent = -1 => spec.healthCheck.passive.maxEjectionPercent
    /spec/healthCheck/active/tcp = {} => spec.healthCheck.active
    /spec/healthCheck/active/grpc = {} => spec.healthCheck.active
    /spec/healthCheck/active/http = null => spec.healthCheck.active
    /spec/healthCheck/active/healthyThreshold = 0 => spec.healthCheck.active.healthyThreshold
    /spec/healthCheck/active/overrides = {"port": 0} => spec.healthCheck.active.overrides.port
    /spec/healthCheck/active/http/path = "" => spec.healthCheck.active.http.path
    /spec/healthCheck/active/http/method = "HEAD" => ok
    /spec/healthCheck/active/http/requestBody = {"type": "Text", "text": "x"} => spec.healthCheck.active.http
    /spec/healthCheck/active/http/expectedStatuses = [99] => spec.healthCheck.active.http.expectedStatuses[0]
"#;

const PAYLOADS: &str = r#"
    /expectedResponse = {"type": "Text", "text": "x"} => ok
    /expectedResponse = {"type": "Binary", "binary": "AAAA"} => ok
    /expectedResponse = {"type": "Text", "binary": "AAAA"} => expectedResponse
    /expectedResponse = {"type": "Binary"} => expectedResponse
    /expectedResponse = {"type": "Binary", "binary": "A"} => expectedResponse.binary
"#;

const BALANCERS: &str = r#"
    /type = "Random" => spec.loadBalancer
    /slowStart = {"window": "1m"} => spec.loadBalancer
    /slowStart = {} => spec.loadBalancer.slowStart.window
    /zoneAware = {"preferLocal": {}} => spec.loadBalancer
    /zoneAware = {"weightedZones": [{"zone": "a", "weight": 1}]} => ok
    /endpointOverride = {"extractFrom": []} => spec.loadBalancer.endpointOverride.extractFrom
    /consistentHash/header = {"name": "x"} => spec.loadBalancer.consistentHash
    /consistentHash/cookie = {"name": "c", "ttl": "60s"} => ok
    /consistentHash/tableSize = 1 => spec.loadBalancer.consistentHash.tableSize
"#;

const CONNECTIONS: &str = r#"
    /spec/connection/bufferLimit = "1.5Mi" => spec.connection.bufferLimit
    /spec/connection/bufferLimit = 65536 => ok
    /spec/connection/preconnect/predictivePercent = 150 => spec
    /spec/connection/preconnect/perEndpointPercent = 99 => spec.connection.preconnect.perEndpointPercent
    /spec/circuitBreaker/maxConnections = 4294967296 => spec.circuitBreaker.maxConnections
    /spec/circuitBreaker/maxConnections = 0 => ok
    /spec/circuitBreaker/retryBudget/percent/numerator = 101 => spec.circuitBreaker.retryBudget.percent
    /spec/retry/retryOn/triggers = ["503"] => spec.retry.retryOn.triggers[0]
    /spec/retry/retryOn/httpStatusCodes = [600] => spec.retry.retryOn.httpStatusCodes[0]
    /spec/retry/numRetries = -1 => spec.retry.numRetries
    /spec/timeout/http/requestTimeout = 10 => spec.timeout.http.requestTimeout
    /spec/timeout/http/requestTimeout = "1h30m" => ok
    /spec/dns = {"lookupFamily": "IPv5"} => spec.dns.lookupFamily
    /spec/tcpKeepalive = {"probes": 3, "idleTime": "1m"} => ok
    /spec/rateLimit = {"type": "Local"} => ok
    /spec/compression = [] => ok
"#;

/// A table whose pointers and fields begin with these.
fn below(table: &str, pointer: &str, field: &str) -> String {
    let cases = table.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines = cases.map(|case| match case.rsplit_once(" => ") {
        Some((change, outcome)) if outcome != "ok" && !outcome.starts_with("spec") => {
            format!("{pointer}{change} => {field}{outcome}\n")
        }
        _ => format!("{pointer}{case}\n"),
    });
    lines.collect()
}

#[test]
fn policy_is_taken_or_refused_as_its_crd_does() {
    check(&policy(), TARGETS);
    check(&policy(), HEALTH);
    let at = (
        "/spec/healthCheck/active/http",
        "spec.healthCheck.active.http.",
    );
    check(&policy(), &below(PAYLOADS, at.0, at.1));
    check(&policy(), &below(BALANCERS, "/spec/loadBalancer", ""));
    check(&policy(), CONNECTIONS);
}

#[test]
fn policy_gets_the_defaults_of_its_crd() {
    let Some(Object::BackendTrafficPolicy(policy)) = parse(policy(), "default").object else {
        panic!("the sample is sound");
    };
    let health = policy.spec.health_check.as_ref().unwrap();
    let passive = health.passive.as_ref().unwrap();
    assert_eq!(passive.interval.to_string(), "2s");
    assert_eq!(passive.base_ejection_time.to_string(), "30s");
    assert_eq!(passive.consecutive_5xx_errors, 5);
    let active = health.active.as_ref().unwrap();
    assert_eq!(active.timeout.to_string(), "1s");
    assert_eq!(active.unhealthy_threshold, 3);
    let balancer = policy.spec.load_balancer.as_ref().unwrap();
    assert_eq!(balancer.consistent_hash.as_ref().unwrap().table_size, 65537);
}

#[test]
fn unsupported_fields_are_carried_by_name() {
    let sample = with(
        policy(),
        "/spec/admissionControl",
        json!({"minSuccessRate": 1}),
    );
    let Some(Object::BackendTrafficPolicy(policy)) = parse(sample, "default").object else {
        panic!("the sample is sound");
    };
    assert_eq!(
        policy.spec.admission_control,
        Some(json!({"minSuccessRate": 1}))
    );
}

#[test]
fn unknown_field_names_the_one_that_may_be_meant() {
    let sample = with(policy(), "/spec/healthCheck/passiv", json!({}));
    let fault = &parse(sample, "default").faults[0];
    assert_eq!(fault.field, "spec.healthCheck.passiv");
    assert_eq!(
        fault.message,
        "is not a known field: did you mean \"passive\"?"
    );
}

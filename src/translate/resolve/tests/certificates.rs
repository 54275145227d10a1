//! Certificates that a listener refers to.

use super::super::Resolution;
use super::super::fixture::{GATEWAY, resolved};
use crate::resource::{Key, Kind};
use crate::status::reasons::{self, kind};
use crate::status::{Condition, StatusBody};

const SECRETS: &str = "
---
apiVersion: v1
kind: Secret
metadata: { name: whole }
data: { tls.crt: YQ==, tls.key: YQ== }
---
apiVersion: v1
kind: Secret
metadata: { name: half }
data: { tls.crt: YQ== }
---
apiVersion: v1
kind: Secret
metadata: { name: whole, namespace: other }
data: { tls.crt: YQ==, tls.key: YQ== }
";

const GRANT: &str = "
---
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: { name: g, namespace: other }
spec:
  from: [{ group: gateway.networking.k8s.io, kind: Gateway, namespace: default }]
  to: [{ group: '', kind: Secret }]
";

/// What comes of a listener with this reference.
fn with(reference: &str, more: &str) -> Resolution {
    let listener = format!(
        "[{{ name: tls, protocol: HTTPS, port: 443, tls: {{ certificateRefs: [{reference}] }} }}]"
    );
    let gateway = GATEWAY.replace("[{ name: http, protocol: HTTP, port: 80 }]", &listener);
    resolved(&format!("{gateway}{SECRETS}{more}"))
}

fn resolved_refs(resolution: &Resolution) -> &Condition {
    let status = &resolution.statuses[&Key::new(Kind::Gateway, "default", "eg")];
    let StatusBody::Gateway(gateway) = &status.body else {
        panic!("a Gateway's status");
    };
    let mut conditions = gateway.listeners[0].conditions.iter();
    conditions
        .find(|condition| condition.kind == kind::RESOLVED_REFS)
        .expect("a condition")
}

#[test]
fn a_certificate_that_cannot_be_had_is_named() {
    for (reference, reason, said) in [
        (
            "{ name: gone }",
            reasons::INVALID_CERTIFICATE_REF,
            "does not exist",
        ),
        (
            "{ name: half }",
            reasons::INVALID_CERTIFICATE_REF,
            "tls.key",
        ),
        (
            "{ name: whole, kind: ConfigMap }",
            reasons::INVALID_CERTIFICATE_REF,
            "ConfigMap",
        ),
        (
            "{ name: whole, namespace: other }",
            reasons::REF_NOT_PERMITTED,
            "ReferenceGrant",
        ),
    ] {
        let resolution = with(reference, "");
        let condition = resolved_refs(&resolution);
        assert_eq!(
            (condition.holds, condition.reason),
            (false, reason),
            "{reference}"
        );
        assert!(condition.message.contains(said), "{condition:?}");
        let field = "spec.listeners[0].tls.certificateRefs[0]";
        let mut problems = resolution.problems.iter();
        assert!(problems.any(|problem| problem.field == field && problem.reason == reason));
    }
}

#[test]
fn a_certificate_that_is_there_and_permitted_is_resolved() {
    let own = with("{ name: whole }", "");
    assert!(resolved_refs(&own).holds);
    let granted = with("{ name: whole, namespace: other }", GRANT);
    assert!(resolved_refs(&granted).holds);
}

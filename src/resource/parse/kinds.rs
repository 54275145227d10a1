//! Which kinds are Locum's, by API group, version and kind.

use crate::resource::key::{self, ENVOY_GATEWAY, GATEWAY_API, LOCUM};
use crate::resource::{Kind, guard::GuardKind};

/// What an `apiVersion` and a `kind` mean to Locum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Kind(Kind),
    Guard(GuardKind),
    /// The kind is Locum's, the version is not; this `apiVersion` is.
    OtherVersion(String),
    /// Of a group that Locum serves, but no kind of it; this one is a letter away.
    Misspelled(&'static str),
    /// Of a group that Locum serves, but not served.
    NotSupported,
    Foreign,
}

/// What `api_version` and `kind` mean.
pub(super) fn known(api_version: &str, kind: &str) -> Known {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let typed = Kind::ALL.into_iter().filter(|known| *known != Kind::Guard);
    for known in typed {
        if known.group() == group && known.name() == kind {
            return at_version(Known::Kind(known), known.versions(), group, version);
        }
    }
    for policy in GuardKind::ALL {
        if policy.group() == group && policy.name() == kind {
            return at_version(Known::Guard(policy), policy.versions(), group, version);
        }
    }
    match group {
        GATEWAY_API | ENVOY_GATEWAY | LOCUM => match nearest(group, kind) {
            Some(meant) => Known::Misspelled(meant),
            None => Known::NotSupported,
        },
        _ => Known::Foreign,
    }
}

/// The kind of the group that `kind` is but for its case and one letter. No two real kinds are that
/// close.
fn nearest(group: &str, kind: &str) -> Option<&'static str> {
    let typed = Kind::ALL.into_iter().filter(|known| *known != Kind::Guard);
    let typed = typed.map(|known| (known.group(), known.name()));
    let guards = GuardKind::ALL
        .into_iter()
        .map(|policy| (policy.group(), policy.name()));
    typed
        .chain(guards)
        .filter(|(of, _)| *of == group)
        .map(|(_, name)| name)
        .find(|name| strsim::levenshtein(&name.to_lowercase(), &kind.to_lowercase()) <= 1)
}

fn at_version(known: Known, versions: &[&str], group: &str, version: &str) -> Known {
    if versions.contains(&version) {
        return known;
    }
    Known::OtherVersion(key::api_version(group, versions[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_group_version_and_kind() {
        let http_route = Known::Kind(Kind::HttpRoute);
        assert_eq!(
            known("gateway.networking.k8s.io/v1", "HTTPRoute"),
            http_route
        );
        assert_eq!(
            known("gateway.networking.k8s.io/v1beta1", "HTTPRoute"),
            http_route
        );
        assert_eq!(known("v1", "Service"), Known::Kind(Kind::Service));
        assert_eq!(known("v1", "Pod"), Known::Foreign);
        assert_eq!(known("example.com/v1", "Service"), Known::Foreign);
        assert_eq!(
            known("gateway.networking.k8s.io/v1", "GRPCRoute"),
            Known::NotSupported
        );
        assert_eq!(
            known("gateway.envoyproxy.io/v1", "Backend"),
            Known::OtherVersion("gateway.envoyproxy.io/v1alpha1".into())
        );
    }

    #[test]
    fn a_kind_with_one_wrong_letter_is_not_taken_for_another_kind() {
        for wrong in ["httproute", "HTTPRoutes", "HTTPRoue"] {
            let meant = known("gateway.networking.k8s.io/v1", wrong);
            assert_eq!(meant, Known::Misspelled("HTTPRoute"), "{wrong}");
        }
        for other in ["TCPRoute", "TLSRoute", "GRPCRoute"] {
            let other = known("gateway.networking.k8s.io/v1", other);
            assert_eq!(other, Known::NotSupported);
        }
    }

    #[test]
    fn guard_is_no_kind_of_a_manifest() {
        assert_eq!(
            known("gateway.envoyproxy.io/v1alpha1", "Guard"),
            Known::NotSupported
        );
    }
}

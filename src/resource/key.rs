//! Keys: what a resource is called. Kinds in one enum, a name within a namespace, and both
//! together.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::guard::GuardKind;

/// The API group of Gateway API.
pub const GATEWAY_API: &str = "gateway.networking.k8s.io";
/// The API group of Envoy Gateway's extensions.
pub const ENVOY_GATEWAY: &str = "gateway.envoyproxy.io";
/// The API group of what several clusters share.
pub const MULTICLUSTER: &str = "multicluster.x-k8s.io";
/// The API group of Locum's own kinds.
pub const LOCUM: &str = "locum.dev";

/// The kinds that Locum reads. The order has no meaning but is stable, so that lists are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    GatewayClass,
    Gateway,
    HttpRoute,
    ReferenceGrant,
    Service,
    ServiceImport,
    EndpointSlice,
    Secret,
    ConfigMap,
    Namespace,
    Backend,
    BackendTrafficPolicy,
    FailoverPolicy,
    /// A policy that Locum knows by name only and that guards its targets: see
    /// [`crate::resource::guard`].
    Guard,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Kind; 14] = [
        Kind::GatewayClass,
        Kind::Gateway,
        Kind::HttpRoute,
        Kind::ReferenceGrant,
        Kind::Service,
        Kind::ServiceImport,
        Kind::EndpointSlice,
        Kind::Secret,
        Kind::ConfigMap,
        Kind::Namespace,
        Kind::Backend,
        Kind::BackendTrafficPolicy,
        Kind::FailoverPolicy,
        Kind::Guard,
    ];

    /// The `kind` that manifests say, such as `HTTPRoute`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::GatewayClass => "GatewayClass",
            Kind::Gateway => "Gateway",
            Kind::HttpRoute => "HTTPRoute",
            Kind::ReferenceGrant => "ReferenceGrant",
            Kind::Service => "Service",
            Kind::ServiceImport => "ServiceImport",
            Kind::EndpointSlice => "EndpointSlice",
            Kind::Secret => "Secret",
            Kind::ConfigMap => "ConfigMap",
            Kind::Namespace => "Namespace",
            Kind::Backend => "Backend",
            Kind::BackendTrafficPolicy => "BackendTrafficPolicy",
            Kind::FailoverPolicy => "FailoverPolicy",
            Kind::Guard => "Guard",
        }
    }

    /// The API group, empty for Kubernetes' core group.
    pub fn group(self) -> &'static str {
        match self {
            Kind::GatewayClass | Kind::Gateway | Kind::HttpRoute | Kind::ReferenceGrant => {
                GATEWAY_API
            }
            Kind::EndpointSlice => "discovery.k8s.io",
            Kind::ServiceImport => MULTICLUSTER,
            Kind::Service | Kind::Secret | Kind::ConfigMap | Kind::Namespace => "",
            Kind::Backend | Kind::BackendTrafficPolicy | Kind::Guard => ENVOY_GATEWAY,
            Kind::FailoverPolicy => LOCUM,
        }
    }

    /// The versions that are read, the current one first. They differ in nothing that Locum reads.
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            Kind::GatewayClass | Kind::Gateway | Kind::HttpRoute | Kind::ReferenceGrant => {
                &["v1", "v1beta1"]
            }
            Kind::ServiceImport
            | Kind::Backend
            | Kind::BackendTrafficPolicy
            | Kind::FailoverPolicy
            | Kind::Guard => &["v1alpha1"],
            _ => &["v1"],
        }
    }

    /// Whether objects of this kind stand outside namespaces.
    pub fn is_cluster_scoped(self) -> bool {
        matches!(self, Kind::GatewayClass | Kind::Namespace)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A namespace and a name in it; the namespace is empty for cluster-scoped kinds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

impl ObjectName {
    /// A name in a namespace.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// What one resource is called: unique in the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub kind: Kind,
    pub object: ObjectName,
}

impl Key {
    /// The key of a resource; `namespace` is ignored for cluster-scoped kinds.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        let namespace = if kind.is_cluster_scoped() {
            ""
        } else {
            namespace
        };
        Self {
            kind,
            object: ObjectName::new(namespace, name),
        }
    }

    /// The key of an object of `kind` by its metadata. What the metadata leaves out is empty.
    pub fn of(kind: Kind, metadata: &ObjectMeta) -> Self {
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let name = metadata.name.as_deref().unwrap_or_default();
        Self::new(kind, namespace, name)
    }

    /// The key of a guard: policies of different kinds may have one name, so the kind is part of
    /// it.
    pub fn guard(policy: GuardKind, namespace: &str, name: &str) -> Self {
        Self::new(Kind::Guard, namespace, &format!("{policy}/{name}"))
    }

    /// The `kind` that the resource's manifest says.
    pub fn manifest_kind(&self) -> &str {
        match (self.kind, self.object.name.split_once('/')) {
            (Kind::Guard, Some((policy, _))) => policy,
            _ => self.kind.name(),
        }
    }

    /// The `apiVersion` that the resource's manifest says, in the current one of the versions that
    /// are read.
    pub fn api_version(&self) -> String {
        let (group, versions) = match GuardKind::named(self.manifest_kind()) {
            Some(guard) => (guard.group(), guard.versions()),
            None => (self.kind.group(), self.kind.versions()),
        };
        api_version(group, versions[0])
    }

    /// The `metadata.name` that the resource's manifest says.
    pub fn manifest_name(&self) -> &str {
        match (self.kind, self.object.name.split_once('/')) {
            (Kind::Guard, Some((_, name))) => name,
            _ => &self.object.name,
        }
    }
}

/// The `apiVersion` of a group, empty for Kubernetes' core group, and a version in it.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.into()
    } else {
        format!("{group}/{version}")
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.manifest_kind())?;
        if !self.object.namespace.is_empty() {
            write!(f, "{}/", self.object.namespace)?;
        }
        f.write_str(self.manifest_name())
    }
}

/// A text that is not what [`Key`]'s `Display` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind and a name, such as `HTTPRoute default/web`")]
pub struct NotAKey;

impl FromStr for Key {
    type Err = NotAKey;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let (kind, name) = text.split_once(' ').ok_or(NotAKey)?;
        let (namespace, name) = name.split_once('/').unwrap_or(("", name));
        if let Some(policy) = GuardKind::named(kind) {
            return Ok(Key::guard(policy, namespace, name));
        }
        let mut kinds = Kind::ALL.into_iter();
        let kind = kinds.find(|known| known.name() == kind).ok_or(NotAKey)?;
        Ok(Key::new(kind, namespace, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_from_its_text() {
        for key in [
            Key::new(Kind::HttpRoute, "default", "web"),
            Key::new(Kind::GatewayClass, "", "eg"),
            Key::guard(GuardKind::SecurityPolicy, "default", "login"),
        ] {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        assert_eq!("Nonsense default/web".parse::<Key>(), Err(NotAKey));
    }
}

//! What is watched: a kind, and how much of it.

use std::fmt;
use std::sync::Arc;

use kube::api::{ListParams, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};

use super::Options;
use crate::resource::guard::GuardKind;
use crate::resource::key::{ENVOY_GATEWAY, GATEWAY_API, LOCUM, MULTICLUSTER, api_version};
use crate::resource::{Key, Kind};
use crate::store::SERVICE_NAME;

/// Objects in one page of a list.
const PAGE: u32 = 500;

/// Where the definitions of the kinds are.
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A kind that can be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    Kind(Kind),
    Guard(GuardKind),
}

/// What it means when a kind is not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Every API server has it.
    BuiltIn,
    /// Nothing can be served without it.
    Required,
    /// It is served without.
    Optional,
}

/// What one watch is for: objects of a kind, of all namespaces or one, perhaps a single one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) watched: Watched,
    namespace: Option<Arc<str>>,
    name: Option<Arc<str>>,
    labels: Option<Arc<str>>,
}

impl Watched {
    /// Every kind that is watched as a whole. Secrets and ConfigMaps are not: of them only those
    /// are read that something refers to.
    fn all() -> impl Iterator<Item = Watched> {
        let kinds = Kind::ALL.into_iter();
        let kinds = kinds
            .filter(|kind| !matches!(kind, Kind::Secret | Kind::ConfigMap | Kind::Guard))
            .map(Watched::Kind);
        kinds.chain(GuardKind::ALL.into_iter().map(Watched::Guard))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Watched::Kind(kind) => kind.name(),
            Watched::Guard(guard) => guard.name(),
        }
    }

    pub(super) fn group(self) -> &'static str {
        match self {
            Watched::Kind(kind) => kind.group(),
            Watched::Guard(guard) => guard.group(),
        }
    }

    /// The versions that are read, the best first.
    pub(super) fn versions(self) -> &'static [&'static str] {
        match self {
            Watched::Kind(kind) => kind.versions(),
            Watched::Guard(guard) => guard.versions(),
        }
    }

    pub(super) fn need(self) -> Need {
        match self {
            Watched::Kind(Kind::GatewayClass | Kind::Gateway | Kind::HttpRoute) => Need::Required,
            _ if [GATEWAY_API, ENVOY_GATEWAY, LOCUM, MULTICLUSTER].contains(&self.group()) => {
                Need::Optional
            }
            _ => Need::BuiltIn,
        }
    }

    /// Whether Locum has something to say in the status of such objects.
    pub(super) fn has_status(self) -> bool {
        match self {
            Watched::Kind(kind) => matches!(
                kind,
                Kind::GatewayClass
                    | Kind::Gateway
                    | Kind::HttpRoute
                    | Kind::Backend
                    | Kind::BackendTrafficPolicy
                    | Kind::FailoverPolicy
            ),
            Watched::Guard(_) => true,
        }
    }

    /// The key of such an object.
    pub(super) fn key(self, namespace: &str, name: &str) -> Key {
        match self {
            Watched::Kind(kind) => Key::new(kind, namespace, name),
            Watched::Guard(guard) => Key::guard(guard, namespace, name),
        }
    }

    /// The command that installs the kind; none for kinds that Locum does not ask for.
    pub(super) fn remedy(self) -> Option<&'static str> {
        match self {
            // Most have nothing to share with other clusters.
            Watched::Guard(_) | Watched::Kind(Kind::ServiceImport) => None,
            _ if self.group() == GATEWAY_API => Some(
                "kubectl apply --server-side -f https://github.com/kubernetes-sigs/gateway-api/\
                 releases/download/v1.6.1/standard-install.yaml",
            ),
            _ => Some("locum crds | kubectl apply --server-side -f -"),
        }
    }

    fn is_cluster_scoped(self) -> bool {
        matches!(self, Watched::Kind(kind) if kind.is_cluster_scoped())
    }

    /// Whether `--selector` chooses among such objects. What objects refer to must be there
    /// whatever its labels, and a policy that closes its targets must never be overlooked.
    fn is_selected(self) -> bool {
        matches!(
            self,
            Watched::Kind(
                Kind::Gateway
                    | Kind::HttpRoute
                    | Kind::Backend
                    | Kind::BackendTrafficPolicy
                    | Kind::FailoverPolicy
            )
        )
    }

    /// The name of the kind in paths and rules, `gateways` for Gateway.
    fn plural(self) -> String {
        let kind = GroupVersionKind::gvk(self.group(), self.versions()[0], self.name());
        ApiResource::from_gvk(&kind).plural
    }

    /// The kind's full name, which is also that of its definition: `gateways` and its group.
    pub(super) fn resource(self) -> String {
        match self.group() {
            "" => self.plural(),
            group => format!("{}.{group}", self.plural()),
        }
    }

    /// The path of the kind's definition.
    pub(super) fn definition_path(self) -> String {
        format!("{DEFINITIONS}/{}", self.resource())
    }
}

impl Target {
    /// Everything that is watched from the start.
    pub(super) fn all(options: &Options) -> Vec<Self> {
        let mut targets = Vec::new();
        for watched in Watched::all() {
            let labels = options.selector.as_deref().map(Arc::from);
            let target = Target {
                watched,
                namespace: None,
                name: None,
                labels: labels.filter(|_| watched.is_selected()),
            };
            if watched.is_cluster_scoped() || options.namespaces.is_empty() {
                targets.push(target);
                continue;
            }
            targets.extend(options.namespaces.iter().map(|namespace| Target {
                namespace: Some(namespace.as_str().into()),
                ..target.clone()
            }));
        }
        targets.extend(Self::replicas(options));
        targets
    }

    /// The EndpointSlices of Locum's own Service, where nothing else brings them.
    fn replicas(options: &Options) -> Option<Self> {
        let own = options.own_service.as_ref()?;
        let mut namespaces = options.namespaces.iter();
        let known =
            options.namespaces.is_empty() || namespaces.any(|name| **name == *own.namespace);
        (!known).then(|| Self {
            watched: Watched::Kind(Kind::EndpointSlice),
            namespace: Some(own.namespace.clone()),
            name: None,
            labels: Some(format!("{SERVICE_NAME}={}", own.name).into()),
        })
    }

    /// One Secret or ConfigMap.
    pub(super) fn one(key: &Key) -> Self {
        Self {
            watched: Watched::Kind(key.kind),
            namespace: Some(key.object.namespace.clone()),
            name: Some(key.object.name.clone()),
            labels: None,
        }
    }

    /// Whether it is a single object: one that something refers to.
    pub(super) fn is_one(&self) -> bool {
        self.name.is_some()
    }

    /// Where the objects are, in one version of the API.
    pub(super) fn path(&self, version: &str) -> String {
        let group = match self.watched.group() {
            "" => "/api/v1".to_owned(),
            group => format!("/apis/{}", api_version(group, version)),
        };
        let plural = self.watched.plural();
        match &self.namespace {
            Some(namespace) => format!("{group}/namespaces/{namespace}/{plural}"),
            None => format!("{group}/{plural}"),
        }
    }

    fn fields(&self) -> Option<String> {
        let name = self.name.as_ref()?;
        Some(format!("metadata.name={name}"))
    }

    fn labels(&self) -> Option<String> {
        self.labels.as_deref().map(str::to_owned)
    }

    /// The parameters of a list; `from` continues an earlier page.
    pub(super) fn list(&self, from: Option<String>) -> ListParams {
        ListParams {
            label_selector: self.labels(),
            field_selector: self.fields(),
            limit: Some(PAGE),
            continue_token: from,
            ..ListParams::default()
        }
    }

    /// The parameters of a watch for so many seconds, which begins with all objects where
    /// `with_list`.
    pub(super) fn watch(&self, seconds: u32, with_list: bool) -> WatchParams {
        WatchParams {
            label_selector: self.labels(),
            field_selector: self.fields(),
            timeout: Some(seconds),
            bookmarks: true,
            send_initial_events: with_list,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.watched.resource())?;
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => write!(f, " {namespace}/{name}"),
            (Some(namespace), None) => write!(f, " in namespace {namespace}"),
            (None, _) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::ObjectName;

    fn paths(options: &Options) -> Vec<String> {
        let targets = Target::all(options);
        let mut paths: Vec<String> = targets
            .iter()
            .map(|target| {
                let labels = target.labels().map(|labels| format!(" {labels}"));
                let path = target.path(target.watched.versions()[0]);
                path + &labels.unwrap_or_default()
            })
            .collect();
        paths.sort();
        paths
    }

    #[test]
    fn every_kind_is_watched_in_all_namespaces() {
        let all = paths(&Options::default());
        assert_eq!(
            all,
            [
                "/api/v1/namespaces",
                "/api/v1/services",
                "/apis/discovery.k8s.io/v1/endpointslices",
                "/apis/gateway.envoyproxy.io/v1alpha1/backends",
                "/apis/gateway.envoyproxy.io/v1alpha1/backendtrafficpolicies",
                "/apis/gateway.envoyproxy.io/v1alpha1/clienttrafficpolicies",
                "/apis/gateway.envoyproxy.io/v1alpha1/envoyextensionpolicies",
                "/apis/gateway.envoyproxy.io/v1alpha1/securitypolicies",
                "/apis/gateway.networking.k8s.io/v1/backendtlspolicies",
                "/apis/gateway.networking.k8s.io/v1/gatewayclasses",
                "/apis/gateway.networking.k8s.io/v1/gateways",
                "/apis/gateway.networking.k8s.io/v1/httproutes",
                "/apis/gateway.networking.k8s.io/v1/referencegrants",
                "/apis/locum.dev/v1alpha1/failoverpolicies",
                "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports",
            ]
        );
    }

    #[test]
    fn namespaces_and_a_selector_limit_what_is_watched() {
        let options = Options {
            namespaces: vec!["a".into(), "b".into()],
            selector: Some("team=x".into()),
            ..Options::default()
        };
        let limited = paths(&options);
        for expected in [
            "/api/v1/namespaces",
            "/api/v1/namespaces/a/services",
            "/api/v1/namespaces/b/services",
            "/apis/gateway.networking.k8s.io/v1/gatewayclasses",
            "/apis/gateway.networking.k8s.io/v1/namespaces/b/gateways team=x",
            "/apis/gateway.envoyproxy.io/v1alpha1/namespaces/a/securitypolicies",
        ] {
            assert!(limited.iter().any(|path| path == expected), "{limited:#?}");
        }
        assert_eq!(limited.len(), 2 + 2 * 13);
    }

    #[test]
    fn the_own_service_is_watched_where_the_namespaces_leave_it_out() {
        let options = |namespaces: &[&str]| Options {
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
            own_service: Some(ObjectName::new("system", "locum")),
            ..Options::default()
        };
        let own = "/apis/discovery.k8s.io/v1/namespaces/system/endpointslices \
                   kubernetes.io/service-name=locum";
        let has_own = |namespaces: &[&str]| {
            let paths = paths(&options(namespaces));
            paths.iter().any(|path| path == own)
        };
        assert!(has_own(&["a"]));
        assert!(!has_own(&[]) && !has_own(&["a", "system"]));
    }
}

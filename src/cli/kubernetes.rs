//! Options for Kubernetes: which cluster, and what of it.

use std::path::PathBuf;

use clap::Args;
use kube::Client;

use super::options::{Misuse, refuse_with_files};
use crate::kubernetes::{ConnectError, Connection, connect};
use crate::resource::names;
use crate::source::kubernetes as source;

/// Which cluster is meant.
#[derive(Debug, Args)]
pub(super) struct Kubeconfig {
    /// How to reach the API server [default: KUBECONFIG, else ~/.kube/config, else the cluster
    /// whose Pod this runs in]
    #[arg(long, env = "LOCUM_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl Kubeconfig {
    /// The cluster, which is not yet reached for. Where none is known, `otherwise` says what to do
    /// without one.
    pub(super) async fn connect(&self, otherwise: &str) -> anyhow::Result<Connection> {
        let connected = connect(self.kubeconfig.as_deref()).await;
        connected.map_err(|error| match error {
            ConnectError::Nowhere(_) => Misuse::new(format!(
                "{error}; give one with --kubeconfig, or {otherwise}"
            ))
            .into(),
            error => error.into(),
        })
    }
}

/// Which cluster resources come from, and which of them are read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kubernetes")]
pub(super) struct KubernetesOptions {
    #[command(flatten)]
    kubeconfig: Kubeconfig,
    /// Read only these namespaces [default: all].
    ///
    /// Rights in the whole cluster are then needed only to list and watch gatewayclasses and
    /// namespaces, to get customresourcedefinitions, and to patch gatewayclasses/status. In its own
    /// namespace, named here or not, Locum also keeps its Lease, watches the EndpointSlices of its
    /// Service, and unless --tls-cert or --insecure is given makes, renews and watches its Secrets
    /// locum-ca and locum-server.
    #[arg(
        long,
        env = "LOCUM_NAMESPACES",
        value_name = "NAME",
        value_delimiter = ','
    )]
    namespaces: Vec<String>,
    /// Read only Gateways, HTTPRoutes, Backends and policies of routes with these labels, such
    /// as `team=shop,stage!=test`.
    ///
    /// What they refer to (GatewayClasses, Services, ReferenceGrants, Secrets) needs no label.
    /// SecurityPolicies and their like count whatever their labels, so that nothing is opened which
    /// they close.
    #[arg(long, env = "LOCUM_SELECTOR", value_name = "LABELS")]
    selector: Option<String>,
}

impl KubernetesOptions {
    /// Refuses options that files have no use for.
    pub(super) fn refuse(&self) -> Result<(), Misuse> {
        refuse_with_files(&[
            ("kubeconfig", self.kubeconfig.kubeconfig.is_some()),
            ("namespaces", !self.namespaces.is_empty()),
            ("selector", self.selector.is_some()),
        ])
    }

    /// A client for the cluster, which is not yet reached for, and what of it is read.
    pub(super) async fn connect(
        self,
        controller_names: Vec<String>,
    ) -> anyhow::Result<(Client, source::Options)> {
        for namespace in &self.namespaces {
            if let Some(flaw) = names::LABEL.flaw(namespace) {
                return Err(Misuse::new(format!("--namespaces {flaw}")).into());
            }
        }
        let otherwise = "serve manifests without Kubernetes with -f PATH";
        let Connection { client, url } = self.kubeconfig.connect(otherwise).await?;
        let options = source::Options {
            namespaces: self.namespaces,
            selector: self.selector,
            controller_names,
            own_service: None,
        };
        let namespaces = in_words(&options.namespaces);
        let selector = options.selector.as_ref();
        tracing::info!(
            server = url,
            namespaces,
            selector,
            "reading resources from Kubernetes"
        );
        Ok((client, options))
    }
}

/// Which namespaces are read.
fn in_words(namespaces: &[String]) -> String {
    match namespaces {
        [] => "all".into(),
        some => some.join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn the_log_says_which_namespaces_are_read() {
        assert_eq!(in_words(&[]), "all");
        assert_eq!(in_words(&["a".into(), "b".into()]), "a,b");
    }
}

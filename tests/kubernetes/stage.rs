//! The failover page's chain in a namespace of a case's own: workloads, Backends, route and policy,
//! Envoys for its Gateway, everything by `active`.

use std::net::SocketAddr;

use anyhow::Context;
use locum_demo::load::{Load, Request};
use locum_demo::manifests::{HOST, PAGE, PATH};
use serde_json::Value;

use crate::bench::{Bench, condition, is_true};
use crate::install;

/// The Gateway's Envoys: their Deployment and their Service.
pub(crate) const ENVOY: &str = "envoy-eg";

/// What is set up, and where it is reached.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) bench: Bench,
    pub(crate) address: SocketAddr,
}

impl Stage {
    /// Installs Locum if that was not done, sets everything up in the bench's namespace, and waits
    /// until `active` answers.
    pub(crate) async fn set(bench: &Bench) -> anyhow::Result<Self> {
        install::locum(bench).await?;
        for (_, manifest) in PAGE {
            bench.apply(&moved(manifest, bench.namespace())).await?;
        }
        install::proxies(bench).await?;
        Self::standing(bench).await
    }

    /// What was set up already, once it says that it is programmed and `active` answers.
    pub(crate) async fn standing(bench: &Bench) -> anyhow::Result<Self> {
        let bench = bench.clone();
        let outer = bench.outer_address(ENVOY).await?;
        let stage = Self {
            address: SocketAddr::new(outer, 80),
            bench,
        };
        let bench = &stage.bench;
        let programmed = async || {
            let gateway = stage.gateway().await?;
            Ok(condition(&gateway["status"]["conditions"], "Programmed").is_some_and(is_true))
        };
        bench.until("the Gateway is programmed", programmed).await?;
        let told = async || {
            let gateway = stage.gateway().await?;
            let address = gateway["status"]["addresses"][0]["value"].as_str();
            Ok(address.is_some_and(|told| told == outer.to_string()))
        };
        bench.until("its status has its address", told).await?;
        bench
            .until_served_by("active", stage.address, HOST, PATH)
            .await?;
        Ok(stage)
    }

    /// The Gateway as the API server has it.
    pub(crate) async fn gateway(&self) -> anyhow::Result<Value> {
        let path = self
            .bench
            .path("apis/gateway.networking.k8s.io/v1", "gateways/eg");
        self.bench.read(&path).await?.context("no Gateway")
    }

    /// GET requests to the page's path.
    pub(crate) fn request(&self) -> Request {
        Request::get(self.address, HOST, PATH)
    }

    /// The open loop of them.
    pub(crate) fn load(&self) -> anyhow::Result<Load> {
        self.bench.load(self.request())
    }
}

/// One of the page's manifests for another namespace than `default`.
fn moved(manifest: &str, namespace: &str) -> String {
    let names = manifest.replace("namespace: default", &format!("namespace: {namespace}"));
    names.replace(".default.svc.", &format!(".{namespace}.svc."))
}

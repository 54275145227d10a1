//! `locum serve` in a cluster: all that several replicas beside an API server need, put together,
//! and how one of them leaves without a proxy noticing.

use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use kube::Client;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::control_plane::{ControlPlane, Prepared, Sockets};
use super::log_changes::log_changes;
use super::options::{Misuse, host_name, refuse_with_files};
use super::signals::Signals;
use super::tls::Known;
use crate::admin::Gate;
use crate::replicas::{self, Dial, Lease, Member, Observer, Own};
use crate::resource::names;
use crate::source::kubernetes::{self as source, Kubernetes};
use crate::translate;
use crate::trust::secrets::Secrets;
use crate::trust::{Domain, NAMESPACE, Tls};
use crate::writer::{self, Writer};
#[cfg(doc)]
use crate::xds::server::SHUTDOWN_BOUND;
use crate::xds::server::Told;

/// How long a replica that is to end serves on after it has said that it is not ready: only when
/// load balancers have heard that do proxies that it lets go of find another one at once.
const LEAVE_PAUSE: Duration = Duration::from_secs(2);

/// Over what time a replica lets its Envoys go, unless it is told: a thousand then come to the others
/// at a hundred a second.
pub(super) const DRAIN: Duration = Duration::from_secs(10);

/// Which replica this is.
#[derive(Debug, Args)]
#[command(next_help_heading = "Replicas, with resources from Kubernetes")]
pub(super) struct ReplicaOptions {
    /// The name of this Pod, by which it stands in the Lease of the replica that writes
    /// [default: the host's name and the process's number]
    #[arg(long, env = "LOCUM_POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,
    /// The namespace of this Pod, where the Lease, Locum's Secrets and the other replicas are
    /// [default: locum-system]
    #[arg(long, env = "LOCUM_POD_NAMESPACE", value_name = "NAME")]
    pod_namespace: Option<String>,
    /// The address of this Pod
    #[arg(long, env = "LOCUM_POD_IP", value_name = "ADDRESS")]
    pod_ip: Option<IpAddr>,
}

impl ReplicaOptions {
    /// Refuses options that files have no use for.
    pub(super) fn refuse(&self) -> Result<(), Misuse> {
        refuse_with_files(&[
            ("pod-name", self.pod_name.is_some()),
            ("pod-namespace", self.pod_namespace.is_some()),
            ("pod-ip", self.pod_ip.is_some()),
        ])
    }

    /// This replica, or what is wrong with the options.
    pub(super) fn member(self) -> Result<Member, Misuse> {
        let namespace = self.pod_namespace.unwrap_or_else(|| NAMESPACE.to_owned());
        if let Some(flaw) = names::LABEL.flaw(&namespace) {
            return Err(Misuse::new(format!("--pod-namespace {flaw}")));
        }
        Ok(Member {
            name: self.pod_name.unwrap_or_else(process_name),
            namespace,
            ip: self.pod_ip,
        })
    }
}

/// A name that no other process has, here or on another machine.
fn process_name() -> String {
    let host = host_name().unwrap_or_default();
    format!("{host}-{}", std::process::id())
}

/// What a replica is to do.
pub(super) struct Plan {
    pub(super) member: Member,
    pub(super) client: Client,
    /// What of the cluster is read.
    pub(super) what: source::Options,
    pub(super) translation: translate::Options,
    /// The names in certificates.
    pub(super) domain: Domain,
    /// How Envoys are known; where nothing was said, by the Secrets that Locum keeps itself.
    pub(super) known: Known,
    /// Over what time they are let go at the end.
    pub(super) drain: Duration,
    /// What Envoys were told.
    pub(super) told: Arc<Told>,
}

impl Plan {
    /// Mutual TLS, and what keeps its credentials new; nothing for plaintext.
    fn tls(&mut self, leads: &watch::Receiver<bool>) -> Option<(Tls, BoxFuture<'static, ()>)> {
        match std::mem::replace(&mut self.known, Known::Unsaid) {
            Known::Nobody => None,
            Known::Files(tls, files) => Some((tls, files.run().boxed())),
            Known::Unsaid => {
                let (client, domain) = (self.client.clone(), self.domain.clone());
                let cluster_domain = &self.translation.cluster_domain;
                let (tls, secrets) = Secrets::new(client, domain, cluster_domain, leads.clone());
                Some((tls, secrets.run().boxed()))
            }
        }
    }
}

/// A replica that serves.
#[derive(Debug)]
pub(super) struct Replica {
    control_plane: ControlPlane,
    lease: JoinHandle<()>,
    /// Whether it says that it is not ready, and leads no more.
    leaving: watch::Sender<bool>,
    /// Dropped when its proxies are to look for another one.
    serving: oneshot::Sender<()>,
}

impl Replica {
    /// Puts the parts together and starts them: what the cluster holds is read and served by every
    /// replica; the one with the Lease writes statuses and Locum's own certificates, and hears what
    /// the proxies of the others acknowledge.
    pub(super) fn start(mut plan: Plan, sockets: Sockets) -> Self {
        let mut prepared = Prepared::new(sockets, plan.translation.clone());
        let states = prepared.states.clone();
        let registry = &mut prepared.registry;
        let metrics = replicas::Metrics::register(registry);
        let (lease, leads) = Lease::new(plan.client.clone(), &plan.member, metrics.clone());
        let (tls, keeper) = plan.tls(&leads).unzip();
        let (sees, own) = Own::new();
        let own_watch = replicas::watch(prepared.shared.clients.clone(), states.clone(), sees);
        let dial = tls.clone().map_or(Dial::Plaintext, Dial::Tls);
        let (observer, observed) =
            Observer::new(own.clone(), plan.member, states.clone(), dial, metrics);
        let kubernetes = Kubernetes::new(plan.client.clone(), plan.what, registry);
        let inputs = writer::Inputs {
            states,
            observed,
            seen: kubernetes.seen(),
            may_write: leads.clone(),
            controllers: plan.translation.controller_names.into(),
        };
        let metrics = writer::Metrics::register(registry);
        let writer = Writer::new(writer::Kubernetes::new(plan.client), inputs, metrics);

        let (leaving, is_leaving) = watch::channel(false);
        prepared.gates = gates(kubernetes.waiting(), is_leaving.clone());
        match tls {
            Some(tls) => prepared.over_tls(tls),
            None => tracing::warn!("--insecure: whoever reaches --xds-address is let in"),
        }
        prepared.shared.own = Some(own);
        prepared.shared.drain = plan.drain;
        prepared.shared.told = plan.told;
        let (serving, stopped) = oneshot::channel::<()>();
        let read = |updates| async { Ok(kubernetes.watch(updates).await?) };
        let mut control_plane = prepared.start(read, stopped.map(|_| ()));
        if let Some(keeper) = keeper {
            control_plane.also(keeper);
        }
        control_plane.also(own_watch);
        control_plane.also(observer.run(leads));
        control_plane.also(writer.run());
        Self {
            control_plane,
            lease: tokio::spawn(lease.run(left(is_leaving))),
            leaving,
            serving,
        }
    }

    /// Serves until a signal comes, and leaves; a second signal ends it at once.
    pub(super) async fn serve(mut self, mut signals: Signals) -> anyhow::Result<ExitCode> {
        let states = self.control_plane.states.clone();
        tokio::select! {
            error = self.control_plane.failed() => return Err(error),
            () = log_changes(states) => {}
            () = signals.next() => {}
        }
        tokio::select! {
            () = self.leave() => {}
            () = signals.next() => {}
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Leaves the other replicas to it: not ready at once, the Lease is handed on, and when load
    /// balancers have had their time the proxies are sent to another one, one by one. Takes
    /// [`LEAVE_PAUSE`], what [`Plan::drain`] says, and [`SHUTDOWN_BOUND`] at most.
    async fn leave(self) {
        tracing::info!("leaving: not ready, leads no more, still serving");
        self.leaving.send_replace(true);
        let (_, ()) = tokio::join!(self.lease, sleep(LEAVE_PAUSE));
        drop(self.serving);
        self.control_plane.served().await;
    }
}

/// Resolves when the replica leaves.
async fn left(mut leaving: watch::Receiver<bool>) {
    // An error means that it has gone.
    let _ = leaving.wait_for(|leaving| *leaving).await;
}

/// What has to be there before the replica is ready, besides the first snapshot.
fn gates(waiting: watch::Receiver<Arc<[String]>>, leaving: watch::Receiver<bool>) -> Vec<Gate> {
    let leaves = move || {
        let leaves = *leaving.borrow();
        leaves.then(|| "this replica is about to end".to_owned())
    };
    vec![
        Gate::new(move || leaves().into_iter().collect()),
        Gate::new(move || waiting.borrow().to_vec()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xds::server::SHUTDOWN_BOUND;

    #[test]
    fn kubernetes_waits_as_long_as_a_replica_takes_to_leave() {
        let deployment = include_str!("../../deploy/control-plane/deployment.yaml");
        let given = deployment.lines().find_map(|line| {
            let rest = line
                .trim()
                .strip_prefix("terminationGracePeriodSeconds: ")?;
            let seconds = rest.split_whitespace().next()?;
            seconds.parse().ok().map(Duration::from_secs)
        });
        let taken = LEAVE_PAUSE + DRAIN + SHUTDOWN_BOUND;
        assert!(
            given >= Some(taken + Duration::from_secs(5)),
            "{given:?}, {taken:?}"
        );
    }
}

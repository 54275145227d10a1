//! One tier: its backend, the manifests and names that lead there, and what can happen to it.

use anyhow::{Context, bail};
use locum_demo::bench::{BACKEND_PORT, Bench};
use locum_demo::dns::Dns;
use locum_demo::echo::{Behaviour, Echo};
use locum_demo::manifests::{Ref, backend_fqdn, backend_ip, service};
use locum_demo::namespace::FarBackend;
use locum_demo::process::Backend;
use rustix::process::Signal;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::cover::{Fault, Kind, TIERS};

/// What the tiers, their Backends and Services and those who answer for them are called.
pub(crate) const NAMES: [&str; TIERS] = ["tier0", "tier1", "tier2"];

/// A tier that serves.
#[derive(Debug)]
pub(crate) struct Tier {
    name: &'static str,
    kind: Kind,
    /// What DNS calls it.
    hostname: String,
    server: Server,
}

/// Its backend, made so that the fault of its case can hit it.
#[derive(Debug)]
enum Server {
    Here(Echo),
    Process(Backend),
    Far(FarBackend),
}

impl Tier {
    /// Starts its backend and writes what leads there. The case's number tells it from those of
    /// others.
    pub(crate) async fn start(
        bench: &Bench,
        dns: &Dns,
        number: usize,
        tier: usize,
        kind: Kind,
        fault: Option<Fault>,
    ) -> anyhow::Result<Self> {
        let name = NAMES[tier];
        let host = u8::try_from(tier + 2)?;
        let server = match fault {
            Some(Fault::Vanish) => {
                let number = u16::try_from(number * TIERS + tier)?;
                Server::Far(FarBackend::start(name, number)?)
            }
            Some(Fault::Hang) => Server::Process(bench.echo_process(name, host)?),
            _ => Server::Here(bench.echo(name, host).await?),
        };
        let tier = Self {
            name,
            kind,
            hostname: format!("{name}.case{number}.example.net"),
            server,
        };
        tier.be_found(bench, dns)?;
        Ok(tier)
    }

    /// The reference to it.
    pub(crate) fn reference(&self) -> Ref<'static> {
        match self.kind {
            Kind::Service => Ref::Service(self.name),
            Kind::Ip | Kind::Fqdn | Kind::Cluster => Ref::Backend(self.name),
        }
    }

    fn address(&self) -> SocketAddr {
        match &self.server {
            Server::Here(echo) => echo.address(),
            Server::Process(backend) => backend.address(),
            Server::Far(far) => far.address(),
        }
    }

    fn backend_file(&self) -> String {
        format!("2-{}.yaml", self.name)
    }

    fn service_file(&self) -> String {
        format!("1-{}.yaml", self.name)
    }

    /// Writes all that leads to it.
    fn be_found(&self, bench: &Bench, dns: &Dns) -> anyhow::Result<()> {
        let (name, address) = (self.name, self.address());
        if matches!(self.kind, Kind::Service | Kind::Cluster) {
            bench.write(&self.service_file(), &service(name))?;
            bench.write_slice(name, &[address])?;
        }
        let backend = match self.kind {
            Kind::Service => return Ok(()),
            Kind::Ip => backend_ip(name, false, &[address]),
            Kind::Fqdn => {
                let IpAddr::V4(address) = address.ip() else {
                    bail!("benches are IPv4");
                };
                dns.set(&self.hostname, address, Duration::ZERO);
                backend_fqdn(name, false, &self.hostname, BACKEND_PORT)
            }
            Kind::Cluster => {
                let hostname = format!("{name}.default.svc.cluster.local");
                backend_fqdn(name, false, &hostname, BACKEND_PORT)
            }
        };
        bench.write(&self.backend_file(), &backend)
    }

    /// The fault begins.
    pub(crate) async fn fail(
        &mut self,
        bench: &Bench,
        dns: &Dns,
        fault: Fault,
    ) -> anyhow::Result<()> {
        match (fault, &mut self.server, self.kind) {
            (Fault::Refuse, Server::Here(echo), _) => echo.kill().await,
            (Fault::Unavailable, Server::Here(echo), _) => echo.behave(Behaviour {
                status: Some(503),
                ..Behaviour::default()
            }),
            (Fault::Hang, Server::Process(backend), _) => backend.process().signal(Signal::STOP),
            (Fault::Vanish, Server::Far(far), _) => far.cut()?,
            (Fault::Empty, _, Kind::Service | Kind::Cluster) => {
                bench.write_slice(self.name, &[])?
            }
            (Fault::Empty, _, Kind::Fqdn) => dns.set_empty(&self.hostname),
            (Fault::Empty, _, Kind::Ip) => bench.remove(&self.backend_file())?,
            (Fault::Unready, _, Kind::Service | Kind::Cluster) => {
                bench.write_unready_slice(self.name, self.address())?;
            }
            (Fault::Gone, _, Kind::Fqdn) => dns.forget(&self.hostname),
            (Fault::Gone, _, Kind::Service | Kind::Cluster) => {
                bench.remove(&self.service_file())?;
                bench.remove_slice(self.name)?;
            }
            _ => bail!("{fault:?} cannot hit {self:?}"),
        }
        Ok(())
    }

    /// It is over.
    pub(crate) async fn mend(
        &mut self,
        bench: &Bench,
        dns: &Dns,
        fault: Fault,
    ) -> anyhow::Result<()> {
        match (fault, &mut self.server) {
            (Fault::Refuse, Server::Here(echo)) => echo.revive().await?,
            (Fault::Unavailable, Server::Here(echo)) => echo.behave(Behaviour::default()),
            (Fault::Hang, Server::Process(backend)) => backend.process().signal(Signal::CONT),
            (Fault::Vanish, Server::Far(far)) => far.join()?,
            (Fault::Empty | Fault::Unready | Fault::Gone, _) => {
                self.be_found(bench, dns).context("found again")?;
            }
            _ => bail!("{fault:?} cannot hit {self:?}"),
        }
        Ok(())
    }
}

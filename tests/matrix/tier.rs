//! One tier: its backend, the manifests and names that lead there, and what can happen to it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use locum_demo::bench::{BACKEND_PORT, Bench};
use locum_demo::dns::Dns;
use locum_demo::echo::{Behaviour, Echo};
use locum_demo::manifests::{Ref, backend_fqdn, backend_ip, service, with_tls};
use locum_demo::namespace::FarBackend;
use locum_demo::process::Backend;
use locum_demo::tls::{Authority, Certified};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::cover::{Fault, Kind, TIERS};

/// What the tiers, their Backends and Services and those who answer for them are called.
pub(crate) const NAMES: [&str; TIERS] = ["tier0", "tier1", "tier2"];

/// How many wires there have been: one that was cut off for good may still be there for a moment.
static FAR: AtomicU16 = AtomicU16::new(0);

/// A tier that serves.
#[derive(Debug)]
pub(crate) struct Tier {
    name: &'static str,
    kind: Kind,
    /// What DNS calls it.
    hostname: String,
    /// Where the certificate is that it shows, and the manifest of whose it is.
    tls: Option<(TempDir, String)>,
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
        let hostname = format!("{name}.case{number}.example.net");
        let tls = (kind == Kind::Tls).then(|| certificate(name, &hostname));
        let tls = tls.transpose()?;
        let folder = tls.as_ref().map(|(folder, _)| folder.path());
        let server = match fault {
            Some(Fault::Vanish) => {
                let number = FAR.fetch_add(1, Ordering::Relaxed);
                Server::Far(FarBackend::start(name, number, folder)?)
            }
            Some(Fault::Hang) => Server::Process(bench.echo_process_with(name, host, folder)?),
            _ => {
                let certified = folder.map(Certified::read).transpose()?;
                Server::Here(bench.echo_with(name, host, certified.as_ref()).await?)
            }
        };
        let tier = Self {
            name,
            kind,
            hostname,
            tls,
            server,
        };
        tier.be_found(bench, dns)?;
        Ok(tier)
    }

    /// The reference to it.
    pub(crate) fn reference(&self) -> Ref<'static> {
        match self.kind {
            Kind::Service => Ref::Service(self.name),
            Kind::Ip | Kind::Fqdn | Kind::Cluster | Kind::Tls => Ref::Backend(self.name),
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
            Kind::Fqdn | Kind::Tls => {
                let IpAddr::V4(address) = address.ip() else {
                    bail!("benches are IPv4");
                };
                dns.set(&self.hostname, address, Duration::ZERO);
                let backend = backend_fqdn(name, false, &self.hostname, BACKEND_PORT);
                match &self.tls {
                    None => backend,
                    Some((_, authority)) => with_tls(&backend, &believing(name)) + authority,
                }
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
            (Fault::Empty, _, Kind::Fqdn | Kind::Tls) => dns.set_empty(&self.hostname),
            (Fault::Empty, _, Kind::Ip) => bench.remove(&self.backend_file())?,
            (Fault::Unready, _, Kind::Service | Kind::Cluster) => {
                bench.write_unready_slice(self.name, self.address())?;
            }
            (Fault::Gone, _, Kind::Fqdn | Kind::Tls) => dns.forget(&self.hostname),
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

/// A folder with a certificate for this name, and the ConfigMap of whose it is.
fn certificate(tier: &str, hostname: &str) -> anyhow::Result<(TempDir, String)> {
    let authority = Authority::new()?;
    let folder = tempfile::tempdir()?;
    authority.certify(&[hostname])?.write(folder.path())?;
    Ok((folder, authority.config_map(tier)))
}

/// The TLS of a Backend that is to show a certificate of the authority in this ConfigMap.
fn believing(name: &str) -> String {
    format!("caCertificateRefs: [{{group: '', kind: ConfigMap, name: {name}}}]")
}

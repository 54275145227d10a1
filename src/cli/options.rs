//! Options that several commands share: typed as clap reads them, then validated into values.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use jiff::SignedDuration;

use crate::bootstrap::AdminAddress;
use crate::resource::{ObjectName, names};
use crate::source::Update;
use crate::source::files::Files;
use crate::translate::{self, GatewayAddresses};

/// The controller name whose GatewayClasses are Locum's.
pub(super) const CONTROLLER_NAME: &str = "locum.dev/gatewayclass-controller";
/// Envoy Gateway's controller name; taken beside Locum's own when resources come from files.
pub(super) const ENVOY_GATEWAY_CONTROLLER_NAME: &str =
    "gateway.envoyproxy.io/gatewayclass-controller";

/// The port that Envoys ask at.
const XDS_PORT: u16 = 18000;

/// A command line that makes no sense; the command exits with status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(String);

impl Misuse {
    /// Wrong use, in words that say what to do instead.
    pub(super) fn new(message: String) -> Self {
        Self(message)
    }
}

/// Refuses options that only resources from Kubernetes have a use for; of each its name, and whether
/// it was given, on the command line or as a variable.
pub(super) fn refuse_with_files(options: &[(&str, bool)]) -> Result<(), Misuse> {
    let Some((name, _)) = options.iter().find(|(_, is_given)| *is_given) else {
        return Ok(());
    };
    let variable = name.replace('-', "_").to_uppercase();
    Err(Misuse::new(format!(
        "--{name} (or LOCUM_{variable}) is for resources from Kubernetes; -f reads files"
    )))
}

/// Where resources come from and how they are read.
#[derive(Debug, Args)]
pub(super) struct SourceOptions {
    /// Files and directories with manifests, YAML or JSON; `-` is standard input
    #[arg(
        short,
        long = "filename",
        env = "LOCUM_FILENAME",
        value_name = "PATH",
        num_args = 1..,
        value_delimiter = ','
    )]
    filenames: Vec<PathBuf>,
    /// The namespace of objects in files that name none [default: default]
    #[arg(short, long, env = "LOCUM_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,
    /// A further controller name whose GatewayClasses are Locum's; may be repeated.
    ///
    /// Locum's own (locum.dev/gatewayclass-controller) always is, and with -f Envoy Gateway's is
    /// too.
    #[arg(
        long = "controller-name",
        env = "LOCUM_CONTROLLER_NAME",
        value_name = "NAME",
        value_delimiter = ','
    )]
    controller_names: Vec<String>,
    /// The domain of names inside the cluster
    #[arg(
        long,
        env = "LOCUM_CLUSTER_DOMAIN",
        value_name = "DOMAIN",
        default_value = "cluster.local"
    )]
    cluster_domain: String,
    /// Accept backends that are loopback, link-local or Unix sockets; -f implies it
    #[arg(
        long,
        env = "LOCUM_ALLOW_LOCAL_BACKENDS",
        value_parser = BoolishValueParser::new()
    )]
    allow_local_backends: bool,
    /// The address that Gateways' listeners bind [default: 127.0.0.1 with run, else ::]
    #[arg(long, env = "LOCUM_LISTEN", value_name = "ADDRESS")]
    listen: Option<IpAddr>,
}

/// Where a command that has no better idea lets listeners bind.
#[derive(Clone, Copy, Debug)]
pub(super) enum DefaultListen {
    /// Only this machine: an Envoy that a person starts here.
    Loopback,
    /// Every address, IPv4 too.
    Everywhere,
}

/// Resources from files, and how they are translated.
#[derive(Clone, Debug)]
pub(super) struct FileSource {
    pub(super) paths: Vec<PathBuf>,
    pub(super) namespace: String,
    pub(super) translation: translate::Options,
}

impl FileSource {
    /// Reads everything once. A path that is not there is wrong use.
    pub(super) fn load(&self) -> Result<Update, Misuse> {
        let mut files = Files::new(self.paths.clone(), self.namespace.clone());
        files.load().map_err(|error| Misuse::new(error.to_string()))
    }
}

impl SourceOptions {
    /// Whether `-f` was given.
    pub(super) fn has_files(&self) -> bool {
        !self.filenames.is_empty()
    }

    /// The files to read, or what is wrong with the options.
    pub(super) fn files(self, listen: DefaultListen) -> Result<FileSource, Misuse> {
        if self.filenames.is_empty() {
            return Err(Misuse::new(
                "say where the manifests are: -f PATH (a file, a directory, or - for standard \
                 input)"
                    .into(),
            ));
        }
        if self.filenames.iter().filter(|path| is_stdin(path)).count() > 1 {
            return Err(Misuse::new(
                "-f -: standard input can be read only once".into(),
            ));
        }
        let namespace = self.namespace.clone().unwrap_or_else(|| "default".into());
        if let Some(flaw) = names::LABEL.flaw(&namespace) {
            return Err(Misuse::new(format!("--namespace {flaw}")));
        }
        let paths = self.filenames.clone();
        let own = [CONTROLLER_NAME, ENVOY_GATEWAY_CONTROLLER_NAME];
        let translation = self.translation(&own, listen, GatewayAddresses::Listeners)?;
        Ok(FileSource {
            paths,
            namespace,
            translation: translate::Options {
                allow_local_backends: true,
                ..translation
            },
        })
    }

    /// How resources of a cluster are translated, or what is wrong with the options.
    pub(super) fn kubernetes(self) -> Result<translate::Options, Misuse> {
        if self.namespace.is_some() {
            let message = "--namespace is for files: it fills in what they leave out; to read only \
                           some namespaces of a cluster, give --namespaces";
            return Err(Misuse::new(message.into()));
        }
        let listen = DefaultListen::Everywhere;
        self.translation(&[CONTROLLER_NAME], listen, GatewayAddresses::Services)
    }

    fn translation(
        self,
        own_controllers: &[&str],
        listen: DefaultListen,
        addresses: GatewayAddresses,
    ) -> Result<translate::Options, Misuse> {
        if let Some(flaw) = names::SUBDOMAIN.flaw(&self.cluster_domain) {
            return Err(Misuse::new(format!("--cluster-domain {flaw}")));
        }
        Ok(translate::Options {
            controller_names: controller_names(own_controllers, self.controller_names)?,
            listen: self.listen.unwrap_or(match listen {
                DefaultListen::Loopback => Ipv4Addr::LOCALHOST.into(),
                DefaultListen::Everywhere => Ipv6Addr::UNSPECIFIED.into(),
            }),
            allow_local_backends: self.allow_local_backends,
            cluster_domain: self.cluster_domain,
            addresses,
        })
    }
}

/// Whether `path` stands for standard input.
fn is_stdin(path: &std::path::Path) -> bool {
    path.as_os_str() == "-"
}

/// The names that count without being given, and those that were given, each once.
fn controller_names(own: &[&str], given: Vec<String>) -> Result<Vec<String>, Misuse> {
    let mut known: Vec<_> = own.iter().map(|name| (*name).to_owned()).collect();
    for name in given {
        if let Some(flaw) = names::DOMAIN_PATH.flaw(&name) {
            return Err(Misuse::new(format!("--controller-name {flaw}")));
        }
        if !known.contains(&name) {
            known.push(name);
        }
    }
    Ok(known)
}

/// Where Locum itself listens.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct ServerOptions {
    /// Where Envoys ask for their configuration; port 0 takes a free one
    /// [default: 127.0.0.1:18000, with resources of a cluster every address, port 18000]
    #[arg(long, env = "LOCUM_XDS_ADDRESS", value_name = "ADDRESS:PORT")]
    xds_address: Option<SocketAddr>,
    /// Where /healthz, /readyz, /metrics and /debug are; port 0 takes a free one
    #[arg(
        long,
        env = "LOCUM_ADMIN_ADDRESS",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:18080"
    )]
    admin_address: SocketAddr,
}

/// What stands for every address of this machine: IPv6's, which takes IPv4 too, where the kernel has
/// it. A Pod of a cluster with IPv6 alone is probed at nothing else.
pub(super) fn every_address() -> IpAddr {
    match std::net::UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// Where Locum's sockets are to be bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerAddresses {
    pub(super) xds: SocketAddr,
    pub(super) admin: SocketAddr,
    /// Where health and metrics are alone, if anywhere.
    pub(super) health: Option<SocketAddr>,
}

impl ServerOptions {
    /// The addresses of a Locum for the proxies of this machine.
    pub(super) fn local(self) -> ServerAddresses {
        self.addresses(Ipv4Addr::LOCALHOST.into())
    }

    /// The addresses of a Locum for the proxies of a cluster; health is wanted elsewhere too.
    pub(super) fn everywhere(self, health: SocketAddr) -> ServerAddresses {
        ServerAddresses {
            health: Some(health),
            ..self.addresses(every_address())
        }
    }

    fn addresses(self, xds: IpAddr) -> ServerAddresses {
        let xds = SocketAddr::from((xds, XDS_PORT));
        ServerAddresses {
            xds: self.xds_address.unwrap_or(xds),
            admin: self.admin_address,
            health: None,
        }
    }
}

/// A Gateway as the command line names it: `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GatewayName(pub(super) ObjectName);

impl FromStr for GatewayName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) = text
            .split_once('/')
            .ok_or("expected NAMESPACE/NAME, such as default/eg")?;
        if let Some(flaw) = names::LABEL.flaw(namespace) {
            return Err(format!("the namespace {flaw}"));
        }
        if let Some(flaw) = names::SUBDOMAIN.flaw(name) {
            return Err(format!("the name {flaw}"));
        }
        Ok(Self(ObjectName::new(namespace, name)))
    }
}

/// Where an Envoy's admin interface is.
#[derive(Clone, Debug)]
pub(super) struct AdminTarget(pub(super) AdminAddress);

impl FromStr for AdminTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self(AdminAddress::Unix(PathBuf::from(path))));
        }
        let address = text.parse::<SocketAddr>();
        address
            .map(|address| Self(AdminAddress::Ip(address)))
            .map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:19000, or unix:PATH".into())
    }
}

/// The option for where an Envoy's admin interface is.
#[derive(Clone, Debug, Args)]
pub(super) struct EnvoyAdmin {
    /// Where the Envoy's admin interface is, or unix:PATH; whoever reaches it controls the Envoy
    #[arg(
        long,
        env = "LOCUM_ENVOY_ADMIN_ADDRESS",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:19000"
    )]
    pub(super) envoy_admin_address: AdminTarget,
}

/// What the machine, or the container, is called; in a Pod that is the Pod's name.
pub(super) fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// A duration such as `3s`, `500ms` or `1m 30s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text
        .parse()
        .map_err(|_| "expected a duration such as 3s or 500ms".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "expected no negative duration".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_named_by_namespace_and_name() {
        let name = "infra/edge.v2".parse::<GatewayName>().unwrap().0;
        assert_eq!(name, ObjectName::new("infra", "edge.v2"));
    }

    #[test]
    fn a_gateway_without_namespace_is_wrong_use() {
        let error = "edge".parse::<GatewayName>().unwrap_err();
        assert!(error.contains("NAMESPACE/NAME"), "{error}");
        assert!("Infra/edge".parse::<GatewayName>().is_err());
        assert!("infra/".parse::<GatewayName>().is_err());
    }

    #[test]
    fn durations_say_their_unit() {
        assert_eq!(duration("3s"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("3").is_err() && duration("-3s").is_err());
    }

    #[test]
    fn files_bring_envoy_gateways_controller_name_along_once() {
        let own = [CONTROLLER_NAME, ENVOY_GATEWAY_CONTROLLER_NAME];
        let given = vec![
            ENVOY_GATEWAY_CONTROLLER_NAME.into(),
            "example.com/mine".into(),
        ];
        let names = controller_names(&own, given).unwrap();
        assert_eq!(
            names,
            [
                CONTROLLER_NAME,
                ENVOY_GATEWAY_CONTROLLER_NAME,
                "example.com/mine"
            ]
        );
        assert!(controller_names(&own, vec!["mine".into()]).is_err());
    }
}

//! Options that several commands share: typed as clap reads them, then validated into values.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use jiff::SignedDuration;

use super::rate_limit::RateLimitOptions;
use crate::bootstrap::AdminAddress;
use crate::resource::{ObjectName, names};
use crate::source::Update;
use crate::source::files::Files;
use crate::translate::{self, GatewayAddresses};
use crate::xds::server::socket::SOCKET_MODE;

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
    #[command(flatten)]
    rate_limits: RateLimitOptions,
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
            rate_limit_service: self.rate_limits.service()?,
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
#[derive(Clone, Debug, Args)]
pub(super) struct ServerOptions {
    /// Where Envoys ask for their configuration: an address and a port, of which 0 takes a free one, or
    /// unix:PATH
    /// [default: 127.0.0.1:18000, with resources of a cluster every address, port 18000]
    #[arg(long, env = "LOCUM_XDS_ADDRESS", value_name = "ADDRESS:PORT")]
    xds_address: Option<XdsListen>,
    /// Who may use the socket of unix:PATH, as chmod has it [default: 0600]
    #[arg(long, env = "LOCUM_XDS_SOCKET_MODE", value_name = "MODE", value_parser = socket_mode)]
    xds_socket_mode: Option<u32>,
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

/// Where Envoys are to find Locum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum XdsListen {
    Ip(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for XdsListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("expected a path after unix:".into()),
            Some(path) => Ok(Self::Unix(PathBuf::from(path))),
            None => text
                .parse()
                .map(Self::Ip)
                .map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:18000, or unix:PATH".into()),
        }
    }
}

/// A file's mode in octal digits, such as `0660`.
fn socket_mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "expected a mode such as 0600 or 0660".into())
}

/// Where Locum's sockets are to be bound.
#[derive(Clone, Debug)]
pub(super) struct ServerAddresses {
    pub(super) xds: XdsListen,
    /// Who may use the socket, if it is one.
    pub(super) socket_mode: u32,
    pub(super) admin: SocketAddr,
    /// Where health and metrics are alone, if anywhere.
    pub(super) health: Option<SocketAddr>,
}

impl ServerOptions {
    /// The addresses of a Locum for the proxies of this machine.
    pub(super) fn local(self) -> Result<ServerAddresses, Misuse> {
        self.addresses(Ipv4Addr::LOCALHOST.into())
    }

    /// The addresses of a Locum for the proxies of a cluster; health is wanted elsewhere too.
    pub(super) fn everywhere(self, health: SocketAddr) -> Result<ServerAddresses, Misuse> {
        Ok(ServerAddresses {
            health: Some(health),
            ..self.addresses(every_address())?
        })
    }

    fn addresses(self, xds: IpAddr) -> Result<ServerAddresses, Misuse> {
        let xds = XdsListen::Ip(SocketAddr::from((xds, XDS_PORT)));
        let xds = self.xds_address.unwrap_or(xds);
        if let (XdsListen::Ip(address), Some(_)) = (&xds, self.xds_socket_mode) {
            return Err(Misuse::new(format!(
                "--xds-socket-mode is for --xds-address unix:PATH, not for {address}"
            )));
        }
        Ok(ServerAddresses {
            xds,
            socket_mode: self.xds_socket_mode.unwrap_or(SOCKET_MODE),
            admin: self.admin_address,
            health: None,
        })
    }
}

impl ServerAddresses {
    /// Refuses xDS in plaintext where others than this machine reach it, unless that is wanted.
    /// `instead` says what to do.
    pub(super) fn xds_is_local(&self, insecure: bool, instead: &str) -> Result<(), Misuse> {
        match &self.xds {
            XdsListen::Ip(address) if !address.ip().is_loopback() && !insecure => {
                Err(Misuse::new(format!(
                    "--xds-address {address} can be reached from other machines, and in plaintext \
                     whoever reaches it is told everything: {instead}; or say --insecure"
                )))
            }
            XdsListen::Ip(_) | XdsListen::Unix(_) => Ok(()),
        }
    }

    /// Refuses an admin interface that others than this machine reach, unless that is wanted.
    pub(super) fn admin_is_local(&self, insecure: bool) -> Result<(), Misuse> {
        let admin = self.admin;
        if insecure || admin.ip().is_loopback() {
            return Ok(());
        }
        Err(Misuse::new(format!(
            "--admin-address {admin} can be reached from other machines, and /debug shows whoever \
             reaches it what all Envoys are told: `locum serve` has --health-address for probes and \
             metrics; or say --insecure"
        )))
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
    fn envoys_find_locum_at_an_address_or_a_socket() {
        let read = str::parse::<XdsListen>;
        let ip = "[::1]:18000".parse().unwrap();
        assert_eq!(read("[::1]:18000"), Ok(XdsListen::Ip(ip)));
        assert_eq!(read("unix:/run/x"), Ok(XdsListen::Unix("/run/x".into())));
        assert!(read("unix:").is_err() && read("localhost:18000").is_err());
    }

    #[test]
    fn a_sockets_mode_is_octal() {
        assert_eq!(socket_mode("0660"), Ok(0o660));
        assert_eq!(socket_mode("600"), Ok(0o600));
        assert!(socket_mode("0888").is_err() && socket_mode("1777").is_err());
    }

    #[test]
    fn plaintext_beyond_this_machine_has_to_be_wanted() {
        let addresses = |xds: &str, admin: &str| ServerAddresses {
            xds: xds.parse().unwrap(),
            socket_mode: SOCKET_MODE,
            admin: admin.parse().unwrap(),
            health: None,
        };
        for local in ["127.0.0.1:1", "[::1]:1", "unix:/run/x"] {
            let addresses = addresses(local, "127.0.0.1:2");
            assert!(addresses.xds_is_local(false, "").is_ok());
            assert!(addresses.admin_is_local(false).is_ok());
        }
        for beyond in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1"] {
            let addresses = addresses(beyond, beyond);
            let refused = addresses.xds_is_local(false, "try this").unwrap_err();
            let refused = refused.to_string();
            assert!(
                refused.contains("try this") && refused.contains("--insecure"),
                "{refused}"
            );
            let refused = addresses.admin_is_local(false).unwrap_err().to_string();
            assert!(refused.contains("--insecure"), "{refused}");
            assert!(addresses.xds_is_local(true, "").is_ok());
            assert!(addresses.admin_is_local(true).is_ok());
        }
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

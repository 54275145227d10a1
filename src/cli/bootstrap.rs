//! `locum bootstrap`: the configuration to start an Envoy with that shall serve a Gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;

use super::options::{GatewayName, Misuse};
use super::output::{Format, write_document};
use crate::bootstrap::{AdminAddress, Bootstrap, XdsAddress};

/// Where Linux says what the machine, or the container, is called.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Print a configuration to start an Envoy with
///
/// It says which Gateway the Envoy serves and where Locum is; Locum tells it the rest.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum bootstrap --gateway default/eg > envoy.yaml && envoy -c envoy.yaml
  locum bootstrap --gateway default/eg --xds-address locum.locum-system:18000")]
pub(super) struct Options {
    /// The Gateway that the Envoy serves
    #[arg(short, long, env = "LOCUM_GATEWAY", value_name = "NAMESPACE/NAME")]
    gateway: GatewayName,
    /// Where the Envoy finds Locum: an address or a name with a port, or unix:PATH
    #[arg(
        long,
        env = "LOCUM_XDS_ADDRESS",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:18000"
    )]
    xds_address: XdsTarget,
    /// The Envoy's own name, unique among the Gateway's Envoys [default: the machine's name]
    #[arg(long, env = "LOCUM_NODE_ID", value_name = "ID")]
    node_id: Option<String>,
    /// Where the Envoy's admin interface listens, or unix:PATH; whoever reaches it controls the
    /// Envoy
    #[arg(
        long,
        env = "LOCUM_ENVOY_ADMIN_ADDRESS",
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:19000"
    )]
    envoy_admin_address: AdminTarget,
    /// The form of what is printed
    #[arg(
        short,
        long,
        env = "LOCUM_OUTPUT",
        value_name = "FORMAT",
        default_value = "yaml"
    )]
    output: Format,
}

#[derive(Clone, Debug)]
struct XdsTarget(XdsAddress);

#[derive(Clone, Debug)]
struct AdminTarget(AdminAddress);

impl Options {
    /// Prints the bootstrap.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let bootstrap = Bootstrap {
            node_id: match self.node_id {
                Some(id) if !id.is_empty() => id,
                Some(_) => return Err(Misuse::new("--node-id is empty".into()).into()),
                None => host_name()?,
            },
            gateway: self.gateway.0,
            xds: self.xds_address.0,
            admin: self.envoy_admin_address.0,
        };
        write_document(&bootstrap.json(), self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn host_name() -> Result<String, Misuse> {
    match std::fs::read_to_string(HOST_NAME) {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        _ => Err(Misuse::new(
            "this machine has no name; give the Envoy one with --node-id".into(),
        )),
    }
}

impl FromStr for XdsTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self(XdsAddress::Unix(PathBuf::from(path))));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self(XdsAddress::Ip(address)));
        }
        let parts = text.rsplit_once(':');
        let named = parts.and_then(|(name, port)| Some((name, port.parse::<u16>().ok()?)));
        match named {
            Some((name, port)) if !name.is_empty() && !name.contains(':') && port != 0 => {
                Ok(Self(XdsAddress::Name(name.to_owned(), port)))
            }
            _ => Err("expected HOST:PORT, such as 127.0.0.1:18000, or unix:PATH".into()),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locum_is_found_by_address_by_name_or_by_socket() {
        let read = |text: &str| text.parse::<XdsTarget>().map(|target| target.0);
        let ip = "127.0.0.1:18000".parse().unwrap();
        assert_eq!(read("127.0.0.1:18000"), Ok(XdsAddress::Ip(ip)));
        let name = XdsAddress::Name("locum.system".into(), 18000);
        assert_eq!(read("locum.system:18000"), Ok(name));
        assert_eq!(read("unix:/run/x"), Ok(XdsAddress::Unix("/run/x".into())));
        assert!(read("locum.system").is_err() && read(":18000").is_err() && read("a:0").is_err());
    }
}

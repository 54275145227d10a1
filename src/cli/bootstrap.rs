//! `locum bootstrap`: the configuration to start an Envoy with that shall serve a Gateway.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, ValueEnum, value_parser};

use super::options::{EnvoyAdmin, GatewayName, Misuse, host_name};
use super::output::{Format, FormatOption, in_form, write_document};
use crate::bootstrap::{Bootstrap, ProxyTls, XdsAddress};
use crate::xds::message::Variant;

/// Print a configuration to start an Envoy with
///
/// It says which Gateway the Envoy serves and where Locum is; Locum tells it the rest.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum bootstrap --gateway default/eg > envoy.yaml && envoy -c envoy.yaml
  locum bootstrap --gateway default/eg --xds-address locum.locum-system:18000
  locum bootstrap --gateway default/eg --xds-address unix:/run/locum/xds.sock
  locum bootstrap --gateway default/eg --xds-variant sotw
                                          for an Envoy that shall be told complete sets, not differences
  locum bootstrap --gateway default/eg --xds-address locum.locum-system:18000 --tls /etc/envoy/tls -d /run/envoy
                                          with mutual TLS; then envoy -c /run/envoy/envoy.yaml

With --tls two further files stand beside the bootstrap, by which Envoy takes over certificates that
are renewed while it runs; so -d is needed. In a Pod all of it can be done by an init container, with
the folder of -d shared; the Envoy's own name is then the Pod's.")]
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
    xds_address: XdsAddress,
    /// How the Envoy is told of changes: by differences (delta), or by complete sets of clusters and
    /// listeners (sotw, state of the world)
    #[arg(
        long,
        env = "LOCUM_XDS_VARIANT",
        value_name = "VARIANT",
        default_value = "delta"
    )]
    xds_variant: XdsVariant,
    /// The Envoy's own name, unique among the Gateway's Envoys [default: the machine's name]
    #[arg(long, env = "LOCUM_NODE_ID", value_name = "ID")]
    node_id: Option<String>,
    #[command(flatten)]
    admin: EnvoyAdmin,
    /// Know each other by mutual TLS: the folder, as the Envoy sees it, with its tls.crt and
    /// tls.key, and Locum's ca.crt
    #[arg(long, env = "LOCUM_TLS", value_name = "DIR", requires = "directory")]
    tls: Option<PathBuf>,
    /// What Locum's certificate has to say: a DNS name, an address or a URI [default: the host of
    /// --xds-address]
    #[arg(
        long,
        env = "LOCUM_TLS_SERVER_NAME",
        value_name = "NAME",
        requires = "tls"
    )]
    tls_server_name: Option<String>,
    /// A port where GET /ready says whether the Envoy is ready, for everybody and nothing else
    #[arg(long, env = "LOCUM_READY_PORT", value_name = "PORT", value_parser = value_parser!(u16).range(1..))]
    ready_port: Option<u16>,
    /// Write envoy.yaml, and what belongs to it, into this folder instead of printing
    #[arg(short, long, env = "LOCUM_DIRECTORY", value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Where the Envoy finds the folder of --directory, if somewhere else
    #[arg(
        long,
        env = "LOCUM_DIRECTORY_IN_ENVOY",
        value_name = "DIR",
        requires = "directory"
    )]
    directory_in_envoy: Option<PathBuf>,
    #[command(flatten)]
    form: FormatOption,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum XdsVariant {
    Delta,
    Sotw,
}

impl Options {
    /// Prints the bootstrap, or writes it with its files.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let bootstrap = Bootstrap {
            tls: self.tls()?,
            node_id: match self.node_id {
                Some(id) if !id.is_empty() => id,
                Some(_) => return Err(Misuse::new("--node-id is empty".into()).into()),
                None => host_name().ok_or_else(nameless)?,
            },
            gateway: self.gateway.0,
            xds: self.xds_address,
            variant: match self.xds_variant {
                XdsVariant::Delta => Variant::Delta,
                XdsVariant::Sotw => Variant::StateOfTheWorld,
            },
            admin: self.admin.envoy_admin_address.0,
            ready_port: self.ready_port,
        };
        match &self.directory {
            Some(directory) => write(&bootstrap, directory, self.form.output)?,
            None => write_document(&bootstrap.json(), self.form.output)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What the options say of mutual TLS.
    fn tls(&self) -> anyhow::Result<Option<ProxyTls>> {
        let (Some(tls), Some(directory)) = (&self.tls, &self.directory) else {
            return Ok(None);
        };
        let server = match (&self.tls_server_name, &self.xds_address) {
            (Some(name), _) if !name.is_empty() => name.clone(),
            (_, XdsAddress::Name(name, _)) => name.clone(),
            (_, XdsAddress::Ip(address)) => address.ip().to_string(),
            (_, XdsAddress::Unix(_)) => {
                let message = "--tls needs an --xds-address over TCP, or --tls-server-name";
                return Err(Misuse::new(message.into()).into());
            }
        };
        let secrets = self.directory_in_envoy.as_ref().unwrap_or(directory);
        Ok(Some(ProxyTls {
            credentials: std::path::absolute(tls)?,
            secrets: std::path::absolute(secrets)?,
            server,
        }))
    }
}

/// Writes the bootstrap and the files that it names.
fn write(bootstrap: &Bootstrap, directory: &Path, format: Format) -> anyhow::Result<()> {
    let place = |name: &str| {
        let path = directory.join(name);
        let failed = format!("{} cannot be written", path.display());
        (path, failed)
    };
    fs::create_dir_all(directory).with_context(|| place("").1)?;
    let secrets = bootstrap.tls.iter().flat_map(ProxyTls::secrets);
    for (name, secret) in secrets {
        let (path, failed) = place(name);
        fs::write(path, in_form(&secret, Format::Json)?).context(failed)?;
    }
    let (path, failed) = place(match format {
        Format::Yaml => "envoy.yaml",
        Format::Json => "envoy.json",
    });
    fs::write(path, in_form(&bootstrap.json(), format)?).context(failed)?;
    Ok(())
}

fn nameless() -> Misuse {
    Misuse::new("this machine has no name; give the Envoy one with --node-id".into())
}

//! `locum translate`: what Envoy would be told, without telling it.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::Value;

use super::PROBLEMS;
use super::options::{DefaultListen, GatewayName, Misuse, SourceOptions};
use super::output::{FormatOption, Style, write_document};
use super::problems::line;
use crate::pipeline::State;
use crate::problem::Severity;
use crate::status::{render, stamp};
use crate::xds::json;
use crate::xds::kind::Kind;

/// Print what Envoy would be told, or the resources' statuses
///
/// Envoy resources are printed as canonical protobuf JSON, as Envoy's own config_dump shows them.
/// What is wrong with the manifests goes to standard error; the exit status is 1 if any of it is an
/// error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum translate -f manifests/
  locum translate -f manifests/ -t cluster,endpoint -g default/eg
  locum translate -f manifests/ -t status -o json
  kubectl get gatewayclass,gtw,httproute,backend,btp,svc,endpointslice -A -o yaml | locum translate -f -")]
pub(super) struct Options {
    #[command(flatten)]
    source: SourceOptions,
    /// What to print
    #[arg(
        short = 't',
        long = "type",
        env = "LOCUM_TYPE",
        value_name = "TYPE",
        value_delimiter = ',',
        default_value = "all"
    )]
    types: Vec<OutputType>,
    /// Only this Gateway
    #[arg(short, long, env = "LOCUM_GATEWAY", value_name = "NAMESPACE/NAME")]
    gateway: Option<GatewayName>,
    #[command(flatten)]
    form: FormatOption,
}

/// What `translate` can print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutputType {
    /// Every Envoy resource
    All,
    Listener,
    Route,
    Cluster,
    Endpoint,
    Secret,
    /// The resources' statuses as Kubernetes would hold them
    Status,
}

impl Options {
    /// Reads, translates and prints.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let source = self.source.files(DefaultListen::Everywhere)?;
        let update = source.load()?;
        let state = State::of(update, &source.translation);
        let failed = complain(&state)?;
        let mut documents = envoy_resources(&state, &self.types, self.gateway.as_ref())?;
        if self.types.contains(&OutputType::Status) {
            let now = stamp(Timestamp::now());
            documents.extend(render::statuses(&state.translation.statuses, &now));
        }
        write_document(&Value::Array(documents), self.form.output)?;
        Ok(ExitCode::from(if failed { PROBLEMS } else { 0 }))
    }
}

/// Says what is wrong, on standard error; whether any of it is an error.
pub(super) fn complain(state: &State) -> std::io::Result<bool> {
    let mut failed = false;
    let mut out = std::io::stderr().lock();
    for problem in state.located_problems() {
        failed |= problem.severity == Severity::Error;
        writeln!(out, "{}", line(&problem, Style::of_stderr()))?;
    }
    Ok(failed)
}

/// The resources of the types and the Gateway that are asked for: by Gateway, then in the order in
/// which proxies get them, then by name.
fn envoy_resources(
    state: &State,
    types: &[OutputType],
    gateway: Option<&GatewayName>,
) -> Result<Vec<Value>, Misuse> {
    if let Some(GatewayName(name)) = gateway
        && !state.snapshots.contains_key(name)
    {
        let known: Vec<String> = state.snapshots.keys().map(ToString::to_string).collect();
        let known = if known.is_empty() {
            "there is none of Locum's".into()
        } else {
            format!("there are: {}", known.join(", "))
        };
        return Err(Misuse::new(format!("no Gateway {name}; {known}")));
    }
    let wanted = |kind: &Kind| types.iter().any(|each| each.includes(*kind));
    let snapshots = state
        .snapshots
        .iter()
        .filter(|(name, _)| gateway.is_none_or(|wanted| wanted.0 == **name));
    Ok(snapshots
        .flat_map(|(_, snapshot)| {
            let kinds = Kind::ALL.into_iter().filter(wanted);
            kinds.flat_map(|kind| snapshot.of_kind(kind))
        })
        .map(|resource| json::resource(resource))
        .collect())
}

impl OutputType {
    fn includes(self, kind: Kind) -> bool {
        match self {
            OutputType::All => true,
            OutputType::Listener => kind == Kind::Listener,
            OutputType::Route => kind == Kind::Route,
            OutputType::Cluster => kind == Kind::Cluster,
            OutputType::Endpoint => kind == Kind::Endpoint,
            OutputType::Secret => kind == Kind::Secret,
            OutputType::Status => false,
        }
    }
}

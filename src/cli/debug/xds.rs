//! `locum debug xds`: what proxies are told, and whether an Envoy has it.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use clap::builder::BoolishValueParser;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::{Admin, LIMITS};
use crate::admin::debug::XdsAnswer;
use crate::admin_client;
use crate::cli::PROBLEMS;
use crate::cli::options::{EnvoyAdmin, GatewayName};
use crate::cli::output::{Format, FormatOption, Style, in_form, write_document};
use crate::xds::config_dump::{self, ConfigDump, Contents, Difference, How};
use crate::xds::kind::Kind;

/// Show what proxies are told and what they have acknowledged, or what an Envoy has instead
///
/// With --diff an Envoy is asked for its own config_dump, which is held against what Locum tells
/// the Envoys of its Gateway; the exit status is 1 if they differ.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum debug xds -g default/eg -t cluster
  locum debug xds --diff
  locum debug xds --diff --envoy-admin-address unix:/run/envoy/admin.sock -t route

In a cluster, with both admin interfaces brought here:
  kubectl -n locum-system port-forward deployment/locum 18080
  kubectl port-forward deployment/envoy-eg 19000
  locum debug xds --diff")]
pub(super) struct Options {
    #[command(flatten)]
    admin: Admin,
    /// Only this Gateway
    #[arg(
        short,
        long,
        env = "LOCUM_GATEWAY",
        value_name = "NAMESPACE/NAME",
        conflicts_with = "diff"
    )]
    gateway: Option<GatewayName>,
    /// Only the proxy with this node.id
    #[arg(long, env = "LOCUM_NODE", value_name = "ID", conflicts_with = "diff")]
    node: Option<String>,
    /// Only this type: secret, cluster, endpoint, listener or route
    #[arg(short = 't', long = "type", env = "LOCUM_TYPE", value_name = "TYPE", value_parser = kind)]
    kind: Option<Kind>,
    /// Only the resources with this name
    #[arg(long, env = "LOCUM_NAME", value_name = "NAME")]
    name: Option<String>,
    /// Hold it against what the Envoy at --envoy-admin-address has
    #[arg(long, env = "LOCUM_DIFF", value_parser = BoolishValueParser::new())]
    diff: bool,
    #[command(flatten)]
    envoy: EnvoyAdmin,
    #[command(flatten)]
    form: FormatOption,
}

fn kind(word: &str) -> Result<Kind, String> {
    Kind::of_name(word).ok_or_else(|| {
        let words = Kind::ALL.map(Kind::name);
        format!("expected one of {}", words.join(", "))
    })
}

impl Options {
    /// Asks and prints.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        if self.diff {
            return self.compare().await;
        }
        let gateway = self.gateway.as_ref().map(|name| name.0.to_string());
        let path = path(&[
            ("gateway", gateway.as_deref()),
            ("node", self.node.as_deref()),
            ("type", self.kind.map(Kind::name)),
            ("name", self.name.as_deref()),
        ]);
        let answer: Value = self.admin.ask(&path).await?;
        write_document(&answer, self.form.output)?;
        Ok(ExitCode::SUCCESS)
    }

    async fn compare(self) -> anyhow::Result<ExitCode> {
        let address = &self.envoy.envoy_admin_address.0;
        let dump = admin_client::get(address, config_dump::PATH, LIMITS).await;
        let dump = dump.context("the Envoy (--envoy-admin-address)")?;
        let dump = ConfigDump::read(&dump).context("the Envoy's config_dump")?;
        let Some((gateway, node)) = dump.node() else {
            bail!("the Envoy does not say in its config_dump which node it is");
        };
        // All of it: what an Envoy shows of endpoints depends on their cluster.
        let answer: XdsAnswer = self.admin.ask(&path(&[("gateway", Some(gateway))])).await?;
        let differences = dump
            .differences(&told(&answer))
            .into_iter()
            .filter(|found| {
                self.kind.is_none_or(|kind| kind == found.kind)
                    && self.name.as_ref().is_none_or(|name| *name == found.name)
            });
        let differences: Vec<Difference> = differences.collect();
        let mut out = io::stdout().lock();
        for difference in &differences {
            let refusal = refusal(&answer, node, difference);
            out.write_all(in_words(difference, refusal, Style::of_stdout())?.as_bytes())?;
        }
        if !answer.clients.iter().any(|client| client.node == node) {
            writeln!(out, "{node} of {gateway} is not connected to this Locum")?;
        }
        if differences.is_empty() {
            writeln!(out, "{node} of {gateway} has what it is told")?;
            return Ok(ExitCode::SUCCESS);
        }
        Ok(ExitCode::from(PROBLEMS))
    }
}

/// `/debug/xds` with what is asked for.
fn path(fields: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (field, value) in fields {
        if let Some(value) = value {
            query.append_pair(field, value);
        }
    }
    format!("/debug/xds?{}", query.finish())
}

fn told(answer: &XdsAnswer) -> Contents {
    let kinds = answer
        .gateways
        .iter()
        .flat_map(|gateway| &gateway.resources);
    let resources = kinds.filter_map(|(kind, of_kind)| Some((Kind::of_name(kind)?, of_kind)));
    resources
        .flat_map(|(kind, of_kind)| {
            let named = of_kind.iter();
            named.map(move |it| ((kind, it.name.clone()), it.resource.clone()))
        })
        .collect()
}

/// What this Envoy has said against the resource.
fn refusal<'a>(answer: &'a XdsAnswer, node: &str, difference: &Difference) -> Option<&'a String> {
    // It may have a stream for each type.
    let mut streams = answer.clients.iter().filter(|client| client.node == node);
    streams.find_map(|client| {
        let of_kind = client.types.get(difference.kind.name())?;
        of_kind.refused.get(&difference.name)
    })
}

fn in_words(
    difference: &Difference,
    refusal: Option<&String>,
    style: Style,
) -> anyhow::Result<String> {
    let Difference { kind, name, how } = difference;
    let mut text = match how {
        How::Missing => format!("{kind} {name}: the Envoy has none\n"),
        How::Surplus => {
            format!("{kind} {name}: the Envoy has it, though Locum does not tell it (any more)\n")
        }
        How::Warming => format!("{kind} {name}: the Envoy has it, but it is still warming\n"),
        How::Refused { words } => format!("{kind} {name}: the Envoy refuses it: {words}\n"),
        How::Changed { told, held } => {
            let lines = lines_between(told, held, style)?;
            format!("{kind} {name}: told (-) and held (+) differ\n{lines}")
        }
    };
    let said = |words: &str| text.contains(words.trim());
    if let Some(words) = refusal.filter(|words| !said(words)) {
        text += &format!("  it was refused: {words}\n");
    }
    Ok(text)
}

/// The lines that differ, each with a little of what is around it.
fn lines_between(told: &Value, held: &Value, style: Style) -> anyhow::Result<String> {
    const AROUND: usize = 2;
    let [told, held] = [in_form(told, Format::Yaml)?, in_form(held, Format::Yaml)?];
    let diff = TextDiff::from_lines(&told, &held);
    let mut text = String::new();
    for group in diff.grouped_ops(AROUND) {
        for change in group
            .iter()
            .flat_map(|operation| diff.iter_changes(operation))
        {
            let line = change.value().trim_end();
            text += &match change.tag() {
                ChangeTag::Equal => format!("    {line}\n"),
                ChangeTag::Delete => format!("  {}\n", style.bad(format!("- {line}"))),
                ChangeTag::Insert => format!("  {}\n", style.good(format!("+ {line}"))),
            };
        }
    }
    Ok(text)
}

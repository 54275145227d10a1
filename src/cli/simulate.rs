//! `locum simulate`: who gets which share of a chain's requests, and who would if something failed.

mod text;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::PROBLEMS;
use super::options::{DefaultListen, GatewayName, Misuse, SourceOptions};
use super::output::{self, write_document};
use super::translate::complain;
use crate::model::Model;
use crate::pipeline::State;
use crate::resource::ObjectName;
use crate::simulate::{self, Case, Failure, Situation, Spread, Target};

/// How many names an error lists.
const NAME_LIMIT: usize = 40;

/// Show which share of requests each backend gets, and who serves when something fails
///
/// For each chain: its members with their endpoints (well and all), their share now, and their share
/// after each single failure of a member or a tier. With --down the shares while that is down. These
/// are Envoy's own rules for tiers, weights, unready and draining endpoints and panic, applied to first
/// attempts: what is down counts as found and taken out; retries come on top. A name that DNS resolves
/// is one endpoint.
///
/// What is wrong with the manifests goes to standard error; the exit status is 1 if any of it is an
/// error.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  locum simulate -f manifests/
  locum simulate -f manifests/ --route default/ha-example --down Backend/default/active
  locum simulate -f manifests/ --route default/ha-example --rule 0 --down tier:0 --down 10.0.0.7:8080
  kubectl get gatewayclass,gtw,httproute,backend,btp,svc,endpointslice -A -o yaml | locum simulate -f - -o json")]
pub(super) struct Options {
    #[command(flatten)]
    source: SourceOptions,
    /// Only the chains of this HTTPRoute
    #[arg(long, env = "LOCUM_ROUTE", value_name = "NAMESPACE/NAME")]
    route: Option<RouteName>,
    /// Only the chain of this rule of it, counted from 0
    #[arg(long, env = "LOCUM_RULE", value_name = "NUMBER", requires = "route")]
    rule: Option<usize>,
    /// What is down: a tier (tier:0), a member (Backend/default/active, Service/default/web) or an
    /// endpoint (10.0.0.1:8080); may be repeated
    #[arg(long, env = "LOCUM_DOWN", value_name = "TARGET", value_delimiter = ',')]
    down: Vec<Target>,
    /// The form of what is printed
    #[arg(
        short,
        long,
        env = "LOCUM_OUTPUT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// An HTTPRoute as the command line names it.
#[derive(Clone, Debug)]
struct RouteName(ObjectName);

impl FromStr for RouteName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let GatewayName(name) = text.parse()?;
        Ok(Self(name))
    }
}

/// One chain, with what is down of it.
struct Scene<'a> {
    case: Case<'a>,
    situation: Situation,
    spread: Spread,
    /// What may fail, if nothing is down.
    failures: Vec<(Failure, Spread)>,
}

impl Options {
    /// Reads, translates, simulates and prints.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let source = self.source.files(DefaultListen::Everywhere)?;
        let update = source.load()?;
        let state = State::of(update, &source.translation);
        let failed = complain(&state)?;
        let route = self.route.as_ref().map(|RouteName(name)| name);
        let model = &state.translation.model;
        let answered = answered(model, route, self.rule)?;
        let cases = simulate::cases(model)
            .into_iter()
            .filter(|case| is_asked_for(case, route, self.rule))
            .collect();
        let scenes = scenes(cases, &self.down)?;
        match self.output {
            Format::Text => {
                let mut text = text::scenes(&scenes, &self.down);
                if self.down.is_empty() {
                    text += &text::answered(&answered);
                }
                io::stdout().lock().write_all(text.as_bytes())?;
            }
            Format::Json => {
                let scenes = scenes.iter().map(|scene| document(scene, &self.down));
                write_document(&scenes.collect(), output::Format::Json)?;
            }
        }
        Ok(ExitCode::from(if failed { PROBLEMS } else { 0 }))
    }
}

/// The rules that are asked for and that no chain serves, each with its status. A route or rule that is not
/// there is wrong use.
fn answered(
    model: &Model,
    route: Option<&ObjectName>,
    rule: Option<usize>,
) -> Result<Vec<(String, u16)>, Misuse> {
    let rules = simulate::rules(model);
    if let Some(route) = route {
        let of_route: BTreeSet<usize> = rules
            .keys()
            .filter(|each| each.route == route)
            .map(|each| each.rule)
            .collect();
        if of_route.is_empty() {
            let known: BTreeSet<String> = rules.keys().map(|it| it.route.to_string()).collect();
            let known = listed(known, "none is; `locum check` says why");
            return Err(Misuse::new(format!(
                "no HTTPRoute {route} is served; of those that are there: {known}"
            )));
        }
        if let Some(rule) = rule.filter(|rule| !of_route.contains(rule)) {
            let known = listed(of_route.iter().map(ToString::to_string), "none");
            return Err(Misuse::new(format!(
                "HTTPRoute {route} has no rule {rule} that is served; there are: {known}"
            )));
        }
    }
    let asked_for = rules.into_iter().filter(|(each, _)| {
        route.is_none_or(|route| each.route == route) && rule.is_none_or(|rule| each.rule == rule)
    });
    let answered = asked_for.filter_map(|(each, status)| Some((text::rule(&each), status?)));
    Ok(answered.collect())
}

fn is_asked_for(case: &Case<'_>, route: Option<&ObjectName>, rule: Option<usize>) -> bool {
    case.uses.iter().any(|each| {
        route.is_none_or(|route| each.route == route) && rule.is_none_or(|rule| each.rule == rule)
    })
}

/// The chains as they are while `down` is; of several those that have any of it.
fn scenes<'a>(cases: Vec<Case<'a>>, down: &[Target]) -> Result<Vec<Scene<'a>>, Misuse> {
    let mut unknown: BTreeSet<&Target> = down.iter().collect();
    let mut known = Vec::new();
    let mut scenes = Vec::new();
    for case in cases {
        let mut situation = Situation::of(case.chain);
        let mut touched = down.is_empty();
        known.extend(situation.targets());
        for target in down {
            if let Some(without) = situation.without(target) {
                situation = without;
                touched = true;
                unknown.remove(target);
            }
        }
        if touched {
            scenes.push(scene(case, situation, down.is_empty()));
        }
    }
    match unknown.first() {
        None => Ok(scenes),
        Some(target) => {
            let mut once = BTreeSet::new();
            known.retain(|name| once.insert(name.clone()));
            let known = listed(known, "no chain is served; `locum check` says why");
            Err(Misuse::new(format!(
                "--down {target}: there is no such tier, member or endpoint; there are: {known}"
            )))
        }
    }
}

fn scene(case: Case<'_>, situation: Situation, with_failures: bool) -> Scene<'_> {
    let spread = simulate::spread(&situation);
    let failures = with_failures.then(|| simulate::failures(&situation));
    let failures = failures.into_iter().flatten().map(|failure| {
        let spread = simulate::spread(&failure.situation);
        (failure, spread)
    });
    Scene {
        failures: failures.collect(),
        case,
        situation,
        spread,
    }
}

/// The first names, or what to say where there are none.
fn listed(names: impl IntoIterator<Item = String>, none: &str) -> String {
    let names: Vec<String> = names.into_iter().collect();
    let shown = names[..names.len().min(NAME_LIMIT)].join(", ");
    match names.len().checked_sub(NAME_LIMIT) {
        None if names.is_empty() => none.to_owned(),
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}

/// A chain for programs.
fn document(scene: &Scene<'_>, down: &[Target]) -> Value {
    let Scene {
        case, situation, ..
    } = scene;
    let rules = case.uses.iter();
    let rules = rules.map(|each| json!({"route": each.route.to_string(), "rule": each.rule}));
    let gateways = case.gateways.iter().map(ToString::to_string);
    let failures = scene.failures.iter().map(|(failure, spread)| {
        json!({
            "down": names(&failure.down),
            "spread": spread_document(&failure.situation, spread),
        })
    });
    json!({
        "chain": case.name.0,
        "gateways": gateways.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
        "invalidReferencesPercent": f64::from(case.failing_millionths) / 10_000.0,
        "overprovisioningFactor": situation.overprovisioning_factor,
        "panicPercent": situation.panic_percent,
        "byHash": situation.by_hash,
        "aggregate": situation.aggregate,
        "down": names(down),
        "spread": spread_document(situation, &scene.spread),
        "failures": failures.collect::<Vec<_>>(),
    })
}

fn names(targets: &[Target]) -> Vec<String> {
    targets.iter().map(ToString::to_string).collect()
}

fn spread_document(situation: &Situation, spread: &Spread) -> Value {
    let tiers = situation.tiers.iter().zip(&spread.tiers);
    let tiers = tiers.map(|(tier, of_tier)| {
        let members = tier.members.iter().zip(&of_tier.members);
        let members = members.map(|(member, of_member)| {
            let endpoints = member.endpoints.iter().zip(&of_member.endpoints);
            let endpoints = endpoints.map(|(endpoint, share)| {
                json!({
                    "address": endpoint.address.to_string(),
                    "health": endpoint.health.name(),
                    "share": rounded(*share),
                })
            });
            json!({
                "name": member.name,
                "weight": member.weight,
                "share": rounded(of_member.share()),
                "endpoints": endpoints.collect::<Vec<_>>(),
            })
        });
        json!({
            "tier": tier.number,
            "share": rounded(of_tier.share()),
            "panics": of_tier.panics,
            "members": members.collect::<Vec<_>>(),
        })
    });
    json!({
        "tiers": tiers.collect::<Vec<_>>(),
        "unserved": rounded(spread.unserved),
        "failsOpen": spread.fails_open,
    })
}

/// Without what binary fractions leave over.
fn rounded(percent: f64) -> f64 {
    (percent * 1e4).round() / 1e4
}

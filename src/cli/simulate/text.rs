//! A simulation for a person: a table for each chain, a line for each failure, sentences for what no
//! number says.

use std::fmt::Write as _;

use super::Scene;
use crate::cli::output::table;
use crate::model::Chain;
use crate::simulate::{Health, Member, Situation, Spread, Target, Use};

/// Shares below this, in percent, are nothing.
const NOTHING: f64 = 1e-6;

/// All chains.
pub(super) fn scenes(scenes: &[Scene<'_>], down: &[Target]) -> String {
    if scenes.is_empty() {
        return "no rule forwards to any backend\n".into();
    }
    let texts: Vec<String> = scenes.iter().map(|it| scene(it, down)).collect();
    texts.join("\n")
}

/// The rules that the proxy answers by itself, a line for each.
pub(super) fn answered(rules: &[(String, u16)]) -> String {
    let mut text = String::new();
    if !rules.is_empty() {
        text.push('\n');
    }
    for (rule, status) in rules {
        let _ = writeln!(
            text,
            "{rule}: answered {status} by the proxy, it has no backend that could be used"
        );
    }
    text
}

/// A rule of a route.
pub(super) fn rule(rule: &Use<'_>) -> String {
    format!("HTTPRoute {} rule {}", rule.route, rule.rule)
}

fn scene(scene: &Scene<'_>, down: &[Target]) -> String {
    let Scene {
        case,
        situation,
        spread,
        failures,
    } = scene;
    let uses: Vec<String> = case.uses.iter().map(rule).collect();
    let gateways: Vec<String> = case.gateways.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "{}\n  {} of Gateway {}\n",
        case.name.0,
        uses.join(", "),
        gateways.join(", ")
    );
    if !down.is_empty() {
        let _ = writeln!(text, "  down: {}", joined(down));
    }
    text += "\n";
    text += &indented(&members(case.chain, situation, spread));
    let statuses: Vec<String> = case.last_resorts.iter().map(ToString::to_string).collect();
    let statuses = statuses.join(" or ");
    for sentence in sentences(situation, spread, &statuses) {
        let _ = writeln!(text, "  {sentence}");
    }
    if case.failing_millionths > 0 {
        let share = percent(f64::from(case.failing_millionths) / 10_000.0);
        let _ = writeln!(
            text,
            "  Of all requests {share} are answered 500 before that: the rule has references that are invalid."
        );
    }
    if !failures.is_empty() {
        let mut rows = vec![["WHEN THIS IS DOWN".to_owned(), "REQUESTS GO TO".to_owned()]];
        rows.extend(failures.iter().map(|(failure, spread)| {
            [
                joined(&failure.down),
                destination(&failure.situation, spread, &statuses),
            ]
        }));
        text += "\n";
        text += &indented(&rows);
    }
    text
}

fn joined(targets: &[Target]) -> String {
    let names: Vec<String> = targets.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// A row for each member.
fn members(chain: &Chain, situation: &Situation, spread: &Spread) -> Vec<[String; 5]> {
    let head = ["TIER", "MEMBER", "WEIGHT", "ENDPOINTS", "SHARE"];
    let mut rows = vec![head.map(str::to_owned)];
    for (tier, of_tier) in situation.tiers.iter().zip(&spread.tiers) {
        let mut number = tier.number.to_string();
        if chain.pinned == Some(tier.number) {
            number += ", pinned";
        }
        if chain.tiers[tier.number].drained {
            number += ", drained";
        }
        if tier.members.is_empty() {
            let nothing = ["-", "-", "0/0", "0 %"].map(str::to_owned);
            let [member, weight, endpoints, share] = nothing;
            rows.push([number.clone(), member, weight, endpoints, share]);
        }
        for (member, of_member) in tier.members.iter().zip(&of_tier.members) {
            rows.push([
                number.clone(),
                member.name.clone(),
                member.weight.to_string(),
                endpoints(member),
                percent(of_member.share()),
            ]);
        }
    }
    rows
}

/// How many are well of how many, and what is the matter with others than failed ones.
fn endpoints(member: &Member) -> String {
    let count = |health| {
        let endpoints = member.endpoints.iter();
        endpoints.filter(|it| it.health == health).count()
    };
    let mut text = format!("{}/{}", count(Health::Healthy), member.endpoints.len());
    for health in [Health::Degraded, Health::Excluded] {
        match count(health) {
            0 => {}
            some => {
                let _ = write!(text, ", {some} {}", health.name());
            }
        }
    }
    text
}

/// What becomes of requests that no share tells.
fn sentences(situation: &Situation, spread: &Spread, statuses: &str) -> Vec<String> {
    let threshold = situation.panic_percent;
    let mut sentences = Vec::new();
    if spread.unserved > 100.0 - NOTHING {
        sentences.push(format!(
            "No tier can serve: requests are answered {statuses}."
        ));
    } else if spread.unserved > NOTHING {
        sentences.push(format!(
            "For {} of the requests there is no endpoint: they are answered {statuses}.",
            percent(spread.unserved)
        ));
    }
    if spread.fails_open {
        sentences.push(format!(
            "Fails open: in no tier are {threshold} % of the endpoints well, so Envoy sends to all of them \
             alike, well or not (panic); what none of them answers is answered {statuses}."
        ));
        return sentences;
    }
    for (tier, of_tier) in situation.tiers.iter().zip(&spread.tiers) {
        if of_tier.panics && of_tier.share() > NOTHING {
            sentences.push(format!(
                "In tier {} fewer than {threshold} % of the endpoints are well, so Envoy sends its share to \
                 all of them alike, well or not (panic).",
                tier.number
            ));
        }
    }
    sentences
}

/// Who gets how much, in one line.
fn destination(situation: &Situation, spread: &Spread, statuses: &str) -> String {
    let mut parts = Vec::new();
    if spread.fails_open {
        parts.push("all endpoints alike, well or not: it fails open (panic)".to_owned());
    } else {
        for (tier, of_tier) in situation.tiers.iter().zip(&spread.tiers) {
            let members = tier.members.iter().zip(&of_tier.members);
            let served = members.filter(|(_, of_member)| of_member.share() > NOTHING);
            let served: Vec<String> = served
                .map(|(member, of_member)| {
                    format!("{} {}", member.name, percent(of_member.share()))
                })
                .collect();
            if !served.is_empty() {
                let panic = if of_tier.panics { " (panic)" } else { "" };
                let served = served.join(" + ");
                parts.push(format!("tier {}: {served}{panic}", tier.number));
            }
        }
    }
    if spread.unserved > NOTHING {
        parts.push(format!(
            "nobody, answered {statuses}: {}",
            percent(spread.unserved)
        ));
    }
    parts.join("; ")
}

/// `33.3 %`, and whole where it is whole.
fn percent(share: f64) -> String {
    let text = format!("{share:.1}");
    format!("{} %", text.strip_suffix(".0").unwrap_or(&text))
}

fn indented<const N: usize>(rows: &[[String; N]]) -> String {
    let lines = table(rows);
    lines.lines().map(|line| format!("  {line}\n")).collect()
}

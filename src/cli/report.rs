//! What `run` tells the person who started it: what is served, each change, what is wrong, how the
//! Envoys are.
//!
//! In: the pipeline's state and the Envoys' state, watched. Out: lines on standard output.

mod changes;
mod summary;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::output::Style;
use super::problems::line;
use crate::pipeline::{Located, State};
use crate::problem::Severity;
use crate::proxy::{Addresses, Phase, Proxies, Proxy};
use crate::resource::ObjectName;
use crate::serving;
use crate::status::reasons;

/// Tells a person what happens.
#[derive(Debug)]
pub(super) struct Reporter {
    addresses: Addresses,
    listen: IpAddr,
    states: watch::Receiver<Arc<State>>,
    proxies: watch::Receiver<Proxies>,
    serving: watch::Receiver<Arc<serving::State>>,
    style: Style,
    told: Told,
}

/// What has been said already.
#[derive(Debug, Default)]
struct Told {
    state: Arc<State>,
    problems: BTreeSet<Located>,
    proxies: Proxies,
    serving: Arc<serving::State>,
}

impl Reporter {
    /// A reporter that has said nothing yet.
    pub(super) fn new(
        addresses: Addresses,
        listen: IpAddr,
        states: watch::Receiver<Arc<State>>,
        proxies: watch::Receiver<Proxies>,
        serving: watch::Receiver<Arc<serving::State>>,
    ) -> Self {
        Self {
            addresses,
            listen,
            states,
            proxies,
            serving,
            style: Style::of_stdout(),
            told: Told::default(),
        }
    }

    /// Tells what happens for as long as there is something to watch and someone to tell.
    pub(super) async fn run(mut self) {
        let Addresses { xds, admin } = &self.addresses;
        let mut lines = vec![format!(
            "{} {}: admin http://{admin}, xDS {xds}",
            self.style.strong("locum"),
            env!("CARGO_PKG_VERSION"),
        )];
        loop {
            let state = self.states.borrow_and_update().clone();
            lines.extend(self.state_lines(&state));
            let proxies = self.proxies.borrow_and_update().clone();
            lines.extend(self.proxy_lines(proxies));
            let serving = self.serving.borrow_and_update().clone();
            lines.extend(self.serving_lines(serving));
            if write(&std::mem::take(&mut lines)).is_err() {
                return;
            }
            let changed = tokio::select! {
                changed = self.states.changed() => changed,
                changed = self.proxies.changed() => changed,
                changed = self.serving.changed() => changed,
            };
            if changed.is_err() {
                break;
            }
        }
        // There is no one to tell it to if this fails.
        let _ = write(&["all Envoys have ended".into()]);
    }

    fn state_lines(&mut self, state: &Arc<State>) -> Vec<String> {
        let told = std::mem::replace(&mut self.told.state, state.clone());
        if state.revision == 0 {
            return Vec::new();
        }
        let mut lines = Vec::new();
        let first = told.revision == 0;
        if first {
            lines.extend(summary::of(
                &state.translation.model,
                self.listen,
                self.style,
            ));
        } else if told.revision != state.revision {
            let changes = changes::between(&told.translation.model, &state.translation.model);
            let what = if changes.is_empty() {
                "nothing changes for the proxies".into()
            } else {
                changes.join("; ")
            };
            lines.push(format!("{}: {what}", self.style.strong("reloaded")));
        }
        lines.extend(self.problem_lines(state));
        lines
    }

    /// The problems that are new and those that are mended. Notes are for `check`, but for one that
    /// says why nothing may be served here.
    fn problem_lines(&mut self, state: &State) -> Vec<String> {
        let problems = state.located_problems().into_iter();
        let now: BTreeSet<Located> = problems
            .filter(|problem| {
                problem.severity > Severity::Note || problem.reason == reasons::LEFT_TO_DNS
            })
            .collect();
        let new = now.difference(&self.told.problems);
        let mut lines: Vec<String> = new.map(|problem| line(problem, self.style)).collect();
        for mended in self.told.problems.difference(&now) {
            let text = line(mended, Style::Plain);
            lines.push(format!("{}: {text}", self.style.good("mended")));
        }
        self.told.problems = now;
        lines
    }

    /// The chains that another tier serves now.
    fn serving_lines(&mut self, serving: Arc<serving::State>) -> Vec<String> {
        let told = std::mem::replace(&mut self.told.serving, serving.clone());
        let mut lines = Vec::new();
        for (gateway, chains) in serving.iter() {
            for (name, chain) in chains {
                let before = told.get(gateway).and_then(|chains| chains.get(name));
                let before = before.and_then(|chain| chain.serving_tier);
                let (Some(before), Some(now)) = (before, chain.serving_tier) else {
                    continue;
                };
                // Without a report yet it is the tier of before, perhaps by another number.
                if before == now || chain.why.is_empty() {
                    continue;
                }
                let members = chain.tiers.get(now).map(|tier| tier.members.join(" + "));
                let members = members.unwrap_or_default();
                let said = format!("tier {now} ({members}) serves");
                let said = match now {
                    0 => self.style.good(said),
                    _ => self.style.warning(said),
                };
                lines.push(format!("chain {name}: {said}: {}", chain.why));
            }
        }
        lines
    }

    fn proxy_lines(&mut self, proxies: Proxies) -> Vec<String> {
        let mut lines = Vec::new();
        for (gateway, proxy) in &proxies {
            let before = self.told.proxies.get(gateway);
            if before.is_none_or(|before| before.phase != proxy.phase || before.pid != proxy.pid) {
                lines.extend(self.proxy_line(gateway, proxy, before));
            }
        }
        for gateway in self.told.proxies.keys() {
            if !proxies.contains_key(gateway) {
                lines.push(format!("Envoy for {gateway}: ended"));
            }
        }
        self.told.proxies = proxies;
        lines
    }

    fn proxy_line(
        &self,
        gateway: &ObjectName,
        proxy: &Proxy,
        before: Option<&Proxy>,
    ) -> Option<String> {
        let pid = proxy.pid.unwrap_or_default();
        let what = match &proxy.phase {
            Phase::Starting if proxy.adopted => {
                format!("process {pid} was still running and is taken over")
            }
            Phase::Starting => return None,
            Phase::Live => {
                let again =
                    before.is_some_and(|before| matches!(before.phase, Phase::Silent { .. }));
                let word = if again { "answers again" } else { "serving" };
                format!("{} (process {pid})", self.style.good(word))
            }
            Phase::Draining => "finishing what is under way".into(),
            Phase::Silent { why } => format!("{}: {why}", self.style.warning("does not answer")),
            Phase::Down { why } => {
                format!("{}: {why}; it is tried again", self.style.bad("down"))
            }
        };
        Some(format!("Envoy for {gateway}: {what}"))
    }
}

fn write(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

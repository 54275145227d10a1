//! What was there when, and so whether an answer was right.
//!
//! An edit is in force from some moment after it began to be written until, at the latest, the next
//! quiet moment: then both proxies have all of it. So the states that a request may have met are
//! that of the last quiet moment before it was due and all that were begun to be written until its
//! answer was there. At rest that is one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use locum_demo::report::Outcome;

use crate::world::{Family, PODS, Probe, Right, right_answers};

/// What has happened so far.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// By family: its states since when, oldest first, and the edit that made each.
    states: Vec<Vec<State>>,
    quiet: Vec<Instant>,
    happened: Vec<(Instant, String)>,
    rights: HashMap<(usize, Probe, usize, usize), Arc<Right>>,
}

#[derive(Debug)]
struct State {
    since: Instant,
    edit: usize,
    family: Arc<Family>,
}

/// What an answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    /// By a standby, while names of the active tier were looked up.
    Early,
    /// Why it is not right.
    Wrong(String),
}

impl History {
    /// Notes that these are the families from now on.
    pub(crate) fn edit(&mut self, edit: usize, families: &[Arc<Family>], words: &str) {
        let since = Instant::now();
        self.states.resize_with(families.len(), Vec::new);
        for (states, family) in self.states.iter_mut().zip(families) {
            if states.last().is_none_or(|last| last.family != *family) {
                let family = family.clone();
                states.push(State {
                    since,
                    edit,
                    family,
                });
            }
        }
        self.happened.push((since, format!("edit {edit}: {words}")));
    }

    /// Notes that something else happened.
    pub(crate) fn happened(&mut self, words: &str) {
        self.happened.push((Instant::now(), words.to_owned()));
    }

    /// Notes that both proxies have what there is, and not anything else.
    pub(crate) fn quiet(&mut self) {
        self.quiet.push(Instant::now());
    }

    /// Judges the outcome of a request of a steady family.
    pub(crate) fn judge(
        &mut self,
        (family, probe): (usize, Probe),
        (due, answered): (Instant, Instant),
        outcome: &Outcome,
    ) -> Verdict {
        let quiet = self.quiet.partition_point(|moment| *moment <= due);
        let quiet = quiet.checked_sub(1).map(|last| self.quiet[last]);
        let states = &self.states[family];
        let first = quiet.map_or(0, |quiet| {
            states.partition_point(|state| state.since <= quiet).max(1) - 1
        });
        let end = states.partition_point(|state| state.since <= answered);
        let right = self.rights.entry((family, probe, first, end));
        let right = right.or_insert_with(|| {
            let states = states[first..end].iter();
            let states: Vec<_> = states.map(|state| state.family.clone()).collect();
            Arc::new(right_answers(&states, probe))
        });
        match outcome {
            Outcome::Answered {
                status: 200,
                pod,
                own: true,
            } => {
                let pod: Option<usize> = pod.strip_prefix('p').and_then(|it| it.parse().ok());
                let of_family = pod.and_then(|pod| pod.checked_sub(family * PODS));
                match of_family {
                    Some(pod) if right.pods.contains(&pod) => return Verdict::Right,
                    Some(pod) if right.early.contains(&pod) => return Verdict::Early,
                    _ => {}
                }
            }
            Outcome::Refused { status: 404, .. } if right.not_found => return Verdict::Right,
            _ => {}
        }
        let right = Arc::clone(right);
        Verdict::Wrong(self.story(family, probe, (due, answered), &right, outcome))
    }

    /// What there is to say of a wrong answer.
    fn story(
        &self,
        family: usize,
        probe: Probe,
        (due, answered): (Instant, Instant),
        right: &Right,
        outcome: &Outcome,
    ) -> String {
        const EVENTS: usize = 12;
        let took = answered.duration_since(due);
        let base = family * PODS;
        let pods = right.pods.iter().map(|pod| format!("p{}", base + pod));
        let pods: Vec<_> = pods.collect();
        let edits = self.states[family].iter();
        let mut edits = edits.filter(|state| state.since <= answered);
        let edit = edits.next_back().map_or(0, |state| state.edit);
        let mut story = format!(
            "f{family} {probe:?}: {outcome:?} after {took:?}; right were {pods:?}{}; the family's \
             last edit was {edit}; before the answer:\n",
            if right.not_found { " and 404" } else { "" }
        );
        let end = self.happened.partition_point(|(at, _)| *at <= answered);
        let name = format!("f{family} ");
        let told = self.happened[..end].iter().rev();
        let told = told.filter(|(_, words)| !words.starts_with("edit") || words.contains(&name));
        let told: Vec<_> = told.take(EVENTS).collect();
        for (at, words) in told.iter().rev() {
            let before = answered.duration_since(*at);
            story += &format!("    {before:.3?} before: {words}\n");
        }
        story
    }
}

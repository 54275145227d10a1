//! Guards: policies that keep something out and that Locum cannot do yet. What they target is
//! closed.
//!
//! In: every guard. Out: which routes, listeners and backends must not be served, and a problem and
//! a condition for each guard. Serving a target without its guard would open what its owner closed.

use std::collections::{BTreeMap, BTreeSet};

use super::ancestors::Claim;
use crate::problem::Problem;
use crate::resource::{Gateway, Guard, HttpRoute, Key, Kind};
use crate::status::{Condition, reasons};
use crate::translate::read::Reader;

/// What guards close.
#[derive(Debug, Default)]
pub(super) struct Guards {
    closed: BTreeMap<Key, Sections>,
}

#[derive(Debug, Default)]
struct Sections {
    whole: bool,
    named: BTreeSet<String>,
}

impl Guards {
    /// The guards known to the store, and what their owners are told.
    pub(super) fn new(reader: &Reader<'_>, problems: &mut Vec<Problem>) -> (Self, Vec<Claim>) {
        let mut guards = Self::default();
        let mut claims = Vec::new();
        for guard in reader.all::<Guard>() {
            let key = guard.key();
            let message = said(guard);
            problems.push(match guard.closes {
                true => Problem::error(&key, "spec", reasons::GUARD_NOT_SUPPORTED, message.clone()),
                false => {
                    Problem::warning(&key, "spec", reasons::GUARD_NOT_SUPPORTED, message.clone())
                }
            });
            for (target, section) in targets(guard, &key.object.namespace, reader) {
                if guard.closes {
                    guards.note(&target, section.as_deref());
                }
                claims.push(Claim {
                    policy: key.clone(),
                    generation: guard.metadata.generation,
                    target,
                    section,
                    condition: Condition::no(
                        reasons::kind::ACCEPTED,
                        reasons::INVALID,
                        message.clone(),
                    ),
                    warning: None,
                });
            }
        }
        (guards, claims)
    }

    fn note(&mut self, target: &Key, section: Option<&str>) {
        let sections = self.closed.entry(target.clone()).or_default();
        match section {
            None => sections.whole = true,
            Some(section) => {
                sections.named.insert(section.to_owned());
            }
        }
    }

    /// Whether a guard closes `target`, or the section of it.
    pub(super) fn close(&self, target: &Key, section: Option<&str>) -> bool {
        self.closed.get(target).is_some_and(|sections| {
            sections.whole || section.is_some_and(|section| sections.named.contains(section))
        })
    }

    /// Whether a guard closes `target` or any section of it.
    pub(super) fn close_any(&self, target: &Key) -> bool {
        self.closed.contains_key(target)
    }
}

/// What the owner of a guard is told.
fn said(guard: &Guard) -> String {
    let policy = &guard.policy;
    match guard.closes {
        true => format!(
            "{policy} is not supported yet. What it targets is closed: requests are answered 500."
        ),
        false => format!("{policy} is not supported yet; its targets are served without it."),
    }
}

/// What a guard targets. Its labels are not read: where it selects by them, everything in its
/// namespace may be meant.
fn targets(guard: &Guard, namespace: &str, reader: &Reader<'_>) -> Vec<(Key, Option<String>)> {
    let named = guard
        .targets
        .iter()
        .map(|target| (target.key.clone(), target.section.clone()));
    let mut targets: Vec<_> = named.collect();
    if guard.has_selectors {
        let routes = reader.all::<HttpRoute>();
        let routes = routes.map(|route| Key::of(Kind::HttpRoute, &route.metadata));
        let gateways = reader.all::<Gateway>();
        let gateways = gateways.map(|gateway| Key::of(Kind::Gateway, &gateway.metadata));
        let all = routes.chain(gateways);
        targets.extend(
            all.filter(|key| &*key.object.namespace == namespace)
                .map(|key| (key, None)),
        );
    }
    targets
}

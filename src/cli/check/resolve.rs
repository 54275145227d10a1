//! `--resolve`: whether the names that chains leave to DNS lead anywhere, as far as this machine
//! knows. All look-ups together are bounded in time.
//!
//! In: the last translation. Out: a problem for each name without an address.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::ToSocketAddrs as _;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::model::{Address, Chain};
use crate::pipeline::State;
use crate::problem::Problem;
use crate::resource::{Backend, Key, Kind, Resource as _, Service};
use crate::status::reasons;

/// So many names are looked up at once.
const AT_ONCE: usize = 16;

/// Where a name is written.
type Place = (Key, String);

/// A problem for each name that did not resolve within `bound`.
pub(super) fn problems(state: &State, bound: Duration) -> Vec<Problem> {
    let places = places(state);
    let names = places.keys().cloned().collect();
    let unknown = unknown(names, bound, |name| {
        (name, 0)
            .to_socket_addrs()
            .map(|mut found| found.next().is_some())
    });
    let of_name = |(name, why): (String, String)| {
        let places = places.get(&name).into_iter().flatten();
        let problems = places.map(|(object, field)| {
            let message = format!("{name} does not resolve here: {why}.");
            Problem::warning(object, field, reasons::NAME_NOT_RESOLVED, message)
        });
        problems.collect::<Vec<_>>()
    };
    unknown.into_iter().flat_map(of_name).collect()
}

/// The names that chains leave to DNS, each with where it is written.
fn places(state: &State) -> BTreeMap<String, BTreeSet<Place>> {
    let mut places: BTreeMap<String, BTreeSet<Place>> = BTreeMap::new();
    let gateways = state.translation.model.gateways.values();
    for chain in gateways.flat_map(|gateway| gateway.chains.values()) {
        for name in names(chain) {
            let owners = chain.owners.iter();
            let written = owners.filter_map(|owner| {
                let field = field(state, owner, name)?;
                Some((owner.clone(), field))
            });
            places.entry(name.to_owned()).or_default().extend(written);
        }
    }
    places
}

fn names(chain: &Chain) -> BTreeSet<&str> {
    let members = chain.tiers.iter().flat_map(|tier| &tier.members);
    let endpoints = members.flat_map(|member| &member.endpoints);
    let names = endpoints.filter_map(|endpoint| match &endpoint.address {
        Address::Name(name, _) => Some(name.as_str()),
        Address::Ip(_) | Address::Unix(_) | Address::OfRequest => None,
    });
    names.collect()
}

/// The field of an object that says a name.
fn field(state: &State, owner: &Key, name: &str) -> Option<String> {
    let object = state.store.get(owner)?;
    let says = |written: &str| written.trim_end_matches('.') == name.trim_end_matches('.');
    match owner.kind {
        Kind::Backend => {
            let mut endpoints = Backend::of(object)?.spec.endpoints.iter();
            let index = endpoints.position(|endpoint| {
                let fqdn = endpoint.fqdn.as_ref();
                fqdn.is_some_and(|fqdn| says(&fqdn.hostname))
            })?;
            Some(format!("spec.endpoints[{index}].fqdn.hostname"))
        }
        Kind::Service => {
            let spec = Service::of(object)?.spec.as_ref()?;
            says(spec.external_name.as_deref()?).then(|| "spec.externalName".to_owned())
        }
        _ => None,
    }
}

/// The names of which `look_up` finds nothing, each with why. Look-ups that are still under way when
/// the time is over are left behind: nothing can stop them, and they end with the process.
fn unknown(
    names: Vec<String>,
    bound: Duration,
    look_up: impl Fn(&str) -> io::Result<bool> + Send + Sync + 'static,
) -> BTreeMap<String, String> {
    let late = format!("there was no answer within {bound:?}");
    let mut unknown: BTreeMap<String, String> = names
        .iter()
        .map(|name| (name.clone(), late.clone()))
        .collect();
    let workers = names.len().min(AT_ONCE);
    let queue = Arc::new(Mutex::new(names));
    let look_up = Arc::new(look_up);
    let (sender, answers) = mpsc::channel();
    for _ in 0..workers {
        let (queue, look_up, sender) = (queue.clone(), look_up.clone(), sender.clone());
        thread::spawn(move || {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            while let Some(name) = next() {
                let answer = look_up(&name);
                if sender.send((name, answer)).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let end = Instant::now() + bound;
    let answer = || answers.recv_timeout(end.saturating_duration_since(Instant::now()));
    while let Ok((name, answer)) = answer() {
        match answer {
            Ok(true) => unknown.remove(&name),
            Ok(false) => unknown.insert(name, "it has no address".into()),
            Err(error) => unknown.insert(name, error.to_string()),
        };
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough for a busy machine to have the other answers by then.
    const BOUND: Duration = Duration::from_secs(3);

    #[test]
    fn names_without_an_answer_in_time_are_told_from_those_without_an_address() {
        let names = ["here", "nowhere", "broken", "late"].map(str::to_owned);
        let found = unknown(names.into(), BOUND, |name| match name {
            "here" => Ok(true),
            "nowhere" => Ok(false),
            "late" => loop {
                thread::park();
            },
            _ => Err(io::Error::other("no such host")),
        });
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, why)| (name.as_str(), why.as_str()))
            .collect();
        let expected = [
            ("broken", "no such host"),
            ("late", "there was no answer within 3s"),
            ("nowhere", "it has no address"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn more_names_than_threads_are_all_looked_up() {
        let names = (0..100).map(|index| index.to_string()).collect();
        let found = unknown(names, Duration::from_secs(60), |name| Ok(name != "42"));
        assert_eq!(found.keys().collect::<Vec<_>>(), ["42"]);
    }
}

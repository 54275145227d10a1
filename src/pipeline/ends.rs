//! Ends: what an object says is to last until some time.
//!
//! In: the store and the time that it is. Out: the change that says so where such a time has come,
//! and how long it is to the next one. Translation never looks at a clock: to it the time that has
//! come is data, and every replica has the same, as far as its clock is right.

use std::time::Duration;

use jiff::Timestamp;

use crate::resource::{FailoverPolicy, Kind, Resource};
use crate::store::{Change, Store};

/// The longest wait at once: a machine that slept, or whose clock was set, is late by no more.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// That a time has come which the store has not been told of, if one has.
pub(super) fn come(store: &Store, now: Timestamp) -> Option<Change> {
    let last = ends(store).filter(|end| *end <= now).max();
    last.filter(|last| !store.has_passed(*last))
        .map(Change::Passed)
}

/// How long to wait before looking again; nothing where nothing is to end.
pub(super) fn wait(store: &Store, now: Timestamp) -> Option<Duration> {
    let next = ends(store).filter(|end| !store.has_passed(*end)).min()?;
    let wait = Duration::try_from(next.duration_since(now)).unwrap_or_default();
    Some(wait.min(LONGEST_WAIT))
}

fn ends(store: &Store) -> impl Iterator<Item = Timestamp> {
    store
        .of_kind(Kind::FailoverPolicy)
        .filter_map(FailoverPolicy::of)
        .filter_map(|policy| Some(policy.spec.pin.as_ref()?.until.as_ref()?.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::parse::parse;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A store with a policy for each of these ends.
    fn store(ends: &[i64]) -> Store {
        let mut store = Store::default();
        for end in ends {
            let policy = json!({
                "apiVersion": "locum.dev/v1alpha1", "kind": "FailoverPolicy",
                "metadata": {"name": format!("p{end}")},
                "spec": {
                    "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "r"}],
                    "tiers": [{"name": "a", "backendRefs": [{"name": "a", "port": 80}]}],
                    "pin": {"tier": "a", "until": at(*end).to_string()},
                },
            });
            let parsed = parse(policy, "default");
            let object = parsed.object.expect("the policy is admitted");
            store.apply(Change::Applied(object));
        }
        store
    }

    #[test]
    fn each_end_comes_once_and_at_its_time() {
        let mut store = store(&[100, 200, 200]);
        assert!(come(&store, at(99)).is_none());
        assert_eq!(wait(&store, at(99)), Some(Duration::from_secs(1)));
        let change = come(&store, at(100)).expect("the first has come");
        store.apply(change);
        assert!(come(&store, at(199)).is_none());
        assert_eq!(wait(&store, at(190)), Some(Duration::from_secs(10)));
        let change = come(&store, at(500)).expect("the others have come");
        store.apply(change);
        assert!(come(&store, at(500)).is_none());
        assert_eq!(wait(&store, at(500)), None);
    }

    #[test]
    fn a_wait_is_bounded_and_never_negative() {
        let store = store(&[100_000]);
        assert_eq!(wait(&store, at(0)), Some(LONGEST_WAIT));
        assert_eq!(wait(&store, at(200_000)), Some(Duration::ZERO));
    }

    #[test]
    fn a_clock_that_is_set_back_brings_nothing_back() {
        let mut store = store(&[100]);
        store.apply(come(&store, at(100)).expect("it has come"));
        assert!(store.has_passed(at(100)));
        assert!(come(&store, at(50)).is_none());
        assert_eq!(wait(&store, at(50)), None);
    }
}

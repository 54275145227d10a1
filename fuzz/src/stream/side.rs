//! What a proxy and its stream said to each other about one type, and what the proxy has of it: the
//! truth, of which the stream's machine knows only what it hears.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use locum::xds::kind::Kind;
use locum::xds::message::{Response, Variant};
use locum::xds::resource::{Resource, Version};
use locum::xds::stream::MAX_CLUSTER_RESPONSES;
use locum::xds::subscription::WILDCARD;

use super::step::{Verdict, holds};
use super::wire::Said;

/// What a proxy has under a name.
#[derive(Clone, Debug)]
struct Has {
    version: Version,
    /// What it accepted last, which it falls back on when that version turns out to be what it
    /// refuses.
    good: Option<Version>,
}

/// One type of one stream.
#[derive(Debug)]
pub(super) struct Side {
    kind: Kind,
    variant: Variant,
    wildcard: bool,
    names: BTreeSet<Arc<str>>,
    /// Whether it ever gave names.
    named: bool,
    has: BTreeMap<Arc<str>, Has>,
    /// Every form that it ever accepted: an honest proxy does not refuse these.
    fine: HashSet<(Arc<str>, Version)>,
    /// Oldest first.
    pub(super) under_way: VecDeque<Response>,
    /// The numbers of the last response and of the notice that followed it, or 0.
    last: u64,
    notice: u64,
    /// In the state of the world: the version that it accepted last, and the names that it said
    /// last.
    pub(super) accepted: String,
    pub(super) wish: Vec<String>,
}

/// Whether a response of this kind carries everything.
pub(super) fn is_complete(variant: Variant, kind: Kind) -> bool {
    variant == Variant::StateOfTheWorld && matches!(kind, Kind::Cluster | Kind::Listener)
}

impl Side {
    /// As the first request of the type opens it.
    pub(super) fn open(kind: Kind, variant: Variant, said: &Said) -> Self {
        let mut side = Self {
            kind,
            variant,
            // The protocol: an empty first list means everything, for clusters and listeners.
            wildcard: said.names.is_empty() && matches!(kind, Kind::Cluster | Kind::Listener),
            names: BTreeSet::new(),
            named: !said.names.is_empty(),
            has: BTreeMap::new(),
            fine: HashSet::new(),
            under_way: VecDeque::new(),
            last: 0,
            notice: 0,
            accepted: String::new(),
            wish: said.names.clone(),
        };
        side.subscribe(&said.names);
        if variant == Variant::Delta {
            for (name, version) in &said.known {
                side.has_accepted(&name.as_str().into(), &Version(version.as_str().into()));
            }
        }
        side.forget();
        side
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Whether it asks for `name` itself.
    pub(super) fn asks_for(&self, name: &str) -> bool {
        match name {
            WILDCARD => self.wildcard,
            _ => self.names.contains(name),
        }
    }

    /// All that it asks for.
    pub(super) fn asked(&self) -> impl Iterator<Item = String> {
        let everything = self.wildcard.then(|| WILDCARD.to_owned());
        let names = self.names.iter().map(ToString::to_string);
        everything.into_iter().chain(names)
    }

    /// The nonce of the newest response that it need not answer any more.
    pub(super) fn answered_nonce(&self) -> String {
        let oldest = self.under_way.front();
        let newest = self.last.max(self.notice);
        match oldest.and_then(|oldest| oldest.nonce.parse::<u64>().ok()) {
            None if newest == 0 => String::new(),
            None => newest.to_string(),
            // Any that is older than the oldest under way is as stale as another.
            Some(oldest) => (oldest - 1).to_string(),
        }
    }

    /// Whether a response tells a version and nothing else, so that it need not be answered.
    fn is_notice(&self, response: &Response) -> bool {
        self.variant == Variant::StateOfTheWorld
            && !is_complete(self.variant, self.kind)
            && response.resources.is_empty()
    }

    /// Takes in that a response was sent.
    pub(super) fn sent(&mut self, number: u64, response: &Response) {
        if self.is_notice(response) {
            self.notice = number;
            return;
        }
        let most = match self.kind {
            Kind::Cluster => MAX_CLUSTER_RESPONSES,
            _ => 1,
        };
        assert!(
            self.under_way.len() < most,
            "too many {}s are under way",
            self.kind
        );
        self.under_way.push_back(response.clone());
        self.last = number;
        self.notice = 0;
    }

    /// Takes in a request. Returns whether it is one that the machine can make sense of only as a
    /// lie.
    pub(super) fn heard(&mut self, said: &Said, verdict: Verdict) -> bool {
        let number = said.nonce.parse().ok();
        let is_of = |one: &Response| one.nonce.parse::<u64>().ok() == number;
        let answered = self.under_way.iter().position(is_of);
        let is_lie = answered.is_some_and(|answered| self.answered(answered, said, verdict));
        let is_last =
            number.is_some_and(|number| number != 0 && [self.last, self.notice].contains(&number));
        match self.variant {
            Variant::Delta => self.change(said),
            Variant::StateOfTheWorld if self.last == 0 || is_last => self.ask_for(&said.names),
            Variant::StateOfTheWorld => {}
        }
        self.wish.clone_from(&said.names);
        is_lie
    }

    fn answered(&mut self, index: usize, said: &Said, verdict: Verdict) -> bool {
        // Of a proxy that takes responses in another order than they come nothing is known.
        let is_mixed_up = self.variant == Variant::Delta && index > 0;
        let is_lie = is_mixed_up || self.honest(&self.under_way[index], verdict) != verdict;
        match self.variant {
            Variant::Delta => {
                if let Some(response) = self.under_way.remove(index) {
                    self.take(&response, verdict);
                }
            }
            Variant::StateOfTheWorld => {
                let through: Vec<_> = self.under_way.drain(..=index).collect();
                self.take_through(&through, said, verdict);
            }
        }
        is_lie
    }

    /// Takes in an answer to the last of some responses, which is one to all of them: the version
    /// says which it took last.
    fn take_through(&mut self, through: &[Response], said: &Said, verdict: Verdict) {
        let is_accepted = |one: &Response| {
            one.version
                .as_ref()
                .is_some_and(|version| *version.0 == *said.version)
        };
        let Some((answered, older)) = through.split_last() else {
            return;
        };
        let Verdict::Refused { applied, .. } = verdict else {
            return self.take(answered, verdict);
        };
        if !older.is_empty() && is_accepted(answered) {
            // Its error is left over from one before.
            return self.take(answered, Verdict::Accepted);
        }
        let refused = match older.iter().rposition(is_accepted) {
            Some(accepted) => {
                self.take(&older[accepted], Verdict::Accepted);
                &older[accepted + 1..]
            }
            None => older,
        };
        for response in refused {
            self.take(response, Verdict::Refused { named: 0, applied });
        }
        self.take(answered, verdict);
    }

    fn take(&mut self, response: &Response, verdict: Verdict) {
        let Verdict::Refused { named, applied } = verdict else {
            self.take_part(response, |_| true);
            for one in &response.resources {
                if self.wants(&one.name) {
                    self.has_accepted(&one.name, &one.version);
                }
            }
            if let Some(version) = &response.version {
                self.accepted = version.0.to_string();
            }
            return;
        };
        // There is nothing to refuse in what only goes.
        let is_removal = response.resources.iter().all(|one| self.is_fine(one));
        let carried: BTreeSet<_> = response.resources.iter().map(|one| &*one.name).collect();
        // Envoy applies what its words do not name.
        let names_some = carried.iter().any(|name| holds(named, name));
        self.take_part(response, |name| {
            if names_some && carried.contains(name) {
                !holds(named, name)
            } else {
                holds(applied, name) || is_removal
            }
        });
    }

    /// What an honest proxy would say instead: it refuses nothing that it accepted before.
    pub(super) fn honest(&self, response: &Response, verdict: Verdict) -> Verdict {
        let Verdict::Refused { named, applied } = verdict else {
            return verdict;
        };
        let resources = response.resources.iter();
        let (fine, other): (Vec<_>, Vec<_>) = resources.partition(|one| self.is_fine(one));
        if other.is_empty() {
            return Verdict::Accepted;
        }
        let blames_fine = fine.iter().any(|one| holds(named, &one.name));
        let named = if blames_fine { 0 } else { named };
        Verdict::Refused { named, applied }
    }

    fn is_fine(&self, one: &Resource) -> bool {
        self.fine.contains(&(one.name.clone(), one.version.clone()))
    }

    /// Takes over what a response says of some names.
    fn take_part(&mut self, response: &Response, applies: impl Fn(&str) -> bool) {
        if is_complete(self.variant, self.kind) {
            let carried: BTreeSet<_> = response.resources.iter().map(|one| &one.name).collect();
            self.has
                .retain(|name, _| carried.contains(name) || !applies(name));
        }
        if self.variant == Variant::Delta {
            for name in response.removed.iter().filter(|name| applies(name)) {
                self.has.remove(name);
            }
        }
        for one in &response.resources {
            if !self.wants(&one.name) {
                continue;
            }
            if self.is_fine(one) {
                self.has_accepted(&one.name, &one.version);
            } else if applies(&one.name) {
                let good = self.has.get(&one.name).and_then(|has| has.good.clone());
                let version = one.version.clone();
                self.has.insert(one.name.clone(), Has { version, good });
            }
        }
    }

    fn has_accepted(&mut self, name: &Arc<str>, version: &Version) {
        let has = Has {
            version: version.clone(),
            good: Some(version.clone()),
        };
        self.has.insert(name.clone(), has);
        self.fine.insert((name.clone(), version.clone()));
    }

    /// Takes in that it is this resource which the proxy refuses: so it has not applied it.
    pub(super) fn blamed(&mut self, resource: &Resource) {
        let Some(has) = self.has.get_mut(&resource.name) else {
            return;
        };
        if has.version == resource.version {
            match has.good.clone() {
                Some(good) => has.version = good,
                None => drop(self.has.remove(&resource.name)),
            }
        }
    }

    /// What the proxy has, by name.
    pub(super) fn has(&self) -> impl Iterator<Item = (&Arc<str>, &Version)> {
        self.has.iter().map(|(name, has)| (name, &has.version))
    }

    /// What the proxy has under a name.
    pub(super) fn version(&self, name: &str) -> Option<&Version> {
        self.has.get(name).map(|has| &has.version)
    }

    /// Adds names. What it had under them it may have dropped.
    fn subscribe(&mut self, names: &[String]) {
        for name in names {
            if name == WILDCARD {
                self.wildcard = true;
            } else {
                self.has.remove(name.as_str());
                self.names.insert(name.as_str().into());
            }
        }
    }

    fn change(&mut self, said: &Said) {
        for name in &said.gone {
            if name == WILDCARD {
                self.wildcard = false;
            } else {
                self.names.remove(name.as_str());
            }
        }
        self.forget();
        self.subscribe(&said.names);
    }

    fn ask_for(&mut self, names: &[String]) {
        if names.is_empty() && !self.named {
            return;
        }
        self.named = true;
        self.names
            .retain(|name| names.iter().any(|listed| **listed == **name));
        self.wildcard &= names.iter().any(|listed| listed == WILDCARD);
        let new = names.iter().filter(|name| !self.asks_for(name));
        let new: Vec<_> = new.cloned().collect();
        self.subscribe(&new);
        self.forget();
    }

    fn forget(&mut self) {
        let (wildcard, names) = (self.wildcard, &self.names);
        self.has.retain(|name, _| wildcard || names.contains(name));
    }
}

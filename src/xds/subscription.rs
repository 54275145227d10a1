//! One type's subscription on one stream: what the proxy asked for, what it has, what it refused.
//!
//! Pure bookkeeping, the same for every protocol variant: in go the proxy's wishes and answers, out
//! comes the difference to a snapshot. It knows no wire message and no order between types;
//! [`crate::xds::stream`] and [`crate::xds::order`] add those.

mod answers;
mod claim;
mod held;
mod size;
mod unchecked;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

pub use held::{Form, Held, Outstanding};
use unchecked::Unchecked;

use crate::xds::kind::Kind;
use crate::xds::refusal::{Refusal, Search};
use crate::xds::resource::{Resource, Version};
use crate::xds::snapshot::Snapshot;

/// The name that asks for everything.
pub const WILDCARD: &str = "*";

/// What a proxy lacks against a snapshot.
#[derive(Debug, Default)]
pub struct Difference {
    /// New, changed or asked for again.
    pub send: Vec<Arc<Resource>>,
    /// Held by the proxy and not in the snapshot.
    pub remove: Vec<Arc<str>>,
    /// Asked for by name, not held and not in the snapshot: the proxy is told so, once.
    pub missing: Vec<Arc<str>>,
}

/// What one proxy asked for of one type, and how far it has got.
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    wildcard: bool,
    names: BTreeSet<Arc<str>>,
    held: BTreeMap<Arc<str>, Held>,
    /// Names it was told do not exist.
    absent: BTreeSet<Arc<str>>,
    /// Names that have to be answered even if the proxy has the current form.
    owed: BTreeSet<Arc<str>>,
    /// What the proxy asked for on demand and was not answered, where it has everything and its
    /// names are questions: of virtual hosts.
    questions: Option<BTreeSet<Arc<str>>>,
    /// Whether an answer is due even if it is empty: the proxy's initial fetch waits for it.
    greeting_due: bool,
    /// Whether the proxy came with nothing of this type.
    began_empty: bool,
    /// Whether it has ever given names, of which [`WILDCARD`] is one.
    named: bool,
    /// The version of the set that it came with, as long as it is not known what is in it and
    /// nothing was sent.
    claimed: Option<Version>,
    /// The number of the last response that brought something; 0 before the first.
    last: u64,
    /// The number of the notice that followed it; 0 if none did.
    notice: u64,
    /// Whether the proxy has not shown yet that it has seen the notice.
    is_notice_under_way: bool,
    /// Whether it gave up names since it was told the version of what it has.
    version_due: bool,
    /// Of which names it is to be found out whether the proxy lacks something.
    unchecked: Unchecked,
    /// Counts what may make a difference to whether the proxy has an answer for all it refers to.
    epoch: u64,
    /// Whether some form may be known by its version only.
    has_foreign: bool,
    /// Oldest first.
    pub(crate) outstanding: VecDeque<Outstanding>,
    pub(crate) refused: BTreeMap<Arc<str>, Refusal>,
    pub(crate) search: Search,
}

impl Subscription {
    /// A subscription as the first message about its type opens it.
    ///
    /// `known` is `initial_resource_versions`: what the proxy kept from an earlier stream. The xDS
    /// protocol has an empty first list mean everything, for clusters and listeners ("legacy
    /// wildcard").
    pub fn open(kind: Kind, subscribe: &[String], known: &HashMap<String, String>) -> Self {
        let mut subscription = Self {
            began_empty: known.is_empty(),
            has_foreign: !known.is_empty(),
            ..Self::default()
        };
        if kind == Kind::VirtualHost {
            subscription.wildcard = true;
            subscription.questions = Some(BTreeSet::new());
        }
        // Of what it was told that it does not exist Envoy keeps the name, without a version.
        for (name, version) in known.iter().filter(|(_, version)| !version.is_empty()) {
            let form = Form::Foreign(Version(version.as_str().into()));
            let held = Held {
                form: Some(form),
                ..Held::default()
            };
            subscription.held.insert(name.as_str().into(), held);
        }
        if subscribe.is_empty() && matches!(kind, Kind::Cluster | Kind::Listener) {
            subscription.subscribe_everything();
        }
        subscription.subscribe(subscribe);
        subscription
            .owed
            .retain(|name| !known.contains_key(&**name));
        subscription.forget_outside();
        subscription
    }

    /// Adds names. The protocol: each is answered even if the proxy was sent it before, because it
    /// may have dropped it in between.
    pub fn subscribe(&mut self, names: &[String]) {
        if let Some(questions) = &mut self.questions {
            questions.extend(names.iter().map(|name| name.as_str().into()));
            return;
        }
        self.named |= !names.is_empty();
        for name in names {
            if name == WILDCARD {
                self.subscribe_everything();
            } else {
                let name: Arc<str> = name.as_str().into();
                self.absent.remove(&name);
                self.touch(&name);
                self.owed.insert(name.clone());
                self.names.insert(name);
            }
        }
    }

    /// Takes `names` for all that the proxy asks for. The protocol: a list without names means
    /// everything only as long as there never were names; then it means nothing.
    pub fn ask_for(&mut self, names: &[String]) {
        if names.is_empty() && !self.named {
            return;
        }
        let listed: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let is_gone = |name: &&Arc<str>| !listed.contains(&***name);
        let gone: Vec<_> = self.names.iter().filter(is_gone).cloned().collect();
        let had_everything = self.wildcard;
        for name in &gone {
            self.touch(name);
            self.names.remove(name);
            self.absent.remove(name);
        }
        if self.wildcard && !listed.contains(WILDCARD) {
            self.touch_all();
        }
        if !listed.contains(WILDCARD) {
            self.wildcard = false;
            self.greeting_due = false;
        }
        let is_new = |name: &&String| {
            let wildcard = self.wildcard && *name == WILDCARD;
            !wildcard && !self.names.contains(name.as_str())
        };
        let new: Vec<_> = names.iter().filter(is_new).cloned().collect();
        self.subscribe(&new);
        // What it came with is less than its version says, or that version says nothing of what is
        // asked for now.
        let covers = new.is_empty() || (had_everything && self.wildcard);
        self.claimed.take_if(|_| !gone.is_empty() || !covers);
        self.named = true;
        self.version_due |= !gone.is_empty();
        self.forget_outside();
    }

    /// Whether this is the nonce of the last response that was sent. A notice makes that before it
    /// none that is past: the proxy need not have seen it to know what it brings, which is nothing,
    /// and one that lets go of its last name meanwhile will never answer it.
    pub fn is_last(&self, nonce: &str) -> bool {
        let number: Option<u64> = nonce.parse().ok();
        number.is_some_and(|number| number != 0 && [self.last, self.notice].contains(&number))
    }

    /// Notes that the proxy has seen the response of this nonce.
    pub fn saw(&mut self, nonce: &str) {
        self.is_notice_under_way &= nonce.parse() != Ok(self.notice);
    }

    /// Whether a request with this nonce has seen all that was sent.
    pub fn is_up_to_date(&self, nonce: &str) -> bool {
        self.last == 0 || self.is_last(nonce)
    }

    fn subscribe_everything(&mut self) {
        self.touch_all();
        self.wildcard = true;
        // The set that is to replace one of which nothing is known may be empty too.
        self.greeting_due = self.began_empty || self.claimed.is_some();
    }

    /// Takes names away; what the proxy had under them it drops by itself. The protocol: while it
    /// still asks for everything it cannot know whether the name is part of that, so the name is
    /// answered, with the resource or its removal.
    pub fn unsubscribe(&mut self, names: &[String]) {
        if let Some(questions) = &mut self.questions {
            questions.retain(|name| !names.iter().any(|gone| **gone == **name));
            return;
        }
        // Each acknowledgement comes by here.
        if names.is_empty() {
            return;
        }
        for name in names {
            if name == WILDCARD {
                self.touch_all();
                self.wildcard = false;
                self.greeting_due = false;
            } else if self.names.remove(name.as_str()) {
                self.touch(&name.as_str().into());
                self.absent.remove(name.as_str());
                if self.wildcard {
                    self.owed.insert(name.as_str().into());
                }
            }
        }
        self.forget_outside();
    }

    fn forget_outside(&mut self) {
        if self.wildcard {
            return;
        }
        let names = &self.names;
        self.held.retain(|name, _| names.contains(name));
        self.absent.retain(|name| names.contains(name));
        self.owed.retain(|name| names.contains(name));
        self.refused.retain(|name, _| names.contains(name));
    }

    /// Whether the proxy asks for this name.
    pub fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// Whether the proxy asks for everything.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The names the proxy asks for one by one.
    pub fn names(&self) -> &BTreeSet<Arc<str>> {
        &self.names
    }

    /// Whether the proxy came with nothing of this type, as one that has just started.
    pub fn began_empty(&self) -> bool {
        self.began_empty
    }

    /// What the proxy has, by name.
    pub fn held(&self) -> &BTreeMap<Arc<str>, Held> {
        &self.held
    }

    /// Whether the proxy acknowledged some form of `name`, or that there is none.
    pub fn has_answer_for(&self, name: &str) -> bool {
        self.absent.contains(name) || self.has(name)
    }

    /// Whether the proxy acknowledged some form of `name`, and keeps it as far as it was told.
    pub fn has(&self, name: &str) -> bool {
        let going = |outstanding: &Outstanding| matches!(outstanding.told(name), Some(None));
        self.held.get(name).is_some_and(Held::is_there) && !self.outstanding.iter().any(going)
    }

    /// Whether the proxy acknowledged some form of `name` or may have one all the same.
    pub fn may_have(&self, name: &str) -> bool {
        self.is_unlisted()
            || self.held.contains_key(name)
            || matches!(self.newest(name), Some(Some(_)))
    }

    /// Whether the proxy has exactly this, whatever becomes of what is under way.
    pub fn surely_has(&self, resource: &Resource) -> bool {
        let held = self.held.get(&resource.name);
        held.is_some_and(|held| held.is(&resource.version)) && self.newest(&resource.name).is_none()
    }

    /// Whether this is what the proxy acknowledged last under its name.
    pub fn acknowledged(&self, resource: &Resource) -> bool {
        let held = self.held.get(&resource.name);
        let form = held.and_then(|held| held.form.as_ref());
        form.is_some_and(|form| *form.version() == resource.version)
    }

    /// Whether the proxy may have lost what it acknowledged under this name.
    pub fn may_lack(&self, name: &str) -> bool {
        let held = self.held.get(name);
        held.is_some_and(|held| held.maybe_gone && held.applied.is_none())
            && self.newest(name).is_none()
    }

    /// What the proxy has once it has taken in what is under way, as far as that is known.
    pub fn forms(&self) -> BTreeMap<Arc<str>, Form> {
        let held = self.held.iter();
        let held = held.filter_map(|(name, held)| {
            let applied = held.applied.clone().map(Form::Known);
            Some((name.clone(), applied.or_else(|| held.form.clone())?))
        });
        let mut forms: BTreeMap<_, _> = held.collect();
        for (name, newest) in self.under_way() {
            match newest {
                Some(resource) => {
                    forms.insert(name.into(), Form::Known(resource.clone()));
                }
                None => {
                    forms.remove(name);
                }
            }
        }
        forms
    }

    /// Every name that the proxy has or is being told of.
    pub fn names_that_may_be_there(&self) -> BTreeSet<Arc<str>> {
        let told = self.under_way().into_keys().map(Arc::from);
        self.held.keys().cloned().chain(told).collect()
    }

    /// What the newest response under way that says something of `name` says.
    fn newest(&self, name: &str) -> Option<Option<&Arc<Resource>>> {
        let mut newest_first = self.outstanding.iter().rev();
        newest_first.find_map(|outstanding| outstanding.told(name))
    }

    /// What the responses under way carry: the newest form of each name, or its removal.
    fn under_way(&self) -> BTreeMap<&str, Option<&Arc<Resource>>> {
        let mut newest = BTreeMap::new();
        for outstanding in &self.outstanding {
            let removed = outstanding.removed.iter();
            newest.extend(removed.map(|name| (&**name, None)));
            let forms = outstanding.forms();
            newest.extend(forms.map(|resource| (&*resource.name, Some(resource))));
        }
        newest
    }

    /// The resources that responses under way carry.
    pub fn being_sent(&self) -> Vec<Arc<Resource>> {
        let outstanding = self.outstanding.iter();
        outstanding.flat_map(Outstanding::forms).cloned().collect()
    }

    /// The endpoints of those of `clusters` that the proxy may have in some form.
    pub fn endpoints_of_changed(&self, clusters: &[Arc<Resource>]) -> Vec<Arc<str>> {
        let changed = clusters.iter().filter(|one| self.may_have(&one.name));
        let endpoints = changed.flat_map(|cluster| cluster.targets(Kind::Endpoint));
        endpoints.cloned().collect()
    }

    /// The oldest response under way that carries `name`.
    pub fn carrier(&self, name: &str) -> Option<&Outstanding> {
        let mut outstanding = self.outstanding.iter();
        outstanding.find(|outstanding| outstanding.carries(name))
    }

    /// Whether the proxy acknowledged a form of `name` that it was sent after that response.
    pub fn has_since(&self, name: &str, number: u64) -> bool {
        let held = self.held.get(name);
        held.is_some_and(|held| held.is_there() && held.number > number)
    }

    /// Whether the proxy refused this form of the resource.
    pub fn refuses(&self, resource: &Resource) -> bool {
        self.refused
            .get(&resource.name)
            .is_some_and(|refusal| refusal.resource.version == resource.version)
    }

    /// What the proxy asked for on demand and was not answered.
    pub fn questions(&self) -> impl Iterator<Item = &Arc<str>> {
        self.questions.iter().flatten()
    }

    /// Notes that the proxy has lost what it had under `name`, without a word.
    pub fn lost(&mut self, name: &Arc<str>) {
        self.touch(name);
        self.held.remove(name);
    }

    /// Notes that `name` has to be sent again whatever the proxy has, if it asks for it.
    pub fn owe(&mut self, name: &Arc<str>) {
        if self.wants(name) {
            self.touch(name);
            self.owed.insert(name.clone());
        }
    }

    /// Of what has to be sent again and is not in the snapshot any more, the last forms that the
    /// proxy was sent.
    pub fn owed_last_forms(&self, kind: Kind, snapshot: &Snapshot) -> Vec<Arc<Resource>> {
        let owed = self.owed.iter();
        let gone = owed.filter(|name| snapshot.get(kind, name).is_none());
        let last = |name: &Arc<str>| match (self.newest(name), self.held.get(name)?.form.as_ref()) {
            (Some(newest), _) => newest.cloned(),
            (None, Some(Form::Known(resource))) => Some(resource.clone()),
            (None, _) => None,
        };
        gone.filter_map(last).collect()
    }

    /// Takes up a new snapshot: forms whose version it holds become known, refusals of other
    /// content end. Returns whether a refusal ended.
    pub fn observe(&mut self, kind: Kind, snapshot: &Snapshot) -> bool {
        self.recognise(kind, snapshot);
        if std::mem::take(&mut self.has_foreign) {
            for (name, held) in &mut self.held {
                let Some(Form::Foreign(version)) = &held.form else {
                    continue;
                };
                let same = snapshot.get(kind, name);
                match same.filter(|resource| resource.version == *version) {
                    Some(same) => held.form = Some(Form::Known(same.clone())),
                    None => self.has_foreign = true,
                }
            }
            self.epoch += 1;
        }
        let is_past = |(name, refusal): (&Arc<str>, &Refusal)| {
            let current = snapshot.get(kind, name);
            let is_current = current.is_some_and(|one| one.version == refusal.resource.version);
            (!is_current).then(|| name.clone())
        };
        let past: Vec<_> = self.refused.iter().filter_map(is_past).collect();
        past.iter().for_each(|name| self.clear(name));
        !past.is_empty()
    }

    /// Notes that a resource is no longer refused.
    pub fn clear(&mut self, name: &Arc<str>) {
        self.touch(name);
        self.refused.remove(name);
    }

    /// Whether a response is due even if nothing differs.
    pub fn greeting_due(&self) -> bool {
        self.greeting_due
    }
}

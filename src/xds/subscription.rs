//! One type's subscription on one stream: what the proxy asked for, what it has, what it refused.
//!
//! Pure bookkeeping, the same for every protocol variant: in go the proxy's wishes and answers, out
//! comes the difference to a snapshot. It knows no wire message and no order between types;
//! [`crate::xds::stream`] and [`crate::xds::order`] add those.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::xds::kind::Kind;
use crate::xds::refusal::{Refusal, Search};
use crate::xds::resource::{Resource, Version};
use crate::xds::snapshot::Snapshot;

/// The name that asks for everything.
pub const WILDCARD: &str = "*";

/// A resource as the proxy has it.
#[derive(Clone, Debug)]
pub enum Form {
    /// Acknowledged on this stream, or found equal to what the snapshot holds.
    Known(Arc<Resource>),
    /// Brought along from an earlier stream: all that is known is its version.
    Foreign(Version),
}

impl Form {
    /// The version of this form.
    pub fn version(&self) -> &Version {
        match self {
            Form::Known(resource) => &resource.version,
            Form::Foreign(version) => version,
        }
    }
}

/// What a proxy has under one name.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// The last form it acknowledged.
    pub form: Option<Form>,
    /// The number of the response it came with; 0 if it was brought along.
    pub number: u64,
    /// Forms it was sent in responses that it refused: one may be in force, it does not say.
    pub doubted: Vec<Arc<Resource>>,
    /// Whether a response that it refused would have taken the resource away, and may have.
    pub maybe_gone: bool,
}

impl Held {
    /// Whether the proxy certainly has what it acknowledged last.
    pub fn is_certain(&self) -> bool {
        self.form.is_some() && self.doubted.is_empty() && !self.maybe_gone
    }

    /// Whether the proxy certainly has this version.
    fn is(&self, version: &Version) -> bool {
        self.is_certain() && self.form.as_ref().map(Form::version) == Some(version)
    }

    /// Whether the proxy has some form.
    fn is_there(&self) -> bool {
        self.form.is_some() && !self.maybe_gone
    }
}

/// A response that has neither been acknowledged nor refused.
#[derive(Clone, Debug)]
pub struct Outstanding {
    /// Counts the stream's responses, of whatever type; as text it is the nonce.
    pub number: u64,
    /// When it was sent, since the stream's start.
    pub at: Duration,
    pub sent: Vec<Arc<Resource>>,
    pub removed: Vec<Arc<str>>,
}

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
    /// Whether an answer is due even if it is empty: the proxy's initial fetch waits for it.
    greeting_due: bool,
    /// Whether the proxy came with nothing of this type.
    began_empty: bool,
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
            ..Self::default()
        };
        for (name, version) in known {
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
        for name in names {
            if name == WILDCARD {
                self.subscribe_everything();
            } else {
                let name: Arc<str> = name.as_str().into();
                self.absent.remove(&name);
                self.owed.insert(name.clone());
                self.names.insert(name);
            }
        }
    }

    fn subscribe_everything(&mut self) {
        self.wildcard = true;
        self.greeting_due = self.began_empty;
    }

    /// Takes names away; what the proxy had under them it drops by itself. The protocol: while it
    /// still asks for everything it cannot know whether the name is part of that, so the name is
    /// answered, with the resource or its removal.
    pub fn unsubscribe(&mut self, names: &[String]) {
        for name in names {
            if name == WILDCARD {
                self.wildcard = false;
                self.greeting_due = false;
            } else if self.names.remove(name.as_str()) && self.wildcard {
                self.owed.insert(name.as_str().into());
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

    /// How many names it holds in all.
    pub fn size(&self) -> usize {
        self.names.len().max(self.held.len())
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
        let going = |outstanding: &Outstanding| outstanding.removed.iter().any(|of| **of == *name);
        self.held.get(name).is_some_and(Held::is_there) && !self.outstanding.iter().any(going)
    }

    /// Whether the proxy acknowledged some form of `name` or may have one all the same.
    pub fn may_have(&self, name: &str) -> bool {
        self.held.contains_key(name) || matches!(self.under_way().get(name), Some(Some(_)))
    }

    /// What the responses under way carry: the newest form of each name, or its removal.
    fn under_way(&self) -> BTreeMap<&str, Option<&Arc<Resource>>> {
        let mut newest = BTreeMap::new();
        for outstanding in &self.outstanding {
            let removed = outstanding.removed.iter();
            newest.extend(removed.map(|name| (&**name, None)));
            let sent = outstanding.sent.iter();
            newest.extend(sent.map(|resource| (&*resource.name, Some(resource))));
        }
        newest
    }

    /// The resources that responses under way carry.
    pub fn being_sent(&self) -> Vec<Arc<Resource>> {
        let outstanding = self.outstanding.iter();
        outstanding.flat_map(|one| one.sent.clone()).collect()
    }

    /// The endpoints of those of `clusters` that the proxy may have in some form.
    pub fn endpoints_of_changed(&self, clusters: &[Arc<Resource>]) -> Vec<Arc<str>> {
        let changed = clusters.iter().filter(|one| self.may_have(&one.name));
        let references = changed.flat_map(|cluster| &cluster.references);
        let endpoints = references.filter(|(kind, _)| *kind == Kind::Endpoint);
        endpoints.map(|(_, name)| name.clone()).collect()
    }

    /// The oldest response under way that carries `name`.
    pub fn carrier(&self, name: &str) -> Option<&Outstanding> {
        self.outstanding.iter().find(|outstanding| {
            let mut sent = outstanding.sent.iter();
            sent.any(|resource| *resource.name == *name)
        })
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

    /// Notes that `name` has to be sent again whatever the proxy has, if it asks for it.
    pub fn owe(&mut self, name: &Arc<str>) {
        if self.wants(name) {
            self.owed.insert(name.clone());
        }
    }

    /// Takes up a new snapshot: forms whose version it holds become known, refusals of other
    /// content end. Returns whether a refusal ended.
    pub fn observe(&mut self, kind: Kind, snapshot: &Snapshot) -> bool {
        for (name, held) in &mut self.held {
            if let Some(Form::Foreign(version)) = &held.form
                && let Some(same) = snapshot
                    .get(kind, name)
                    .filter(|resource| resource.version == *version)
            {
                held.form = Some(Form::Known(same.clone()));
            }
        }
        let before = self.refused.len();
        self.refused.retain(|name, refusal| {
            snapshot
                .get(kind, name)
                .is_some_and(|resource| resource.version == refusal.resource.version)
        });
        self.refused.len() != before
    }

    /// What the proxy lacks, by name, once it has taken in what is under way. What it refused in
    /// this very form is left out.
    pub fn difference(&self, kind: Kind, snapshot: &Snapshot) -> Difference {
        let mut difference = Difference::default();
        let under_way = self.under_way();
        let lacks = |resource: &&Arc<Resource>| {
            let name = &*resource.name;
            let current = match under_way.get(name) {
                Some(sent) => sent.is_some_and(|sent| sent.version == resource.version),
                None => (self.held.get(name)).is_some_and(|held| held.is(&resource.version)),
            };
            (!current || self.owed.contains(name)) && !self.refuses(resource)
        };
        if self.wildcard {
            let lacking = snapshot.of_kind(kind).filter(lacks);
            difference.send.extend(lacking.cloned());
        } else {
            let named = self.names.iter();
            let lacking = named
                .filter_map(|name| snapshot.get(kind, name))
                .filter(lacks);
            difference.send.extend(lacking.cloned());
        }
        let sent = under_way.iter().filter(|(_, sent)| sent.is_some());
        let sent: BTreeSet<&str> = sent.map(|(name, _)| *name).collect();
        let held = self.held.keys().map(|name| &**name);
        for name in held.chain(
            sent.iter()
                .copied()
                .filter(|name| !self.held.contains_key(*name)),
        ) {
            let going = matches!(under_way.get(name), Some(None));
            if !going && self.wants(name) && snapshot.get(kind, name).is_none() {
                difference.remove.push(name.into());
            }
        }
        for name in self.names.union(&self.owed) {
            let told = self.absent.contains(name) || matches!(under_way.get(&**name), Some(None));
            let told = told && !self.owed.contains(name);
            let has = self.held.contains_key(name) || sent.contains(&**name);
            if !told && !has && snapshot.get(kind, name).is_none() {
                difference.missing.push(name.clone());
            }
        }
        difference
    }

    /// Whether a response is due even if nothing differs.
    pub fn greeting_due(&self) -> bool {
        self.greeting_due
    }

    /// Notes that a response is on its way. Returns whether a refusal ended because there is newer
    /// content.
    pub fn sent(&mut self, outstanding: Outstanding) -> bool {
        let refused = self.refused.len();
        for resource in &outstanding.sent {
            self.owed.remove(&resource.name);
            self.absent.remove(&resource.name);
            self.refused.remove(&resource.name);
        }
        for name in &outstanding.removed {
            self.owed.remove(name);
        }
        self.greeting_due = false;
        self.outstanding.push_back(outstanding);
        self.refused.len() != refused
    }

    /// Takes the outstanding response that `nonce` belongs to; any other nonce is stale and
    /// acknowledges nothing.
    pub fn answered(&mut self, nonce: &str) -> Option<Outstanding> {
        let number: u64 = nonce.parse().ok()?;
        let mut outstanding = self.outstanding.iter();
        let index = outstanding.position(|outstanding| outstanding.number == number)?;
        self.outstanding.remove(index)
    }

    /// Notes that the proxy has taken over what `answered` gave.
    pub fn acknowledge(&mut self, outstanding: &Outstanding) {
        for resource in &outstanding.sent {
            if self.wants(&resource.name) {
                let held = Held {
                    form: Some(Form::Known(resource.clone())),
                    number: outstanding.number,
                    ..Held::default()
                };
                self.held.insert(resource.name.clone(), held);
            }
        }
        for name in &outstanding.removed {
            self.held.remove(name);
            if self.names.contains(name) {
                self.absent.insert(name.clone());
            }
        }
    }

    /// Notes that nothing is known any more about what `outstanding` carried: a refused delta is
    /// partly applied.
    pub fn doubt(&mut self, outstanding: &Outstanding) {
        for name in &outstanding.removed {
            if let Some(held) = self.held.get_mut(name) {
                held.maybe_gone = true;
            }
        }
        for resource in &outstanding.sent {
            if self.wants(&resource.name) && self.carrier(&resource.name).is_none() {
                let held = self.held.entry(resource.name.clone()).or_default();
                held.doubted.push(resource.clone());
            }
        }
    }

    /// Keeps `resource` from the proxy as long as its content stays: the proxy has its last good
    /// form, or none.
    pub fn refuse(&mut self, refusal: Refusal) {
        let name = &refusal.resource.name.clone();
        if let Some(held) = self.held.get_mut(name) {
            // What was refused is not in force; another form that is in doubt still may be.
            let version = &refusal.resource.version;
            held.doubted.retain(|doubted| doubted.version != *version);
            if held.form.is_none() && held.doubted.is_empty() {
                self.held.remove(name);
            }
        }
        self.owed.remove(name);
        if self.wants(name) && self.carrier(name).is_none() {
            self.refused.insert(name.clone(), refusal);
        }
    }
}

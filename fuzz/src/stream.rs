//! A hostile proxy against the machine of one discovery stream.
//!
//! It asks, answers, lies and waits as the input says, and snapshots change under it. What must hold
//! whatever it does is checked after every step. Then it mends its ways on the same stream: it asks
//! for everything, follows what resources refer to and accepts all it is sent, and has to come to
//! rest with what the last snapshot holds.

mod side;
mod step;
mod wire;
mod world;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use locum::xds::content::RESPONSE_BYTES;
use locum::xds::kind::Kind;
use locum::xds::message::{Event, Output, Response, Variant};
use locum::xds::resource::{Resource, Version};
use locum::xds::snapshot::Snapshot;
use locum::xds::stream::{MAX_RESPONSES, Stream};
use locum::xds::subscription::WILDCARD;

use side::{Side, is_complete};
pub use step::Play;
use step::{Claim, Nonce, Saying, Step, Verdict, names};
use wire::Said;
pub use wire::Wire;
use world::World;

/// How often a stream may want to be called before it has waited for everything.
const MOST_WAITS: usize = 200;

/// How many steps an honest proxy may take to come to rest.
const MOST_STEPS_TO_REST: usize = 2000;

/// Plays a stream of the variant whose requests are `R`.
pub fn play<R: Wire>(play: Play) {
    let mut stage = Stage::<R>::new();
    for step in play.steps {
        stage.step(step);
    }
    stage.rest(play.ends_anew);
}

/// A stream, what was served on it, and the truth about its proxy.
struct Stage<R> {
    stream: Stream,
    now: Duration,
    world: World,
    snapshot: Option<Arc<Snapshot>>,
    /// Everything that any snapshot held.
    given: HashMap<(Kind, Arc<str>, Version), Arc<Resource>>,
    sides: BTreeMap<Kind, Side>,
    /// How many responses were sent.
    nonces: u64,
    /// Whether the proxy said something about itself that is not so.
    has_lied: bool,
    requests: std::marker::PhantomData<R>,
}

impl<R: Wire> Stage<R> {
    fn new() -> Self {
        Self {
            stream: Stream::new(R::VARIANT),
            now: Duration::ZERO,
            world: World::default(),
            snapshot: None,
            given: HashMap::new(),
            sides: BTreeMap::new(),
            nonces: 0,
            has_lied: false,
            requests: std::marker::PhantomData,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish(edits) => {
                edits.into_iter().for_each(|edit| self.world.edit(edit));
                self.publish();
            }
            Step::Say(saying) => self.say(saying),
            Step::Answer(kind, count, verdict) => self.answer(kind, count, verdict),
            Step::Ask(kind, wish) => {
                let names = names(wish.names).map(Into::into).collect();
                self.ask(kind, names, names_of(wish.gone));
            }
            Step::Wait(time) => {
                self.now += time;
                self.elapse();
            }
            Step::Idle => self.idle(),
        }
    }

    fn publish(&mut self) {
        let snapshot = Arc::new(self.world.snapshot());
        for resource in Kind::ALL
            .into_iter()
            .flat_map(|kind| snapshot.of_kind(kind))
        {
            let key = (
                resource.kind,
                resource.name.clone(),
                resource.version.clone(),
            );
            self.given.insert(key, resource.clone());
        }
        self.snapshot = Some(snapshot.clone());
        let output = self.stream.snapshot(self.now, snapshot);
        self.take(output);
    }

    fn elapse(&mut self) {
        let output = self.stream.elapsed(self.now);
        self.take(output);
    }

    /// Lets all waits pass.
    fn idle(&mut self) {
        for _ in 0..MOST_WAITS {
            let Some(deadline) = self.stream.deadline() else {
                return;
            };
            self.now = deadline;
            self.elapse();
        }
        panic!("it waits for ever");
    }

    /// A request that need not make sense.
    fn say(&mut self, saying: Saying) {
        let side = saying.kind.and_then(|kind| self.sides.get(&kind));
        let nonce = match saying.nonce {
            Nonce::None => String::new(),
            Nonce::Back(back) => self.nonces.wrapping_sub(back.into()).to_string(),
            Nonce::Text(text) => text.into(),
        };
        let version = match saying.version {
            Claim::None => String::new(),
            Claim::True => side.map(|side| side.accepted.clone()).unwrap_or_default(),
            Claim::Newest => self.newest_version(saying.kind),
            Claim::Invented => "invented".into(),
        };
        let known = saying.known.into_iter();
        let said = Said {
            type_url: saying.kind.map_or("a/b", Kind::type_url).into(),
            nonce,
            names: names_of(saying.wish.names),
            gone: names_of(saying.wish.gone),
            known: known
                .map(|(name, version)| (name.into(), version))
                .collect(),
            version,
            refusal: refusal(saying.verdict),
            has_locators: saying.has_locators,
        };
        let Some(kind) = saying.kind else {
            let output = self.request(&said);
            assert!(
                output.responses.is_empty(),
                "a type that is not served is answered"
            );
            return;
        };
        let is_claim = matches!(saying.version, Claim::Newest) && side.is_none();
        self.has_lied |= is_claim && R::VARIANT == Variant::StateOfTheWorld;
        self.hear(kind, &said, saying.verdict);
    }

    /// The version of all that the proxy would have of a kind with the newest response.
    fn newest_version(&self, kind: Option<Kind>) -> String {
        let side = kind.and_then(|kind| self.sides.get(&kind));
        let newest = side.and_then(|side| side.under_way.back()?.version.clone());
        let version = newest.or_else(|| {
            let all = self.snapshot.as_ref()?.of_kind(kind?);
            Some(Version::of_set(all.map(|one| (&*one.name, &one.version))))
        });
        version
            .map(|version| version.0.to_string())
            .unwrap_or_default()
    }

    /// The answer to the oldest responses of a kind: all but the last of them are accepted.
    fn answer(&mut self, kind: Kind, count: usize, verdict: Verdict) {
        let Some(side) = self.sides.get(&kind) else {
            return;
        };
        let through: Vec<_> = side.under_way.iter().take(count).cloned().collect();
        if R::VARIANT == Variant::Delta {
            for (index, response) in through.iter().enumerate() {
                let is_last = index + 1 == through.len();
                let verdict = match is_last {
                    true => self.sides[&kind].honest(response, verdict),
                    false => Verdict::Accepted,
                };
                let said = Said {
                    type_url: kind.type_url().into(),
                    nonce: response.nonce.clone(),
                    refusal: refusal(verdict),
                    ..Said::default()
                };
                self.hear(kind, &said, verdict);
            }
            return;
        }
        let Some((last, older)) = through.split_last() else {
            return;
        };
        let verdict = side.honest(last, verdict);
        let accepted = match verdict {
            Verdict::Accepted => Some(last),
            Verdict::Refused { .. } => older.last(),
        };
        let version = accepted.and_then(|response| response.version.as_ref());
        let said = Said {
            type_url: kind.type_url().into(),
            nonce: last.nonce.clone(),
            names: side.wish.clone(),
            version: version.map_or_else(|| side.accepted.clone(), |version| version.0.to_string()),
            refusal: refusal(verdict),
            ..Said::default()
        };
        self.hear(kind, &said, verdict);
    }

    /// A request that answers nothing new. In the state of the world it has the nonce of the newest
    /// response that the proxy has answered.
    fn ask(&mut self, kind: Kind, names: Vec<String>, gone: Vec<String>) {
        let side = self.sides.get(&kind);
        let said = Said {
            type_url: kind.type_url().into(),
            nonce: match R::VARIANT {
                Variant::Delta => String::new(),
                Variant::StateOfTheWorld => side.map(Side::answered_nonce).unwrap_or_default(),
            },
            names,
            gone,
            version: side.map(|side| side.accepted.clone()).unwrap_or_default(),
            ..Said::default()
        };
        self.hear(kind, &said, Verdict::Accepted);
    }

    /// Says something, and takes down what that makes true.
    fn hear(&mut self, kind: Kind, said: &Said, verdict: Verdict) {
        match self.sides.get_mut(&kind) {
            Some(side) => self.has_lied |= side.heard(said, verdict),
            None => {
                self.sides.insert(kind, Side::open(kind, R::VARIANT, said));
            }
        }
        let output = self.request(said);
        self.take(output);
    }

    fn request(&mut self, said: &Said) -> Output {
        let output = self.stream.request(self.now, &R::of(said));
        output.expect("these are few names")
    }

    /// What must hold of every output.
    fn take(&mut self, output: Output) {
        let kinds: Vec<_> = output
            .responses
            .iter()
            .map(|response| response.kind)
            .collect();
        assert!(
            kinds.is_sorted_by(|a, b| a < b),
            "in the order of kinds: {kinds:?}"
        );
        for response in &output.responses {
            self.nonces += 1;
            assert_eq!(response.nonce, self.nonces.to_string());
            self.check(response);
            let side = self.sides.get_mut(&response.kind);
            let side = side.expect("nobody is told of a type that it did not ask for");
            side.sent(self.nonces, response);
        }
        for event in &output.events {
            if let Event::Refused { kind, guilty, .. } = event {
                for one in guilty {
                    assert!(self.is_given(one), "{kind} {} was never served", one.name);
                    if let Some(side) = self.sides.get_mut(kind) {
                        side.blamed(one);
                    }
                }
            }
        }
        let under_way: usize = self.sides.values().map(|side| side.under_way.len()).sum();
        assert!(
            under_way <= MAX_RESPONSES,
            "{under_way} responses are under way"
        );
        let deadline = self.stream.deadline();
        assert!(
            deadline.is_none_or(|deadline| deadline > self.now),
            "{deadline:?} is past"
        );
        for refusal in self.stream.refusals() {
            let resource = &refusal.resource;
            let side = &self.sides[&resource.kind];
            assert!(
                side.wants(&resource.name),
                "{} is refused unasked",
                resource.name
            );
        }
    }

    fn is_given(&self, one: &Resource) -> bool {
        let key = (one.kind, one.name.clone(), one.version.clone());
        // In the state of the world a cluster that has left before its endpoints came gets none.
        let none = || {
            Resource::of(&ClusterLoadAssignment {
                cluster_name: one.name.to_string(),
                ..ClusterLoadAssignment::default()
            })
        };
        let may_be_none = R::VARIANT == Variant::StateOfTheWorld && one.kind == Kind::Endpoint;
        self.given.contains_key(&key) || (may_be_none && one.version == none().version)
    }

    /// What must hold of every response.
    fn check(&self, response: &Response) {
        let (kind, resources) = (response.kind, &response.resources);
        let carried: BTreeSet<_> = resources.iter().map(|one| &one.name).collect();
        assert_eq!(
            carried.len(),
            resources.len(),
            "{kind} stands twice in {carried:?}"
        );
        let removed: BTreeSet<_> = response.removed.iter().collect();
        assert_eq!(
            removed.len(),
            response.removed.len(),
            "{:?}",
            response.removed
        );
        assert!(
            carried.is_disjoint(&removed),
            "{carried:?} come, {removed:?} go"
        );
        for one in resources {
            assert!(
                one.kind == kind && self.is_given(one),
                "{kind} {} was never served",
                one.name
            );
            assert!(
                self.sides[&kind].wants(&one.name),
                "{kind} {} comes unasked",
                one.name
            );
        }
        let snapshot = self.snapshot.as_ref().expect("nothing comes of nothing");
        if R::VARIANT == Variant::Delta {
            // What waits for clusters may be sent in a form before the newest, and a cluster that has
            // left gets the endpoints that it had.
            let is_current = |one: &Arc<Resource>| match snapshot.get(kind, &one.name) {
                Some(current) => {
                    current.version == one.version || matches!(kind, Kind::Extension | Kind::Route)
                }
                None => kind == Kind::Endpoint,
            };
            assert!(
                resources.iter().all(is_current),
                "{kind}s of the past are sent"
            );
            for name in &response.removed {
                assert!(snapshot.get(kind, name).is_none(), "{kind} {name} is there");
            }
        }
        assert_eq!(
            response.version.is_some(),
            R::VARIANT == Variant::StateOfTheWorld
        );
        let bytes: usize = resources.iter().map(|one| one.body.len()).sum();
        let is_bounded = bytes <= RESPONSE_BYTES || resources.len() == 1;
        assert!(
            is_bounded || is_complete(R::VARIANT, kind),
            "{bytes} bytes of {kind}s"
        );
    }

    /// From here on the proxy is an honest one, and accepts everything.
    fn rest(&mut self, ends_anew: bool) {
        let ends_anew = ends_anew || self.has_lied;
        if ends_anew {
            self.world.anew();
        }
        if ends_anew || self.snapshot.is_none() {
            self.publish();
        }
        for _ in 0..MOST_STEPS_TO_REST {
            let under_way =
                |(kind, side): (&Kind, &Side)| (!side.under_way.is_empty()).then_some(*kind);
            if let Some(kind) = self.sides.iter().find_map(under_way) {
                self.answer(kind, 1, Verdict::Accepted);
            } else if let Some((kind, names)) = self.unasked() {
                self.ask(kind, names, Vec::new());
            } else if let Some(deadline) = self.stream.deadline() {
                self.now = deadline;
                self.elapse();
            } else {
                return self.check_rest(ends_anew);
            }
        }
        panic!("it does not come to rest");
    }

    /// What an honest proxy has yet to ask for: all clusters and listeners, and what the resources
    /// that it has refer to.
    fn unasked(&self) -> Option<(Kind, Vec<String>)> {
        let mut wanted = BTreeSet::from([
            (Kind::Cluster, WILDCARD.into()),
            (Kind::Listener, WILDCARD.into()),
        ]);
        for (kind, side) in &self.sides {
            let has = side.has();
            let forms = has.filter_map(|(name, version)| {
                self.given.get(&(*kind, name.clone(), version.clone()))
            });
            let references = forms.flat_map(|form| &form.references);
            wanted.extend(
                references
                    .filter(|(kind, _)| *kind != Kind::Cluster)
                    .cloned(),
            );
        }
        let is_unasked = |(kind, name): &&(Kind, Arc<str>)| {
            self.sides.get(kind).is_none_or(|side| !side.asks_for(name))
        };
        let (kind, _) = wanted.iter().find(is_unasked)?;
        let unasked = wanted
            .iter()
            .filter(|(of, _)| of == kind)
            .filter(is_unasked);
        let mut names: Vec<_> = unasked.map(|(_, name)| name.to_string()).collect();
        if R::VARIANT == Variant::StateOfTheWorld {
            names.extend(self.sides.get(kind).into_iter().flat_map(Side::asked));
        }
        Some((*kind, names))
    }

    /// The proxy has what the last snapshot holds, but for what it once refused in that form.
    fn check_rest(&self, ends_anew: bool) {
        let snapshot = self.snapshot.as_ref().expect("it was published");
        let refused: BTreeSet<_> = self
            .stream
            .refusals()
            .map(|one| (one.resource.kind, &one.resource.name))
            .collect();
        assert!(
            !ends_anew || refused.is_empty(),
            "what was refused is past: {refused:?}"
        );
        for (kind, side) in &self.sides {
            let wanted = snapshot.of_kind(*kind).filter(|one| side.wants(&one.name));
            for one in wanted.filter(|one| !refused.contains(&(*kind, &one.name))) {
                let has = side.version(&one.name);
                assert_eq!(has, Some(&one.version), "{kind} {}", one.name);
            }
            let is_told = R::VARIANT == Variant::Delta || is_complete(R::VARIANT, *kind);
            if refused.is_empty() && !self.has_lied && is_told {
                let stay = side
                    .has()
                    .find(|(name, _)| snapshot.get(*kind, name).is_none());
                assert_eq!(stay, None, "a {kind} stays");
            }
        }
        let is_settled = self.stream.is_settled();
        assert!(is_settled || !refused.is_empty(), "it is never settled");
    }
}

fn names_of(bits: u8) -> Vec<String> {
    names(bits).map(Into::into).collect()
}

/// The words of a refusal, which name some resources.
fn refusal(verdict: Verdict) -> Option<String> {
    let Verdict::Refused { named, .. } = verdict else {
        return None;
    };
    let named: Vec<_> = names(named).collect();
    Some(format!("refused: {}", named.join(", ")))
}

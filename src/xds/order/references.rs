//! What the forms that a proxy has refer to: what must not be taken from it yet.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::xds::kind::Kind;
use crate::xds::order::Subscriptions;
use crate::xds::resource::Resource;
use crate::xds::subscription::{Form, Outstanding};

/// What is referred to among the resources of one kind.
#[derive(Debug)]
pub(super) struct References {
    /// By forms that will be replaced.
    passing: BTreeSet<Arc<str>>,
    /// Some form that will be replaced is known by its version only and may refer to anything.
    unknown: bool,
    lasting: Lasting,
    kind: Kind,
}

/// What refused resources' last good forms refer to, themselves or through others.
#[derive(Debug, Default)]
struct Lasting {
    names: BTreeSet<(Kind, Arc<str>)>,
    /// Kinds of which anything may be referred to, by a form that is known by its version only.
    kinds: BTreeSet<Kind>,
}

impl References {
    /// References to resources of `kind`, but for those from resources of that kind that go
    /// themselves, and from those that are `unused`.
    pub(super) fn of(
        subscriptions: &Subscriptions,
        kind: Kind,
        going: &BTreeSet<Arc<str>>,
        unused: impl Fn(Kind, &Arc<str>) -> bool,
    ) -> Self {
        let mut references = Self {
            unknown: is_unheard(subscriptions, kind),
            passing: BTreeSet::new(),
            lasting: Lasting::of(subscriptions),
            kind,
        };
        for (holder, subscription) in subscriptions {
            if !may_refer(*holder, kind) {
                continue;
            }
            for (name, held) in subscription.held() {
                let goes = *holder == kind && going.contains(name);
                if goes || unused(*holder, name) {
                    continue;
                }
                match &held.form {
                    Some(Form::Known(resource)) => {
                        references.passing.extend(resource.targets(kind).cloned());
                    }
                    Some(Form::Foreign(_)) => references.unknown = true,
                    None => {}
                }
                for doubted in &held.doubted {
                    references.passing.extend(doubted.targets(kind).cloned());
                }
            }
            let outstanding = subscription.outstanding.iter();
            for resource in outstanding.flat_map(Outstanding::forms) {
                references.passing.extend(resource.targets(kind).cloned());
            }
        }
        references
    }

    /// Whether something may refer to `name`.
    pub(super) fn may_name(&self, name: &Arc<str>) -> bool {
        self.unknown || self.passing.contains(name)
    }

    /// Whether something may refer to `name` for as long as a proxy refuses what is to replace it.
    pub(super) fn lasts(&self, name: &Arc<str>) -> bool {
        self.lasting.kinds.contains(&self.kind)
            || self.lasting.names.contains(&(self.kind, name.clone()))
    }
}

impl Lasting {
    fn of(subscriptions: &Subscriptions) -> Self {
        let mut lasting = Self::default();
        let refused = subscriptions.iter().flat_map(|(kind, subscription)| {
            let names = subscription.refused.keys();
            names.map(|name| (*kind, name.clone()))
        });
        let mut holders: Vec<_> = refused.collect();
        while let Some((kind, name)) = holders.pop() {
            let Some(held) = subscriptions.get(&kind).and_then(|of| of.held().get(&name)) else {
                continue;
            };
            let known = match &held.form {
                Some(Form::Known(resource)) => Some(resource),
                Some(Form::Foreign(_)) => {
                    lasting.kinds.extend(reachable(kind));
                    None
                }
                None => None,
            };
            for resource in known.into_iter().chain(&held.doubted) {
                for reference in &resource.references {
                    if lasting.names.insert(reference.clone()) {
                        holders.push(reference.clone());
                    }
                }
            }
        }
        lasting
    }
}

/// The kinds that a resource of `kind` can refer to, itself or through others.
fn reachable(kind: Kind) -> BTreeSet<Kind> {
    let mut kinds = BTreeSet::new();
    let mut holders = vec![kind];
    while let Some(holder) = holders.pop() {
        for target in Kind::ALL {
            if may_refer(holder, target) && kinds.insert(target) {
                holders.push(target);
            }
        }
    }
    kinds
}

/// Whether the proxy came back with resources of `kind` and it is not known yet what else it has
/// that may refer to them: it sends its subscriptions one after the other, and may bring a set along
/// of which only the version is known. One that starts has nothing.
fn is_unheard(subscriptions: &Subscriptions, kind: Kind) -> bool {
    if subscriptions.get(&kind).is_none_or(|of| of.began_empty()) {
        return false;
    }
    let mut holders = Kind::ALL.into_iter().filter(|of| may_refer(*of, kind));
    holders.any(|of| match subscriptions.get(&of) {
        Some(subscription) => subscription.is_unlisted(),
        None => may_have_some(subscriptions, of),
    })
}

/// Whether a proxy may have resources of `kind` although it has not asked for any yet: those that go
/// by names are asked for when something it has refers to them.
fn may_have_some(subscriptions: &Subscriptions, kind: Kind) -> bool {
    let leads_there = match kind {
        // A cluster's filters could too. But each cluster that has gone meanwhile is known by its
        // version only, so that none would go before the bound is over.
        Kind::Extension | Kind::Route => Kind::Listener,
        Kind::VirtualHost => Kind::Route,
        Kind::Secret | Kind::Cluster | Kind::Endpoint | Kind::Listener => return true,
    };
    let asked = subscriptions.get(&leads_there).into_iter();
    let mut held = asked.flat_map(|subscription| subscription.held().values());
    let leads = |resource: &Arc<Resource>| resource.targets(kind).next().is_some();
    held.any(|held| match &held.form {
        Some(Form::Known(resource)) => leads(resource) || held.doubted.iter().any(leads),
        Some(Form::Foreign(_)) => true,
        None => held.doubted.iter().any(leads),
    })
}

/// Whether resources of one kind can refer to those of another.
fn may_refer(holder: Kind, target: Kind) -> bool {
    match holder {
        Kind::Listener => matches!(
            target,
            Kind::Extension | Kind::Route | Kind::Cluster | Kind::Secret
        ),
        // That there are virtual hosts apart is no reason for any of them to stay.
        Kind::Route | Kind::VirtualHost => target == Kind::Cluster,
        // Requests on their way to a cluster pass filters too.
        Kind::Cluster => matches!(
            target,
            Kind::Cluster | Kind::Endpoint | Kind::Extension | Kind::Secret
        ),
        // One filter may choose among others.
        Kind::Extension => matches!(target, Kind::Extension | Kind::Cluster | Kind::Secret),
        Kind::Secret | Kind::Endpoint => false,
    }
}

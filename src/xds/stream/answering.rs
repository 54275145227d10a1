//! What a stream makes of a proxy's answers: the receiving half of its machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Stream;
use crate::xds::kind::Kind;
use crate::xds::message::{Event, Output, Request, Variant};
use crate::xds::order;
use crate::xds::refusal::{self, Refusal};
use crate::xds::resource::Resource;
use crate::xds::subscription::{Outstanding, Subscription};

impl Stream {
    /// Takes in an acknowledgement or refusal.
    pub(super) fn answer(
        &mut self,
        now: Duration,
        kind: Kind,
        request: &impl Request,
        output: &mut Output,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&kind) else {
            output.events.push(Event::Stale { kind });
            return;
        };
        let Some(outstanding) = subscription.answered(request.nonce()) else {
            // One that has answered the last response names it again when it asks for more.
            if !subscription.is_last(request.nonce()) {
                output.events.push(Event::Stale { kind });
            }
            return;
        };
        let older = match self.variant {
            Variant::Delta => Vec::new(),
            // Each response holds all that those before it do; Envoy answers the last alone.
            Variant::StateOfTheWorld => subscription.overtaken(outstanding.number),
        };
        match request.refusal() {
            Some(message) if is_left_over(&older, &outstanding, request.accepted()) => {
                output.events.push(Event::Refused {
                    kind,
                    message: message.to_owned(),
                    guilty: named_in(&older, message),
                });
                output.events.push(acknowledged(kind, now, &outstanding));
            }
            Some(message) if !is_old(&outstanding, message) => {
                overtake(subscription, &older, request.accepted());
                refuse(kind, subscription, &outstanding, message, output);
                if let Some(snapshot) = &self.snapshot {
                    // It may have been for content that is past already.
                    subscription.observe(kind, snapshot);
                }
                return;
            }
            Some(message) => output.events.push(Event::Refused {
                kind,
                message: message.to_owned(),
                guilty: outstanding.stand_ins.clone(),
            }),
            None => output.events.push(acknowledged(kind, now, &outstanding)),
        }
        self.accepted(now, kind, &outstanding, &older);
    }

    /// Takes in that a response was accepted, and with it those before it that nothing else was said
    /// of.
    fn accepted(
        &mut self,
        now: Duration,
        kind: Kind,
        outstanding: &Outstanding,
        older: &[Outstanding],
    ) {
        let subscription = self.subscriptions.entry(kind).or_default();
        // One that had its virtual hosts in it has none of those that are apart.
        let is_new =
            |one: &&Arc<Resource>| !order::has_virtual_hosts_apart(subscription, &one.name);
        let routes = outstanding
            .sent
            .iter()
            .filter(|one| one.kind == Kind::Route);
        let new: Vec<_> = routes.filter(is_new).cloned().collect();
        subscription.acknowledge(outstanding);
        subscription.search.accepted();
        if kind == Kind::Cluster {
            let mut answered = [outstanding].into_iter().chain(older);
            self.is_adrift |= answered.any(|one| one.replaces_unknown);
            for resource in &outstanding.sent {
                // One that is on its way out is not one that a proxy can use.
                if !subscription.has(&resource.name) {
                    continue;
                }
                // Its clusters are warm: one more name that resolves is not worth waiting for.
                if self.is_adrift {
                    self.order.warmed(&resource.name);
                    continue;
                }
                let carries = |older: &&Outstanding| older.carries(&resource.name);
                let first = older.iter().find(carries).unwrap_or(outstanding);
                self.order.acknowledged(&resource.name, first.at, now);
            }
        }
        if kind == Kind::Route {
            self.is_adrift = false;
            self.expect_virtual_hosts(&new);
        }
    }
}

fn acknowledged(kind: Kind, now: Duration, outstanding: &Outstanding) -> Event {
    Event::Acknowledged {
        kind,
        after: now.saturating_sub(outstanding.at),
    }
}

/// Whether a refusal was for a response before the one that it answers, which the proxy accepted:
/// its version says so. While clusters warm Envoy answers several responses with one request, and
/// puts into it the last error since the request before. An answer to a single response is about
/// that one.
fn is_left_over(older: &[Outstanding], answered: &Outstanding, accepted: Option<&str>) -> bool {
    !older.is_empty() && answered.is_of_version(accepted)
}

/// Takes in what a refusal says of responses before the one that it answers: that of the version
/// which the proxy accepted last was taken over with all before it, those after it were refused.
fn overtake(subscription: &mut Subscription, older: &[Outstanding], accepted: Option<&str>) {
    let last = older.iter().rposition(|one| one.is_of_version(accepted));
    let refused = match last {
        Some(last) => {
            subscription.acknowledge(&older[last]);
            &older[last + 1..]
        }
        None => older,
    };
    refused.iter().for_each(|older| subscription.doubt(older));
}

/// What of the content of these responses the words of a refusal name, in its newest form.
fn named_in(responses: &[Outstanding], message: &str) -> Vec<Arc<Resource>> {
    let sent = responses.iter().flat_map(|one| &one.sent);
    let named = sent.filter(|one| refusal::names(message, &one.name));
    let named: BTreeMap<_, _> = named.map(|one| (&one.name, one.clone())).collect();
    named.into_values().collect()
}

/// Takes in a refusal: nothing is known any more about what the response carried, the guilty are
/// kept out, the others sent again.
fn refuse(
    kind: Kind,
    subscription: &mut Subscription,
    outstanding: &Outstanding,
    message: &str,
    output: &mut Output,
) {
    let is_named = |one: &Arc<Resource>| refusal::names(message, &one.name);
    // What it acknowledged before is to blame only if it says so.
    let again = outstanding.again.iter().filter(|one| is_named(one));
    let brought: Vec<_> = outstanding.sent.iter().chain(again).cloned().collect();
    if brought.is_empty() {
        // A proxy cannot keep what it is told is gone: asking again would go on for ever.
        subscription.acknowledge(outstanding);
    }
    subscription.doubt(outstanding);
    subscription.apply(&brought, is_named);
    let stand_ins = &outstanding.stand_ins;
    let mut carried = stand_ins.iter().chain(&brought);
    if !stand_ins.is_empty() && !carried.any(is_named) {
        // It may be for the stand-ins, who must not hold up all others.
        subscription.give_up(stand_ins);
        subscription.search.again(&brought);
        output.events.push(Event::Refused {
            kind,
            message: message.to_owned(),
            guilty: Vec::new(),
        });
        return;
    }
    let verdict = subscription.search.refused(&brought, message);
    for resource in &verdict.cleared {
        subscription.clear(&resource.name);
    }
    for resource in &verdict.guilty {
        subscription.refuse(Refusal {
            resource: resource.clone(),
            message: message.to_owned(),
        });
    }
    if !verdict.guilty.is_empty() || !verdict.cleared.is_empty() {
        output.events.push(Event::RefusalsChanged);
    }
    output.events.push(Event::Refused {
        kind,
        message: message.to_owned(),
        guilty: verdict.guilty,
    });
}

/// Whether a proxy refuses nothing but what it refused before, and says so.
fn is_old(outstanding: &Outstanding, message: &str) -> bool {
    let is_named = |one: &Arc<Resource>| refusal::names(message, &one.name);
    outstanding.stand_ins.iter().any(is_named) && !outstanding.sent.iter().any(is_named)
}

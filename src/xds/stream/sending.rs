//! What a stream sends, and when: the sending half of its machine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;

use super::{CLUSTER_PATIENCE, MAX_CLUSTER_RESPONSES, Stream};
use crate::xds::content::{Content, aggregates_last};
use crate::xds::kind::Kind;
use crate::xds::message::{Event, Output, Response, Variant};
use crate::xds::order::{self, Timely, View};
use crate::xds::resource::Resource;
use crate::xds::snapshot::Snapshot;
use crate::xds::subscription::{Difference, Form, Outstanding};
use crate::xds::virtual_hosts::{self, Answer};
use crate::xds::{delta, sotw};

/// The most questions of a proxy that are looked at with one response: each is held against all virtual
/// hosts of its routes.
const MAX_QUESTIONS: usize = 100;

impl Stream {
    /// Sends what can be sent, type by type in the order of [`Kind`].
    pub(super) fn advance(&mut self, now: Duration, output: &mut Output) {
        self.deadline = None;
        self.is_held_back = false;
        let Some(snapshot) = self.snapshot.clone() else {
            return;
        };
        self.order.settle(View {
            now,
            snapshot: &snapshot,
            subscriptions: &self.subscriptions,
        });
        for kind in Kind::ALL {
            if !self.may_speak(now, kind) {
                continue;
            }
            if let Some(content) = self.due(now, kind, &snapshot, output) {
                self.send(now, kind, content, output);
            }
        }
        self.look_whether_complete();
    }

    /// Whether a response of this type may be sent at this moment, as far as those under way go.
    fn may_speak(&mut self, now: Duration, kind: Kind) -> bool {
        let Some(subscription) = self.subscriptions.get(&kind) else {
            return false;
        };
        let under_way = subscription.outstanding.len();
        let Some(last) = subscription.outstanding.back() else {
            return true;
        };
        if kind != Kind::Cluster
            || under_way >= MAX_CLUSTER_RESPONSES
            || subscription.search.is_under_way()
        {
            return false;
        }
        let patience = patience(last, under_way);
        if now < patience {
            self.deadline = self.deadline.into_iter().chain([patience]).min();
        }
        now >= patience
    }

    /// What is to be sent of one type at this moment.
    fn due(
        &mut self,
        now: Duration,
        kind: Kind,
        snapshot: &Snapshot,
        output: &mut Output,
    ) -> Option<Content> {
        let suspects = self.suspects(kind, snapshot);
        suspects.or_else(|| self.lacking(now, kind, snapshot, output))
    }

    /// What is to be sent of one type to find out which resources the proxy refuses, if a search for
    /// them is under way.
    fn suspects(&mut self, kind: Kind, snapshot: &Snapshot) -> Option<Content> {
        loop {
            let subscription = self.subscriptions.get_mut(&kind)?;
            let group = subscription.search.next_group()?;
            let is_same = |resource: &Arc<Resource>| {
                let current = snapshot.get(kind, &resource.name);
                current.is_some_and(|current| current.version == resource.version)
            };
            let group = group.into_iter().filter(is_same);
            let group = group.filter(|resource| subscription.wants(&resource.name));
            let mut group: Vec<_> = group
                .filter(|resource| !subscription.refuses(resource))
                .collect();
            while !group.is_empty() {
                let content = self.content(kind, snapshot, group.clone(), Vec::new(), Vec::new());
                let all = group.len();
                // A complete set leaves out other suspects. What names these has to wait until the
                // search is over.
                if self.variant == Variant::StateOfTheWorld {
                    content.retain_complete(&mut group);
                }
                if group.len() == all {
                    return Some(content);
                }
            }
        }
    }

    /// What is to be sent of one type because the proxy has not got it, or has to let go of it.
    fn lacking(
        &mut self,
        now: Duration,
        kind: Kind,
        snapshot: &Snapshot,
        output: &mut Output,
    ) -> Option<Content> {
        let subscription = self.subscriptions.get_mut(&kind)?;
        let greeting_due = subscription.greeting_due();
        let is_unlisted = subscription.is_unlisted();
        let mut difference = subscription.difference(kind, snapshot);
        if kind == Kind::Endpoint {
            self.add_left_endpoints(snapshot, &mut difference);
        }
        let subscription = self.subscriptions.get_mut(&kind)?;
        if self.variant == Variant::StateOfTheWorld && !sotw::is_complete(kind) {
            let gone = std::mem::take(&mut difference.remove);
            subscription.pass_over(&gone, std::mem::take(&mut difference.missing));
            self.order.leave_untold(now, kind, &gone);
        }
        let is_notice_due = subscription.version_due() && !sotw::is_complete(kind);
        let view = View {
            now,
            snapshot,
            subscriptions: &self.subscriptions,
        };
        let timely = match self.only {
            None => self
                .order
                .timely(view, kind, difference.send, difference.remove),
            Some(_) => Timely::all(difference.send, difference.remove),
        };
        // An empty first answer ends the proxy's initial fetch; with more to come it would end it
        // too early.
        let greeting = greeting_due && !timely.is_held_back;
        self.is_held_back |= timely.is_held_back;
        self.deadline = self.deadline.into_iter().chain(timely.next).min();
        output
            .events
            .extend(timely.expired.into_iter().map(Event::Expired));
        let mut send = match kind {
            Kind::Cluster => aggregates_last(timely.send),
            _ => timely.send,
        };
        let answers = self.answers(kind, snapshot, &mut send);
        let mut removed = timely.remove;
        removed.extend(difference.missing);
        // A set without what has to wait would take that from a proxy that may have it.
        let is_whole = !is_unlisted || greeting;
        let is_news = !send.is_empty() || !removed.is_empty() || !answers.is_empty();
        let is_due = greeting || is_notice_due || is_news;
        (is_due && is_whole).then(|| self.content(kind, snapshot, send, removed, answers))
    }

    /// Adds the endpoints without which a cluster would warm until its initial fetch time-out of
    /// 15 s, and hold up the acknowledgement of all clusters: those of a cluster that was sent and
    /// has left the snapshot since, before they were. A changed one gets those that it had, since
    /// routes may still lead to it; a new one none, in words that the state of the world has for it.
    fn add_left_endpoints(&self, snapshot: &Snapshot, difference: &mut Difference) {
        let endpoints = &self.subscriptions[&Kind::Endpoint];
        let last = endpoints.owed_last_forms(Kind::Endpoint, snapshot);
        difference.send.extend(last);
        let clusters = self.subscriptions.get(&Kind::Cluster);
        let (Some(clusters), Variant::StateOfTheWorld) = (clusters, self.variant) else {
            return;
        };
        if difference.missing.is_empty() {
            return;
        }
        let leaving = clusters
            .forms()
            .into_values()
            .filter_map(|form| match form {
                Form::Known(one) if snapshot.get(Kind::Cluster, &one.name).is_none() => Some(one),
                _ => None,
            });
        let left: BTreeSet<_> = leaving
            .flat_map(|cluster| cluster.targets(Kind::Endpoint).cloned().collect::<Vec<_>>())
            .collect();
        let is_left = |name: &mut Arc<str>| left.contains(name);
        let left = difference.missing.extract_if(.., is_left);
        difference.send.extend(left.map(|name| no_endpoints(&name)));
    }

    /// What can be answered of what the proxy asked for on demand. That goes with `send` even if the
    /// proxy has it, for it waits for the answer.
    fn answers(
        &self,
        kind: Kind,
        snapshot: &Snapshot,
        send: &mut Vec<Arc<Resource>>,
    ) -> Vec<Answer> {
        let subscription = &self.subscriptions[&kind];
        let questions = subscription.questions().filter(|asked| {
            self.only.is_some() || order::is_part_of_what_it_has(&self.subscriptions, asked)
        });
        let mut answers = Vec::new();
        for asked in questions.take(MAX_QUESTIONS) {
            let found = virtual_hosts::find(snapshot, asked);
            let found = found.filter(|found| !subscription.refuses(found));
            let is_sent = |found: &Arc<Resource>| send.iter().any(|one| one.name == found.name);
            match found {
                Some(found) if is_sent(found) => {}
                Some(found) if subscription.surely_has(found) => send.push(found.clone()),
                // It is under way, or has to wait.
                Some(_) => continue,
                None => {}
            }
            answers.push(Answer {
                asked: asked.clone(),
                found: found.cloned(),
            });
        }
        answers
    }

    /// What a response carries that brings `news`, takes `gone` away and answers what was asked for.
    fn content(
        &self,
        kind: Kind,
        snapshot: &Snapshot,
        news: Vec<Arc<Resource>>,
        gone: Vec<Arc<str>>,
        answers: Vec<Answer>,
    ) -> Content {
        match self.variant {
            Variant::Delta => delta::content(news, gone, answers),
            Variant::StateOfTheWorld => {
                let subscription = &self.subscriptions[&kind];
                sotw::content(kind, subscription, snapshot, news, gone)
            }
        }
    }

    fn send(&mut self, now: Duration, kind: Kind, content: Content, output: &mut Output) {
        if kind == Kind::Cluster {
            let changed: Vec<_> = content.sent.iter().chain(&content.again).cloned().collect();
            self.owe_endpoints(&changed);
            content
                .removed
                .iter()
                .for_each(|name| self.order.removed(name));
        }
        self.nonces += 1;
        let subscription = self.subscriptions.entry(kind).or_default();
        if content.is_notice {
            subscription.told_version(self.nonces);
        } else {
            let outstanding = Outstanding::new(self.nonces, now, &content);
            // There may be more clusters than fit into one response.
            let under_way = subscription.outstanding.len() + 1;
            if kind == Kind::Cluster && under_way < MAX_CLUSTER_RESPONSES {
                let patience = patience(&outstanding, under_way);
                self.deadline = self.deadline.into_iter().chain([patience]).min();
            }
            if subscription.sent(outstanding, &content.resources) {
                output.events.push(Event::RefusalsChanged);
            }
        }
        output.responses.push(Response {
            kind,
            nonce: self.nonces.to_string(),
            version: content.version,
            resources: content.resources,
            removed: content.removed,
            answers: content.answers,
        });
    }

    /// A changed EDS cluster is a new one to Envoy and warms with endpoints of its own, but as its
    /// name stays subscribed Envoy does not ask for them again. Measured on 1.40: unless they are
    /// sent once more it warms until its initial fetch time-out of 15 s; with them it takes 2 ms.
    /// They may follow at once, since Envoy takes a stream's responses one after the other. (A
    /// changed listener needs no such thing: it shares its routes with the one before.)
    pub(super) fn owe_endpoints(&mut self, clusters: &[Arc<Resource>]) {
        if !self.subscriptions.contains_key(&Kind::Endpoint) {
            return;
        }
        let changed = self.subscriptions[&Kind::Cluster].endpoints_of_changed(clusters);
        if let Some(endpoints) = self.subscriptions.get_mut(&Kind::Endpoint) {
            changed.iter().for_each(|name| endpoints.owe(name));
        }
    }
}

/// That a cluster has no endpoints.
fn no_endpoints(cluster: &str) -> Arc<Resource> {
    Arc::new(Resource::of(&ClusterLoadAssignment {
        cluster_name: cluster.into(),
        ..ClusterLoadAssignment::default()
    }))
}

/// When the clusters of this response, the last of so many under way, have held up others long
/// enough.
fn patience(last: &Outstanding, under_way: usize) -> Duration {
    last.at + CLUSTER_PATIENCE * (1 << (under_way - 1))
}

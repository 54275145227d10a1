//! What a proxy was sent and how it answered: the books that a subscription keeps of it.

use std::sync::Arc;

use super::{Form, Held, Outstanding, Subscription};
use crate::xds::refusal::Refusal;
use crate::xds::resource::Resource;

/// The most forms of one resource that are kept in mind because each may be in force: a proxy that
/// refuses one edit after the other, in words that name nothing, must not cost more and more.
const MAX_DOUBTED: usize = 8;

impl Subscription {
    /// Whether the proxy is to be told the version of what it has, even if nothing differs. One
    /// that gives up its names one by one is told when it has seen the version before; that it has,
    /// nobody shows who asks for nothing any more.
    pub fn version_due(&self) -> bool {
        self.version_due && (!self.is_notice_under_way || self.names.is_empty())
    }

    /// Takes names that are not in the snapshot for known to be absent, where a variant cannot say
    /// so: the proxy keeps what it had until it gives up the name, and waits for what it had not.
    pub fn pass_over(&mut self, gone: &[Arc<str>], missing: Vec<Arc<str>>) {
        for name in gone {
            self.touch(name);
            if !self.names.contains(name) {
                self.held.remove(name);
            }
        }
        for name in missing {
            self.touch(&name);
            self.owed.remove(&name);
            self.absent.insert(name);
        }
    }

    /// Notes that a response with `carried` is on its way. Returns whether a refusal ended because
    /// there is newer content.
    pub fn sent(&mut self, mut outstanding: Outstanding, carried: &[Arc<Resource>]) -> bool {
        if let Some(set) = self.claimed.take()
            && self.wildcard
        {
            self.touch_all();
            self.has_foreign = true;
            for resource in &outstanding.sent {
                let held = self.held.entry(resource.name.clone());
                held.or_insert_with(|| Held::part_of(&set));
            }
            outstanding.replaces_unknown = true;
        }
        for resource in carried {
            if self.owed.remove(&resource.name) {
                self.uncheck(&resource.name);
            }
        }
        let refused = self.refused.len();
        for resource in &outstanding.sent {
            let was_absent = self.absent.remove(&resource.name);
            let was_refused = self.refused.remove(&resource.name).is_some();
            if was_absent || was_refused {
                self.touch(&resource.name);
            }
        }
        for name in &outstanding.removed {
            self.owed.remove(name);
        }
        if let Some(questions) = &mut self.questions {
            for answer in &outstanding.answers {
                questions.remove(&answer.asked);
            }
        }
        self.greeting_due = false;
        self.version_due = false;
        self.last = outstanding.number;
        self.notice = 0;
        self.is_notice_under_way = false;
        self.uncheck_all_of(&outstanding);
        self.outstanding.push_back(outstanding);
        self.refused.len() != refused
    }

    /// Notes that the proxy was told the version of what it has, in the response of this number.
    pub fn told_version(&mut self, number: u64) {
        self.epoch += 1;
        self.version_due = false;
        self.greeting_due = false;
        self.claimed = None;
        self.notice = number;
        self.is_notice_under_way = true;
    }

    fn uncheck_all_of(&mut self, outstanding: &Outstanding) {
        for resource in outstanding.forms() {
            self.uncheck(&resource.name);
        }
        for name in &outstanding.removed {
            self.uncheck(name);
        }
    }

    /// Notes that the proxy is about to have this form. That it has another one, which refers to the
    /// same, makes no difference to what it has an answer for.
    fn take_note(&mut self, resource: &Resource) {
        let held = self
            .held
            .get(&resource.name)
            .filter(|held| held.is_certain());
        let refers_to_the_same = match held.and_then(|held| held.form.as_ref()) {
            Some(Form::Known(before)) => before.references == resource.references,
            _ => false,
        };
        if !refers_to_the_same {
            self.epoch += 1;
        }
        self.uncheck(&resource.name);
    }

    /// Takes the outstanding response that `nonce` belongs to; any other nonce is stale and
    /// acknowledges nothing.
    pub fn answered(&mut self, nonce: &str) -> Option<Outstanding> {
        let number: u64 = nonce.parse().ok()?;
        let mut outstanding = self.outstanding.iter();
        let index = outstanding.position(|outstanding| outstanding.number == number)?;
        let answered = self.outstanding.remove(index)?;
        self.uncheck_all_of(&answered);
        Some(answered)
    }

    /// Takes the outstanding responses that are older than `number`.
    pub fn overtaken(&mut self, number: u64) -> Vec<Outstanding> {
        let newer = self.outstanding.iter();
        let index = newer.take_while(|older| older.number < number).count();
        let overtaken: Vec<_> = self.outstanding.drain(..index).collect();
        overtaken.iter().for_each(|one| self.uncheck_all_of(one));
        overtaken
    }

    /// Takes away the names of what the proxy would have to refuse for ever.
    pub fn give_up(&mut self, stand_ins: &[Arc<Resource>]) {
        for resource in stand_ins {
            self.touch(&resource.name);
            self.held.remove(&resource.name);
        }
    }

    /// Notes that the proxy has taken over what `answered` gave.
    pub fn acknowledge(&mut self, outstanding: &Outstanding) {
        for resource in outstanding.forms() {
            if self.wants(&resource.name) {
                self.take_note(resource);
                let held = Held {
                    form: Some(Form::Known(resource.clone())),
                    number: outstanding.number,
                    ..Held::default()
                };
                self.held.insert(resource.name.clone(), held);
            }
        }
        for name in &outstanding.removed {
            self.touch(name);
            self.held.remove(name);
            if self.names.contains(name) {
                self.absent.insert(name.clone());
            }
        }
    }

    /// Notes that nothing is known any more about what `outstanding` carried: a refused response
    /// is partly applied.
    pub fn doubt(&mut self, outstanding: &Outstanding) {
        if let Some(questions) = &mut self.questions {
            let answers = outstanding.answers.iter();
            questions.extend(answers.map(|answer| answer.asked.clone()));
        }
        for name in &outstanding.removed {
            self.touch(name);
            if let Some(held) = self.held.get_mut(name) {
                held.maybe_gone = true;
                held.applied = None;
            }
        }
        for resource in &outstanding.sent {
            self.touch(&resource.name);
            if self.wants(&resource.name) && self.carrier(&resource.name).is_none() {
                let held = self.held.entry(resource.name.clone()).or_default();
                held.doubted.push(resource.clone());
                if held.doubted.len() > MAX_DOUBTED {
                    held.doubted.remove(0);
                }
            }
        }
    }

    /// Notes what a refused response that carried `sent` did: if its words name some of that, the
    /// others were applied; if they name none, each may be what is not taken.
    pub fn apply(&mut self, sent: &[Arc<Resource>], is_named: impl Fn(&Arc<Resource>) -> bool) {
        let names_some = sent.iter().any(&is_named);
        for resource in sent {
            let is_newest = self.carrier(&resource.name).is_none();
            let Some(held) = self.held.get_mut(&resource.name) else {
                continue;
            };
            if !names_some || is_named(resource) {
                let version = &resource.version;
                held.applied.take_if(|applied| applied.version == *version);
            } else if is_newest {
                held.applied = Some(resource.clone());
            }
        }
    }

    /// Keeps `resource` from the proxy as long as its content stays: the proxy has its last good
    /// form, or none.
    pub fn refuse(&mut self, refusal: Refusal) {
        let name = &refusal.resource.name.clone();
        self.touch(name);
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

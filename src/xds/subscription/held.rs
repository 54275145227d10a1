//! What a proxy has under a name, and what it is being sent.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::xds::content::Content;
use crate::xds::resource::{Resource, Version};
use crate::xds::virtual_hosts::Answer;

/// A resource as the proxy has it.
#[derive(Clone, Debug)]
pub enum Form {
    /// Acknowledged on this stream, or found equal to what the snapshot holds.
    Known(Arc<Resource>),
    /// Brought along from an earlier stream: all that is known is its version, or that of the set
    /// that it was part of.
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
    /// Forms it was sent in responses that it refused, the last ones: one may be in force, it does
    /// not say.
    pub doubted: Vec<Arc<Resource>>,
    /// The form that it was sent last in a response which it refused in words that name others:
    /// Envoy applies what it does not name, so this is in force, though that is not certain.
    pub applied: Option<Arc<Resource>>,
    /// Whether it may have nothing: a response that it refused would have taken the resource away,
    /// or the set that it brought along may not have had it.
    pub maybe_gone: bool,
}

impl Held {
    /// What may have been part of a set that the proxy brought along.
    pub(super) fn part_of(set: &Version) -> Self {
        Self {
            form: Some(Form::Foreign(set.clone())),
            maybe_gone: true,
            ..Self::default()
        }
    }

    /// Whether the proxy certainly has what it acknowledged last.
    pub fn is_certain(&self) -> bool {
        self.form.is_some() && self.doubted.is_empty() && !self.maybe_gone
    }

    /// Whether the proxy certainly has this version.
    pub(super) fn is(&self, version: &Version) -> bool {
        self.is_certain() && self.form.as_ref().map(Form::version) == Some(version)
    }

    /// Whether the proxy has some form.
    pub(super) fn is_there(&self) -> bool {
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
    /// The version that the proxy says when it has accepted it; nothing in delta.
    version: Option<Version>,
    /// What is new to the proxy, or may be.
    pub sent: Vec<Arc<Resource>>,
    /// What it acknowledged before and may have lost since, so that it is in a complete set.
    pub again: Vec<Arc<Resource>>,
    /// What it refused before and is to refuse again, for want of the form that it has instead.
    pub stand_ins: Vec<Arc<Resource>>,
    /// What it tells the proxy to let go of.
    pub removed: Vec<Arc<str>>,
    /// What was asked for on demand, and is answered with it.
    pub answers: Vec<Answer>,
    /// Whether it takes the place of a set that the proxy brought along and of which nothing is
    /// known, so that what that had besides is gone.
    pub replaces_unknown: bool,
    /// What it says of each name. There are thousands, and each is asked after.
    told: HashMap<Arc<str>, Option<Arc<Resource>>>,
}

impl Outstanding {
    /// A response with this content.
    pub(in crate::xds) fn new(number: u64, at: Duration, content: &Content) -> Self {
        let gone = content.removed.iter().map(|name| (name.clone(), None));
        let forms = content.sent.iter().chain(&content.again);
        let forms = forms.map(|resource| (resource.name.clone(), Some(resource.clone())));
        Self {
            number,
            at,
            version: content.version.clone(),
            sent: content.sent.clone(),
            again: content.again.clone(),
            stand_ins: content.stand_ins.clone(),
            removed: content.removed.clone(),
            answers: content.answers.clone(),
            replaces_unknown: false,
            told: gone.chain(forms).collect(),
        }
    }

    /// Whether a proxy that accepted this version last may have accepted the response.
    pub fn is_of_version(&self, accepted: Option<&str>) -> bool {
        let version = self.version.as_ref().map(|version| &*version.0);
        version.is_some() && version == accepted
    }

    /// The forms that the proxy has when it has taken the response in.
    pub fn forms(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.sent.iter().chain(&self.again)
    }

    /// The form of `name` that the proxy is to take over, or that it is to have none; nothing if
    /// the response does not say.
    pub(super) fn told(&self, name: &str) -> Option<Option<&Arc<Resource>>> {
        self.told.get(name).map(Option::as_ref)
    }

    /// Whether it carries a form of `name` that the proxy is to take over.
    pub fn carries(&self, name: &str) -> bool {
        matches!(self.told(name), Some(Some(_)))
    }
}

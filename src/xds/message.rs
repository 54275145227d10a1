//! What goes into a stream's machine and comes out of it, the same for both variants of the
//! protocol.
//!
//! [`delta`](crate::xds::delta) and [`sotw`] have the messages that go over the
//! wire.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use serde::{Deserialize, Serialize};

use crate::xds::kind::Kind;
use crate::xds::order::Expired;
use crate::xds::resource::{Resource, Version};
use crate::xds::sotw;
use crate::xds::subscription::Subscription;
use crate::xds::virtual_hosts::Answer;

/// A variant of the discovery protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Variant {
    /// Differences: each resource has a version, removals are told by name.
    #[serde(rename = "delta")]
    Delta,
    /// State of the world: each response has a version; clusters and listeners come as complete
    /// sets, and what is not among them is gone.
    #[serde(rename = "sotw")]
    StateOfTheWorld,
}

impl Variant {
    /// The word that options, logs and debug answers use: `delta` or `sotw`.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Delta => "delta",
            Variant::StateOfTheWorld => "sotw",
        }
    }
}

/// A discovery request.
pub trait Request {
    /// The variant whose streams carry it.
    const VARIANT: Variant;

    /// Who asks, if it says so.
    fn node(&self) -> Option<&Node>;
    /// The type that it is about.
    fn type_url(&self) -> &str;
    /// The nonce of the response that it answers, or empty.
    fn nonce(&self) -> &str;
    /// Why it refuses that response, in the proxy's words.
    fn refusal(&self) -> Option<&str>;
    /// The version that the proxy accepted last; nothing in delta, where a set has none.
    fn accepted(&self) -> Option<&str>;
    /// How many names it says in the longest of its lists.
    fn names(&self) -> usize;
    /// The bytes of the names that it brings, and of the versions that it says of them.
    fn bytes_of_names(&self) -> usize;
    /// Whether it asks by resource locators, which are not served.
    fn has_locators(&self) -> bool;
    /// The subscription that it opens as the first one of its type.
    fn open(&self, kind: Kind) -> Subscription;
    /// Changes the subscription to what it asks for.
    fn change(&self, subscription: &mut Subscription);
}

/// The most bytes of a proxy's words that are kept: they are held for each resource that they name,
/// and shown in statuses. Envoy sends no more either.
pub const MAX_WORDS: usize = 4096;

/// The beginning of a proxy's words, cut where a character ends.
pub(super) fn cut(words: &str) -> &str {
    &words[..words.floor_char_boundary(MAX_WORDS)]
}

/// A response to be sent, by reference to the resources that all streams share.
#[derive(Clone, Debug)]
pub struct Response {
    /// What it carries resources of.
    pub kind: Kind,
    /// What the proxy names when it answers.
    pub nonce: String,
    /// The version of all that the proxy has of this type with the response; nothing in delta.
    pub version: Option<Version>,
    /// What it carries.
    pub resources: Vec<Arc<Resource>>,
    /// What goes with it: said by name in delta, by leaving it out in the state of the world.
    pub removed: Vec<Arc<str>>,
    /// What was asked for on demand, and is answered with it.
    pub answers: Vec<Answer>,
}

impl Response {
    /// The version of the complete set that it carries, if it carries one.
    pub fn set(&self) -> Option<&Version> {
        let is_complete = sotw::is_complete(self.kind);
        self.version.as_ref().filter(|_| is_complete)
    }
}

/// Something that happened on a stream, for logs, metrics and statuses.
#[derive(Clone, Debug)]
pub enum Event {
    /// A response was acknowledged, this long after it was sent.
    Acknowledged {
        /// What the response carried.
        kind: Kind,
        /// How long it took.
        after: Duration,
    },
    /// A response was refused. `guilty` is empty while it is not known which of its resources is to
    /// blame.
    Refused {
        /// What the response carried.
        kind: Kind,
        /// Why, in the proxy's words.
        message: String,
        /// What of it is to blame.
        guilty: Vec<Arc<Resource>>,
    },
    /// [`Stream::refusals`](crate::xds::stream::Stream::refusals) has changed.
    RefusalsChanged,
    /// A wait ended by its bound.
    Expired(Expired),
    /// The answer to a response that is neither under way nor the last.
    Stale {
        /// What the answer is about.
        kind: Kind,
    },
    /// A request for a type that is not served. The stream lives on: the proxy waits for its own
    /// time-out and goes on.
    UnknownType {
        /// The type.
        type_url: String,
    },
    /// A request used a part of the protocol that is not served.
    Unsupported {
        /// The part.
        what: &'static str,
    },
}

/// What follows from one input.
#[derive(Debug, Default)]
pub struct Output {
    /// What is to be sent, in this order.
    pub responses: Vec<Response>,
    /// What happened, in this order.
    pub events: Vec<Event>,
}

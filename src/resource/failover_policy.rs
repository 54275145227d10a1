//! FailoverPolicy (locum.dev/v1alpha1): in which order the backends of a route, or of one rule of
//! it, serve.
//!
//! A policy attachment as Gateway API describes it. What an API server can check stands here as
//! limits and rules; whether the tiers fit the rules that they are for, translation finds out.
//! Every field that is here is acted on.
#![allow(
    unreachable_pub,
    reason = "KubeSchema copies the structs, with their `pub`, into functions"
)]
#![allow(
    clippy::duplicated_attributes,
    reason = "two columns of kubectl's table have types in common"
)]

mod last_resort;
mod pin;
mod retry;
mod tier;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::traffic_policy::{PolicyStatus, TargetRef};

pub use last_resort::LastResort;
pub use pin::Pin;
pub use retry::{NextTier, Retry};
pub use tier::{Tier, TierHealthCheck, TierRef};

/// In which order the backends of a route or a rule serve.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "locum.dev",
    version = "v1alpha1",
    kind = "FailoverPolicy",
    plural = "failoverpolicies",
    namespaced,
    status = "PolicyStatus",
    shortname = "fop",
    derive = "PartialEq",
    doc = "In which order the backends of an HTTPRoute, or of one rule of it, serve: any number of tiers \
           over any of its backendRefs.",
    printcolumn(
        name = "Target",
        type_ = "string",
        description = "The name of the first target",
        json_path = ".spec.targetRefs[0].name"
    ),
    printcolumn(
        name = "Tiers",
        type_ = "string",
        description = "The tiers, the first served first",
        json_path = ".spec.tiers[*].name"
    ),
    printcolumn(
        name = "Pinned",
        type_ = "string",
        description = "The tier that is preferred",
        json_path = ".spec.pin.tier"
    ),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        description = "By the first Gateway that it holds for",
        json_path = r#".status.ancestors[*].conditions[?(@.type=="Accepted")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.ancestors[*].conditions[?(@.type=="Accepted")].reason"#,
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "self.targetRefs.all(ref, ref.group == 'gateway.networking.k8s.io' && ref.kind == 'HTTPRoute')"
    )
    .message("a target must be an HTTPRoute of group gateway.networking.k8s.io")
    .field_path(".targetRefs"),
    validation = Rule::new(
        "self.tiers.all(tier, self.tiers.exists_one(other, other.name == tier.name))"
    )
    .message("the tiers must have different names")
    .field_path(".tiers"),
    validation = Rule::new("self.mode != 'Switch' || !has(self.threshold)")
        .message(
            "Envoy cannot switch as a whole at a threshold: below it traffic moves in proportion. Use mode \
             Spill for that, or leave threshold out"
        )
        .field_path(".threshold"),
    validation = Rule::new("self.mode != 'Spill' || has(self.threshold)")
        .message("mode Spill needs a threshold")
        .field_path(".mode"),
    validation = Rule::new(
        "!has(self.pin) || self.tiers.exists(tier, tier.name == self.pin.tier)"
    )
    .message("pin.tier must be the name of a tier")
    .field_path(".pin"),
    validation = Rule::new(
        "!has(self.pin) || !self.tiers.exists(tier, tier.name == self.pin.tier && has(tier.drain) \
         && tier.drain)"
    )
    .message("a tier cannot be preferred and drained at once")
    .field_path(".pin")
)]
pub struct FailoverPolicySpec {
    /// The HTTPRoutes that the policy is for, of its own namespace; with a `sectionName` one rule of
    /// a route. Of two policies for one target the oldest holds, and for a rule its own before that
    /// of the whole route.
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<TargetRef>,
    /// The tiers, in the order in which they serve. Backends of a rule that no tier names are in
    /// the first; those that say `fallback: true` in the second.
    #[schemars(length(min = 1, max = 8))]
    pub tiers: Vec<Tier>,
    /// When requests go to the next tier.
    #[serde(default)]
    pub mode: Mode,
    /// With mode Spill: the share of healthy endpoints, in percent, under which a tier does not take
    /// all requests any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub threshold: Option<u8>,
    /// When a request goes on to the next tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// What is answered when no tier can serve. Nothing said: 503 and a few words of Envoy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_resort: Option<LastResort>,
    /// A tier that is preferred for a while.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
}

/// When requests go to the next tier.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
pub enum Mode {
    /// When no endpoint of a tier is healthy, all of them.
    #[default]
    Switch,
    /// When fewer than `threshold` percent of a tier's endpoints are healthy, in proportion to what
    /// is missing.
    Spill,
}

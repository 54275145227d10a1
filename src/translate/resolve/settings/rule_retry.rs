//! What an HTTPRoute's own `retry` changes of what a policy and the defaults say, field by field.
//!
//! Gateway API knows no tiers, so what is said of them elsewhere stays.

use std::time::Duration;

use gateway_api::apis::experimental::httproutes::HttpRouteRulesRetry;

use super::{Refusals, positive};
use crate::model::{BackOff, Retry};
use crate::resource;
use crate::resource::traffic_policy::Trigger;

/// A rule's `retry`.
#[derive(Clone, Debug, Default)]
pub(in crate::translate::resolve) struct RuleRetry {
    /// Attempts after the first.
    pub attempts: Option<u32>,
    /// The shortest pause before another one, doubled each time.
    back_off: Option<Duration>,
    codes: Vec<u16>,
}

impl RuleRetry {
    /// What a rule says, and what of it cannot be honoured.
    pub(in crate::translate::resolve) fn of(
        spec: &HttpRouteRulesRetry,
        refusals: &mut Refusals,
    ) -> Self {
        let back_off = spec
            .backoff
            .as_deref()
            .map(str::parse::<resource::Duration>);
        let back_off = match back_off {
            None => None,
            Some(Ok(pause)) => {
                positive(pause.0, "retry.backoff", refusals);
                Some(pause.0)
            }
            Some(Err(error)) => {
                refusals.push(("retry.backoff".into(), format!("{error}.")));
                None
            }
        };
        let codes = spec.codes.iter().flatten();
        Self {
            attempts: spec
                .attempts
                .map(|attempts| u32::try_from(attempts).unwrap_or_default()),
            back_off,
            codes: codes.filter_map(|code| u16::try_from(*code).ok()).collect(),
        }
    }

    /// Sets what the rule says. Codes are tried again for every method, as those of a policy are: the
    /// rule's author knows what it matches.
    pub(super) fn apply(&self, retry: &mut Retry) {
        if let Some(attempts) = self.attempts {
            retry.retries = attempts;
        }
        if let Some(base) = self.back_off {
            // Without a maximum Envoy takes ten times the base.
            retry.back_off = BackOff { base, max: None };
        }
        if !self.codes.is_empty() {
            retry.on.insert(Trigger::RetriableStatusCodes.word());
            retry.status_codes.clone_from(&self.codes);
        }
    }
}

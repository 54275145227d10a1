//! A policy that another stands instead of: what of the wider one does not hold any more.

use super::Subject;
use crate::problem::{Problem, Severity};
use crate::status::reasons;

/// The fields that failing over rests on.
const FAILOVER: [&str; 4] = ["circuitBreaker", "healthCheck", "retry", "timeout"];

/// What is lost of the policy that would hold otherwise.
pub(super) fn of(subject: &Subject<'_>) -> Option<Problem> {
    let policy = subject.policy?;
    let hidden = subject.hidden?;
    let lost = hidden.lost();
    if lost.is_empty() {
        return None;
    }
    let matters = lost.iter().any(|field| FAILOVER.contains(&field.as_str()));
    let message = format!(
        "It stands instead of {} in chain {}, of which nothing holds there: {} of that is lost.",
        hidden.policy,
        subject.name.0,
        lost.join(", ")
    );
    let mend = match hidden.can_merge {
        true => "Write mergeType: StrategicMerge, or repeat what is to hold.",
        false => "Repeat what is to hold.",
    };
    let found = Problem::warning(policy, "spec", reasons::POLICY_OVERRIDDEN, message);
    let severity = match matters {
        true => Severity::Warning,
        false => Severity::Note,
    };
    Some(Problem { severity, ..found }.with_mend(mend))
}
